//! Decoders with mixtures of experts.

use super::dense::{decoder, granite_scales};
use crate::dims::Dims;
use crate::draft::Draft;

/// How a router makes weights of its scores.
const SOFTMAX: u32 = 1;
const SIGMOID: u32 = 2;

/// A decoder with experts up to its layers.
fn mixture(architecture: &'static str, d: Dims) -> Draft {
    let mut m = decoder(architecture, d);
    m.expert_counts();
    m
}

/// How weights of experts are made: by what function, whether they add up to 1, and their factor.
fn routing(m: &mut Draft, function: u32, normalised: bool, scale: f32) {
    m.set("expert_gating_func", function);
    m.set("expert_weights_norm", normalised);
    m.set("expert_weights_scale", scale);
}

/// As Mixtral.
pub(super) fn llama_moe(d: Dims) -> Draft {
    let mut m = decoder("llama", d);
    m.set_all(&[("expert_count", d.experts), ("expert_used_count", d.used)]);
    m.layers(|m, _| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        m.experts();
    });
    m
}

pub(super) fn qwen2moe(d: Dims) -> Draft {
    let mut m = mixture("qwen2moe", d);
    m.set("expert_shared_feed_forward_length", d.shared_ffn as u32);
    m.layers(|m, _| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        m.qkv_biases();
        m.experts();
        m.shared_gate();
        m.shared_expert();
    });
    m
}

pub(super) fn qwen3moe(d: Dims) -> Draft {
    let mut m = mixture("qwen3moe", d);
    m.layers(|m, _| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        m.head_norms();
        m.experts();
    });
    m
}

pub(super) fn olmoe(d: Dims) -> Draft {
    let mut m = decoder("olmoe", d);
    m.set_all(&[("expert_count", d.experts), ("expert_used_count", d.used)]);
    m.layers(|m, _| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        m.wide_head_norms();
        m.experts();
    });
    m
}

pub(super) fn granitemoe(d: Dims) -> Draft {
    let mut m = decoder("granitemoe", d);
    granite_scales(&mut m);
    m.set_all(&[("expert_count", d.experts), ("expert_used_count", d.used)]);
    if d.shared_ffn > 0 {
        m.set("expert_shared_feed_forward_length", d.shared_ffn as u32);
    }
    m.layers(|m, _| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        m.experts();
        if d.shared_ffn > 0 {
            m.shared_expert();
        }
    });
    m
}

/// The second half of a layer: a dense feed-forward in front, then experts with a selection bias and shared ones.
fn chosen(m: &mut Draft, layer: usize) {
    if layer < m.dims.dense {
        return m.gated();
    }
    m.experts();
    m.selection_bias();
    m.shared_expert();
}

pub(super) fn ernie4_5_moe(d: Dims) -> Draft {
    let mut m = mixture("ernie4_5-moe", d);
    m.set("expert_shared_feed_forward_length", d.shared_ffn as u32);
    m.set_all(&[("leading_dense_block_count", d.dense), ("interleave_moe_layer_step", 1)]);
    m.layers(|m, layer| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        chosen(m, layer);
    });
    m
}

pub(super) fn dots1(d: Dims) -> Draft {
    let mut m = mixture("dots1", d);
    m.set_all(&[("expert_shared_count", 2), ("leading_dense_block_count", d.dense)]);
    routing(&mut m, SIGMOID, true, 2.5);
    m.layers(|m, layer| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        m.head_norms();
        chosen(m, layer);
    });
    m
}

pub(super) fn bailingmoe2(d: Dims) -> Draft {
    let mut m = mixture("bailingmoe2", d);
    m.rope(d.head / 2);
    m.set("expert_shared_feed_forward_length", d.shared_ffn as u32);
    m.set_all(&[("expert_shared_count", 1), ("leading_dense_block_count", d.dense)]);
    m.set_all(&[("expert_group_count", 4), ("expert_group_used_count", 2)]);
    routing(&mut m, SIGMOID, true, 2.5);
    m.layers(|m, layer| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.fused_attention(1.23);
        m.head_norms();
        chosen(m, layer);
    });
    m
}

/// The last layer guesses tokens ahead, and is none of the model.
pub(super) fn glm4moe(d: Dims) -> Draft {
    let mut m = mixture("glm4moe", d);
    m.rope(d.head / 2);
    m.set_all(&[("expert_shared_count", 1), ("leading_dense_block_count", d.dense), ("nextn_predict_layers", 1)]);
    routing(&mut m, SIGMOID, true, 1.5);
    m.layers(|m, layer| {
        m.norms(&["attn_norm", "post_attention_norm"]);
        m.attention();
        m.qkv_biases();
        m.head_norms();
        chosen(m, layer);
        if layer == d.layers - 1 {
            m.matrix("nextn.eh_proj", &[2 * d.width, d.width], 1.0);
            m.norms(&["nextn.enorm", "nextn.hnorm", "nextn.shared_head_norm"]);
        }
    });
    m
}

pub(super) fn llama4(d: Dims) -> Draft {
    let mut m = mixture("llama4", d);
    m.set("interleave_moe_layer_step", 2u32);
    m.rope_factors("rope_freqs", d.head, 16.0);
    m.layers(|m, layer| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        if layer % 2 == 0 {
            return m.gated();
        }
        m.experts();
        m.shared_expert();
    });
    m
}

pub(super) fn gpt_oss(d: Dims) -> Draft {
    let mut m = mixture("gpt-oss", d);
    m.set("attention.sliding_window", d.window as u32);
    // The original context is a 32nd of what YaRN reaches, and short enough in tiny models to matter.
    m.yarn(32.0, if d.context > 4096 { 4096 } else { 64 });
    m.layers(|m, _| {
        m.norms(&["attn_norm", "post_attention_norm"]);
        m.attention();
        m.qkv_biases();
        m.bias("attn_output", &[d.width]);
        m.floats("attn_sinks.weight", &[d.heads], 1.0, 1.0);
        m.experts();
        m.bias("ffn_gate_inp", &[d.experts]);
        m.bias("ffn_gate_exps", &[d.expert_ffn, d.experts]);
        m.bias("ffn_up_exps", &[d.expert_ffn, d.experts]);
        m.bias("ffn_down_exps", &[d.width, d.experts]);
    });
    m
}

/// The small states of latent attention, and how keys and values come out of them.
struct Latent {
    /// Values in the state of keys and values, and in that of queries if there is one.
    kv: usize,
    queries: Option<usize>,
    /// Values of a head that are turned.
    turned: usize,
    /// Whether keys and values are two tensors, as newer files have them.
    split: bool,
}

impl Latent {
    fn set(&self, m: &mut Draft) {
        let (d, key) = (m.dims, m.dims.head + self.turned);
        m.set_all(&[("rope.dimension_count", self.turned), ("attention.kv_lora_rank", self.kv)]);
        m.set_all(&[("attention.key_length", key), ("attention.value_length", d.head)]);
        if let Some(queries) = self.queries {
            m.set("attention.q_lora_rank", queries as u32);
        }
        if self.split {
            m.set_all(&[("attention.key_length_mla", key), ("attention.value_length_mla", d.head)]);
            m.set_all(&[("attention.head_count_kv", 1)]);
            if self.queries.is_some() {
                m.set_all(&[("attention.key_length", self.kv + self.turned), ("attention.value_length", self.kv)]);
            }
        }
    }

    fn attention(&self, m: &mut Draft) {
        let (d, key) = (m.dims, m.dims.head + self.turned);
        match self.queries {
            Some(queries) => {
                m.matrix("attn_q_a", &[d.width, queries], 1.0);
                m.norm("attn_q_a_norm", &[queries]);
                m.matrix("attn_q_b", &[queries, d.heads * key], 1.3);
            }
            None => m.matrix("attn_q", &[d.width, d.heads * key], 1.3),
        }
        m.matrix("attn_kv_a_mqa", &[d.width, self.kv + self.turned], 1.3);
        m.norm("attn_kv_a_norm", &[self.kv]);
        if self.split {
            m.spread("attn_k_b", &[d.head, self.kv, d.heads], 1.0 / (self.kv as f32).sqrt());
            m.matrix("attn_v_b", &[self.kv, d.head, d.heads], 1.0);
        } else {
            m.matrix("attn_kv_b", &[self.kv, d.heads * 2 * d.head], 1.0);
        }
        m.attention_output();
    }
}

fn deepseek2(d: Dims, latent: &Latent) -> Draft {
    let mut m = mixture("deepseek2", d);
    latent.set(&mut m);
    m.set_all(&[("leading_dense_block_count", d.dense), ("expert_shared_count", d.shared_ffn / d.expert_ffn)]);
    m.layers(|m, layer| {
        m.norms(&["attn_norm", "ffn_norm"]);
        latent.attention(m);
        if layer < d.dense {
            return m.gated();
        }
        m.experts();
        if latent.queries.is_some() {
            m.selection_bias();
        }
        m.shared_expert();
    });
    m
}

fn deepseek_yarn(m: &mut Draft, original: usize) {
    m.yarn(40.0, original);
    m.set("rope.scaling.yarn_log_multiplier", 0.0707f32);
}

/// As DeepSeek V3.
pub(super) fn deepseek3(d: Dims) -> Draft {
    let mut m = deepseek2(d, &Latent { kv: 64, queries: Some(64), turned: 16, split: true });
    routing(&mut m, SIGMOID, true, 2.5);
    m.set_all(&[("expert_group_count", 4), ("expert_group_used_count", 2)]);
    deepseek_yarn(&mut m, 64);
    m
}

/// As older files hold DeepSeek V2 Lite, which llama.cpp knows by its 27 layers.
pub(super) fn deepseek2_lite(d: Dims) -> Draft {
    let mut m = deepseek2(d, &Latent { kv: 32, queries: None, turned: 16, split: false });
    routing(&mut m, SOFTMAX, false, 1.0);
    deepseek_yarn(&mut m, 64);
    m
}

/// The same with real dimensions, as newer files hold it.
pub(super) fn deepseek2_lite_real(d: Dims) -> Draft {
    let mut m = deepseek2(d, &Latent { kv: 512, queries: None, turned: 64, split: true });
    m.set_all(&[("attention.key_length", 512 + 64), ("attention.value_length", 512)]);
    routing(&mut m, SOFTMAX, false, 1.0);
    deepseek_yarn(&mut m, 4096);
    m
}

/// DeepSeek V2 Lite as newer files hold it, with 26 layers.
pub(super) fn deepseek2_lite_mla(d: Dims) -> Draft {
    let mut m = deepseek2(d, &Latent { kv: 32, queries: None, turned: 16, split: true });
    routing(&mut m, SOFTMAX, true, 1.3);
    m
}
