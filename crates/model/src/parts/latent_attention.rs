//! Attention over compressed keys and values (multi-head latent attention, <https://arxiv.org/abs/2405.04434>).
//!
//! A token's keys and values are made of one latent vector, and of a rotated key that all heads share. Where the file has the factors of keys and
//! of values apart, queries take the first one in and what was attended to meets the second one: one head of latents and rotated keys is cached
//! for all. Where it has them in one matrix, keys and values are made of the latents, and cached for each head.

use std::ops::Range;
use std::sync::Arc;

use parkade_kernels::{
    Activations, GroupedProduct, KvCache, MatrixStack, RopeTable, Scoring, Span, Team, WeightType, attention,
    for_each_row, matmul_grouped, rope,
};

use super::linear::{Linear, multiply};
use super::norm::Norm;
use super::residual::Residual;
use super::scratch::{LIGHT, LatentScratch, Scratch, of_row, room};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::{LatentPlan, Plan};

/// Latent attention, with the projections around it.
pub(crate) struct LatentAttention {
    /// The layer of the cache that its keys and values are in.
    /// The layer of the cache that its keys and values are in.
    place: usize,
    heads: usize,
    /// Values of a key's head in the cache.
    head_dim: usize,
    /// Values of what a head attends to.
    value_dim: usize,
    embedding: usize,
    scale: f32,
    plan: LatentPlan,
    rope: Option<Arc<RopeTable>>,
    residual: Residual,
    query: Query,
    /// Makes the latent, and behind it the key that is rotated.
    latent: Linear,
    latent_norm: Norm,
    factors: Factors,
    output: Linear,
    /// What the input must be set for.
    types: [WeightType; 2],
}

/// How queries are made.
enum Query {
    Plain(Linear),
    Compressed { down: Linear, norm: Norm, up: Linear },
}

/// How a latent becomes the keys and values of heads.
enum Factors {
    /// For each head a matrix that queries take in, and one for what was attended to.
    Apart { keys: MatrixStack, values: MatrixStack },
    /// For each head its key without the rotated part, then its value.
    Together(Linear),
}

impl LatentAttention {
    /// Loads the attention of a layer. `ropes` are the tables of the plan.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        config: &ModelConfig,
        plan: &Plan,
        latent_plan: &LatentPlan,
        ropes: &[Arc<RopeTable>],
    ) -> Result<LatentAttention, ModelError> {
        let ModelConfig { heads, head_dim, embedding, .. } = *config;
        let LatentPlan { rank, plain, rotated, value, apart, .. } = *latent_plan;
        let linear =
            |what, inputs, outputs| Linear::load(loader, &in_layer(layer, what), inputs, outputs, Presence::Never);
        let norm = |what, len| Norm::load(loader, &in_layer(layer, what), &[len], plan.norm);
        let stack = |what, inputs, outputs| loader.stack(&in_layer(layer, what), inputs, outputs, heads);
        let queries = heads * (plain + rotated);
        let query = match latent_plan.query_rank {
            None => Query::Plain(linear("attn_q", embedding, queries)?),
            Some(rank) => Query::Compressed {
                down: linear("attn_q_a", embedding, rank)?,
                norm: norm("attn_q_a_norm", rank)?,
                up: linear("attn_q_b", rank, queries)?,
            },
        };
        let latent = linear("attn_kv_a_mqa", embedding, rank + rotated)?;
        let factors = if apart {
            let keys = stack("attn_k_b.weight", plain, rank)?;
            Factors::Apart { keys, values: stack("attn_v_b.weight", rank, value)? }
        } else {
            Factors::Together(linear("attn_kv_b", rank, heads * (plain + value))?)
        };
        let attention = &plan.layers[layer].attention;
        Ok(LatentAttention {
            place: plan.kv_place(layer),
            heads,
            head_dim,
            value_dim: attention.value_dim(),
            embedding,
            scale: attention.scale,
            plan: latent_plan.clone(),
            rope: attention.rope.map(|table| Arc::clone(&ropes[table])),
            residual: Residual::load(
                loader,
                layer,
                Some("attn_norm"),
                "post_attention_norm",
                "attn_output_norm",
                plan,
                embedding,
            )?,
            types: [query.first().ty(), latent.ty()],
            query,
            latent,
            latent_norm: norm("attn_kv_a_norm", rank)?,
            factors,
            output: linear("attn_output", heads * value, embedding)?,
        })
    }

    /// The matrices that every row meets.
    pub(crate) fn linears(&self) -> Vec<&Linear> {
        let mut linears = vec![&self.latent, &self.output];
        match &self.query {
            Query::Plain(linear) => linears.push(linear),
            Query::Compressed { down, up, .. } => linears.extend([down, up]),
        }
        if let Factors::Together(linear) = &self.factors {
            linears.push(linear);
        }
        linears
    }

    /// The matrices of each head.
    pub(crate) fn stacks(&self) -> impl Iterator<Item = &MatrixStack> {
        let stacks = match &self.factors {
            Factors::Apart { keys, values } => Some([keys, values]),
            Factors::Together(_) => None,
        };
        stacks.into_iter().flatten()
    }

    /// Appends what the rows' keys and values are made of to the cache, and lets the rows attend to those of their sequences.
    pub(crate) fn attend(&self, team: &Team, spans: &[Span<'_>], kv: &mut KvCache, s: &mut Scratch) {
        let LatentPlan { rank, plain, rotated, .. } = self.plan;
        let (rows, heads) = (s.rows, self.heads);
        self.residual.read(team, s, &self.types);
        self.project(team, s);
        let whole = &s.latent.whole[..rows * (rank + rotated)];
        columns(team, whole, rank + rotated, 0..rank, room(&mut s.v, rows * rank));
        self.latent_norm.replace(team, &mut s.v, rows * rank, &mut s.normed);
        let key_turned = room(&mut s.latent.key_turned, rows * rotated);
        columns(team, whole, rank + rotated, rank..rank + rotated, key_turned);
        let turned = room(&mut s.latent.query_turned, rows * heads * rotated);
        columns(team, &s.q, plain + rotated, plain..plain + rotated, turned);
        if let Some(table) = &self.rope {
            rope(team, key_turned, 1, rotated, &s.positions, table);
            rope(team, turned, heads, rotated, &s.positions, table);
        }
        let queries = rows * heads * self.head_dim;
        match &self.factors {
            Factors::Apart { keys, .. } => {
                self.take_keys_in(team, keys, s);
                kv.append(team, self.place, spans, &s.k[..rows * self.head_dim], &[]);
            }
            Factors::Together(linear) => {
                self.make_heads(team, linear, s);
                kv.append(team, self.place, spans, &s.k[..queries], &s.latent.values[..queries]);
            }
        }
        let attended = room(&mut s.attended, rows * heads * self.value_dim);
        let scoring = Scoring::scaled(self.scale);
        attention(team, &s.q[..queries], heads, kv, self.place, spans, scoring, attended);
    }

    /// Sets `q` and `latent.whole`.
    fn project(&self, team: &Team, s: &mut Scratch) {
        let rows = s.rows;
        let queries = rows * self.heads * (self.plan.plain + self.plan.rotated);
        let whole = room(&mut s.latent.whole, rows * self.latent.outputs());
        match &self.query {
            Query::Plain(linear) => {
                multiply(team, &s.activations, [(linear, room(&mut s.q, queries)), (&self.latent, whole)]);
            }
            Query::Compressed { down, norm, up } => {
                let inner = room(&mut s.gate, rows * down.outputs());
                multiply(team, &s.activations, [(down, &mut *inner), (&self.latent, whole)]);
                norm.set(team, inner, &[up.ty()], &mut s.activations);
                multiply(team, &s.activations, [(up, room(&mut s.q, queries))]);
            }
        }
    }

    /// Makes queries of latents, and of latents and rotated keys the one head that is cached.
    fn take_keys_in(&self, team: &Team, keys: &MatrixStack, s: &mut Scratch) {
        let LatentPlan { rank, plain, rotated, .. } = self.plan;
        let (rows, heads, width) = (s.rows, self.heads, rank + rotated);
        let latent = &mut s.latent;
        self.by_head(team, keys, &s.q, plain + rotated, rows, &mut s.inner, &mut latent.by_head, &mut latent.whole);
        for_each_row(team, LIGHT, [(room(&mut s.q, rows * heads * width), width)], |index, [q]| {
            let (row, head) = (index / heads, index % heads);
            q[..rank].copy_from_slice(of_row(&latent.whole, rank, head * rows + row));
            q[rank..].copy_from_slice(of_row(&latent.query_turned, rotated, index));
        });
        for_each_row(team, LIGHT, [(room(&mut s.k, rows * width), width)], |row, [key]| {
            key[..rank].copy_from_slice(of_row(&s.v, rank, row));
            key[rank..].copy_from_slice(of_row(&latent.key_turned, rotated, row));
        });
    }

    /// Makes the keys and values of each head of the latents, and puts the rotated parts of queries back.
    fn make_heads(&self, team: &Team, factors: &Linear, s: &mut Scratch) {
        let LatentPlan { rank, plain, rotated, value, .. } = self.plan;
        let (rows, heads, width) = (s.rows, self.heads, plain + rotated);
        s.inner.set(team, &s.v[..rows * rank], rows, rank, &[factors.ty()]);
        let made = room(&mut s.latent.whole, rows * factors.outputs());
        multiply(team, &s.inner, [(factors, made)]);
        let LatentScratch { whole: made, query_turned, key_turned, values, .. } = &mut s.latent;
        let len = rows * heads * width;
        let arrays = [&mut s.q[..len], room(&mut s.k, len), room(values, len)].map(|array| (array, width));
        for_each_row(team, LIGHT, arrays, |index, [q, key, out]| {
            q[plain..].copy_from_slice(of_row(query_turned, rotated, index));
            let made = of_row(made, plain + value, index);
            key[..plain].copy_from_slice(&made[..plain]);
            key[plain..].copy_from_slice(of_row(key_turned, rotated, index / heads));
            out[..value].copy_from_slice(&made[plain..]);
            out[value..].fill(0.0);
        });
    }

    /// The products of the first values of each head, which are `width` apart, with the head's own matrix: `[heads][rows][outputs]`.
    #[allow(clippy::too_many_arguments, reason = "the parts of the scratch memory that it works in")]
    fn by_head(
        &self,
        team: &Team,
        factors: &MatrixStack,
        x: &[f32],
        width: usize,
        rows: usize,
        activations: &mut Activations,
        sorted: &mut Vec<f32>,
        out: &mut Vec<f32>,
    ) {
        let (heads, cols) = (self.heads, factors.cols());
        let sorted = room(sorted, heads * rows * cols);
        for_each_row(team, LIGHT, [(&mut *sorted, cols)], |index, [to]| {
            let (head, row) = (index / rows, index % rows);
            to.copy_from_slice(&of_row(x, width, row * heads + head)[..cols]);
        });
        activations.set(team, sorted, heads * rows, cols, &[factors.weight_type()]);
        let ends: Vec<usize> = (1..=heads).map(|head| head * rows).collect();
        let out = room(out, heads * rows * factors.rows());
        matmul_grouped(team, activations, &ends, &mut [GroupedProduct { weights: factors, bias: None, out }]);
    }

    /// Adds the result to the hidden states of the rows that are left.
    pub(crate) fn finish(&self, team: &Team, s: &mut Scratch) {
        let (rows, heads, value) = (s.rows, self.heads, self.plan.value);
        let result = rows * heads * value;
        match &self.factors {
            Factors::Apart { values, .. } => {
                let latent = &mut s.latent;
                self.by_head(
                    team,
                    values,
                    &s.attended,
                    self.value_dim,
                    rows,
                    &mut s.inner,
                    &mut latent.by_head,
                    &mut latent.whole,
                );
                for_each_row(team, LIGHT, [(room(&mut s.v, result), value)], |index, [to]| {
                    let (row, head) = (index / heads, index % heads);
                    to.copy_from_slice(of_row(&latent.whole, value, head * rows + row));
                });
            }
            Factors::Together(_) => {
                columns(team, &s.attended, self.value_dim, 0..value, room(&mut s.v, result));
            }
        }
        s.activations.set(team, &s.v[..result], rows, heads * value, &[self.output.ty()]);
        multiply(team, &s.activations, [(&self.output, room(&mut s.delta, rows * self.embedding))]);
        self.residual.add(team, s);
    }
}

impl Query {
    /// What meets the input.
    fn first(&self) -> &Linear {
        match self {
            Query::Plain(linear) | Query::Compressed { down: linear, .. } => linear,
        }
    }
}

/// Some columns of rows of `width` values.
fn columns(team: &Team, x: &[f32], width: usize, which: Range<usize>, out: &mut [f32]) {
    for_each_row(team, LIGHT, [(out, which.len())], |row, [out]| {
        out.copy_from_slice(&of_row(x, width, row)[which.clone()]);
    });
}
