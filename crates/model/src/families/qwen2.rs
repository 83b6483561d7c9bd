//! Qwen 2 and 2.5: biases on Q, K and V.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{Plan, Presence};

pub(super) const NAMES: &[&str] = &["qwen2"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    for layer in &mut plan.layers {
        layer.attention.qkv_bias = Presence::Required;
    }
    Ok(plan)
}
