#![doc = include_str!("../README.md")]

mod batch;
pub mod chat_template;
mod config;
mod error;
mod families;
mod forward;
pub mod gguf;
mod keys;
mod likeness;
mod loader;
mod pairs;
mod parts;
pub mod plan;
mod pooling;
mod prompt;
mod state_plan;
mod survey;
pub mod tokenizer;

pub use batch::{Batch, Outputs, PassCost};
pub use config::ModelConfig;
pub use error::ModelError;
pub use families::{architectures, describe, describe_within};
pub use forward::{Model, PausedPass};
pub use likeness::nearest;
pub use pairs::Pairs;
pub use pooling::{Embedder, Embeds, Pooled, Pooling, PoolingType, cut_end, normalize};
pub use prompt::{Prompt, Source};
pub use survey::Survey;

/// A token's number in the vocabulary: its row in the embedding table.
pub type TokenId = u32;
