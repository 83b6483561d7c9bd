//! dots.llm1: dense layers first, experts beside a shared one, norms of the heads of Q and K.

use crate::config::{MAX_LAYERS, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{ExpertsPlan, Plan, Presence, RoutingPlan, RoutingScores};

pub(super) const NAMES: &[&str] = &["dots1"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = super::qwen3::plan(keys, config)?;
    let dense = keys.count("leading_dense_block_count", MAX_LAYERS)?;
    let routing = RoutingPlan::read(keys, RoutingScores::Sigmoid, false, Presence::Optional)?;
    let experts = ExpertsPlan::swiglu(keys, routing)?.with_shared_count(keys)?;
    plan.mix(&experts, |layer| layer >= dense);
    Ok(plan)
}
