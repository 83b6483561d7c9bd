//! Nemotron: norms that take off the mean, and a feed-forward without a gate whose function is ReLU squared.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{Activation, NormKind, Plan, Presence};

pub(super) const NAMES: &[&str] = &["nemotron"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::decoder(keys, config, RopeLayout::Halves, NormKind::layer(keys, Presence::Required)?)?;
    plan.without_gates(Activation::ReluSquared);
    Ok(plan)
}
