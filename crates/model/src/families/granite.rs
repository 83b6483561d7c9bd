//! Granite and MiniCPM: factors of embeddings, of what halves add, of scores and of logits.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{ExpertsPlan, Mixing, Plan, Presence, RoutingPlan, RoutingScores, StatePlan, StateSpace};

pub(super) const GRANITE: &[&str] = &["granite"];
pub(super) const GRANITE_MOE: &[&str] = &["granitemoe"];
pub(super) const GRANITE_HYBRID: &[&str] = &["granitehybrid"];
pub(super) const MINICPM: &[&str] = &["minicpm"];

pub(super) fn granite(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Interleaved)?;
    plan.logit_scale = 1.0 / keys.factor("logit_scale")?;
    plan.embedding_scale = keys.positive("embedding_scale")?.unwrap_or(1.0);
    let residual_scale = keys.positive("residual_scale")?.unwrap_or(1.0);
    // The key's name speaks of scaling; in these files it says whether there are rotations at all.
    let rotated = keys.flag("rope.scaling.finetuned")?.unwrap_or(true);
    for layer in &mut plan.layers {
        layer.residual_scale = residual_scale;
        layer.attention.rope = rotated.then_some(0);
    }
    Ok(plan)
}

/// The same with experts, and perhaps one that is shared.
pub(super) fn granite_moe(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = granite(keys, config)?;
    let routing = RoutingPlan::read(keys, RoutingScores::Softmax, true, Presence::Never)?;
    plan.mix(&ExpertsPlan::swiglu(keys, routing)?.with_shared(keys)?, |_| true);
    Ok(plan)
}

/// States in most layers, with experts or without.
pub(super) fn granite_hybrid(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let has_experts = keys.integer("expert_count")?.is_some_and(|count| count > 0);
    let mut plan = if has_experts { granite_moe(keys, config)? } else { granite(keys, config)? };
    let space = StatePlan::Mamba2(StateSpace::read(keys)?);
    for (layer, _) in plan.layers.iter_mut().zip(&config.layer_kv_heads).filter(|(_, kv_heads)| **kv_heads == 0) {
        layer.mixing = Mixing::State(space.clone());
    }
    Ok(plan)
}

/// Older files do not have the factors, which follow from the geometry.
pub(super) fn minicpm(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Interleaved)?;
    let logit_scale = keys.positive("logit_scale")?.unwrap_or(256.0 / config.embedding as f32);
    plan.logit_scale = 1.0 / logit_scale;
    plan.embedding_scale = keys.positive("embedding_scale")?.unwrap_or(12.0);
    let residual_scale = keys.positive("residual_scale")?.unwrap_or(1.4 / (config.layers as f32).sqrt());
    plan.layers.iter_mut().for_each(|layer| layer.residual_scale = residual_scale);
    Ok(plan)
}
