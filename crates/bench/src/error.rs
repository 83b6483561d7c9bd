//! What can go wrong before there is something to report.

use std::path::PathBuf;

/// Why a benchmark could not run. What a measured server does wrong is no error but a result, and is in the report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The address of a server cannot be used.
    #[error("--url '{url}' cannot be used: {reason}; give an address like http://127.0.0.1:1234")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Options that contradict each other or ask for nothing.
    #[error("{0}")]
    Options(String),
    /// A server did not take a request that the benchmark depends on.
    #[error("the server at {url} cannot be measured: {reason}")]
    Server {
        /// Where it is.
        url: String,
        /// What it answered, or why it could not be reached.
        reason: String,
    },
    /// The server that the benchmark starts itself did not come up.
    #[error("the server '{command}' did not become ready: {reason}")]
    Start {
        /// The command line that was tried.
        command: String,
        /// What happened, with the last lines that it logged.
        reason: String,
    },
    /// The program that is to be measured beside this one gave no figure.
    #[error("--peer: '{command}' gave no figure: {reason}; try that command by itself")]
    Peer {
        /// The command line that was tried.
        command: String,
        /// What happened.
        reason: String,
    },
    /// The model could not be loaded or run.
    #[error("the model '{}' cannot be measured: {reason}", path.display())]
    Model {
        /// The GGUF file.
        path: PathBuf,
        /// What the model said.
        reason: String,
    },
    /// The engine refused or failed.
    #[error("the engine cannot be measured: {0}")]
    Engine(String),
    /// The pool refused or failed.
    #[error("the pool cannot be measured: {0}")]
    Pool(String),
    /// The operating system refused something.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Its answer.
        source: std::io::Error,
    },
}

impl BenchError {
    /// For `map_err`: says what was being done when the operating system refused.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> BenchError {
        let what = what.into();
        move |source| BenchError::Io { what, source }
    }
}
