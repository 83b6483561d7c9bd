//! OLMo 2 and 3: norms after each half only, and over all heads of Q and of K; in OLMo 3 three of four layers slide, and their rotations are not stretched.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{HeadNorms, NormOrder, NormOver, Plan, RopePlan, RopeScaling};

pub(super) const NAMES: &[&str] = &["olmo2"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    plan.ropes.push(RopePlan { scaling: RopeScaling::None, ..plan.ropes[0].clone() });
    let slides = keys.integer("attention.sliding_window")?.is_some_and(|window| window > 0);
    let sliding = if slides { plan.slide(keys, 4)? } else { vec![false; config.layers] };
    for (layer, sliding) in plan.layers.iter_mut().zip(sliding) {
        layer.norms = NormOrder::After;
        layer.attention.head_norms = HeadNorms { over: NormOver::Whole, ..HeadNorms::OF_HEADS };
        layer.attention.rope = Some(usize::from(sliding));
    }
    Ok(plan)
}
