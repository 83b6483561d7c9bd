//! OpenAI's answers: from the engine's events to JSON, whole and in chunks.

mod best;
mod chat;
mod completions;
mod details;
mod echo;
pub(super) mod embeddings;
mod form;
mod logprobs;
mod message;
mod stop_reason;
mod unsent;

pub(super) use best::best;
pub(super) use chat::{Chat, finish_reason};
pub(super) use completions::Completions;
pub(super) use details::Meter;
pub(super) use echo::Echo;
pub(super) use form::Form;
