//! OpenAI's request and response bodies: read and checked by hand, written with serde.

mod calls;
pub(crate) mod chat;
pub(crate) mod chat_body;
pub(crate) mod completions;
pub(crate) mod completions_body;
pub(crate) mod echo;
pub(crate) mod fields;
pub(crate) mod generation;
pub(crate) mod known_fields;
pub(crate) mod logprobs;
pub(crate) mod messages;
pub(crate) mod types;
mod unsent;
