//! Log lines go to standard error; answers and tables have standard output to themselves.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

use crate::args::{Global, LogFormat};
use crate::stderr;

/// A log level that is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "log level '{directives}' is not understood ({source}); use error, warn, info, debug or trace, or directives such as parkade_core=debug,info"
)]
pub struct LogLevelError {
    directives: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Starts the log. `--log-level` wins over RUST_LOG, which wins over the command's own default. A RUST_LOG that cannot be read is
/// another program's affair: it is ignored, and the log says so.
///
/// # Errors
/// The level cannot be read.
pub fn start(global: &Global, default_level: &str) -> Result<(), LogLevelError> {
    let common = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.trim().is_empty());
    let (filter, ignored) = match (&global.log_level, common) {
        (Some(directives), _) => (parse(directives)?, None),
        (None, Some(directives)) => match parse(&directives) {
            Ok(filter) => (filter, None),
            Err(error) => (parse(default_level)?, Some(error)),
        },
        (None, None) => (parse(default_level)?, None),
    };
    // A line that cannot be written is dropped by the writer; the subscriber's own complaint about it would go the same way, and panic.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| stderr::Log).log_internal_errors(false);
    match global.log_format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
    std::panic::set_hook(Box::new(log_panic));
    if let Some(error) = ignored {
        tracing::warn!("the environment variable {} is ignored: {error}", EnvFilter::DEFAULT_ENV);
    }
    Ok(())
}

fn parse(directives: &str) -> Result<EnvFilter, LogLevelError> {
    let filter = EnvFilter::builder().parse(directives);
    filter.map_err(|source| LogLevelError { directives: directives.to_owned(), source })
}

/// In place of std's hook, which blocks where standard error does.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let message =
        payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    tracing::error!(
        thread = thread.name(),
        location = panic.location().map(tracing::field::display),
        backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(&backtrace)),
        "panicked: {}",
        message.unwrap_or("no message")
    );
}
