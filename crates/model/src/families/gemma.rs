//! Gemma: scaled embeddings, GELU; from Gemma 2 on norms before and after each half, and layers whose attention slides.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{Activation, HeadNorms, NormOrder, Plan, RopePlan, RopeScaling};

pub(super) const GEMMA: &[&str] = &["gemma"];
pub(super) const GEMMA2: &[&str] = &["gemma2"];
pub(super) const GEMMA3: &[&str] = &["gemma3"];
pub(super) const GEMMA_EMBEDDING: &[&str] = &["gemma-embedding"];

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
