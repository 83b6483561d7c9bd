//! Qwen 1.5 and 2 with experts: a shared expert behind a gate.

use crate::config::{MAX_WIDTH, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{ExpertsPlan, Plan, Presence, RoutingPlan, RoutingScores, SharedExpertPlan};

pub(super) const NAMES: &[&str] = &["qwen2moe"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = super::qwen2::plan(keys, config)?;
    let routing = RoutingPlan::read(keys, RoutingScores::Softmax, false, Presence::Never)?;
    let width = match keys.optional_size("expert_shared_feed_forward_length", MAX_WIDTH)? {
        Some(width) => width,
        None => keys.size("feed_forward_length", MAX_WIDTH)?,
    };
    let shared = Some(SharedExpertPlan { width, gated: true });
    plan.mix(&ExpertsPlan { shared, ..ExpertsPlan::swiglu(keys, routing)? }, |_| true);
    Ok(plan)
}
