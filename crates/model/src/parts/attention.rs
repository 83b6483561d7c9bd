//! The half of a layer with attention: grouped queries over the paged cache.

use std::sync::Arc;

use parkade_kernels::{Activation, KvCache, RopeTable, Scoring, Span, Team, attention, gate, rope};

use super::linear::{Linear, multiply};
use super::norm::Norm;
use super::residual::Residual;
use super::scratch::{Scratch, room};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::{AttentionPlan, HeadNorms, NormOver, Plan, Temperature};

/// Attention, with the projections around it.
pub(crate) struct Attention {
    /// The layer of the cache that its keys and values are in.
    place: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    embedding: usize,
    /// Without the sinks and slopes.
    scoring: Scoring<'static>,
    sinks: Option<Vec<f32>>,
    slopes: Option<Vec<f32>>,
    temperature: Option<Temperature>,
    rope: Option<Arc<RopeTable>>,
    residual: Residual,
    q: Linear,
    /// What makes keys and values, unless they are another layer's.
    own: Option<Own>,
    q_norm: Option<Norm>,
    /// Whether the norms of Q and K come after the rotation.
    norms_last: bool,
    /// Whether each head of Q has its gates behind it.
    gated: bool,
    output: Linear,
}

/// What makes keys and values.
struct Own {
    k: Linear,
    /// The keys are the values too if there is none.
    v: Option<Linear>,
    k_norm: Option<Norm>,
    v_norm: Option<Norm>,
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
        let ModelConfig { heads, embedding, .. } = *config;
        let attention = &plan.layers[layer].attention;
        let AttentionPlan { head_dim, kv_heads, scale, window, chunk, both_ways, alibi, soft_cap, .. } = *attention;
        // Half of a window to both sides, and the own key.
        let (window, ahead) = match both_ways {
            true => (window.map(|window| window / 2 + 1), window.map_or(usize::MAX, |window| window / 2)),
            false => (window, 0),
        };
        let HeadNorms { presence, over, after_rotation } = attention.head_norms;
        let head_norm = |what, heads| {
            if presence != Presence::Never && over == NormOver::HeadUnweighted {
                return Ok(Some(Norm::unweighted(head_dim, plan.norm)));
            }
            let shape = match over {
                NormOver::Head | NormOver::HeadUnweighted => vec![head_dim],
                NormOver::EachHead => vec![head_dim, heads],
                NormOver::Whole => vec![head_dim * heads],
            };
            Norm::load_if(presence, loader, &in_layer(layer, what), &shape, plan.norm)
        };
        let (wide, narrow) = (heads * head_dim, kv_heads * head_dim);
        let before = (plan.layers[layer].attention_norm == Presence::Required).then_some("attn_norm");
        let bias = attention.qkv_bias;
        let queries = if attention.gated { 2 * wide } else { wide };
        let (q, own) = match attention.kv_of {
            Some(_) => {
                // Some files have what nobody uses.
                for what in ["attn_k.weight", "attn_v.weight", "attn_k_norm.weight"] {
                    loader.leave(&in_layer(layer, what));
                }
                (Linear::load(loader, &in_layer(layer, "attn_q"), embedding, queries, bias)?, None)
            }
            None => {
                let widths = [queries, narrow, narrow];
                let (q, k, v) = projections(loader, layer, embedding, widths, bias, attention.values)?;
                let k_norm = head_norm("attn_k_norm", kv_heads)?;
                let v_norm = attention.value_norms.then(|| Norm::unweighted(head_dim, plan.norm));
                (q, Some(Own { k, v, k_norm, v_norm }))
            }
        };
        Ok(Attention {
            place: plan.kv_place(layer),
            heads,
            kv_heads,
            head_dim,
            embedding,
            scoring: Scoring { window, ahead, chunk, soft_cap, ..Scoring::scaled(scale) },
            sinks: loader.floats_if(attention.sinks, &in_layer(layer, "attn_sinks.weight"), &[heads])?,
            slopes: alibi.map(|bias| slopes(bias, heads)),
            temperature: attention.temperature,
            rope: attention.rope.map(|table| Arc::clone(&ropes[table])),
            residual: Residual::load(
                loader,
                layer,
                before,
                "post_attention_norm",
                "attn_output_norm",
                plan,
                embedding,
            )?
            .with_second(loader, layer, "attn_norm_2", plan)?,
            q,
            own,
            q_norm: head_norm("attn_q_norm", heads)?,
            norms_last: after_rotation,
            gated: attention.gated,
            output: Linear::load(loader, &in_layer(layer, "attn_output"), wide, embedding, Presence::Optional)?,
        })
    }

    pub(crate) fn linears(&self) -> Vec<&Linear> {
        let own = self.own.iter().flat_map(|own| [&own.k].into_iter().chain(&own.v));
        [&self.q].into_iter().chain(own).chain([&self.output]).collect()
    }

    /// Appends the rows' keys and values to the cache, and lets the rows attend to those of their sequences.
    pub(crate) fn attend(&self, team: &Team, spans: &[Span<'_>], kv: &mut KvCache, s: &mut Scratch) {
        let Attention { heads, kv_heads, head_dim, .. } = *self;
        let (queries, keys) = (s.rows * heads * head_dim, s.rows * kv_heads * head_dim);
        self.project(team, s, keys);
        if self.gated {
            self.part_from_gates(s);
        }
        if !self.norms_last {
            self.norm_heads(team, s);
        }
        if let Some(table) = &self.rope {
            rope(team, &mut s.q[..queries], heads, head_dim, &s.positions, table);
            if self.own.is_some() {
                rope(team, &mut s.k[..keys], kv_heads, head_dim, &s.positions, table);
            }
        }
        if self.norms_last {
            self.norm_heads(team, s);
        }
        if let Some(temperature) = self.temperature {
            let rows = s.q[..queries].chunks_exact_mut(heads * head_dim);
            rows.zip(&s.positions).for_each(|(q, &position)| temperature.apply(q, position));
        }
        if self.own.is_some() {
            kv.append(team, self.place, spans, &s.k[..keys], &s.v[..keys]);
        }
        let attended = room(&mut s.attended, queries);
        let scoring = Scoring { sinks: self.sinks.as_deref(), slopes: self.slopes.as_deref(), ..self.scoring };
        attention(team, &s.q[..queries], heads, kv, self.place, spans, scoring, attended);
        if self.gated {
            gate(team, Activation::Sigmoid, &s.gate[..queries], attended);
        }
    }

    /// Takes queries and gates, which alternate, apart.
    fn part_from_gates(&self, s: &mut Scratch) {
        let (dim, values) = (self.head_dim, s.rows * self.heads * self.head_dim);
        let queries = room(&mut s.normed, values).chunks_exact_mut(dim);
        let gates = room(&mut s.gate, values).chunks_exact_mut(dim);
        for ((both, query), gates) in s.q.chunks_exact(2 * dim).zip(queries).zip(gates) {
            query.copy_from_slice(&both[..dim]);
            gates.copy_from_slice(&both[dim..]);
        }
        std::mem::swap(&mut s.q, &mut s.normed);
    }

    /// Makes queries, and keys and values unless they are another layer's.
    fn project(&self, team: &Team, s: &mut Scratch, keys: usize) {
        let queries = s.rows * self.q.outputs();
        let Some(Own { k, v, .. }) = &self.own else {
            self.residual.read(team, s, &[self.q.ty()]);
            return multiply(team, &s.activations, [(&self.q, room(&mut s.q, queries))]);
        };
        let Some(v) = v else {
            self.residual.read(team, s, &[self.q.ty(), k.ty()]);
            multiply(team, &s.activations, [(&self.q, room(&mut s.q, queries)), (k, room(&mut s.k, keys))]);
            return room(&mut s.v, keys).copy_from_slice(&s.k[..keys]);
        };
        self.residual.read(team, s, &[self.q.ty(), k.ty(), v.ty()]);
        let outs = [(&self.q, room(&mut s.q, queries)), (k, room(&mut s.k, keys)), (v, room(&mut s.v, keys))];
        multiply(team, &s.activations, outs);
    }

    /// Replaces Q, K and V by their norms.
    fn norm_heads(&self, team: &Team, s: &mut Scratch) {
        let (queries, keys) = (s.rows * self.head_dim * self.heads, s.rows * self.head_dim * self.kv_heads);
        if let Some(norm) = &self.q_norm {
            norm.replace(team, &mut s.q, queries, &mut s.normed);
        }
        let Some(own) = &self.own else { return };
        for (norm, x) in [(&own.k_norm, &mut s.k), (&own.v_norm, &mut s.v)] {
            if let Some(norm) = norm {
                norm.replace(team, x, keys, &mut s.normed);
            }
        }
    }

    /// Adds the result to the hidden states of the rows that are left.
    pub(crate) fn finish(&self, team: &Team, s: &mut Scratch) {
        let width = self.heads * self.head_dim;
        s.activations.set(team, &s.attended[..s.rows * width], s.rows, width, &[self.output.ty()]);
        multiply(team, &s.activations, [(&self.output, room(&mut s.delta, s.rows * self.embedding))]);
        self.residual.add(team, s);
    }
}

/// Q, K and V, which are one tensor or three; or two, if the last may be missing.
fn projections(
    loader: &Loader<'_>,
    layer: usize,
    embedding: usize,
    outputs: [usize; 3],
    bias: Presence,
    values: Presence,
) -> Result<(Linear, Linear, Option<Linear>), ModelError> {
    let fused = in_layer(layer, "attn_qkv");
    if loader.has(&format!("{fused}.weight")) {
        let [q, k, v] = Linear::load_fused(loader, &fused, embedding, outputs, bias)?;
        return Ok((q, k, Some(v)));
    }
    let linear = |what, outputs| Linear::load(loader, &in_layer(layer, what), embedding, outputs, bias);
    let is_missing = values == Presence::Optional && !loader.has(&in_layer(layer, "attn_v.weight"));
    let v = (!is_missing).then(|| linear("attn_v", outputs[2])).transpose()?;
    Ok((linear("attn_q", outputs[0])?, linear("attn_k", outputs[1])?, v))
}

/// The slopes of ALiBi: powers of one number for the first heads, a power of two of them, and the odd powers of its root for the others.
fn slopes(bias: f32, heads: usize) -> Vec<f32> {
    let first = 1 << heads.ilog2();
    let root = (-bias / (2 * first) as f32).exp2();
    let power = |head| if head < first { 2 * (head + 1) } else { 2 * (head - first) + 1 };
    (0..heads).map(|head| root.powi(power(head) as i32)).collect()
}

impl Temperature {
    /// Multiplies the queries of a position.
    fn apply(self, q: &mut [f32], position: u32) {
        let steps = (position as usize + self.offset) / self.length;
        if steps > 0 {
            let factor = 1.0 + self.scale * (1.0 + steps as f32).ln();
            q.iter_mut().for_each(|q| *q *= factor);
        }
    }
}
