//! Batches of a server: sent, asked for, ended, and what came of them.

use std::fs::{self, File};
use std::io::Write;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::{BatchError, Ending, endpoint};
use crate::args::{BatchIdArgs, ListArgs, ResultsArgs, SubmitArgs};

/// How often it is asked whether a batch is over.
const PAUSE: Duration = Duration::from_secs(1);

/// Batches on a page of a list.
const PAGE: usize = 100;

/// What is read of a batch.
#[derive(Debug, Deserialize)]
struct Batch {
    id: String,
    status: String,
    #[serde(default)]
    endpoint: String,
    output_file_id: Option<String>,
    error_file_id: Option<String>,
    #[serde(default)]
    request_counts: Option<Counts>,
    #[serde(default)]
    errors: Option<Errors>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Counts {
    total: u64,
    completed: u64,
    failed: u64,
}

#[derive(Debug, Deserialize)]
struct Errors {
    #[serde(default)]
    data: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    #[serde(default)]
    message: String,
}

impl Batch {
    fn of(value: Value, client: &str) -> Result<Self, BatchError> {
        let nonsense =
            |error: serde_json::Error| BatchError::Nonsense { url: client.to_owned(), message: error.to_string() };
        Self::deserialize(value).map_err(nonsense)
    }

    fn counts(&self) -> Counts {
        self.request_counts.unwrap_or_default()
    }

    fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "expired" | "cancelled")
    }

    fn in_words(&self) -> String {
        let Counts { total, completed, failed } = self.counts();
        let mut text = format!("{} is {}: {completed} of {total} requests are answered", self.id, self.status);
        if failed > 0 {
            text += &format!(", {failed} have failed");
        }
        for fault in self.errors.iter().flat_map(|errors| &errors.data) {
            text += &format!("\n  {}", fault.message);
        }
        text
    }

    fn ending(&self) -> Ending {
        let is_whole = self.status == "completed" && self.counts().failed == 0;
        if is_whole { Ending::Whole } else { Ending::Failures }
    }
}

/// An id as it may stand in a path.
fn checked(id: &str) -> Result<&str, BatchError> {
    let may = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_one = !id.is_empty() && id.len() <= 200 && id.bytes().all(may);
    if is_one { Ok(id) } else { Err(BatchError::Id(id.escape_debug().to_string())) }
}

fn retrieve(client: &Client, id: &str) -> Result<(Batch, Value), BatchError> {
    let path = format!("batches/{}", checked(id)?);
    let value = client.get(&path)?;
    Ok((Batch::of(value.clone(), &path)?, value))
}

/// Sends a file, and prints the batch's id.
pub fn submit(args: &SubmitArgs, out: &mut impl Write) -> Result<Ending, BatchError> {
    let client = Client::new(&args.remote)?;
    let endpoint = endpoint(args.endpoint.as_deref(), &args.file)?;
    let file = client.upload(&args.file)?;
    let mut wanted = json!({
        "input_file_id": file["id"],
        "endpoint": endpoint,
        "completion_window": args.window,
    });
    if !args.metadata.is_empty() {
        let members = args.metadata.iter().map(|(key, value)| (key.clone(), value.clone().into()));
        wanted["metadata"] = members.collect::<Map<String, Value>>().into();
    }
    let batch = Batch::of(client.post("batches", &wanted)?, "batches")?;
    writeln!(out, "{}", batch.id)?;
    out.flush()?;
    if !args.wait {
        return Ok(Ending::Whole);
    }
    let batch = wait(&client, batch)?;
    crate::stderr::say(format_args!("parkade: {}", batch.in_words()));
    Ok(batch.ending())
}

/// Waits until a batch is over.
fn wait(client: &Client, mut batch: Batch) -> Result<Batch, BatchError> {
    let style = ProgressStyle::with_template("[{wide_bar}] {pos}/{len} lines, {msg}, about {eta} left");
    let bar = ProgressBar::new(0);
    let bar = style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style));
    while !batch.is_over() {
        let Counts { total, completed, failed } = batch.counts();
        bar.set_length(total);
        bar.set_position(completed + failed);
        bar.set_message(batch.status.clone());
        thread::sleep(PAUSE);
        batch = retrieve(client, &batch.id)?.0;
    }
    bar.finish_and_clear();
    Ok(batch)
}

/// Says where a batch stands.
pub fn status(args: &BatchIdArgs, out: &mut impl Write) -> Result<Ending, BatchError> {
    let (batch, value) = retrieve(&Client::new(&args.remote)?, &args.id)?;
    tell(&batch, &value, args.json, out)
}

/// Ends a batch.
pub fn cancel(args: &BatchIdArgs, out: &mut impl Write) -> Result<Ending, BatchError> {
    let client = Client::new(&args.remote)?;
    let path = format!("batches/{}/cancel", checked(&args.id)?);
    let value = client.post(&path, &Value::Null)?;
    tell(&Batch::of(value.clone(), &path)?, &value, args.json, out)
}

fn tell(batch: &Batch, value: &Value, as_json: bool, out: &mut impl Write) -> Result<Ending, BatchError> {
    match as_json {
        true => writeln!(out, "{value}")?,
        false => writeln!(out, "{}", batch.in_words())?,
    }
    Ok(Ending::Whole)
}

/// Writes what a batch has answered, or what failed.
pub fn results(args: &ResultsArgs, out: &mut impl Write) -> Result<Ending, BatchError> {
    let client = Client::new(&args.remote)?;
    let (batch, _) = retrieve(&client, &args.id)?;
    let (file, what) = match args.errors {
        true => (&batch.error_file_id, "failures"),
        false => (&batch.output_file_id, "answers"),
    };
    let Some(file) = file else {
        let hint = match (batch.is_over(), args.errors, &batch.error_file_id) {
            (false, ..) => "; ask again when it is over",
            (true, false, Some(_)) => "; --errors shows what failed",
            _ => "",
        };
        return Err(BatchError::NoResults { id: batch.id, status: batch.status, what, hint });
    };
    let file = checked(file)?;
    let Some(path) = &args.output else {
        client.download(file, out)?;
        out.flush()?;
        return Ok(Ending::Whole);
    };
    // A part of it is never taken for all.
    let mut part = path.clone().into_os_string();
    part.push(".part");
    let failed = |source| BatchError::File { path: path.clone(), source };
    let mut writer = File::create(&part).map_err(failed)?;
    let whole = client.download(file, &mut writer).map_err(|error| match error {
        BatchError::Output(source) => failed(source),
        error => error,
    });
    let done = whole.and_then(|()| writer.sync_all().and_then(|()| fs::rename(&part, path)).map_err(failed));
    if done.is_err() {
        // What is left of it is of no use, and a fault of removing it of less.
        let _ = fs::remove_file(&part);
    }
    done.map(|()| Ending::Whole)
}

/// Lists batches.
pub fn list(args: &ListArgs, out: &mut impl Write) -> Result<Ending, BatchError> {
    let client = Client::new(&args.remote)?;
    let (mut left, mut after) = (args.limit, String::new());
    while left > 0 {
        let path = format!("batches?limit={}{after}", left.min(PAGE));
        let mut page = client.get(&path)?;
        let has_more = page["has_more"] == true;
        let Value::Array(members) = page["data"].take() else {
            return Err(BatchError::Nonsense { url: path, message: "there is no list in it".to_owned() });
        };
        left = left.saturating_sub(members.len().max(1));
        for value in members {
            let batch = Batch::of(value, &path)?;
            let Counts { total, completed, failed } = batch.counts();
            let counts = format!("{completed}/{total}");
            writeln!(out, "{}  {:<12} {counts:>13}  {failed:>6} failed  {}", batch.id, batch.status, batch.endpoint)?;
            after = format!("&after={}", checked(&batch.id)?);
        }
        if !has_more {
            break;
        }
    }
    Ok(Ending::Whole)
}
