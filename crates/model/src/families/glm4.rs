//! GLM 4: norms before and after each half, gate and up in one tensor, rotations of a part of each head.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{NormOrder, Plan};

pub(super) const NAMES: &[&str] = &["glm4"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Interleaved)?;
    plan.layers.iter_mut().for_each(|layer| layer.norms = NormOrder::Both);
    Ok(plan)
}
