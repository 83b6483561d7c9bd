//! Qwen 3: norms of the heads of Q and K.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{HeadNorms, Plan};

pub(super) const NAMES: &[&str] = &["qwen3"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    for layer in &mut plan.layers {
        layer.attention.head_norms = HeadNorms::OF_HEADS;
    }
    Ok(plan)
}
