//! The flags of `parkade batch`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand};

use super::ModelArgs;

/// `parkade batch`.
#[derive(Debug, Args)]
pub struct BatchArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BatchCommand,
}

/// What can be done with batches.
#[derive(Debug, Subcommand)]
pub enum BatchCommand {
    /// Send a file of requests to a server, and print the batch's id
    Submit(SubmitArgs),
    /// Say where a batch stands
    Status(BatchIdArgs),
    /// End a batch; what has run of it is kept
    Cancel(BatchIdArgs),
    /// Print what a batch has answered
    Results(ResultsArgs),
    /// List the batches of a server, the newest first
    List(ListArgs),
    /// Run a file of requests here, without a server; the same command again goes on where it stopped
    Run(Box<RunBatchArgs>),
}

/// Which server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct RemoteArgs {
    /// Any server with OpenAI's Files and Batches API, with or without /v1 at the end
    #[arg(long, value_name = "URL", env = "PARKADE_URL", hide_env = true, default_value = "http://127.0.0.1:1234")]
    pub url: String,
    /// Its API key. Others on this machine can read it in the list of processes; OPENAI_API_KEY they cannot
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
}

/// `parkade batch submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// Requests as JSON, one a line: {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
    #[arg(value_name = "FILE.jsonl")]
    pub file: PathBuf,
    /// The path that the requests are for [default: the url of the first line]
    #[arg(long, value_name = "PATH")]
    pub endpoint: Option<String>,
    /// The time within which it is to be done
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub window: String,
    /// Something to be kept with it; may be given several times
    #[arg(long, value_name = "KEY=VALUE", action = ArgAction::Append, value_parser = pair)]
    pub metadata: Vec<(String, String)>,
    /// Wait until it is over; the exit code then says whether all requests were answered
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `parkade batch status` and `cancel`.
#[derive(Debug, Args)]
pub struct BatchIdArgs {
    /// The batch's id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Print all that the server says of it, as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `parkade batch results`.
#[derive(Debug, Args)]
pub struct ResultsArgs {
    /// The batch's id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Where they go [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What failed, instead of what was answered
    #[arg(long)]
    pub errors: bool,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `parkade batch list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = crate::numbers::whole::<usize>(1..=100_000))]
    pub limit: usize,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `parkade batch run`.
#[derive(Debug, Args)]
pub struct RunBatchArgs {
    /// Requests as JSON, one a line, as `parkade batch submit` takes them
    #[arg(value_name = "FILE.jsonl")]
    pub file: PathBuf,
    /// Where the answers go. Lines that are answered there already are not run again
    #[arg(long, short, value_name = "OUT.jsonl")]
    pub output: PathBuf,
    /// Where goes what failed; it is written anew each time [default: OUT.errors.jsonl]
    #[arg(long, value_name = "FILE")]
    pub errors: Option<PathBuf>,
    /// The path that the requests are for [default: the url of the first line]
    #[arg(long, value_name = "PATH")]
    pub endpoint: Option<String>,
    #[command(flatten)]
    pub model: ModelArgs,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
