//! Decoders whose layers are attention and one feed-forward.

use crate::dims::Dims;
use crate::draft::Draft;

const EPS: f32 = 1e-5;

/// A decoder up to its layers: RMS norms, and rotation of the whole head.
pub(super) fn decoder(architecture: &'static str, d: Dims) -> Draft {
    let mut m = Draft::new(architecture, d);
    m.set("attention.layer_norm_rms_epsilon", EPS);
    m.head_counts();
    m.rope(d.head);
    m.tables(0.7);
    m.norms(&["output_norm"]);
    m
}

/// A decoder up to its layers: norms that take off the mean, without bias.
fn layer_normed(architecture: &'static str, d: Dims) -> Draft {
    let mut m = Draft::new(architecture, d);
    m.set("attention.layer_norm_epsilon", EPS);
    m.head_counts();
    m.rope(d.head);
    m.norms(&["output_norm"]);
    m
}

/// The layers of a Llama, with what `more` adds to each.
pub(super) fn llama_layers(m: &mut Draft, more: fn(&mut Draft)) {
    m.layers(|m, _| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        more(m);
        m.gated();
    });
}

pub(super) fn llama(d: Dims) -> Draft {
    let mut m = decoder("llama", d);
    llama_layers(&mut m, |_| ());
    m
}

pub(super) fn llama3_rope(d: Dims) -> Draft {
    let mut m = llama(d);
    m.rope_factors("rope_freqs", d.head, 8.0);
    m
}

pub(super) fn qwen2(d: Dims) -> Draft {
    let mut m = decoder("qwen2", d);
    llama_layers(&mut m, Draft::qkv_biases);
    m
}

pub(super) fn qwen3(d: Dims) -> Draft {
    let mut m = decoder("qwen3", d);
    llama_layers(&mut m, Draft::head_norms);
    m
}

pub(super) fn hunyuan_dense(d: Dims) -> Draft {
    let mut m = decoder("hunyuan-dense", d);
    llama_layers(&mut m, Draft::head_norms);
    m
}

pub(super) fn ernie4_5(d: Dims) -> Draft {
    let mut m = decoder("ernie4_5", d);
    llama_layers(&mut m, |_| ());
    m
}

pub(super) fn smollm3(d: Dims) -> Draft {
    let mut m = decoder("smollm3", d);
    llama_layers(&mut m, |_| ());
    m
}

pub(super) fn mistral3(d: Dims) -> Draft {
    let mut m = decoder("mistral3", d);
    m.yarn(16.0, 32);
    m.set_floats(&[("rope.scaling.yarn_beta_fast", 32.0), ("rope.scaling.yarn_beta_slow", 1.0)]);
    m.set_floats(&[("rope.scaling.yarn_log_multiplier", 1.0), ("attention.temperature_scale", 0.3)]);
    llama_layers(&mut m, |_| ());
    m
}

/// The scales of Granite, which make its embeddings small and its output large.
pub(super) fn granite_scales(m: &mut Draft) {
    let d = m.dims;
    m.tensors.retain(|tensor| !matches!(tensor.name.as_str(), "token_embd.weight" | "output.weight"));
    m.spread("token_embd", &[d.width, d.vocab], 0.15);
    if !d.tied {
        m.matrix("output", &[d.width, d.vocab], 12.0);
    }
    m.set_floats(&[("embedding_scale", 6.0), ("residual_scale", 0.4), ("attention.scale", 0.09), ("logit_scale", 8.0)]);
}

pub(super) fn granite(d: Dims) -> Draft {
    let mut m = decoder("granite", d);
    granite_scales(&mut m);
    llama_layers(&mut m, |_| ());
    m
}

pub(super) fn minicpm(d: Dims) -> Draft {
    let mut m = decoder("minicpm", d);
    granite_scales(&mut m);
    m.tensors.retain(|tensor| tensor.name != "output.weight");
    m.matrix("output", &[d.width, d.vocab], 0.9);
    m.metadata.retain(|(key, _)| key != "minicpm.attention.scale");
    m.set_floats(&[("residual_scale", 0.8), ("logit_scale", 0.5)]);
    llama_layers(&mut m, |_| ());
    m
}

pub(super) fn olmo2(d: Dims) -> Draft {
    let mut m = decoder("olmo2", d);
    m.layers(|m, _| {
        m.attention();
        m.wide_head_norms();
        m.norms(&["post_attention_norm", "post_ffw_norm"]);
        m.gated();
    });
    m
}

pub(super) fn olmo3(d: Dims) -> Draft {
    let mut m = olmo2(d);
    m.set("attention.sliding_window", d.window as u32);
    m.window_pattern(|layer| layer % 4 != 3);
    m.yarn(8.0, 64);
    m.set("rope.scaling.attn_factor", 1.2f32);
    m
}

pub(super) fn exaone4(d: Dims) -> Draft {
    let mut m = decoder("exaone4", d);
    m.layers(|m, _| {
        m.attention();
        m.head_norms();
        m.norms(&["post_attention_norm", "post_ffw_norm"]);
        m.gated();
    });
    m
}

/// As EXAONE 4 1.2B.
pub(super) fn exaone4_small(d: Dims) -> Draft {
    let mut m = exaone4(d);
    m.rope_factors("rope_freqs", d.head, 8.0);
    m
}

/// As EXAONE 4 32B, which llama.cpp knows by its 64 layers.
pub(super) fn exaone4_large(d: Dims) -> Draft {
    let mut m = exaone4(d);
    m.set("attention.sliding_window", d.window as u32);
    m
}

pub(super) fn glm4(d: Dims) -> Draft {
    let mut m = decoder("glm4", d);
    m.rope(d.head / 2);
    m.layers(|m, _| {
        m.norms(&["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"]);
        m.attention();
        m.qkv_biases();
        m.fused_gated();
    });
    m
}

pub(super) fn seed_oss(d: Dims) -> Draft {
    let mut m = decoder("seed_oss", d);
    m.layers(|m, _| {
        m.norms(&["attn_norm", "post_attention_norm"]);
        m.attention();
        m.qkv_biases();
        m.gated();
    });
    m
}

pub(super) fn phi3(d: Dims) -> Draft {
    let mut m = decoder("phi3", d);
    m.set("rope.scaling.original_context_length", d.context as u32);
    m.set("attention.sliding_window", d.context as u32);
    m.layers(|m, _| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.fused_attention(1.23);
        m.fused_gated();
    });
    m
}

/// `original` is the context up to which the short factors hold.
fn phi3_longrope(d: Dims, original: usize) -> Draft {
    let mut m = phi3(d);
    m.set("rope.scaling.type", "longrope");
    m.set("rope.scaling.original_context_length", original as u32);
    m.set("rope.scaling.attn_factor", 1.19f32);
    m.set("attention.sliding_window", 2048u32);
    m.rope_factors("rope_factors_long", d.head, 24.0);
    m.rope_factors("rope_factors_short", d.head, 2.25);
    m
}

pub(super) fn phi3_longrope_short(d: Dims) -> Draft {
    phi3_longrope(d, 512)
}

pub(super) fn phi3_longrope_long(d: Dims) -> Draft {
    phi3_longrope(d, 64)
}

/// Queries, keys and values come from small states between.
pub(super) fn minicpm3(d: Dims) -> Draft {
    const RANK: usize = 64;
    const TURNED: usize = 16;
    let mut m = decoder("minicpm3", d);
    m.tensors.retain(|tensor| tensor.name == "output_norm.weight");
    m.matrix("token_embd", &[d.width, d.vocab], 0.9);
    m.matrix("output", &[d.width, d.vocab], 0.9);
    let key = d.head + TURNED;
    m.set_all(&[("attention.key_length", key), ("rope.dimension_count", TURNED)]);
    m.set_all(&[("attention.q_lora_rank", RANK), ("attention.kv_lora_rank", RANK)]);
    m.set("rope.scaling.type", "longrope");
    m.set("rope.scaling.original_context_length", d.context as u32);
    m.rope_factors("rope_factors_long", TURNED, 6.0);
    m.rope_factors("rope_factors_short", TURNED, 1.8);
    m.layers(|m, _| {
        m.norms(&["attn_norm", "ffn_norm"]);
        m.matrix("attn_q_a", &[d.width, RANK], 1.0);
        m.norm("attn_q_a_norm", &[RANK]);
        m.matrix("attn_q_b", &[RANK, d.heads * key], 1.3);
        m.matrix("attn_kv_a_mqa", &[d.width, RANK + TURNED], 1.3);
        m.norm("attn_kv_a_norm", &[RANK]);
        m.matrix("attn_kv_b", &[RANK, d.heads * 2 * d.head], 1.0);
        m.attention_output();
        m.gated();
    });
    m
}

pub(super) fn command_r(d: Dims) -> Draft {
    parallel("command-r", d)
}

pub(super) fn cohere2(d: Dims) -> Draft {
    let mut m = parallel("cohere2", d);
    m.set("attention.sliding_window", d.window as u32);
    m
}

/// Both halves read the same, under one norm; a large table is scaled down at the end.
fn parallel(architecture: &'static str, d: Dims) -> Draft {
    let mut m = layer_normed(architecture, d);
    m.set("logit_scale", 0.25f32);
    m.spread("token_embd", &[d.width, d.vocab], 0.6);
    m.layers(|m, _| {
        m.norms(&["attn_norm"]);
        m.attention();
        m.gated();
    });
    m
}

/// A decoder up to its layers: norms with bias.
fn biased(architecture: &'static str, d: Dims) -> Draft {
    let mut m = layer_normed(architecture, d);
    m.tables(0.7);
    m.floats("output_norm.bias", &[d.width], 0.0, 0.1);
    m
}

pub(super) fn starcoder2(d: Dims) -> Draft {
    let mut m = biased("starcoder2", d);
    m.layers(|m, _| {
        m.biased_norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        m.qkv_biases();
        m.bias("attn_output", &[d.width]);
        m.plain();
        m.plain_biases();
    });
    m
}

pub(super) fn nemotron(d: Dims) -> Draft {
    let mut m = biased("nemotron", d);
    m.rope(d.head / 2);
    m.layers(|m, _| {
        m.biased_norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        m.plain();
    });
    m
}

/// As StableLM 2 1.6B.
pub(super) fn stablelm(d: Dims) -> Draft {
    let mut m = biased("stablelm", d);
    m.rope(d.head / 4);
    m.set("use_parallel_residual", false);
    m.layers(|m, _| {
        m.biased_norms(&["attn_norm", "ffn_norm"]);
        m.attention();
        m.qkv_biases();
        m.gated();
    });
    m
}

/// As StableLM 2 12B.
pub(super) fn stablelm_large(d: Dims) -> Draft {
    let mut m = biased("stablelm", d);
    m.rope(d.head / 4);
    m.set("use_parallel_residual", true);
    m.layers(|m, _| {
        m.biased_norms(&["attn_norm"]);
        m.attention();
        m.norm("attn_q_norm", &[d.head, d.heads]);
        m.norm("attn_k_norm", &[d.head, d.kv_heads]);
        m.gated();
    });
    m
}
