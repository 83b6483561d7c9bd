//! OpenAI's answers: from the engine's events to JSON, whole and in chunks.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod echo;
mod logprobs;
pub(crate) mod types;
mod unsent;
