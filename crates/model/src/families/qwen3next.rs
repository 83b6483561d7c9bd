//! Qwen 3 Next and Qwen 3.5: gated delta nets, and attention with gated outputs in every fourth layer.

use parkade_kernels::{KeyHeads, RopeLayout};

use crate::config::{MAX_LAYERS, MAX_WIDTH, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{
    ExpertsPlan, FeedForwardPlan, HeadNorms, Mixing, NormKind, Plan, Presence, RopePlan, RoutingPlan, RoutingScores,
    SharedExpertPlan, StatePlan, StateSpace,
};

pub(super) const QWEN3NEXT: &[&str] = &["qwen3next"];
pub(super) const QWEN35: &[&str] = &["qwen35"];
pub(super) const QWEN35_MOE: &[&str] = &["qwen35moe"];

/// Heads that share keys are neighbours.
pub(super) fn qwen3next(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    with_experts(keys, config, KeyHeads::Neighbours)
}

/// Positions of a text are the same for all sections of a rotation, so it is an ordinary one.
pub(super) fn qwen35(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    mix_by_delta_nets(&mut plan, keys, config, KeyHeads::InTurn)?;
    Ok(plan)
}

/// The same with experts.
pub(super) fn qwen35_moe(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    with_experts(keys, config, KeyHeads::InTurn)
}

fn with_experts(keys: &Keys<'_>, config: &ModelConfig, order: KeyHeads) -> Result<Plan, ModelError> {
    let experts = ExpertsPlan::swiglu(keys, RoutingPlan::read(keys, RoutingScores::Softmax, true, Presence::Never)?)?;
    let width = match keys.optional_size("expert_shared_feed_forward_length", MAX_WIDTH)? {
        Some(width) => width,
        None => keys.size("feed_forward_length", MAX_WIDTH)?,
    };
    let experts = ExpertsPlan { shared: Some(SharedExpertPlan { width, gated: true }), ..experts };
    let halves = vec![FeedForwardPlan::Experts(experts); config.layers];
    let mut plan = Plan::of_halves(keys, config, NormKind::rms(keys)?, halves)?;
    plan.ropes.push(RopePlan::read(keys, config, RopeLayout::Halves)?);
    plan.layers.iter_mut().for_each(|layer| layer.attention.rope = Some(0));
    mix_by_delta_nets(&mut plan, keys, config, order)?;
    Ok(plan)
}

fn mix_by_delta_nets(
    plan: &mut Plan,
    keys: &Keys<'_>,
    config: &ModelConfig,
    order: KeyHeads,
) -> Result<(), ModelError> {
    let space = StateSpace::read(keys)?;
    let interval = keys.optional_size("full_attention_interval", MAX_LAYERS)?.unwrap_or(4);
    let all = config.layers + config.next_token_layers;
    let carries = keys.pattern("attention.recurrent_layers", all, interval)?;
    for (layer, carries) in plan.layers.iter_mut().zip(carries) {
        layer.feed_forward_norm = "post_attention_norm";
        layer.attention.head_norms = HeadNorms::OF_HEADS;
        layer.attention.gated = true;
        if carries {
            layer.mixing = Mixing::State(StatePlan::DeltaNet { space, order });
        }
    }
    Ok(())
}
