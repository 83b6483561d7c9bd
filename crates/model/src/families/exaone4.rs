//! EXAONE 4: norms after each half only, and of the heads of Q and K; in the larger model three of four layers slide, and the fourth has no rotations.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{HeadNorms, NormOrder, Plan};

pub(super) const NAMES: &[&str] = &["exaone4"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    let slides = keys.integer("attention.sliding_window")?.is_some_and(|window| window > 0);
    let rotated = if slides { plan.slide(keys, 4)? } else { vec![true; config.layers] };
    for (layer, rotated) in plan.layers.iter_mut().zip(rotated) {
        layer.norms = NormOrder::After;
        layer.attention.head_norms = HeadNorms::OF_HEADS;
        layer.attention.rope = rotated.then_some(0);
    }
    Ok(plan)
}
