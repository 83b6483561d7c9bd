//! Why a chat template was refused, or a prompt could not be written.

use crate::gguf::GgufError;

/// Why a chat template was refused, or a prompt could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The metadata could not be read.
    #[error("{0}")]
    Metadata(String),
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
    /// The template is not written in the language of templates.
    #[error("the chat template is not valid at line {line}: {message}; use another template")]
    Syntax {
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
    #[error("the model's chat template fails on these messages: {message} (line {line} of the template)")]
    Failed {
        /// What went wrong.
        message: String,
        /// The line, from 1.
        line: usize,
    },
    /// The template took too many steps or too much memory.
    #[error("the model's chat template did not finish within {limit} steps; send fewer or shorter messages")]
    OutOfFuel {
        /// The steps that a template may take.
        limit: u64,
    },
    /// The prompt is too long.
    #[error("the model's chat template writes a prompt of more than {limit} bytes; send fewer or shorter messages")]
    OutputTooLong {
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

impl From<GgufError> for TemplateError {
    fn from(error: GgufError) -> Self {
        TemplateError::Metadata(error.to_string())
    }
}

/// The message of `raise_exception`, carried through the template engine's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct RaisedByTemplate(pub(super) String);

impl TemplateError {
    /// What the template engine's error means.
    pub(super) fn from_engine(error: &minijinja::Error, fuel: u64, output: usize) -> Self {
        let line = error.line().unwrap_or(0);
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(current) = cause {
            if let Some(RaisedByTemplate(message)) = current.downcast_ref() {
                return TemplateError::Raised { message: message.clone(), line };
            }
            match current.downcast_ref::<minijinja::Error>().map(minijinja::Error::kind) {
                Some(minijinja::ErrorKind::OutOfFuel) => return TemplateError::OutOfFuel { limit: fuel },
                Some(minijinja::ErrorKind::WriteFailure) => return TemplateError::OutputTooLong { limit: output },
                _ => cause = current.source(),
            }
        }
        let message = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        match error.kind() {
            minijinja::ErrorKind::SyntaxError => TemplateError::Syntax { line, message },
            _ => TemplateError::Failed { message, line },
        }
    }
}
