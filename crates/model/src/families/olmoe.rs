//! OLMoE: norms over the whole of Q and of K, weights of experts that are not divided by their sum.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{ExpertsPlan, HeadNorms, NormOver, Plan, Presence, RoutingPlan, RoutingScores};

pub(super) const NAMES: &[&str] = &["olmoe"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    for layer in &mut plan.layers {
        layer.attention.head_norms = HeadNorms { over: NormOver::Whole, ..HeadNorms::OF_HEADS };
    }
    let routing = RoutingPlan::read(keys, RoutingScores::Softmax, false, Presence::Never)?;
    plan.mix(&ExpertsPlan::swiglu(keys, routing)?, |_| true);
    Ok(plan)
}
