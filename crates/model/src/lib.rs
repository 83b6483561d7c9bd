//! GGUF in, logits out: tokenizer, chat template, architectures.
//!
//! The way from a file to tokens:
//!
//! 1. [`gguf::Gguf`] maps the file and checks every length in it before anything is used;
//! 2. [`tokenizer`] and [`chat_template`] turn text into token ids, from the file alone.
pub mod chat_template;
pub mod gguf;
pub mod tokenizer;

/// A token's number in the vocabulary: its row in the embedding table.
pub type TokenId = u32;
