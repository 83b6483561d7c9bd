//! What the engine asks of a model.

use parkade_kernels::KvCache;
use parkade_model::{Batch, Model};

/// A model with its KV blocks. The engine decides which tokens go into which block; the backend computes.
pub trait Backend: Send {
    /// How many logits a row has.
    fn vocab(&self) -> usize;
    /// The longest sequence in tokens.
    fn context_length(&self) -> usize;
    /// How many KV blocks there are.
    fn blocks(&self) -> usize;
    /// How many tokens a block holds.
    fn block_len(&self) -> usize;
    /// Computes all rows of `batch`, stores their keys and values in the blocks of their spans, and leaves the logits of
    /// `batch.logit_rows` in `logits`, row after row.
    ///
    /// # Errors
    /// If the pass as a whole failed. The requests of the step fail with it; the engine goes on.
    fn forward(&mut self, batch: &Batch<'_>, logits: &mut Vec<f32>) -> Result<(), BackendError>;
    /// Copies the keys and values of block `from` to block `to`.
    fn copy_block(&mut self, from: u32, to: u32);
}

/// A forward pass that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(pub String);

/// A loaded model and its KV cache.
pub struct ModelBackend {
    model: Model,
    kv: KvCache,
    blocks: usize,
    block_len: usize,
}

impl ModelBackend {
    /// Puts a model and a KV cache of `blocks` blocks of `block_len` tokens together.
    pub fn new(model: Model, kv: KvCache, blocks: usize, block_len: usize) -> Self {
        ModelBackend { model, kv, blocks, block_len }
    }
}

impl Backend for ModelBackend {
    fn vocab(&self) -> usize {
        self.model.config().vocab
    }

    fn context_length(&self) -> usize {
        self.model.config().context_length
    }

    fn blocks(&self) -> usize {
        self.blocks
    }

    fn block_len(&self) -> usize {
        self.block_len
    }

    fn forward(&mut self, batch: &Batch<'_>, logits: &mut Vec<f32>) -> Result<(), BackendError> {
        self.model.forward(batch, &mut self.kv, logits).map_err(|error| BackendError(error.to_string()))
    }

    fn copy_block(&mut self, from: u32, to: u32) {
        self.kv.copy_block(from, to);
    }
}
