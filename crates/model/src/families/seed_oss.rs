//! Seed-OSS: the norm before the feed-forward has another name.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::Plan;

pub(super) const NAMES: &[&str] = &["seed_oss"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    plan.layers.iter_mut().for_each(|layer| layer.feed_forward_norm = "post_attention_norm");
    Ok(plan)
}
