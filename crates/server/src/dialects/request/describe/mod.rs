//! What is said of the fields that several APIs share.

mod chat;
mod completions;
mod format;
mod generation;
mod sampling;

use crate::description::Field;
pub(crate) use chat::{CHAT, MESSAGE, RESPONSE_REASONING, TOOL};
pub(crate) use completions::COMPLETIONS;
pub(crate) use generation::GENERATION;
pub(crate) use sampling::{LIMIT, SAMPLING};

/// Fields that all of OpenAI's completions share.
pub(crate) const SHARED: &[&[Field]] = &[GENERATION, SAMPLING, format::FORMAT];
