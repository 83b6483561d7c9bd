//! Command R: both halves read one norm, which takes off the mean; in Command R7B three of four layers slide, and the fourth has no rotations.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{Halves, HeadNorms, NormKind, NormOver, Plan, Presence};

pub(super) const COMMAND_R: &[&str] = &["command-r"];
pub(super) const COHERE2: &[&str] = &["cohere2"];

/// Command R+ also has norms of heads, with weights for each.
pub(super) fn command_r(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::decoder(keys, config, RopeLayout::Interleaved, NormKind::layer(keys, Presence::Never)?)?;
    plan.logit_scale = keys.factor("logit_scale")?;
    let head_norms = HeadNorms { presence: Presence::Optional, over: NormOver::EachHead, ..HeadNorms::NEVER };
    for layer in &mut plan.layers {
        layer.halves = Halves::Parallel;
        layer.feed_forward_norm = "attn_norm";
        layer.attention.head_norms = head_norms;
    }
    Ok(plan)
}

pub(super) fn cohere2(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = command_r(keys, config)?;
    let sliding = plan.slide(keys, 4)?;
    for (layer, sliding) in plan.layers.iter_mut().zip(sliding) {
        layer.attention.head_norms = HeadNorms::NEVER;
        layer.attention.rope = sliding.then_some(0);
    }
    Ok(plan)
}
