//! Why a chat template was refused, or a prompt could not be written.

use parkade_jinja::{Error, ErrorKind, Limits};

use crate::likeness::suggestion;

/// Why a chat template was refused, or a prompt could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The template itself is too long.
    #[error("{key} has {bytes} bytes; a chat template may have up to {limit}: use another template")]
    SourceTooLong {
        /// The metadata key.
        key: String,
        /// Its size.
        bytes: usize,
        /// The largest that is taken.
        limit: usize,
    },
    /// A template that was asked for and is not there.
    #[error(
        "--chat-template '{name}' is neither a built-in template nor a file{}; built in: {names}",
        suggestion(*.nearest)
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The name that is most like it.
        nearest: Option<&'static str>,
        /// All names.
        names: String,
    },
    /// A file that cannot be read.
    #[error("--chat-template {path} cannot be read: {problem}")]
    File {
        /// Its path.
        path: String,
        /// What the system says.
        problem: String,
    },
    /// The template is not written in the language of templates, or speaks of what does not exist there.
    #[error("{key} is not valid at line {line}: {message}; use another template")]
    Syntax {
        /// The metadata key.
        key: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The template refused these messages: `raise_exception` was called.
    #[error("the model's chat template refuses these messages: {message} (line {line} of the template)")]
    Raised {
        /// What the template says.
        message: String,
        /// The line, from 1.
        line: usize,
    },
    /// The template failed on these messages.
    #[error("the model's chat template fails on these messages: {message} (line {line} of {key})")]
    Failed {
        /// The metadata key.
        key: String,
        /// What went wrong.
        message: String,
        /// The line, from 1.
        line: usize,
    },
    /// The template took too many steps.
    #[error("the model's chat template did not finish within {limit} steps (line {line} of {key})")]
    OutOfFuel {
        /// The metadata key.
        key: String,
        /// The steps that a template may take.
        limit: u64,
        /// The line where it was stopped, from 1.
        line: usize,
    },
    /// The template made too much memory.
    #[error("the model's chat template needs more than {limit} bytes of memory (line {line} of {key})")]
    OutOfMemory {
        /// The metadata key.
        key: String,
        /// The bytes that a template may make.
        limit: usize,
        /// The line where it was stopped, from 1.
        line: usize,
    },
    /// The template calls itself, or nests values, without an end.
    #[error("the model's chat template goes too deep: {message} (line {line} of {key})")]
    TooDeep {
        /// The metadata key.
        key: String,
        /// What is too deep.
        message: String,
        /// The line where it was stopped, from 1.
        line: usize,
    },
    /// The prompt is too long.
    #[error("the model's chat template writes a prompt of more than {limit} bytes ({key})")]
    OutputTooLong {
        /// The metadata key.
        key: String,
        /// The bytes that a prompt may have.
        limit: usize,
    },
    /// There are templates for special cases, but none for this one.
    #[error("the model has chat templates for {available} only; send a request that one of them fits")]
    NoDefault {
        /// Their names.
        available: String,
    },
    /// The messages are not of the expected shape.
    #[error("{path} {problem}")]
    Messages {
        /// Where, as in `messages[2].content[0].type`.
        path: String,
        /// What is wrong there.
        problem: String,
    },
}

impl TemplateError {
    /// What the template engine's error means.
    pub(super) fn from_engine(error: &Error, key: String, limits: &Limits) -> Self {
        let (line, message) = (error.line(), error.message().to_owned());
        match error.kind() {
            ErrorKind::Syntax => TemplateError::Syntax { key, line, message },
            ErrorKind::Raised => TemplateError::Raised { message, line },
            ErrorKind::Fuel => TemplateError::OutOfFuel { key, limit: limits.fuel, line },
            ErrorKind::Memory => TemplateError::OutOfMemory { key, limit: limits.memory_bytes, line },
            ErrorKind::Depth => TemplateError::TooDeep { key, message, line },
            ErrorKind::Output => TemplateError::OutputTooLong { key, limit: limits.output_bytes },
            _ => TemplateError::Failed { key, message, line },
        }
    }

    /// Whether it is about the messages, which have so many bytes, so that others may work. Everything else is the template's own fault.
    pub fn is_about_messages(&self, bytes: usize) -> bool {
        match *self {
            TemplateError::Raised { .. } | TemplateError::Messages { .. } | TemplateError::NoDefault { .. } => true,
            // A template that copies its messages a few times is no bad one.
            TemplateError::OutOfMemory { limit, .. } | TemplateError::OutputTooLong { limit, .. } => bytes >= limit / 8,
            TemplateError::OutOfFuel { limit, .. } => bytes as u64 >= limit / 8,
            _ => false,
        }
    }
}
