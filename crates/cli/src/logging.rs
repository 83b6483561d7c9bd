//! Log lines go to standard error; answers and tables have standard output to themselves.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

use crate::stderr;

/// The words for levels.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Shape of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged: a level, or directives as in RUST_LOG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    text: String,
    /// There is a level for whatever is not named.
    has_general: bool,
}

impl Directives {
    /// Reads a level or directives. A word that is no level is refused: as the name of a module it would turn the log off.
    ///
    /// # Errors
    /// What is not understood, and what would be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        let wrong = |part: &str| {
            format!(
                "'{part}' is not understood; use error, warn, info, debug, trace or off, or directives such as \
                 parkade_core=debug,info"
            )
        };
        if parts.is_empty() {
            return Err(wrong(text));
        }
        match parts.iter().find(|part| !is_level(part) && !is_directive(part)) {
            Some(part) => Err(wrong(part)),
            None => Ok(Self { has_general: parts.iter().any(|part| is_level(part)), text: parts.join(",") }),
        }
    }

    /// What is not named has the default level: naming a module shows more of it, and hides nothing else.
    fn filter(&self, default_level: &str) -> EnvFilter {
        let Self { text, has_general } = self;
        let builder = EnvFilter::builder();
        if *has_general { builder.parse_lossy(text) } else { builder.parse_lossy(format!("{default_level},{text}")) }
    }
}

fn is_level(word: &str) -> bool {
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
}

/// Whether it is `MODULE=LEVEL`, or has a span in brackets and can be read.
fn is_directive(part: &str) -> bool {
    let in_module = |letter: char| letter.is_ascii_alphanumeric() || "_:-.".contains(letter);
    match part.split_once('=') {
        Some((module, level)) if !part.contains('[') => {
            !module.is_empty() && module.chars().all(in_module) && is_level(level)
        }
        _ => part.contains('[') && part.contains(']') && part.parse::<Directive>().is_ok(),
    }
}

/// Starts the log. `--log-level` wins over RUST_LOG, which wins over the command's own default. A RUST_LOG that cannot be read is
/// another program's affair: it is ignored, and the log says so.
pub fn start(level: Option<&Directives>, format: LogFormat, default_level: &str) {
    let common = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.trim().is_empty());
    let (directives, ignored) = match (level, common.map(|text| Directives::parse(&text))) {
        (Some(directives), _) => (Some(directives.clone()), None),
        (None, Some(Ok(directives))) => (Some(directives), None),
        (None, Some(Err(problem))) => (None, Some(problem)),
        (None, None) => (None, None),
    };
    let filter = directives.map_or_else(|| EnvFilter::new(default_level), |given| given.filter(default_level));
    // A line that cannot be written is dropped by the writer; the subscriber's own complaint about it would go the same way, and panic.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| stderr::Log).log_internal_errors(false);
    match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
    std::panic::set_hook(Box::new(log_panic));
    if let Some(problem) = ignored {
        tracing::warn!("the environment variable {} is ignored: {problem}", EnvFilter::DEFAULT_ENV);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_understood() {
        for (text, filter) in [
            ("info", "info"),
            ("WARN", "warn"),
            ("off", "off"),
            (" debug ,", "debug"),
            ("parkade_core=debug,info", "parkade_core=debug,info"),
            ("parkade_core=debug", "parkade_core=debug,info"),
            ("hyper::proto=off, tower-http=warn", "hyper::proto=off,tower-http=warn,info"),
            ("[request]=debug,error", "error,[request]=debug"),
        ] {
            let directives = Directives::parse(text).expect(text);
            assert_eq!(directives.filter("info").to_string(), filter, "{text}");
        }
    }

    #[test]
    fn what_would_silence_the_log_by_mistake_is_refused_by_its_name() {
        for (text, wrong) in [
            ("zzz", "'zzz'"),
            ("", "''"),
            (" , ", "' , '"),
            ("loud,info", "'loud'"),
            ("parkade=loudest", "'parkade=loudest'"),
            ("=info", "'=info'"),
            ("parkade=", "'parkade='"),
            ("a b=info", "'a b=info'"),
            ("info;debug", "'info;debug'"),
            ("9", "'9'"),
            ("-1", "'-1'"),
            ("[open", "'[open'"),
        ] {
            let message = Directives::parse(text).expect_err(text);
            assert!(message.starts_with(wrong) && message.contains("use error, warn, info"), "{text}: {message}");
        }
    }
}
