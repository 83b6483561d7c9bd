//! GGUF in, logits out: tokenizer, chat template, architectures.
//!
//! The way from a file to tokens:
//!
//! 1. [`gguf::Gguf`] reads the file's header and checks every length in it before anything is used;
//! 2. [`tokenizer`] and [`chat_template`] turn text into token ids, from the file alone;
//! 3. [`arch`] says how the model's architecture differs from others and reads its geometry;
//! 4. [`Model::forward`] runs one ragged batch of any number of sequences, and gives the logits or hidden states that were asked for.
pub mod arch;
pub mod chat_template;
mod error;
pub mod gguf;
mod model;
mod prompt;
pub mod tokenizer;

pub use arch::ModelConfig;
pub use error::ModelError;
pub use model::{Batch, Model, Outputs, PausedPass};
pub use prompt::{Prompt, Source};

/// A token's number in the vocabulary: its row in the embedding table.
pub type TokenId = u32;
