//! Architectures: what differs between models that are run by one forward pass.
//!
//! [`Architecture`] describes a family of decoder-only transformers with RMS norms before each half of a layer, rotary
//! positions, grouped-query attention and a SwiGLU feed-forward. A model of that shape is added by one more entry in
//! [`ARCHITECTURES`]; everything that is a number comes from the file as [`ModelConfig`].

mod config;
mod rope;
pub mod tensors;

use parkade_kernels::RopeLayout;

pub use config::ModelConfig;
pub use rope::{RopeConfig, RopeScaling, YarnScaling};

use crate::error::ModelError;

/// What the forward pass must know about an architecture and cannot read from the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Architecture {
    /// As in `general.architecture`, which also begins the names of its metadata keys.
    pub name: &'static str,
    /// Which values of a head are rotated as a pair. Llama's converter reorders Q and K so that neighbours are pairs.
    pub rope_layout: RopeLayout,
    /// Biases on Q, K and V.
    pub qkv_bias: Presence,
    /// RMS norms on each head of Q and of K, before the rotation.
    pub qk_norm: Presence,
}

/// Whether an architecture has a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A file that has it is refused.
    Never,
    /// It is used where the file has it.
    Optional,
    /// A file without it is refused.
    Required,
}

const LLAMA: Architecture = Architecture {
    name: "llama",
    rope_layout: RopeLayout::Interleaved,
    qkv_bias: Presence::Optional,
    qk_norm: Presence::Never,
};

/// The architectures that can be run. Converters call Llama, Mistral, TinyLlama and SmolLM all `llama`; the other names are for files
/// of converters that kept the models' own.
pub const ARCHITECTURES: &[Architecture] = &[
    LLAMA,
    Architecture { name: "mistral", ..LLAMA },
    Architecture { name: "smollm", ..LLAMA },
    Architecture { name: "tinyllama", ..LLAMA },
    Architecture {
        name: "qwen2",
        rope_layout: RopeLayout::Halves,
        qkv_bias: Presence::Required,
        qk_norm: Presence::Never,
    },
    Architecture {
        name: "qwen3",
        rope_layout: RopeLayout::Halves,
        qkv_bias: Presence::Optional,
        qk_norm: Presence::Required,
    },
];

/// The architecture of that name.
///
/// # Errors
/// If there is none; the message lists those that there are.
pub fn find(name: &str) -> Result<&'static Architecture, ModelError> {
    ARCHITECTURES.iter().find(|a| a.name == name).ok_or_else(|| ModelError::Architecture {
        name: name.to_owned(),
        supported: ARCHITECTURES.iter().map(|a| a.name).collect::<Vec<_>>().join(", "),
    })
}
