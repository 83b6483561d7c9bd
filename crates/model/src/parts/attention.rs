//! The first half of a layer: attention of grouped queries over the paged cache.

use std::sync::Arc;

use parkade_kernels::{KvCache, RopeTable, Scoring, Span, Team, attention, rope};

use super::linear::{Linear, multiply};
use super::norm::Norm;
use super::residual::Residual;
use super::scratch::{Scratch, room};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::{AttentionPlan, Plan};

/// Attention, with the projections around it.
pub(crate) struct Attention {
    /// The layer of the cache that its keys and values are in.
    layer: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    embedding: usize,
    scale: f32,
    window: Option<usize>,
    rope: Arc<RopeTable>,
    residual: Residual,
    q: Linear,
    k: Linear,
    v: Linear,
    q_norm: Option<Norm>,
    k_norm: Option<Norm>,
    output: Linear,
}

impl Attention {
    /// Loads the attention of a layer. `ropes` are the tables of the plan.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        config: &ModelConfig,
        plan: &Plan,
        ropes: &[Arc<RopeTable>],
    ) -> Result<Attention, ModelError> {
        let ModelConfig { heads, kv_heads, head_dim, embedding, .. } = *config;
        let AttentionPlan { rope, window, scale, qkv_bias, head_norms } = plan.layers[layer].attention;
        let linear = |what, inputs, outputs, bias| Linear::load(loader, &in_layer(layer, what), inputs, outputs, bias);
        let head_norm = |what| Norm::load_if(head_norms, loader, &in_layer(layer, what), head_dim, plan.norm);
        let order = plan.layers[layer].norms;
        Ok(Attention {
            layer,
            heads,
            kv_heads,
            head_dim,
            embedding,
            scale,
            window,
            rope: Arc::clone(&ropes[rope]),
            residual: Residual::load(loader, &in_layer(layer, "attn_norm"), order, plan.norm, embedding)?,
            q: linear("attn_q", embedding, heads * head_dim, qkv_bias)?,
            k: linear("attn_k", embedding, kv_heads * head_dim, qkv_bias)?,
            v: linear("attn_v", embedding, kv_heads * head_dim, qkv_bias)?,
            q_norm: head_norm("attn_q_norm")?,
            k_norm: head_norm("attn_k_norm")?,
            output: linear("attn_output", heads * head_dim, embedding, Presence::Optional)?,
        })
    }

    pub(crate) fn linears(&self) -> [&Linear; 4] {
        [&self.q, &self.k, &self.v, &self.output]
    }

    /// Appends the rows' keys and values to the cache, and lets the rows attend to those of their sequences.
    pub(crate) fn attend(&self, team: &Team, spans: &[Span<'_>], kv: &mut KvCache, s: &mut Scratch) {
        let Attention { heads, kv_heads, head_dim, .. } = *self;
        let (queries, keys) = (s.rows * heads * head_dim, s.rows * kv_heads * head_dim);
        self.residual.read(team, s, &[self.q.ty(), self.k.ty(), self.v.ty()]);
        let outs =
            [(&self.q, room(&mut s.q, queries)), (&self.k, room(&mut s.k, keys)), (&self.v, room(&mut s.v, keys))];
        multiply(team, &s.activations, outs);
        if let Some(norm) = &self.q_norm {
            norm.replace(team, &mut s.q, queries, &mut s.normed_heads);
        }
        if let Some(norm) = &self.k_norm {
            norm.replace(team, &mut s.k, keys, &mut s.normed_heads);
        }
        let (q, k) = (&mut s.q[..queries], &mut s.k[..keys]);
        rope(team, q, heads, head_dim, &s.positions, &self.rope);
        rope(team, k, kv_heads, head_dim, &s.positions, &self.rope);
        kv.append(team, self.layer, spans, k, &s.v[..keys]);
        let scoring = Scoring { window: self.window, ..Scoring::scaled(self.scale) };
        attention(team, q, heads, kv, self.layer, spans, scoring, room(&mut s.attended, queries));
    }

    /// Adds the result to the hidden states of the rows that are left.
    pub(crate) fn finish(&self, team: &Team, s: &mut Scratch) {
        let width = self.heads * self.head_dim;
        s.activations.set(team, &s.attended[..s.rows * width], s.rows, width, &[self.output.ty()]);
        multiply(team, &s.activations, [(&self.output, room(&mut s.delta, s.rows * self.embedding))]);
        self.residual.add(team, s);
    }
}
