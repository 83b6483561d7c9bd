//! OpenAI's bodies: from JSON to tasks.

mod calls;
mod chat;
mod completions;
mod dry;
mod embeddings;
mod format;
mod generation;
mod known_fields;
mod messages;
mod rerank;
mod sampling;
mod text_fields;
mod tokens;

pub(super) use embeddings::Embeddings;
pub use generation::is_user;
pub use known_fields::Endpoint;
pub(super) use rerank::Rerank;
