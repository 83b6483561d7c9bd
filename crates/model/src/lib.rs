#![doc = include_str!("../README.md")]

mod batch;
pub mod chat_template;
mod config;
mod error;
mod families;
mod forward;
pub mod gguf;
mod keys;
mod loader;
mod parts;
pub mod plan;
mod prompt;
pub mod tokenizer;

pub use batch::{Batch, Outputs, PassCost};
pub use config::ModelConfig;
pub use error::ModelError;
pub use families::describe;
pub use forward::{Model, PausedPass};
pub use prompt::{Prompt, Source};

/// A token's number in the vocabulary: its row in the embedding table.
pub type TokenId = u32;
