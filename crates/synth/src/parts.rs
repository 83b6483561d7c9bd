//! What models are made of.

use parkade_model::gguf::{Array, Value};

use crate::draft::Draft;

/// Gain of the matrices for queries and keys, so that attention chooses.
const CHOOSING: f32 = 1.3;
/// Gain of the matrix behind a product of two.
const DOWN: f32 = 1.2;

impl Draft {
    /// Numbers of heads and of values in them.
    pub(crate) fn head_counts(&mut self) {
        let d = self.dims;
        self.set_all(&[("attention.head_count", d.heads), ("attention.head_count_kv", d.kv_heads)]);
        self.set_all(&[("attention.key_length", d.head), ("attention.value_length", d.head)]);
    }

    /// Rotation of `turned` values of each head.
    pub(crate) fn rope(&mut self, turned: usize) {
        let base = self.dims.base;
        self.set("rope.dimension_count", turned as u32);
        self.set("rope.freq_base", base);
    }

    /// Rotation that is stretched by YaRN.
    pub(crate) fn yarn(&mut self, factor: f32, original: usize) {
        self.set("rope.scaling.type", "yarn");
        self.set("rope.scaling.factor", factor);
        self.set("rope.scaling.original_context_length", original as u32);
    }

    /// Frequency factors of the rotation, from 1 up to `most`.
    pub(crate) fn rope_factors(&mut self, name: &str, turned: usize, most: f32) {
        let steps = (turned / 2 - 1).max(1) as f32;
        let values = (0..turned / 2).map(|at| 1.0 + (most - 1.0) * at as f32 / steps).collect();
        self.values(&format!("{name}.weight"), values);
    }

    /// Embedding table and, where it is not tied, the output; `deviation` is that of embeddings that are not also the output.
    pub(crate) fn tables(&mut self, deviation: f32) {
        let d = self.dims;
        if d.tied {
            return self.matrix("token_embd", &[d.width, d.vocab], 1.8);
        }
        self.spread("token_embd", &[d.width, d.vocab], deviation);
        self.matrix("output", &[d.width, d.vocab], 1.8);
    }

    /// One matrix each for queries, keys, values and the output of attention.
    pub(crate) fn attention(&mut self) {
        self.attention_of(CHOOSING);
    }

    /// The same with another gain for queries and keys.
    pub(crate) fn attention_of(&mut self, gain: f32) {
        let d = self.dims;
        self.matrix("attn_q", &[d.width, d.heads * d.head], gain);
        self.matrix("attn_k", &[d.width, d.kv_heads * d.head], gain);
        self.matrix("attn_v", &[d.width, d.kv_heads * d.head], 1.0);
        self.attention_output();
    }

    /// Queries, keys and values in one matrix.
    pub(crate) fn fused_attention(&mut self, gain: f32) {
        let d = self.dims;
        self.matrix("attn_qkv", &[d.width, (d.heads + 2 * d.kv_heads) * d.head], gain);
        self.attention_output();
    }

    /// The matrix behind attention.
    pub(crate) fn attention_output(&mut self) {
        let d = self.dims;
        self.matrix("attn_output", &[d.heads * d.head, d.width], 1.0);
    }

    /// Biases of queries, keys and values.
    pub(crate) fn qkv_biases(&mut self) {
        let d = self.dims;
        self.bias("attn_q", &[d.heads * d.head]);
        self.bias("attn_k", &[d.kv_heads * d.head]);
        self.bias("attn_v", &[d.kv_heads * d.head]);
    }

    /// Norms of each head of queries and keys.
    pub(crate) fn head_norms(&mut self) {
        let head = self.dims.head;
        self.norm("attn_q_norm", &[head]);
        self.norm("attn_k_norm", &[head]);
    }

    /// Norms over all queries and all keys.
    pub(crate) fn wide_head_norms(&mut self) {
        let d = self.dims;
        self.norm("attn_q_norm", &[d.heads * d.head]);
        self.norm("attn_k_norm", &[d.kv_heads * d.head]);
    }

    /// A feed-forward with a gate.
    pub(crate) fn gated(&mut self) {
        self.gated_of(self.dims.ffn);
    }

    /// A feed-forward with a gate, of another width.
    pub(crate) fn gated_of(&mut self, ffn: usize) {
        let width = self.dims.width;
        self.matrix("ffn_gate", &[width, ffn], 1.0);
        self.matrix("ffn_up", &[width, ffn], 1.0);
        self.matrix("ffn_down", &[ffn, width], DOWN);
    }

    /// A feed-forward with gate and up in one matrix.
    pub(crate) fn fused_gated(&mut self) {
        let d = self.dims;
        self.matrix("ffn_up", &[d.width, 2 * d.ffn], 1.0);
        self.matrix("ffn_down", &[d.ffn, d.width], DOWN);
    }

    /// A feed-forward without a gate.
    pub(crate) fn plain(&mut self) {
        let d = self.dims;
        self.matrix("ffn_up", &[d.width, d.ffn], 1.0);
        self.matrix("ffn_down", &[d.ffn, d.width], DOWN);
    }

    /// Biases of a feed-forward without a gate.
    pub(crate) fn plain_biases(&mut self) {
        let d = self.dims;
        self.bias("ffn_up", &[d.ffn]);
        self.bias("ffn_down", &[d.width]);
    }

    /// Numbers of experts and their width.
    pub(crate) fn expert_counts(&mut self) {
        let d = self.dims;
        self.set_all(&[("expert_count", d.experts), ("expert_used_count", d.used)]);
        self.set("expert_feed_forward_length", d.expert_ffn as u32);
    }

    /// A router and its experts.
    pub(crate) fn experts(&mut self) {
        let d = self.dims;
        self.router();
        self.matrix("ffn_gate_exps", &[d.width, d.expert_ffn, d.experts], 1.0);
        self.matrix("ffn_up_exps", &[d.width, d.expert_ffn, d.experts], 1.0);
        self.matrix("ffn_down_exps", &[d.expert_ffn, d.width, d.experts], DOWN);
    }

    /// The matrix that scores experts.
    pub(crate) fn router(&mut self) {
        let d = self.dims;
        self.floats("ffn_gate_inp.weight", &[d.width, d.experts], 0.0, 1.5 / (d.width as f32).sqrt());
    }

    /// What is added to scores of experts to choose among them.
    pub(crate) fn selection_bias(&mut self) {
        self.floats("exp_probs_b.bias", &[self.dims.experts], 0.0, 0.15);
    }

    /// Experts that every token has.
    pub(crate) fn shared_expert(&mut self) {
        let d = self.dims;
        self.matrix("ffn_gate_shexp", &[d.width, d.shared_ffn], 1.0);
        self.matrix("ffn_up_shexp", &[d.width, d.shared_ffn], 1.0);
        self.matrix("ffn_down_shexp", &[d.shared_ffn, d.width], DOWN);
    }

    /// The gate of shared experts.
    pub(crate) fn shared_gate(&mut self) {
        let width = self.dims.width;
        self.floats("ffn_gate_inp_shexp.weight", &[width], 0.0, 1.4 / (width as f32).sqrt());
    }

    /// Which layers attend to a window only, layer by layer.
    pub(crate) fn window_pattern(&mut self, slides: impl Fn(usize) -> bool) {
        let pattern: Vec<bool> = (0..self.dims.layers).map(slides).collect();
        self.set("attention.sliding_window_pattern", Value::Array(Array::Bool(pattern)));
    }
}

/// An array of numbers.
pub(crate) fn numbers(values: impl IntoIterator<Item = usize>) -> Value {
    Value::Array(Array::I32(values.into_iter().map(|value| i32::try_from(value).unwrap_or(i32::MAX)).collect()))
}
