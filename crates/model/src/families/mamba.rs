//! Mamba 2, alone or beside attention.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{FeedForwardPlan, Mixing, NormKind, Plan, StatePlan, StateSpace};

pub(super) const MAMBA2: &[&str] = &["mamba2"];
pub(super) const FALCON_H1: &[&str] = &["falcon-h1"];

/// Nothing but states.
pub(super) fn mamba2(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let none = vec![FeedForwardPlan::None; config.layers];
    let mut plan = Plan::of_halves(keys, config, NormKind::rms(keys)?, none)?;
    let space = StatePlan::Mamba2(StateSpace::read(keys)?);
    plan.layers.iter_mut().for_each(|layer| layer.mixing = Mixing::State(space.clone()));
    Ok(plan)
}

/// Attention and states side by side in each layer.
pub(super) fn falcon_h1(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    let space = StatePlan::Mamba2(StateSpace::read(keys)?);
    plan.layers.iter_mut().for_each(|layer| layer.mixing = Mixing::SideBySide(space.clone()));
    Ok(plan)
}
