//! Qwen 3 with experts.

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{ExpertsPlan, Plan, Presence, RoutingPlan, RoutingScores};

pub(super) const NAMES: &[&str] = &["qwen3moe"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = super::qwen3::plan(keys, config)?;
    let routing = RoutingPlan::read(keys, RoutingScores::Softmax, true, Presence::Never)?;
    plan.mix(&ExpertsPlan::swiglu(keys, routing)?, |_| true);
    Ok(plan)
}
