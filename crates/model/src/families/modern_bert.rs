//! ModernBERT: an encoder with rotations, of which most layers see only what is near.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{Activation, NormKind, Plan, Presence, RopePlan};

pub(super) const NAMES: &[&str] = &["modern-bert"];

/// Of so many layers the first sees all.
const PERIOD: usize = 3;

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::encoder(keys, config, RopeLayout::Halves, NormKind::layer(keys, Presence::Never)?)?;
    plan.ends.first_norm = Presence::Required;
    plan.gate_by(Activation::Gelu);
    let near = keys.freq_base("rope.freq_base_swa")?.unwrap_or(10_000.0);
    plan.ropes.push(RopePlan { freq_base: near, ..plan.ropes[0].clone() });
    for (index, layer) in plan.layers.iter_mut().enumerate() {
        // The first layer reads embeddings that were normed already.
        layer.attention_norm = if index == 0 { Presence::Never } else { Presence::Required };
        if index.is_multiple_of(PERIOD) {
            layer.attention.window = None;
        } else {
            layer.attention.rope = Some(1);
        }
    }
    Ok(plan)
}
