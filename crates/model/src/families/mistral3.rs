//! Ministral 3: YaRN, and scores that grow past the context of the training.

use parkade_kernels::RopeLayout;

use crate::config::{MAX_CONTEXT, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{Plan, Temperature};

pub(super) const NAMES: &[&str] = &["mistral3"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Interleaved)?;
    if let Some(scale) = keys.positive("attention.temperature_scale")? {
        let length = keys.size("rope.scaling.original_context_length", MAX_CONTEXT)?;
        let temperature = Temperature { scale, length, offset: 0 };
        plan.layers.iter_mut().for_each(|layer| layer.attention.temperature = Some(temperature));
    }
    Ok(plan)
}
