//! ERNIE 4.5 with experts: dense layers first, and then experts on every layer or every few.

use parkade_kernels::RopeLayout;

use crate::config::{MAX_LAYERS, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{ExpertsPlan, Plan, Presence, RoutingPlan, RoutingScores};

pub(super) const NAMES: &[&str] = &["ernie4_5-moe"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Interleaved)?;
    let dense = keys.count("leading_dense_block_count", MAX_LAYERS)?;
    let step = keys.optional_size("interleave_moe_layer_step", MAX_LAYERS)?.unwrap_or(1);
    let routing = RoutingPlan::read(keys, RoutingScores::Softmax, true, Presence::Optional)?;
    let experts = ExpertsPlan::swiglu(keys, routing)?.with_shared(keys)?;
    plan.mix(&experts, |layer| layer >= dense && (layer + 1).is_multiple_of(step));
    Ok(plan)
}
