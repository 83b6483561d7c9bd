//! SmolLM 3: every fourth layer has no rotations.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::Plan;

pub(super) const NAMES: &[&str] = &["smollm3"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Interleaved)?;
    for layer in plan.layers.iter_mut().skip(3).step_by(4) {
        layer.attention.rope = None;
    }
    Ok(plan)
}
