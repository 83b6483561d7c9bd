//! OpenAI's bodies: from JSON to tasks.

mod chat;
mod completions;
mod embeddings;
mod rerank;
mod text_fields;

pub(super) use embeddings::Embeddings;
pub(super) use rerank::Rerank;
