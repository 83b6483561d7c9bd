//! Why a model could not be loaded or run.

use parkade_kernels::KernelError;

use crate::TokenId;
use crate::gguf::GgufError;

/// Why a model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file itself.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// States of another model.
    #[error("the slots for states have {found} values; this model's have {expected}: make them with Model::new_states")]
    StateCache {
        /// Values of a slot.
        found: usize,
        /// What this model needs.
        expected: usize,
    },
    /// An architecture that cannot be run.
    #[error("architecture '{name}' is not supported; supported: {supported}")]
    Architecture {
        /// As in `general.architecture`.
        name: String,
        /// Those that are.
        supported: String,
    },
    /// A number in the metadata that makes no sense, or that asks for something unsupported.
    #[error("metadata key '{key}' is {found}; expected {expected}")]
    Config {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A context that the model was not made for.
    #[error(
        "a context of {asked} tokens was asked for; the model was made for 1 to {most}, and answers past that are noise"
    )]
    ContextSize {
        /// What was asked for.
        asked: usize,
        /// What the model was made for.
        most: usize,
    },
    /// A tensor that the architecture needs.
    #[error(
        "tensor '{name}' of shape {expected} is missing; the file is incomplete: convert or download the model again"
    )]
    MissingTensor {
        /// The tensor.
        name: String,
        /// Its shape.
        expected: String,
    },
    /// A tensor of another shape than the metadata says.
    #[error(
        "tensor '{name}' has shape {found:?}; expected {expected} by the metadata: convert or download the model again"
    )]
    TensorShape {
        /// The tensor.
        name: String,
        /// Its shape in the file, innermost dimension first.
        found: Vec<usize>,
        /// Its shape by the metadata.
        expected: String,
    },
    /// Tensors that the architecture has no use for, so that answers would be wrong without a sign.
    #[error(
        "architecture '{architecture}' does not use these tensors of the file: {names}; the model needs a newer or another program"
    )]
    UnknownTensors {
        /// The architecture.
        architecture: String,
        /// The tensors.
        names: String,
    },
    /// A weight that the kernels refuse.
    #[error("{what}: {source}")]
    Kernel {
        /// What was being made.
        what: String,
        /// Why not.
        source: KernelError,
    },
    /// A token id outside of the vocabulary.
    #[error("token id {token} in row {row} is outside of the vocabulary of {vocab} tokens")]
    Token {
        /// The row of the batch.
        row: usize,
        /// The id.
        token: TokenId,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// A sequence that would grow past the model's context.
    #[error("span {span} ends at position {end}, past the model's context of {context} tokens")]
    Context {
        /// Which span of the batch.
        span: usize,
        /// One past its last position.
        end: usize,
        /// Positions that the model was made for.
        context: usize,
    },
    /// A batch whose parts do not fit together.
    #[error("bad batch: {0}")]
    Batch(String),
    /// A KV cache of another geometry than the model's.
    #[error("the KV cache has {found}; the model needs {expected}")]
    KvCache {
        /// The cache's geometry.
        found: String,
        /// The model's.
        expected: String,
    },
}
