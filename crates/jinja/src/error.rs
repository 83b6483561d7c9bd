//! Why a template could not be compiled or rendered.

use std::fmt;

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The source is not valid, or names something that does not exist.
    Syntax,
    /// The template called `raise_exception`.
    Raised,
    /// The template did something that fails, such as adding a number to a string.
    Failed,
    /// It took more steps than [`Limits::fuel`](crate::Limits::fuel).
    Fuel,
    /// It made more memory than [`Limits::memory_bytes`](crate::Limits::memory_bytes).
    Memory,
    /// Calls or values within each other were too deep.
    Depth,
    /// It wrote more than [`Limits::output_bytes`](crate::Limits::output_bytes).
    Output,
}

/// Why a template could not be compiled or rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    line: usize,
    message: String,
}

/// A longer text is cut in messages.
const SHOWN: usize = 80;

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The line of the template, from 1; 0 if it has none.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// What went wrong, without the line. Of [`ErrorKind::Raised`] it is what the template says.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, line: 0, message: message.into() }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Failed, message)
    }

    pub(crate) fn syntax(line: usize, message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Syntax, line, message: message.into() }
    }

    pub(crate) fn too_deep(what: &str, limit: usize) -> Error {
        Error::new(ErrorKind::Depth, format!("{what} are nested more than {limit} levels deep"))
    }

    /// The line where it happened, unless a line further inside is known.
    pub(crate) fn at(mut self, line: usize) -> Error {
        if self.line == 0 {
            self.line = line;
        }
        self
    }
}

/// A text for a message: short.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {})", self.message, self.line)
    }
}

impl std::error::Error for Error {}

/// What fallible parts of this crate return.
pub(crate) type Result<T> = std::result::Result<T, Error>;
