//! Ling and Ring 2: Q, K and V in one tensor, rotations of a part of each head, experts in groups beside a shared one.

use crate::config::{MAX_LAYERS, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{ExpertsPlan, Plan, Presence, RoutingPlan, RoutingScores};

pub(super) const NAMES: &[&str] = &["bailingmoe2"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = super::qwen3::plan(keys, config)?;
    let dense = keys.count("leading_dense_block_count", MAX_LAYERS)?;
    let routing = RoutingPlan::read(keys, RoutingScores::Sigmoid, false, Presence::Optional)?;
    let experts = ExpertsPlan::swiglu(keys, routing)?.with_shared_count(keys)?;
    plan.mix(&experts, |layer| layer >= dense);
    Ok(plan)
}
