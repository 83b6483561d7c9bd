//! Gemma: scaled embeddings, GELU; from Gemma 2 on norms before and after each half, and layers whose attention slides.

use parkade_kernels::RopeLayout;

use crate::config::{MAX_HEAD_DIM, MAX_LAYERS, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::parts::routing::MAX_EXPERTS;
use crate::plan::{
    Activation, ExpertsPlan, FeedForwardPlan, HeadNorms, NormOrder, Plan, Presence, RopePlan, RopeScaling, RoutingPlan,
    RoutingScores,
};

pub(super) const GEMMA: &[&str] = &["gemma"];
pub(super) const GEMMA2: &[&str] = &["gemma2"];
pub(super) const GEMMA3: &[&str] = &["gemma3"];
pub(super) const GEMMA_EMBEDDING: &[&str] = &["gemma-embedding"];
pub(super) const GEMMA3N: &[&str] = &["gemma3n"];
pub(super) const GEMMA4: &[&str] = &["gemma4"];

/// Streams of hidden states that are believed.
const MAX_STREAMS: u32 = 16;

/// What all of them share, and all that there is to the first.
pub(super) fn gemma(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    plan.embedding_scale = (config.embedding as f32).sqrt();
    plan.gate_by(Activation::Gelu);
    Ok(plan)
}

/// Every second layer slides; scores and logits have soft caps.
pub(super) fn gemma2(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = normed_twice(keys, config, 46)?;
    plan.slide(keys, 2)?;
    plan.logit_cap = Some(keys.positive("final_logit_softcapping")?.unwrap_or(30.0));
    let cap = keys.positive("attn_logit_softcapping")?.unwrap_or(50.0);
    plan.layers.iter_mut().for_each(|layer| layer.attention.soft_cap = Some(cap));
    Ok(plan)
}

/// Five of six layers slide, with quicker rotations that are not stretched; heads are normed.
pub(super) fn gemma3(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = normed_twice(keys, config, 62)?;
    let freq_base = keys.freq_base("rope.freq_base_swa")?.unwrap_or(10_000.0);
    plan.ropes.push(RopePlan { freq_base, scaling: RopeScaling::None, ..plan.ropes[0].clone() });
    plan.logit_cap = keys.positive("final_logit_softcapping")?;
    let sliding = plan.slide(keys, 6)?;
    for (layer, sliding) in plan.layers.iter_mut().zip(sliding) {
        layer.attention.head_norms = HeadNorms::OF_HEADS;
        layer.attention.rope = Some(usize::from(sliding));
    }
    Ok(plan)
}

/// Gemma 3 as an encoder.
pub(super) fn gemma_embedding(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = gemma3(keys, config)?;
    plan.look_both_ways(keys)?;
    Ok(plan)
}

/// As Gemma 3, with several streams of hidden states, layers that are told of the token itself, keys and values that the last layers share, and
/// sparse feed-forwards in the first.
pub(super) fn gemma3n(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    /// Layers whose gates are cut off, and where: above that are 5 % of a normal distribution.
    const SPARSE: (usize, f32) = (10, 1.644_853_6);
    /// Layers with keys and values of their own.
    const OWN: usize = 20;
    let mut plan = normed_twice(keys, config, usize::MAX)?;
    plan.logit_cap = Some(keys.positive("final_logit_softcapping")?.unwrap_or(30.0));
    plan.layer_embedding = Some(keys.size("embedding_length_per_layer_input", MAX_HEAD_DIM)?);
    let streams = keys.size("altup.num_inputs", MAX_STREAMS)?;
    let active = keys.count("altup.active_idx", MAX_STREAMS)?;
    if streams < 2 || active != 0 {
        let expected = "2 or more streams of which the first is active".to_owned();
        return Err(keys.wrong("altup.num_inputs", format!("{streams} with altup.active_idx {active}"), expected));
    }
    plan.streams = Some(streams);
    let freq_base = keys.freq_base("rope.freq_base_swa")?.unwrap_or(10_000.0);
    plan.ropes.push(RopePlan { freq_base, ..plan.ropes[0].clone() });
    let sliding = plan.slide(keys, 5)?;
    for (index, layer) in plan.layers.iter_mut().enumerate() {
        layer.attention.head_norms = HeadNorms::OF_HEADS;
        layer.attention.value_norms = true;
        layer.attention.scale = 1.0;
        layer.attention.rope = Some(usize::from(sliding[index]));
        layer.attention.kv_of = match index >= OWN {
            true => Some(owner_of_kv(keys, &sliding, OWN, sliding[index])?),
            false => None,
        };
        if let FeedForwardPlan::Gated { cutoff, .. } = &mut layer.feed_forward {
            *cutoff = (index < SPARSE.0).then_some(SPARSE.1);
        }
    }
    Ok(plan)
}

/// The last layer of the same kind that has keys and values: of the two before the shared ones the second is full.
fn owner_of_kv(keys: &Keys<'_>, sliding: &[bool], own: usize, slides: bool) -> Result<usize, ModelError> {
    let owner = own.checked_sub(1 + usize::from(slides)).filter(|&owner| sliding[owner] == slides);
    owner.ok_or_else(|| {
        let expected = "so many that a layer that slides and one that does not come before them".to_owned();
        keys.wrong("attention.shared_kv_layers", sliding.len() - own, expected)
    })
}

/// As Gemma 3, with narrower heads where attention slides, keys and values that the last layers share, and layers that are told of the token
/// itself. The divisors of the rotations leave only a part of the wide heads to be turned. Or, in the larger ones, with experts, and without values
/// in the layers that do not slide.
pub(super) fn gemma4(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = normed_twice(keys, config, usize::MAX)?;
    plan.logit_cap = keys.positive("final_logit_softcapping")?;
    plan.layer_embedding =
        Some(keys.count("embedding_length_per_layer_input", MAX_HEAD_DIM)?).filter(|&width| width > 0);
    let narrow = narrow_heads(keys, config)?;
    let full = plan.ropes[0].clone();
    let freq_base = keys.freq_base("rope.freq_base_swa")?.unwrap_or(full.freq_base);
    plan.ropes.push(RopePlan { freq_base, dimensions: narrow, divisors: Presence::Never, ..full });
    if keys.count("expert_count", MAX_EXPERTS)? > 0 {
        plan.mix_beside(&gemma4_experts(keys)?);
    }
    let sliding = plan.slide(keys, 6)?;
    let shared = keys.count("attention.shared_kv_layers", MAX_LAYERS)?;
    for (index, layer) in plan.layers.iter_mut().enumerate() {
        let slides = sliding[index];
        layer.output_scale = Presence::Optional;
        layer.attention.head_norms = HeadNorms::OF_HEADS;
        layer.attention.value_norms = true;
        layer.attention.values = Presence::Optional;
        layer.attention.scale = 1.0;
        layer.attention.rope = Some(usize::from(slides));
        layer.attention.head_dim = if slides { narrow } else { config.head_dim };
        if index + shared >= config.layers {
            let own = config.layers.saturating_sub(shared);
            layer.attention.kv_of = Some(owner_of_kv(keys, &sliding, own, slides)?);
        }
    }
    Ok(plan)
}

/// Experts beside a feed-forward.
fn gemma4_experts(keys: &Keys<'_>) -> Result<ExpertsPlan, ModelError> {
    let routing = RoutingPlan::read(keys, RoutingScores::Softmax, true, Presence::Never)?;
    let experts = ExpertsPlan::swiglu(keys, routing)?;
    Ok(ExpertsPlan { activation: Activation::Gelu, output_scales: Presence::Optional, ..experts })
}

/// Values in a head of the layers that slide.
fn narrow_heads(keys: &Keys<'_>, config: &ModelConfig) -> Result<usize, ModelError> {
    let wide = config.head_dim;
    let narrow = keys.optional_size("attention.key_length_swa", MAX_HEAD_DIM)?.unwrap_or(wide);
    if narrow > wide || !narrow.is_multiple_of(2) {
        let expected = format!("an even number up to attention.key_length {wide}");
        return Err(keys.wrong("attention.key_length_swa", narrow, expected));
    }
    for key in ["attention.value_length_swa", "rope.dimension_count_swa"] {
        let other = keys.optional_size(key, MAX_HEAD_DIM)?.unwrap_or(narrow);
        if other != narrow {
            return Err(keys.wrong(key, other, format!("{narrow}, as attention.key_length_swa")));
        }
    }
    Ok(narrow)
}

/// Norms before and after each half. The largest model, which is known by its layers, scales its scores by the width that is left to a head.
fn normed_twice(keys: &Keys<'_>, config: &ModelConfig, layers_of_largest: usize) -> Result<Plan, ModelError> {
    let mut plan = gemma(keys, config)?;
    for layer in &mut plan.layers {
        layer.norms = NormOrder::Both;
        if config.layers == layers_of_largest {
            layer.attention.scale = 1.0 / ((config.embedding / config.heads) as f32).sqrt();
        }
    }
    Ok(plan)
}
