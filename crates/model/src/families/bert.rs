//! BERT and its kin: encoders whose norms come after what a half adds.

use parkade_kernels::RopeLayout;

use crate::config::{MAX_LAYERS, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{
    Activation, ExpertsPlan, HeadNorms, NormKind, NormOrder, NormOver, Plan, Presence, RoutingPlan, RoutingScores,
};

/// `bert` is also what converters call XLM-RoBERTa.
pub(super) const BERT: &[&str] = &["bert"];
pub(super) const NOMIC: &[&str] = &["nomic-bert"];
pub(super) const NOMIC_MOE: &[&str] = &["nomic-bert-moe"];
pub(super) const JINA: &[&str] = &["jina-bert-v2"];

/// ALiBi's strength, which files seldom tell.
const ALIBI: f32 = 8.0;

/// Learned positions, a plain feed-forward.
pub(super) fn bert(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = encoder(keys, config)?;
    plan.without_gates(Activation::Gelu);
    plan.without_rotation();
    plan.ends.positions = Presence::Required;
    Ok(plan)
}

/// Rotations, and a feed-forward with a gate.
pub(super) fn nomic(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    encoder(keys, config)
}

/// The same with plain feed-forwards, and experts on the last of every few layers.
pub(super) fn nomic_moe(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = encoder(keys, config)?;
    plan.without_gates(Activation::Gelu);
    let routing = RoutingPlan::read(keys, RoutingScores::Softmax, false, Presence::Never)?;
    let experts = ExpertsPlan { gated: false, activation: Activation::Gelu, ..ExpertsPlan::swiglu(keys, routing)? };
    let period = keys.size("moe_every_n_layers", MAX_LAYERS)?;
    plan.mix(&experts, |layer| layer % period == 1);
    Ok(plan)
}

/// Neither positions nor rotations: scores fall with the distance.
pub(super) fn jina(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = encoder(keys, config)?;
    plan.without_rotation();
    plan.gate_by(Activation::Gelu);
    let alibi = keys.positive("attention.max_alibi_bias")?.unwrap_or(ALIBI);
    for layer in &mut plan.layers {
        layer.second_attention_norm = Presence::Optional;
        layer.attention.alibi = Some(alibi);
        layer.attention.head_norms =
            HeadNorms { presence: Presence::Optional, over: NormOver::Whole, ..HeadNorms::NEVER };
    }
    Ok(plan)
}

/// What all of them have.
fn encoder(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::encoder(keys, config, RopeLayout::Halves, NormKind::layer(keys, Presence::Required)?)?;
    plan.ends.token_types = Presence::Optional;
    plan.ends.first_norm = Presence::Required;
    plan.ends.last_norm = Presence::Never;
    for layer in &mut plan.layers {
        layer.norms = NormOrder::AfterSum;
    }
    Ok(plan)
}
