//! OpenAI's bodies: from JSON to tasks.

mod calls;
pub(in crate::dialects) mod chat;
mod completions;
mod dry;
mod embeddings;
mod format;
pub(in crate::dialects) mod generation;
pub(in crate::dialects) mod known_fields;
mod messages;
mod rerank;
pub(in crate::dialects) mod sampling;
mod text_fields;
pub(in crate::dialects) mod thinking;
pub(in crate::dialects) mod tokens;
pub(in crate::dialects) mod tools;

pub(super) use embeddings::Embeddings;
pub use known_fields::Endpoint;
pub(super) use rerank::Rerank;
