//! StarCoder 2: norms that take off the mean, biases everywhere, a feed-forward without a gate.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{Activation, NormKind, Plan, Presence};

pub(super) const NAMES: &[&str] = &["starcoder2"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::decoder(keys, config, RopeLayout::Halves, NormKind::layer(keys, Presence::Required)?)?;
    plan.without_gates(Activation::Gelu);
    for layer in &mut plan.layers {
        layer.attention.qkv_bias = Presence::Required;
    }
    Ok(plan)
}
