//! Llama 4: pieces of the text for three layers of four and all of it without rotation for the fourth, experts whose weights are factors of what
//! they read.

use parkade_kernels::RopeLayout;

use crate::config::{MAX_LAYERS, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{
    ExpertsPlan, HeadNorms, NormOver, Plan, Presence, RoutingPlan, RoutingScores, SharedExpertPlan, Temperature,
};

pub(super) const NAMES: &[&str] = &["llama4"];

/// Of each so many layers the last sees all of the text, and rotates nothing.
const PERIOD: usize = 4;
/// Tokens of a piece of the text.
const CHUNK: usize = 8192;
/// The model with so many experts has no norms of Q and K.
const EXPERTS_WITHOUT_NORMS: usize = 128;

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Interleaved)?;
    let routing = RoutingPlan::read(keys, RoutingScores::Sigmoid, false, Presence::Never)?;
    let norms = if routing.experts == EXPERTS_WITHOUT_NORMS {
        HeadNorms::NEVER
    } else {
        HeadNorms { over: NormOver::HeadUnweighted, after_rotation: true, ..HeadNorms::OF_HEADS }
    };
    // A window of 0 says that all layers see all of the text, and rotate.
    let in_pieces = keys.integer("attention.sliding_window")? != Some(0);
    for (index, layer) in plan.layers.iter_mut().enumerate() {
        layer.attention.window = None;
        if in_pieces && (index + 1).is_multiple_of(PERIOD) {
            layer.attention.rope = None;
            layer.attention.temperature = Some(Temperature { scale: 0.1, length: CHUNK, offset: 1 });
        } else {
            layer.attention.head_norms = norms;
            layer.attention.chunk = in_pieces.then_some(CHUNK);
        }
    }
    let step = keys.optional_size("interleave_moe_layer_step", MAX_LAYERS)?.unwrap_or(1);
    let experts = ExpertsPlan::swiglu(keys, RoutingPlan { of_input: true, ..routing })?;
    let shared = Some(SharedExpertPlan { width: experts.width, gated: false });
    plan.mix(&ExpertsPlan { shared, ..experts }, |layer| (layer + 1).is_multiple_of(step));
    Ok(plan)
}
