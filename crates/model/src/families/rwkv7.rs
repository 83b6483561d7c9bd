//! RWKV 7: no attention, and layers that are one piece.

use crate::config::{MAX_HEAD_DIM, MAX_WIDTH, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{FeedForwardPlan, Mixing, NormKind, Plan, Presence, StatePlan};

pub(super) const NAMES: &[&str] = &["rwkv7"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let norm = NormKind::layer(keys, Presence::Required)?;
    let mut plan = Plan::of_halves(keys, config, norm, vec![FeedForwardPlan::None; config.layers])?;
    plan.ends.first_norm = Presence::Required;
    let head = keys.size("wkv.head_size", MAX_HEAD_DIM)?;
    if !config.embedding.is_multiple_of(head) {
        return Err(keys.wrong("wkv.head_size", head, format!("a divisor of embedding_length {}", config.embedding)));
    }
    let width = keys.size("feed_forward_length", MAX_WIDTH)?;
    let state = StatePlan::Rwkv7 { channels: config.embedding, head, width };
    plan.layers.iter_mut().for_each(|layer| layer.mixing = Mixing::State(state.clone()));
    Ok(plan)
}
