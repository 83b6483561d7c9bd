//! GLM 4: norms before and after each half, gate and up in one tensor, rotations of a part of each head.

use parkade_kernels::RopeLayout;

use crate::config::{MAX_LAYERS, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{ExpertsPlan, HeadNorms, NormOrder, Plan, Presence, RoutingPlan, RoutingScores};

pub(super) const NAMES: &[&str] = &["glm4"];
pub(super) const MOE: &[&str] = &["glm4moe"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Interleaved)?;
    plan.layers.iter_mut().for_each(|layer| layer.norms = NormOrder::Both);
    Ok(plan)
}

/// GLM 4.5 and later: dense layers first, then experts beside shared ones; layers at the end that guess further tokens are left out.
pub(super) fn moe(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    for layer in &mut plan.layers {
        layer.feed_forward_norm = "post_attention_norm";
        layer.attention.head_norms = HeadNorms { presence: Presence::Optional, ..HeadNorms::OF_HEADS };
    }
    let dense = keys.count("leading_dense_block_count", MAX_LAYERS)?;
    let routing = RoutingPlan::read(keys, RoutingScores::Sigmoid, false, Presence::Optional)?;
    let experts = ExpertsPlan::swiglu(keys, routing)?.with_shared_count(keys)?;
    plan.mix(&experts, |layer| layer >= dense);
    Ok(plan)
}
