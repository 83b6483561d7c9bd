//! Log lines go to standard error; answers and tables have standard output to themselves.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::args::{Global, LogFormat};

/// A log level that is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "log level '{directives}' is not understood ({source}); use error, warn, info, debug or trace, or directives such as parkade_core=debug,info"
)]
pub struct LogLevelError {
    directives: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Starts the log. `--log-level` wins over RUST_LOG, which wins over the command's own default.
///
/// # Errors
/// The level cannot be read.
pub fn start(global: &Global, default_level: &str) -> Result<(), LogLevelError> {
    let directives = global
        .log_level
        .clone()
        .or_else(|| std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.trim().is_empty()))
        .unwrap_or_else(|| default_level.to_owned());
    let filter = EnvFilter::builder().parse(&directives).map_err(|source| LogLevelError { directives, source })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match global.log_format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
    Ok(())
}
