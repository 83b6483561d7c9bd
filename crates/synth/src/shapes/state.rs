//! Models with layers that carry a state from token to token.

use super::dense::{decoder, granite_scales};
use crate::dims::Dims;
use crate::draft::Draft;
use crate::parts::numbers;

/// Mamba 2: heads of a state space, in groups that share inputs.
struct Mamba {
    inner: usize,
    state: usize,
    heads: usize,
    groups: usize,
}

impl Mamba {
    fn set(&self, m: &mut Draft) {
        m.set_all(&[("ssm.conv_kernel", 4), ("ssm.inner_size", self.inner), ("ssm.state_size", self.state)]);
        m.set_all(&[("ssm.time_step_rank", self.heads), ("ssm.group_count", self.groups)]);
    }

    /// What the convolution sees.
    fn convolved(&self) -> usize {
        self.inner + 2 * self.groups * self.state
    }

    fn layer(&self, m: &mut Draft) {
        let width = m.dims.width;
        m.matrix("ssm_in", &[width, self.inner + self.convolved() + self.heads], 1.2);
        m.floats("ssm_conv1d.weight", &[4, self.convolved()], 0.0, 0.6);
        m.bias("ssm_conv1d", &[self.convolved()]);
        m.floats("ssm_dt.bias", &[self.heads], -1.2, 0.6);
        m.between("ssm_a", &[1, self.heads], -2.0, -0.25);
        m.floats("ssm_d", &[1, self.heads], 1.0, 0.2);
        m.matrix("ssm_out", &[self.inner, width], 1.0);
    }
}

pub(super) fn mamba2(d: Dims) -> Draft {
    let mamba = Mamba { inner: 2 * d.width, state: 32, heads: 4, groups: 2 };
    let mut m = Draft::new("mamba2", d);
    m.set("attention.layer_norm_rms_epsilon", 1e-5f32);
    mamba.set(&mut m);
    m.tables(0.7);
    m.norms(&["output_norm"]);
    m.layers(|m, _| {
        m.norms(&["attn_norm"]);
        mamba.layer(m);
        m.norm("ssm_norm", &[mamba.inner / mamba.groups, mamba.groups]);
    });
    m
}

/// Attention and Mamba 2 side by side in each layer.
pub(super) fn falcon_h1(d: Dims) -> Draft {
    let mamba = Mamba { inner: 3 * d.width / 2, state: 32, heads: 6, groups: 1 };
    let mut m = decoder("falcon-h1", d);
    mamba.set(&mut m);
    m.layers(|m, _| {
        m.norms(&["attn_norm"]);
        m.attention();
        mamba.layer(m);
        // Its name has no end.
        m.floats("ffn_norm", &[d.width], 1.0, 0.15);
        m.gated();
    });
    m
}

/// As Granite 4: Mamba 2, and attention without rotation on the second layer.
pub(super) fn granite_hybrid(d: Dims) -> Draft {
    let mamba = Mamba { inner: 2 * d.width, state: 32, heads: 8, groups: 1 };
    let mut m = decoder("granitehybrid", d);
    granite_scales(&mut m);
    mamba.set(&mut m);
    m.metadata.retain(|(key, _)| !key.ends_with(".attention.key_length") && !key.ends_with(".attention.value_length"));
    m.set("attention.head_count_kv", numbers((0..d.layers).map(|layer| if layer == 1 { d.kv_heads } else { 0 })));
    m.set("rope.scaling.finetuned", false);
    if d.experts > 0 {
        m.set_all(&[("expert_count", d.experts), ("expert_used_count", d.used)]);
        m.set("expert_shared_feed_forward_length", d.shared_ffn as u32);
    }
    m.layers(|m, layer| {
        m.norms(&["attn_norm", "ffn_norm"]);
        if layer == 1 {
            m.attention();
        } else {
            mamba.layer(m);
            m.norm("ssm_norm", &[mamba.inner]);
        }
        if d.experts == 0 {
            return m.gated();
        }
        m.experts();
        m.shared_expert();
    });
    m
}

/// An LFM 2: short convolutions, attention on the layers that `attends` names.
fn short_convolutions(architecture: &'static str, d: Dims, attends: fn(usize) -> bool) -> Draft {
    const TAPS: usize = 3;
    let mut m = Draft::new(architecture, d);
    m.set("attention.layer_norm_rms_epsilon", 1e-5f32);
    m.set("attention.head_count", d.heads as u32);
    m.set("attention.head_count_kv", numbers((0..d.layers).map(|layer| if attends(layer) { d.kv_heads } else { 0 })));
    m.set("rope.freq_base", d.base);
    m.set("shortconv.l_cache", TAPS as u32);
    m.tables(0.7);
    // The norm at the end, by its old name.
    m.norms(&["token_embd_norm"]);
    m.layers(|m, layer| {
        m.norms(&["attn_norm", "ffn_norm"]);
        if attends(layer) {
            m.attention();
            m.head_norms();
        } else {
            m.matrix("shortconv.in_proj", &[d.width, 3 * d.width], 1.0);
            m.floats("shortconv.conv.weight", &[TAPS, d.width], 0.0, 0.6);
            m.matrix("shortconv.out_proj", &[d.width, d.width], 1.3);
        }
        if d.experts == 0 || layer < d.dense {
            return m.gated();
        }
        m.experts();
        m.selection_bias();
    });
    m
}

pub(super) fn lfm2(d: Dims) -> Draft {
    short_convolutions("lfm2", d, |layer| layer == 2 || layer == 4)
}

pub(super) fn lfm2moe(d: Dims) -> Draft {
    let mut m = short_convolutions("lfm2moe", d, |layer| layer == 2);
    m.expert_counts();
    m.set_all(&[("leading_dense_block_count", d.dense), ("expert_gating_func", 2)]);
    m
}

/// Gated delta nets on three of four layers; attention on the fourth has a gate for its output. How the gates of the
/// delta net lie in the file differs.
fn delta_net(architecture: &'static str, d: Dims, turned: usize, gates: &[(&str, usize)]) -> Draft {
    const HEADS: usize = 4;
    const GROUPS: usize = 2;
    let inner = HEADS * d.head;
    let convolved = inner + 2 * GROUPS * d.head;
    let mut m = decoder(architecture, d);
    m.set("attention.layer_norm_rms_epsilon", 1e-6f32);
    m.rope(turned);
    m.set_all(&[("ssm.conv_kernel", 4), ("ssm.inner_size", inner), ("ssm.state_size", d.head)]);
    m.set_all(&[("ssm.time_step_rank", HEADS), ("ssm.group_count", GROUPS), ("full_attention_interval", 4)]);
    m.layers(|m, layer| {
        m.norms(&["attn_norm", "post_attention_norm"]);
        if layer % 4 == 3 {
            m.attention();
            m.tensors.retain(|tensor| tensor.name != format!("blk.{layer}.attn_q.weight"));
            m.matrix("attn_q", &[d.width, 2 * d.heads * d.head], 1.3);
            m.head_norms();
        } else {
            m.matrix("attn_qkv", &[d.width, convolved], 1.2);
            m.matrix("attn_gate", &[d.width, inner], 1.0);
            gates.iter().for_each(|&(name, outputs)| m.matrix(name, &[d.width, outputs * HEADS], 1.2));
            m.floats("ssm_conv1d.weight", &[4, convolved], 0.0, 0.6);
            m.floats("ssm_dt.bias", &[HEADS], -1.0, 0.6);
            m.between("ssm_a", &[HEADS], -2.0, -0.25);
            m.norm("ssm_norm", &[d.head]);
            m.matrix("ssm_out", &[inner, d.width], 1.2);
        }
        if d.shared_ffn == 0 {
            return m.gated();
        }
        m.experts();
        m.shared_gate();
        m.shared_expert();
    });
    if d.shared_ffn > 0 {
        m.expert_counts();
        m.set("expert_shared_feed_forward_length", d.shared_ffn as u32);
    }
    m
}

pub(super) fn qwen3next(d: Dims) -> Draft {
    delta_net("qwen3next", d, d.head / 4, &[("ssm_ba", 2)])
}

/// As older files hold it: what is convolved and the gates of the output are one matrix.
pub(super) fn qwen3next_fused(d: Dims) -> Draft {
    let mut m = qwen3next(d);
    let gates = m.tensors.extract_if(.., |tensor| tensor.name.ends_with("attn_gate.weight")).collect::<Vec<_>>();
    let mixed = m.tensors.iter_mut().filter(|tensor| tensor.name.ends_with("attn_qkv.weight"));
    for (mixed, gates) in mixed.zip(gates) {
        mixed.name = mixed.name.replace("attn_qkv", "ssm_in");
        mixed.shape[1] += gates.shape[1];
    }
    m
}

/// The numbers of pairs that turn by each kind of position.
fn sections(m: &mut Draft) {
    m.set("rope.dimension_sections", numbers([3, 3, 2, 0]));
}

pub(super) fn qwen35(d: Dims) -> Draft {
    let mut m = delta_net("qwen35", d, d.head / 2, &[("ssm_alpha", 1), ("ssm_beta", 1)]);
    sections(&mut m);
    m
}

pub(super) fn qwen35moe(d: Dims) -> Draft {
    let mut m = delta_net("qwen35moe", d, d.head / 2, &[("ssm_alpha", 1), ("ssm_beta", 1)]);
    sections(&mut m);
    m
}

/// No attention: a matrix of state for each head, and tokens that are mixed with those before them.
pub(super) fn rwkv7(d: Dims) -> Draft {
    const RANK: usize = 16;
    let mut m = Draft::new("rwkv7", d);
    m.set("attention.layer_norm_epsilon", 1e-5f32);
    m.set_all(&[("wkv.head_size", d.head), ("attention.head_count", 0), ("token_shift_count", 2)]);
    for kind in ["decay", "iclr", "value_residual_mix", "gate"] {
        m.set(&format!("attention.{kind}_lora_rank"), RANK as u32);
    }
    m.tables(0.7);
    m.biased_norms(&["output_norm", "token_embd_norm"]);
    m.layers(|m, _| {
        m.biased_norms(&["attn_norm", "attn_norm_2", "time_mix_ln"]);
        m.between("time_mix_lerp_fused.weight", &[d.width, 1, 1, 6], 0.0, 1.0);
        // Small matrices around a narrow middle, and what is added to what comes out.
        for (name, mean, deviation, out) in
            [("w", -1.0, 0.5, 1.0), ("a", 0.0, 0.5, 1.0), ("v", 0.5, 0.5, 1.0), ("g", 0.0, 0.0, 2.0)]
        {
            if name != "g" {
                m.floats(&format!("time_mix_{name}0.weight"), &[d.width], mean, deviation);
            }
            m.floats(&format!("time_mix_{name}1.weight"), &[d.width, RANK], 0.0, 1.0 / (d.width as f32).sqrt());
            m.floats(&format!("time_mix_{name}2.weight"), &[RANK, d.width], 0.0, out * 0.25);
        }
        m.floats("time_mix_k_k.weight", &[d.width], 0.87, 0.2);
        m.floats("time_mix_k_a.weight", &[d.width], 1.0, 0.2);
        m.floats("time_mix_r_k.weight", &[d.width], 0.0, 0.2);
        for name in ["key", "receptance", "value", "output"] {
            m.matrix(&format!("time_mix_{name}"), &[d.width, d.width], 1.0);
        }
        m.between("channel_mix_lerp_k.weight", &[d.width], 0.0, 1.0);
        m.matrix("channel_mix_key", &[d.width, d.ffn], 1.0);
        m.matrix("channel_mix_value", &[d.ffn, d.width], 1.0);
    });
    m
}
