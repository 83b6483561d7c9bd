//! What the engine asks of a model.

use parkade_kernels::{KvCache, StateCache};
use parkade_model::{Batch, Embedder, Model, ModelError, PausedPass};

use crate::kv_groups::KvGroups;

/// A model with its KV blocks, and slots for the states of sequences if its layers carry some. The engine decides which tokens go into which
/// block, and which state into which slot; the backend computes.
pub trait Backend: Send {
    /// How many logits a row has.
    fn vocab(&self) -> usize;
    /// What it makes of texts, if it does not go on with them. Then passes are asked for hidden states and not for logits.
    fn embedder(&self) -> Option<Embedder> {
        None
    }
    /// Replaces the pooled hidden states of one text by what the model makes of it.
    fn finish(&mut self, vector: &mut Vec<f32>) {
        let _ = vector;
    }
    /// The longest sequence in tokens.
    fn context_length(&self) -> usize;
    /// How many KV blocks there are.
    fn blocks(&self) -> usize;
    /// How many tokens a block holds.
    fn block_len(&self) -> usize;
    /// The groups of its layers: tables have a block of each for the same tokens ([`Span::blocks`](parkade_kernels::Span::blocks)).
    fn kv_groups(&self) -> KvGroups {
        KvGroups::new(&[None], self.block_len())
    }
    /// How many slots for states there are: as many as sequences that may run, and more for snapshots.
    fn state_slots(&self) -> usize {
        0
    }
    /// Bytes of a state; 0 for a model whose layers carry none.
    fn state_bytes(&self) -> usize {
        0
    }
    /// Computes all rows of `batch`, stores their keys and values in the blocks of their spans, and leaves in `logits` what
    /// `batch.outputs` asks for, row after row.
    ///
    /// # Errors
    /// If the pass as a whole failed. The requests of the step fail with it; the engine goes on.
    fn forward(&mut self, batch: &Batch<'_>, logits: &mut Vec<f32>) -> Result<(), BackendError>;
    /// As [`forward`](Self::forward), but when `stop` says so the pass may be left in the middle, for others to go first;
    /// [`resume`](Self::resume) goes on with it. A backend that cannot do that runs it to its end.
    ///
    /// # Errors
    /// As with [`forward`](Self::forward).
    fn forward_until(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Pass, BackendError> {
        let _ = stop;
        self.forward(batch, logits).map(|()| Pass::Done)
    }
    /// Goes on with the pass that was left last. `batch` is the one that it began with; spans of sequences that are gone are missing.
    ///
    /// # Errors
    /// As with [`forward`](Self::forward). The pass is given up then.
    fn resume(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Pass, BackendError> {
        let _ = (batch, logits, stop);
        Err(BackendError("there is no pass to go on with".to_owned()))
    }
    /// Gives up the pass that was left last.
    fn abandon(&mut self) {}
    /// Copies the keys and values of block `from` to block `to`.
    fn copy_block(&mut self, from: u32, to: u32);
}

/// What became of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The logits are there.
    Done,
    /// It was left in the middle and is to be resumed or given up.
    Left,
}

/// A forward pass that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(pub String);

/// A loaded model, its KV cache and its slots for states.
pub struct ModelBackend {
    model: Model,
    kv: KvCache,
    states: StateCache,
    blocks: usize,
    block_len: usize,
    /// Passes that were left, the last of them last.
    left: Vec<PausedPass>,
}

impl ModelBackend {
    /// Puts a model, a KV cache of `blocks` blocks of `block_len` tokens and slots for states together.
    pub fn new(model: Model, kv: KvCache, states: StateCache, blocks: usize, block_len: usize) -> Self {
        ModelBackend { model, kv, states, blocks, block_len, left: Vec::new() }
    }

    fn settle(&mut self, result: Result<Option<PausedPass>, ModelError>) -> Result<Pass, BackendError> {
        match result {
            Ok(None) => Ok(Pass::Done),
            Ok(Some(paused)) => {
                self.left.push(paused);
                Ok(Pass::Left)
            }
            Err(error) => Err(BackendError(error.to_string())),
        }
    }
}

impl Backend for ModelBackend {
    fn vocab(&self) -> usize {
        self.model.config().vocab
    }

    fn embedder(&self) -> Option<Embedder> {
        self.model.embedder()
    }

    fn finish(&mut self, vector: &mut Vec<f32>) {
        self.model.finish(1, vector);
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

    fn kv_groups(&self) -> KvGroups {
        KvGroups::new(self.model.kv_layout().reaches(), self.block_len)
    }

    fn state_slots(&self) -> usize {
        self.states.slots()
    }

    fn state_bytes(&self) -> usize {
        self.model.state_bytes()
    }

    fn forward(&mut self, batch: &Batch<'_>, logits: &mut Vec<f32>) -> Result<(), BackendError> {
        self.model
            .forward(batch, &mut self.kv, &mut self.states, logits)
            .map_err(|error| BackendError(error.to_string()))
    }

    fn forward_until(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Pass, BackendError> {
        let result = self.model.forward_until(batch, &mut self.kv, &mut self.states, logits, stop);
        self.settle(result)
    }

    fn resume(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Pass, BackendError> {
        let Some(paused) = self.left.pop() else {
            return Err(BackendError("there is no pass to go on with".to_owned()));
        };
        let result = self.model.resume(paused, batch, &mut self.kv, &mut self.states, logits, stop);
        self.settle(result)
    }

    fn abandon(&mut self) {
        if let Some(paused) = self.left.pop() {
            self.model.abandon(paused);
        }
    }

    fn copy_block(&mut self, from: u32, to: u32) {
        self.kv.copy_block(from, to);
    }
}
