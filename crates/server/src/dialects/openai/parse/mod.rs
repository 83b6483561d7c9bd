//! OpenAI's bodies: from JSON to tasks.

pub(super) mod chat;
mod completions;
mod embeddings;
mod rerank;
mod text_fields;

pub(super) use embeddings::Embeddings;
pub(super) use rerank::Rerank;
