//! What can go wrong with batches.

use std::io;
use std::path::PathBuf;

use parkade_core::{LoadError, TaskKind};
use parkade_server::{ConfigError, OfflineError};

use crate::loading::{self, TooMuchMemory};
use crate::models::ModelError;

/// Why a command about batches ended early.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file of requests cannot be run.
    #[error("{}: {source}", path.display())]
    Requests {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: OfflineError,
    },
    /// There is no saying what the requests are for.
    #[error("{}: its first line is no request with a url; give --endpoint, such as /v1/chat/completions", .0.display())]
    NoEndpoint(PathBuf),
    /// What is there is no file of answers.
    #[error("{}, line {line}: this is no answer of a batch; give another file, or move this one away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Somebody else writes it.
    #[error("another process writes {}", .0.display())]
    Busy(PathBuf),
    /// Answers and failures cannot go into one file.
    #[error("{} is given for two things; give each a file of its own", .0.display())]
    SameFile(PathBuf),
    /// The server's address.
    #[error("'{0}' is no URL of a server; give one such as http://127.0.0.1:1234")]
    Url(String),
    /// An id that cannot be one.
    #[error("'{0}' is no id; `parkade batch list` shows those that there are")]
    Id(String),
    /// The server cannot be reached.
    #[error("{url}: {message}; is it running? --url names another")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        message: String,
    },
    /// The server refuses.
    #[error("the server refuses ({status}): {message}")]
    Refused {
        /// The status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The server's answer makes no sense.
    #[error("{url}: the answer is not that of OpenAI's Batches API: {message}")]
    Nonsense {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        message: String,
    },
    /// There is nothing to be had.
    #[error("the batch {id} is {status} and has no file of {what}{hint}")]
    NoResults {
        /// The batch.
        id: String,
        /// Where it stands.
        status: String,
        /// Of what.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The model's file is not there.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The KV cache cannot fit.
    #[error(transparent)]
    Memory(#[from] TooMuchMemory),
    /// The model cannot be used.
    #[error("cannot load the model: {0}")]
    Load(#[from] LoadError),
    /// The model does something else.
    #[error("the model {} and cannot answer {endpoint}; {}", .task.verb(), loading::takers(*.task))]
    Task {
        /// What it does.
        task: TaskKind,
        /// What is asked.
        endpoint: String,
    },
    /// The limits of the server that listens nowhere.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The event loop.
    #[error("cannot start the event loop: {0}")]
    Runtime(io::Error),
    /// A line was lost.
    #[error("running a line failed by a fault of Parkade's own; the message above says where")]
    Panicked,
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl BatchError {
    /// Whether the flags are at fault, and not the machine.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NoEndpoint(_) | Self::SameFile(_) | Self::Url(_) | Self::Id(_) | Self::Memory(_))
            || matches!(self, Self::Requests { source: OfflineError::Endpoint(_), .. })
    }

    /// The settings that it is about.
    #[must_use]
    pub fn settings(&self) -> Vec<&str> {
        match self {
            Self::Url(_) | Self::Unreachable { .. } => vec!["url"],
            Self::Model(_) | Self::Task { .. } => vec!["model"],
            Self::Memory(_) => vec!["kv-cache-mb"],
            Self::Load(error) => vec![loading::setting_of(error)],
            _ => Vec::new(),
        }
    }
}
