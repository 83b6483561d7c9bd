//! Phi 3 and 4: Q, K and V in one tensor, gate and up in another; LongRoPE for long contexts.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::Plan;

pub(super) const NAMES: &[&str] = &["phi3"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    Plan::llama(keys, config, RopeLayout::Halves)
}
