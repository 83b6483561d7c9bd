//! `parkade run`: one answer, or a chat in the terminal.

mod commands;
mod conversation;
mod form;
mod repl;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use parkade_core::{EngineConfig, LoadError, OutOfRange, PromptError, Refusal, RequestError, TaskKind};
use parkade_server::read_text;
use rustyline::error::ReadlineError;

pub use conversation::{Conversation, Ending};

use crate::args::RunArgs;
use crate::loading::{self, TooMuchMemory};
use crate::machine::Machine;
use crate::models::{self, ModelError};
use crate::stderr;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
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
    #[error("the model {} and does not answer; {}", .0.verb(), loading::takers(*.0))]
    Task(TaskKind),
    /// A sampling flag is out of range.
    #[error("{0}")]
    Sampling(#[from] OutOfRange),
    /// What answers are to be cannot be compiled.
    #[error("--{flag}: {reason}")]
    Form {
        /// The flag that says it.
        flag: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// There is nothing to answer.
    #[error("the prompt is empty; give one with -i or through a pipe")]
    EmptyPrompt,
    /// The prompt cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file, or `-`.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The messages cannot be turned into a prompt.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The engine refused the prompt.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The answer broke off.
    #[error("{0}")]
    Failed(#[from] RequestError),
    /// The terminal.
    #[error("cannot read from the terminal: {0}")]
    Terminal(#[from] ReadlineError),
    /// The event loop.
    #[error("cannot start the event loop: {0}")]
    Runtime(io::Error),
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl RunError {
    /// Whether the flags are at fault, and not the machine.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, RunError::Sampling(_) | RunError::EmptyPrompt | RunError::Memory(_) | RunError::Form { .. })
    }
}

impl RunError {
    /// The settings that it is about, or the fields of a configuration that they fill.
    #[must_use]
    pub fn settings(&self) -> Vec<&str> {
        match self {
            RunError::Model(_) | RunError::Task(_) => vec!["model"],
            RunError::Memory(_) => vec!["kv-cache-mb"],
            RunError::Load(error) => vec![loading::setting_of(error)],
            RunError::Sampling(error) => vec![error.field],
            _ => Vec::new(),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// See [`RunError`].
pub fn run(args: &RunArgs, out: &mut impl Write) -> Result<Ending, RunError> {
    let prompt = prompt(args)?;
    let path = models::locate(&args.model.model)?;
    let options =
        loading::options(&args.model, EngineConfig { max_seqs: 1, ..EngineConfig::default() }, &Machine::read())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    let loaded = parkade_core::load(&path, &options)?;
    let task = loaded.engine.task();
    if task != TaskKind::Generate {
        return Err(RunError::Task(task));
    }
    let form = form::compiled(&args.form, &loaded.engine)?;
    let mut conversation = Conversation::new(loaded, args.system.clone(), args.sampling.clone())?.held_to(form);
    match prompt {
        None => repl::chat(&runtime, &mut conversation, out).map(|()| Ending::Whole),
        Some(prompt) => {
            let answer = runtime.block_on(conversation.ask(&prompt, out))?;
            stderr::say(answer.speed);
            Ok(answer.ending)
        }
    }
}

/// What is to be answered; `None` for a chat.
fn prompt(args: &RunArgs) -> Result<Option<String>, RunError> {
    let text = match (&args.prompt, &args.file) {
        (Some(prompt), Some(file)) => format!("{prompt}\n\n{}", read(file)?),
        // Standard input is left alone: under cron or a service manager it may be a pipe that never ends.
        (Some(prompt), None) => prompt.clone(),
        (None, _) if io::stdin().is_terminal() => return Ok(None),
        (None, _) => read(Path::new("-"))?,
    };
    if text.trim().is_empty() { Err(RunError::EmptyPrompt) } else { Ok(Some(text)) }
}

fn read(path: &Path) -> Result<String, RunError> {
    let text =
        if path == Path::new("-") { read_text(io::stdin().lock()) } else { fs::File::open(path).and_then(read_text) };
    text.map_err(|source| RunError::Read { path: path.to_owned(), source })
}
