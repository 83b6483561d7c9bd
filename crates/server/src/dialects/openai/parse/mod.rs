//! OpenAI's bodies: from JSON to requests for the engine.

mod calls;
pub(crate) mod chat;
pub(crate) mod completions;
mod generation;
mod known_fields;
mod messages;
