//! The forward pass.

mod batch;
mod weights;

use std::fmt;
use std::sync::Arc;

use parkade_kernels::{Activations, KvCache, KvType, RopeTable, Team, add_assign, attention, matmul, rms_norm, rope};

use crate::arch::{self, ModelConfig};
use crate::error::ModelError;
use crate::gguf::Gguf;
use batch::{BatchCheck, Extent};
use weights::{Layer, Weights};

pub use batch::{Batch, Outputs};

/// A loaded model: weights that are ready for the kernels, and scratch memory for one forward pass at a time.
pub struct Model {
    config: ModelConfig,
    weights: Weights,
    rope: RopeTable,
    team: Arc<Team>,
    check: BatchCheck,
    /// Memory of passes that have ended, for the next ones.
    spare: Vec<Scratch>,
}

/// A forward pass that was left between two layers. It holds what has been computed of it; the batch is the caller's to keep.
pub struct PausedPass {
    scratch: Scratch,
    /// The layer that comes next.
    layer: usize,
    rows: usize,
    spans: Vec<Extent>,
}

impl fmt::Debug for PausedPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PausedPass").field("layer", &self.layer).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// Memory that is kept between passes. Rows are those of the batch; each grows to the largest batch so far.
#[derive(Default)]
struct Scratch {
    positions: Vec<u32>,
    /// Hidden states `[rows][embedding]`.
    hidden: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// Output of the attention `[rows][heads][head_dim]`.
    attended: Vec<f32>,
    /// What a half of a layer adds to the hidden states.
    delta: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    /// Heads of Q or K after their norm, where the architecture has one.
    normed_heads: Vec<f32>,
    activations: Activations,
}

impl Model {
    /// Loads the model of a file: finds, checks and reads all tensors and repacks them for the kernels. The file is not needed
    /// afterwards.
    ///
    /// # Errors
    /// If the architecture is not supported, the geometry makes no sense, a tensor is missing or has another shape than it should,
    /// or the file cannot be read or was changed meanwhile.
    pub fn load(gguf: &Gguf, team: Arc<Team>) -> Result<Model, ModelError> {
        let config = ModelConfig::from_gguf(gguf)?;
        let architecture = arch::find(&config.architecture)?;
        let weights = Weights::load(gguf, &team, architecture, &config)?;
        let rope = RopeTable::new(
            config.rope.dimensions,
            config.rope.inverse_frequencies(weights.rope_divisors.as_deref()),
            config.rope.attn_factor(),
            architecture.rope_layout,
            config.context_length,
        );
        Ok(Model { config, weights, rope, team, check: BatchCheck::default(), spare: Vec::new() })
    }

    /// The model's geometry.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Memory that the weights take, in bytes.
    pub fn weight_bytes(&self) -> usize {
        self.weights.memory_bytes()
    }

    /// A KV cache of this model's geometry.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new_kv_cache(&self, blocks: usize, block_len: usize, ty: KvType) -> Result<KvCache, ModelError> {
        let ModelConfig { layers, kv_heads, head_dim, .. } = self.config;
        KvCache::new(layers, kv_heads, head_dim, blocks, block_len, ty)
            .map_err(|source| ModelError::Kernel { what: format!("KV cache of {blocks} blocks"), source })
    }

    /// Runs one batch: appends the keys and values of its rows to `kv` and sets `out` to what [`Batch::outputs`] asks for.
    ///
    /// A row's result depends only on its own sequence: not on the other rows, on how a prompt was cut into batches, on which
    /// blocks it lies in, or on the number of threads, bit for bit.
    ///
    /// # Errors
    /// If the batch is malformed ([`ModelError::Batch`], [`ModelError::Token`], [`ModelError::Context`]) or `kv` is not a cache of this model. The
    /// cache is unchanged then.
    pub fn forward(&mut self, batch: &Batch<'_>, kv: &mut KvCache, out: &mut Vec<f32>) -> Result<(), ModelError> {
        self.forward_until(batch, kv, out, &|| false).map(|paused| debug_assert!(paused.is_none(), "nobody said stop"))
    }

    /// As [`forward`](Self::forward), but asks `stop` between the layers. When that says yes, the pass is left where it is: other batches can
    /// be run, and [`resume`](Self::resume) goes on with it. Its results are then what they would have been anyway, bit for bit.
    ///
    /// # Errors
    /// As with [`forward`](Self::forward).
    pub fn forward_until(
        &mut self,
        batch: &Batch<'_>,
        kv: &mut KvCache,
        out: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<PausedPass>, ModelError> {
        self.check_kv(kv)?;
        self.check.check(batch, &self.config, kv)?;
        if batch.tokens.is_empty() {
            out.clear();
            return Ok(None);
        }
        let mut scratch = self.spare.pop().unwrap_or_default();
        scratch.start(batch, &self.weights, &self.config)?;
        let spans = batch.spans.iter().map(Extent::of).collect();
        Ok(self.go_on(PausedPass { scratch, layer: 0, rows: batch.tokens.len(), spans }, batch, kv, out, stop))
    }

    /// Goes on with a pass that was left. `batch` is the one that it began with, but spans may be missing: their rows are
    /// computed to no purpose and touch the cache no more. The sequences that are left must be as they were; blocks that the pass has
    /// not read or written may have changed.
    ///
    /// # Errors
    /// If the batch is not the one that the pass began with, or is malformed. The pass is gone then.
    pub fn resume(
        &mut self,
        paused: PausedPass,
        batch: &Batch<'_>,
        kv: &mut KvCache,
        out: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<PausedPass>, ModelError> {
        self.check_kv(kv)?;
        self.check.check_rest(batch, paused.rows, &paused.spans, &self.config, kv)?;
        Ok(self.go_on(paused, batch, kv, out, stop))
    }

    /// Gives up a pass that was left.
    pub fn abandon(&mut self, paused: PausedPass) {
        self.spare.push(paused.scratch);
    }

    fn go_on(
        &mut self,
        mut paused: PausedPass,
        batch: &Batch<'_>,
        kv: &mut KvCache,
        out: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Option<PausedPass> {
        let Model { config, weights, rope, team, spare, .. } = self;
        let PausedPass { scratch, layer: next, rows, .. } = &mut paused;
        let pass = Pass { config, rope, team };
        let (last, before) = weights.layers.split_last().expect("the geometry has at least one layer");
        // One layer at least: who goes on gets on.
        let first = *next;
        let leave = |layer: usize, next: &mut usize| {
            let leaves = layer > first && stop();
            *next = if leaves { layer } else { *next };
            leaves
        };
        for (i, layer) in before.iter().enumerate().skip(first) {
            if leave(i, next) {
                return Some(paused);
            }
            pass.attend(i, layer, batch, kv, scratch, *rows);
            pass.attention_output(layer, scratch, *rows);
            pass.feed_forward(layer, scratch, *rows);
        }
        if leave(before.len(), next) {
            return Some(paused);
        }
        pass.attend(before.len(), last, batch, kv, scratch, *rows);
        // What the vector held before stays in it, to be overwritten: clearing megabytes every step would be for nothing.
        out.resize(batch.outputs.values(config), 0.0);
        let wanted = batch.outputs.rows();
        if !wanted.is_empty() {
            // Past the last attention, rows that nobody wants anything of matter to no one.
            let rows = wanted.len();
            gather(&mut scratch.hidden, wanted, config.embedding);
            gather(&mut scratch.attended, wanted, config.heads * config.head_dim);
            pass.attention_output(last, scratch, rows);
            pass.feed_forward(last, scratch, rows);
            match batch.outputs {
                Outputs::Logits(_) => pass.logits(weights, scratch, rows, out),
                Outputs::Hidden(_) => pass.last_norm(weights, scratch, rows, out),
            }
        }
        spare.push(paused.scratch);
        None
    }

    fn check_kv(&self, kv: &KvCache) -> Result<(), ModelError> {
        let ModelConfig { layers, kv_heads, head_dim, .. } = self.config;
        let found = (kv.layers(), kv.kv_heads(), kv.head_dim());
        let expected = (layers, kv_heads, head_dim);
        if found != expected {
            return Err(ModelError::KvCache { found: format!("{found:?}"), expected: format!("{expected:?}") });
        }
        Ok(())
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Scratch {
    /// Sizes the buffers for the batch and fills in embeddings and positions.
    fn start(&mut self, batch: &Batch<'_>, weights: &Weights, config: &ModelConfig) -> Result<(), ModelError> {
        let rows = batch.tokens.len();
        let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        self.hidden.resize(rows * config.embedding, 0.0);
        self.delta.resize(rows * config.embedding, 0.0);
        self.q.resize(rows * q, 0.0);
        self.attended.resize(rows * q, 0.0);
        self.k.resize(rows * kv, 0.0);
        self.v.resize(rows * kv, 0.0);
        self.gate.resize(rows * config.feed_forward, 0.0);
        self.up.resize(rows * config.feed_forward, 0.0);

        for (row, &token) in self.hidden.chunks_exact_mut(config.embedding).zip(batch.tokens) {
            weights.embed(token as usize, row)?;
        }
        self.positions.clear();
        for span in batch.spans {
            // Positions are below the context length, which is far below 2^32.
            self.positions.extend((span.past..span.past + span.rows).map(|p| p as u32));
        }
        Ok(())
    }
}

/// What all steps of one pass share.
struct Pass<'a> {
    config: &'a ModelConfig,
    rope: &'a RopeTable,
    team: &'a Team,
}

impl Pass<'_> {
    /// Norm, Q/K/V, rotation, append to the cache, attention: from `hidden` to `attended`.
    fn attend(&self, index: usize, layer: &Layer, batch: &Batch<'_>, kv: &mut KvCache, s: &mut Scratch, rows: usize) {
        let (team, config) = (self.team, self.config);
        let ModelConfig { heads, kv_heads, head_dim, embedding, norm_eps, .. } = *config;
        let Layer { q, k, v, .. } = layer;
        let types = [q.ty(), k.ty(), v.ty()];
        s.activations.set_rms_norm(team, &s.hidden, rows, embedding, &layer.attention_norm, norm_eps, &types);
        let mut outs = [(&q.matrix, &mut s.q[..]), (&k.matrix, &mut s.k[..]), (&v.matrix, &mut s.v[..])];
        matmul(team, &s.activations, &mut outs);
        q.add_bias(&mut s.q);
        k.add_bias(&mut s.k);
        v.add_bias(&mut s.v);
        self.norm_heads(layer.q_norm.as_deref(), &mut s.q, &mut s.normed_heads);
        self.norm_heads(layer.k_norm.as_deref(), &mut s.k, &mut s.normed_heads);
        rope(team, &mut s.q, heads, head_dim, &s.positions, self.rope);
        rope(team, &mut s.k, kv_heads, head_dim, &s.positions, self.rope);
        kv.append(team, index, batch.spans, &s.k, &s.v);
        let (scale, window) = (config.attention_scale, config.window);
        attention(team, &s.q, heads, kv, index, batch.spans, scale, window, &mut s.attended);
    }

    fn norm_heads(&self, weight: Option<&[f32]>, heads: &mut Vec<f32>, normed: &mut Vec<f32>) {
        let Some(weight) = weight else { return };
        normed.resize(heads.len(), 0.0);
        rms_norm(self.team, heads, self.config.head_dim, weight, self.config.norm_eps, normed);
        std::mem::swap(heads, normed);
    }

    /// Adds the attention's output to the first `rows` hidden states.
    fn attention_output(&self, layer: &Layer, s: &mut Scratch, rows: usize) {
        let (team, linear) = (self.team, &layer.attention_output);
        let attended = self.config.heads * self.config.head_dim;
        s.activations.set(team, &s.attended[..rows * attended], rows, attended, &[linear.ty()]);
        let delta = &mut s.delta[..rows * self.config.embedding];
        matmul(team, &s.activations, &mut [(&linear.matrix, &mut *delta)]);
        linear.add_bias(delta);
        add_assign(team, &mut s.hidden[..delta.len()], delta);
    }

    /// Norm, gate and up, SwiGLU, down: adds its result to the first `rows` hidden states.
    fn feed_forward(&self, layer: &Layer, s: &mut Scratch, rows: usize) {
        let (team, Layer { gate, up, down, .. }) = (self.team, layer);
        let ModelConfig { embedding, feed_forward, norm_eps, .. } = *self.config;
        let hidden = &mut s.hidden[..rows * embedding];
        let types = [gate.ty(), up.ty()];
        s.activations.set_rms_norm(team, hidden, rows, embedding, &layer.feed_forward_norm, norm_eps, &types);
        let gates = &mut s.gate[..rows * feed_forward];
        let ups = &mut s.up[..rows * feed_forward];
        matmul(team, &s.activations, &mut [(&gate.matrix, &mut *gates), (&up.matrix, &mut *ups)]);
        gate.add_bias(gates);
        up.add_bias(ups);
        s.activations.set_swiglu(team, gates, ups, rows, feed_forward, &[down.ty()]);
        let delta = &mut s.delta[..rows * embedding];
        matmul(team, &s.activations, &mut [(&down.matrix, &mut *delta)]);
        down.add_bias(delta);
        add_assign(team, hidden, delta);
    }

    /// The last norm alone.
    fn last_norm(&self, weights: &Weights, s: &Scratch, rows: usize, out: &mut [f32]) {
        let ModelConfig { embedding, norm_eps, .. } = *self.config;
        rms_norm(self.team, &s.hidden[..rows * embedding], embedding, &weights.output_norm, norm_eps, out);
    }

    /// The last norm and the output matrix.
    fn logits(&self, weights: &Weights, s: &mut Scratch, rows: usize, logits: &mut [f32]) {
        let ModelConfig { embedding, norm_eps, .. } = *self.config;
        let (team, output) = (self.team, &weights.output);
        let hidden = &s.hidden[..rows * embedding];
        s.activations.set_rms_norm(team, hidden, rows, embedding, &weights.output_norm, norm_eps, &[output.ty()]);
        matmul(team, &s.activations, &mut [(&output.matrix, &mut *logits)]);
        output.add_bias(logits);
    }
}

/// Moves the given rows, which ascend, to the front.
fn gather(x: &mut [f32], rows: &[usize], cols: usize) {
    for (to, &from) in rows.iter().enumerate() {
        x.copy_within(from * cols..(from + 1) * cols, to * cols);
    }
}
