//! StableLM: norms that take off the mean, rotations of a part of each head; in the 12B model both halves read one norm, and heads are normed.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{Halves, HeadNorms, NormKind, NormOver, Plan, Presence};

pub(super) const NAMES: &[&str] = &["stablelm"];

/// Norms of heads have no bias, so that they are optional here.
pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::decoder(keys, config, RopeLayout::Halves, NormKind::layer(keys, Presence::Optional)?)?;
    let parallel = keys.flag("use_parallel_residual")?.unwrap_or(false);
    for layer in &mut plan.layers {
        layer.attention.head_norms =
            HeadNorms { presence: Presence::Optional, over: NormOver::EachHead, ..HeadNorms::NEVER };
        if parallel {
            layer.halves = Halves::Parallel;
            layer.feed_forward_norm = "attn_norm";
        }
    }
    Ok(plan)
}
