//! gpt-oss: attention sinks, windows on every second layer, biases everywhere, a clamped SwiGLU.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{Activation, ExpertsPlan, Plan, Presence, RoutingPlan, RoutingScores};

pub(super) const NAMES: &[&str] = &["gpt-oss"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    plan.slide(keys, 2)?;
    for layer in &mut plan.layers {
        layer.attention.qkv_bias = Presence::Required;
        layer.attention.sinks = Presence::Required;
        layer.feed_forward_norm = "post_attention_norm";
    }
    let routing = RoutingPlan::read(keys, RoutingScores::SoftmaxOfChosen, false, Presence::Never)?;
    let experts = ExpertsPlan::swiglu(keys, routing)?;
    let experts = ExpertsPlan { activation: Activation::ClampedSilu, biases: Presence::Required, ..experts };
    plan.mix(&experts, |_| true);
    Ok(plan)
}
