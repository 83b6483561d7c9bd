//! LFM 2: short convolutions, and attention in some layers; with experts or without.

use parkade_kernels::RopeLayout;

use crate::config::{MAX_LAYERS, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{ExpertsPlan, HeadNorms, Mixing, Plan, Presence, RoutingPlan, RoutingScores, StatePlan};

pub(super) const LFM2: &[&str] = &["lfm2"];
pub(super) const LFM2_MOE: &[&str] = &["lfm2moe"];

pub(super) fn lfm2(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    // Its files call the norm at the end so.
    plan.ends.last_norm_name = "token_embd_norm";
    let convolution = StatePlan::short_convolution(keys, config.embedding)?;
    for (layer, &kv_heads) in plan.layers.iter_mut().zip(&config.layer_kv_heads) {
        layer.attention.head_norms = HeadNorms::OF_HEADS;
        if kv_heads == 0 {
            layer.mixing = Mixing::State(convolution.clone());
        }
    }
    Ok(plan)
}

/// The same with experts in all but the first layers.
pub(super) fn lfm2_moe(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = lfm2(keys, config)?;
    let dense = keys.count("leading_dense_block_count", MAX_LAYERS)?;
    let routing = RoutingPlan::read(keys, RoutingScores::Sigmoid, true, Presence::Required)?;
    plan.mix(&ExpertsPlan::swiglu(keys, routing)?, |layer| layer >= dense);
    Ok(plan)
}
