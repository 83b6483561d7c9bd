//! Gemma and what came of it: norms around both halves, windows, and a table that is also the output.

use parkade_model::gguf::{Array, Value};

use crate::dims::Dims;
use crate::draft::Draft;
use crate::parts::numbers;

/// The base of the rotation where attention slides.
const WINDOW_BASE: f32 = 10_000.0;
const ALL_NORMS: &[&str] = &["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"];

/// A Gemma up to its layers.
fn gemma(architecture: &'static str, d: Dims) -> Draft {
    let mut m = Draft::new(architecture, d);
    m.set("attention.layer_norm_rms_epsilon", 1e-5f32);
    m.head_counts();
    m.rope(d.head);
    m.set("attention.sliding_window", d.window as u32);
    m.matrix("token_embd", &[d.width, d.vocab], 1.6);
    m.norms(&["output_norm"]);
    m
}

pub(super) fn gemma2(d: Dims) -> Draft {
    let mut m = gemma("gemma2", d);
    // Real ones have 50 and 30, which would not be felt here.
    m.set_floats(&[("attn_logit_softcapping", 4.0), ("final_logit_softcapping", 6.0)]);
    m.layers(|m, _| {
        m.norms(ALL_NORMS);
        // Scores are large enough for their soft cap.
        m.attention_of(1.6);
        m.gated();
    });
    m
}

fn gemma3_layers(m: &mut Draft) {
    m.set("rope.freq_base_swa", WINDOW_BASE);
    m.layers(|m, _| {
        m.norms(ALL_NORMS);
        m.attention();
        m.head_norms();
        m.gated();
    });
}

pub(super) fn gemma3(d: Dims) -> Draft {
    let mut m = gemma("gemma3", d);
    gemma3_layers(&mut m);
    m
}

/// As Gemma 3 from 4B up: a stretched rotation, and here a pattern of its own and a soft cap too.
pub(super) fn gemma3_ropescale(d: Dims) -> Draft {
    let mut m = gemma3(d);
    m.set("rope.scaling.type", "linear");
    m.set("rope.scaling.factor", 8.0f32);
    m.window_pattern(|layer| layer % 2 == 0);
    m.set("final_logit_softcapping", 6.0f32);
    m
}

/// As Gemma 3 from 4B up.
pub(super) fn gemma3_real(d: Dims) -> Draft {
    let mut m = gemma3(d);
    m.set("rope.scaling.type", "linear");
    m.set("rope.scaling.factor", 8.0f32);
    m
}

/// EmbeddingGemma: attention both ways, and two matrices behind the pooling.
pub(super) fn gemma_embedding(d: Dims) -> Draft {
    let mut m = gemma("gemma-embedding", d);
    gemma3_layers(&mut m);
    m.set("pooling_type", 1u32);
    m.set("attention.causal", false);
    m.set("attention.sliding_window_pattern", 2u32);
    m.set_all(&[("dense_2_feat_in", d.width), ("dense_2_feat_out", 2 * d.width)]);
    m.set_all(&[("dense_3_feat_in", 2 * d.width), ("dense_3_feat_out", d.width)]);
    m.matrix("dense_2", &[d.width, 2 * d.width], 1.0);
    m.matrix("dense_3", &[2 * d.width, d.width], 1.0);
    m
}

/// Several streams of hidden states, embeddings of each layer's own, and keys and values that later layers share.
pub(super) fn gemma3n(d: Dims) -> Draft {
    const STREAMS: usize = 4;
    const OWN: usize = 256;
    const SMALL: usize = 64;
    let mut m = gemma("gemma3n", d);
    m.set("attention.layer_norm_rms_epsilon", 1e-6f32);
    m.set("rope.freq_base_swa", WINDOW_BASE);
    m.window_pattern(|layer| layer % 5 != 4 && layer + 1 != d.layers);
    m.set_all(&[("embedding_length_per_layer_input", OWN), ("attention.shared_kv_layers", d.layers - 20)]);
    m.set_all(&[("altup.active_idx", 0), ("altup.num_inputs", STREAMS)]);
    m.tensors.retain(|tensor| tensor.name == "output_norm.weight");
    m.spread("token_embd", &[d.width, d.vocab], 0.2);
    let each = 1.0 / (d.width as f32).sqrt();
    m.floats("altup_proj.weight", &[d.width, d.width, STREAMS - 1], 0.0, each);
    m.floats("altup_unembd_proj.weight", &[d.width, d.width, STREAMS - 1], 0.0, each);
    m.spread("per_layer_token_embd", &[OWN * d.layers, d.vocab], 0.1);
    m.floats("per_layer_model_proj.weight", &[d.width, OWN * d.layers], 0.0, each);
    m.norm("per_layer_proj_norm", &[OWN]);
    m.layers(|m, _| {
        m.norms(&["attn_norm", "ffn_norm", "altup_router_norm"]);
        for name in ["post_attention_norm", "post_ffw_norm", "post_norm", "laurel_post_norm"] {
            m.floats(&format!("{name}.weight"), &[d.width], 0.3, 0.05);
        }
        m.attention();
        m.head_norms();
        m.gated();
        m.floats("laurel_l.weight", &[d.width, SMALL], 0.0, each);
        m.floats("laurel_r.weight", &[SMALL, d.width], 0.0, 0.125);
        m.floats("altup_correct_coef.weight", &[STREAMS, STREAMS], 0.0, 0.1);
        m.floats("altup_correct_scale.weight", &[d.width], 1.0, 0.2);
        m.floats("altup_predict_coef.weight", &[STREAMS, STREAMS * STREAMS], 0.0, 0.05);
        m.floats("altup_router.weight", &[d.width, STREAMS], 0.0, each);
        m.matrix("inp_gate", &[d.width, OWN], 1.0);
        m.matrix("proj", &[OWN, d.width], 1.0);
    });
    m
}

/// Whether a layer of the small Gemma 4 attends to a window.
fn slides(layer: usize) -> bool {
    layer != 3 && layer != 5
}

/// A Gemma 4 up to its layers. Full layers have wider heads, of which a part turns.
fn gemma4_of(d: Dims, kv_heads: [usize; 2]) -> Draft {
    let mut m = gemma("gemma4", d);
    m.set("attention.layer_norm_rms_epsilon", 1e-6f32);
    m.set_all(&[("attention.key_length", 2 * d.head), ("attention.value_length", 2 * d.head)]);
    m.set_all(&[("attention.key_length_swa", d.head), ("attention.value_length_swa", d.head)]);
    m.set_all(&[("rope.dimension_count", 2 * d.head), ("rope.dimension_count_swa", d.head)]);
    m.set("rope.freq_base_swa", WINDOW_BASE);
    m.set("attention.head_count_kv", numbers((0..d.layers).map(|layer| kv_heads[usize::from(!slides(layer))])));
    m.set("attention.sliding_window_pattern", Value::Array(Array::Bool((0..d.layers).map(slides).collect())));
    m.set("final_logit_softcapping", 6.0f32);
    m.tensors.retain(|tensor| tensor.name == "output_norm.weight");
    m.spread("token_embd", &[d.width, d.vocab], 0.2);
    // The last three quarters do not turn.
    let factors = (0..d.head).map(|at| if at < d.head / 4 { 1.0 } else { 1e30 }).collect();
    m.values("rope_freqs.weight", factors);
    m
}

/// Attention of a layer with heads of its width; without values the keys are the values, and without keys an earlier layer has both.
fn gemma4_attention(m: &mut Draft, layer: usize, kv_heads: [usize; 2], has_keys: bool, has_values: bool) {
    let d = m.dims;
    let (head, kv_heads) = if slides(layer) { (d.head, kv_heads[0]) } else { (2 * d.head, kv_heads[1]) };
    m.matrix("attn_q", &[d.width, d.heads * head], 1.0);
    m.norm("attn_q_norm", &[head]);
    if has_keys {
        m.matrix("attn_k", &[d.width, kv_heads * head], 1.0);
        m.norm("attn_k_norm", &[head]);
    }
    if has_values {
        m.matrix("attn_v", &[d.width, kv_heads * head], 1.0);
    }
    m.matrix("attn_output", &[d.heads * head, d.width], 1.0);
    m.floats("layer_output_scale.weight", &[1], 0.95, 0.1);
}

/// As Gemma 4 E2B: embeddings of each layer's own; the last two layers share keys and values and are wider.
pub(super) fn gemma4(d: Dims) -> Draft {
    const OWN: usize = 32;
    const SHARING: usize = 2;
    let mut m = gemma4_of(d, [1, 1]);
    let ffn = |layer| if layer + SHARING < d.layers { d.ffn } else { 3 * d.ffn / 2 };
    m.set("feed_forward_length", numbers((0..d.layers).map(ffn)));
    m.set_all(&[("attention.shared_kv_layers", SHARING), ("embedding_length_per_layer_input", OWN)]);
    m.spread("per_layer_token_embd", &[OWN * d.layers, d.vocab], 0.3);
    m.floats("per_layer_model_proj.weight", &[d.width, OWN * d.layers], 0.0, 1.0 / (d.width as f32).sqrt());
    m.norm("per_layer_proj_norm", &[OWN]);
    m.layers(|m, layer| {
        m.norms(ALL_NORMS);
        m.norms(&["post_norm"]);
        let own = layer + SHARING < d.layers;
        gemma4_attention(m, layer, [1, 1], own, own);
        m.gated_of(ffn(layer));
        m.matrix("inp_gate", &[d.width, OWN], 1.0);
        m.matrix("proj", &[OWN, d.width], 1.0);
    });
    m
}

/// As Gemma 4 26B-A4B: experts beside a dense feed-forward; full layers have no values.
pub(super) fn gemma4_moe(d: Dims) -> Draft {
    let mut m = gemma4_of(d, [2, 1]);
    m.set_all(&[("attention.shared_kv_layers", 0), ("embedding_length_per_layer_input", 0)]);
    m.expert_counts();
    m.layers(|m, layer| {
        m.norms(ALL_NORMS);
        m.norms(&["post_ffw_norm_1", "post_ffw_norm_2", "pre_ffw_norm_2"]);
        gemma4_attention(m, layer, [2, 1], true, slides(layer));
        m.gated();
        m.router();
        m.floats("ffn_gate_inp.scale", &[d.width], 1.0, 0.2);
        m.matrix("ffn_gate_up_exps", &[d.width, 2 * d.expert_ffn, d.experts], 1.0);
        m.matrix("ffn_down_exps", &[d.expert_ffn, d.width, d.experts], 1.2);
        m.floats("ffn_down_exps.scale", &[d.experts], 1.0, 0.2);
    });
    m
}
