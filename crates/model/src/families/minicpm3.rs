//! MiniCPM 3: latent attention with heads that are cached, factors that follow from the geometry.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::Plan;

pub(super) const NAMES: &[&str] = &["minicpm3"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    plan.embedding_scale = 12.0;
    plan.logit_scale = 256.0 / config.embedding as f32;
    let latent = super::deepseek2::latent(keys, config, plan.ropes[0].dimensions)?;
    let residual_scale = 1.4 / (config.layers as f32).sqrt();
    for layer in &mut plan.layers {
        layer.residual_scale = residual_scale;
        layer.attention.kv_heads = config.kv_heads;
        layer.attention.latent = Some(latent.clone());
    }
    Ok(plan)
}
