//! `parkade batch`: files of requests, for a server or without one.
//!
//! | file | subject |
//! | --- | --- |
//! | `client.rs` | requests to a server |
//! | `remote.rs` | batches of a server |
//! | `here.rs` | a file that is run in this process |
//! | `output.rs` | the file of answers, which is added to |
//! | `error.rs` | what can go wrong |

mod client;
mod error;
mod here;
mod output;
mod remote;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use serde::Deserialize;

pub use error::BatchError;

use crate::args::{BatchArgs, BatchCommand};

/// The longest first line that is looked at, in bytes: no batch takes a longer one.
const LONGEST_LINE: u64 = 9 << 20;

/// How a command about batches has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All is well.
    Whole,
    /// Some requests were not answered.
    Failures,
    /// By Ctrl-C.
    Stopped,
}

/// Runs the command.
///
/// # Errors
/// See [`BatchError`].
pub fn run(args: &BatchArgs, out: &mut impl Write) -> Result<Ending, BatchError> {
    match &args.command {
        BatchCommand::Submit(args) => remote::submit(args, out),
        BatchCommand::Status(args) => remote::status(args, out),
        BatchCommand::Cancel(args) => remote::cancel(args, out),
        BatchCommand::Results(args) => remote::results(args, out),
        BatchCommand::List(args) => remote::list(args, out),
        BatchCommand::Run(args) => here::run(args),
    }
}

fn open(path: &Path) -> Result<File, BatchError> {
    File::open(path).map_err(|source| BatchError::File { path: path.to_owned(), source })
}

/// The path that a file's requests are for: the one that is given, else that of its first line.
fn endpoint(given: Option<&str>, path: &Path) -> Result<String, BatchError> {
    #[derive(Deserialize)]
    struct First {
        url: String,
    }
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let mut first = Vec::new();
    let mut file = BufReader::new(open(path)?.take(LONGEST_LINE));
    while first.trim_ascii().is_empty() {
        first.clear();
        let read = file.read_until(b'\n', &mut first);
        if read.map_err(|source| BatchError::File { path: path.to_owned(), source })? == 0 {
            break;
        }
    }
    match serde_json::from_slice::<First>(&first) {
        Ok(first) => Ok(first.url),
        Err(_) => Err(BatchError::NoEndpoint(path.to_owned())),
    }
}
