//! What can end a command, and with which exit code.

use std::io;

use parkade_bench::BenchError;

use crate::batch::BatchError;
use crate::embed::EmbedError;
use crate::hash_key::HashKeyError;
use crate::pull::PullError;
use crate::run::RunError;
use crate::serve::ServeError;
use crate::synth::SynthError;

/// Exit code of what went well.
pub const SUCCESS: u8 = 0;
/// Exit code of what went wrong.
pub const FAILURE: u8 = 1;
/// Exit code of wrong flags, variables and configuration files.
pub const WRONG_USAGE: u8 = 2;
/// Exit code of what Ctrl-C ended, as the shell reports it.
pub const INTERRUPTED: u8 = 130;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// `parkade run`.
    #[error(transparent)]
    Run(#[from] RunError),
    /// `parkade serve`.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// `parkade embed`.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// `parkade batch`.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// `parkade pull`.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// `parkade bench`.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// `parkade synth`.
    #[error(transparent)]
    Synth(#[from] SynthError),
    /// `parkade hash-key`.
    #[error(transparent)]
    HashKey(#[from] HashKeyError),
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

impl CliError {
    /// [`WRONG_USAGE`], and [`FAILURE`] for everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let usage = match self {
            CliError::Run(error) => error.is_usage(),
            CliError::Serve(error) => error.is_usage(),
            CliError::Bench(error) => matches!(error, BenchError::Url { .. } | BenchError::Options(_)),
            CliError::HashKey(error) => matches!(error, HashKeyError::Empty),
            CliError::Embed(error) => matches!(error, EmbedError::Dimensions { .. } | EmbedError::Memory(_)),
            CliError::Synth(error) => error.is_usage(),
            CliError::Batch(error) => error.is_usage(),
            CliError::Pull(_) | CliError::Output(_) => false,
        };
        if usage { WRONG_USAGE } else { FAILURE }
    }

    /// The settings that it is about, or the fields of a configuration that they fill.
    #[must_use]
    pub fn settings(&self) -> Vec<&str> {
        match self {
            CliError::Run(error) => error.settings(),
            CliError::Serve(error) => error.settings(),
            CliError::Embed(error) => error.settings(),
            CliError::Batch(error) => error.settings(),
            _ => Vec::new(),
        }
    }

    /// Whether the reader of standard output went away.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        let output = match self {
            CliError::Output(error)
            | CliError::Run(RunError::Output(error))
            | CliError::Embed(EmbedError::Output(error))
            | CliError::Batch(BatchError::Output(error))
            | CliError::HashKey(HashKeyError::Output(error))
            | CliError::Synth(SynthError::Output(error))
            | CliError::Pull(PullError::Output(error)) => error,
            CliError::Bench(BenchError::Io { source, .. }) => source,
            _ => return false,
        };
        output.kind() == io::ErrorKind::BrokenPipe
    }
}
