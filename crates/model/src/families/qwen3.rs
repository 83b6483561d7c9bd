//! Qwen 3: norms of the heads of Q and K.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{EmbedsPlan, HeadNorms, HeadPlan, Plan};

pub(super) const NAMES: &[&str] = &["qwen3"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Halves)?;
    // Qwen's rerankers weigh "yes" against "no".
    if let Some(EmbedsPlan { head: HeadPlan::Classifier { softmax, .. }, .. }) = &mut plan.embeds {
        *softmax = true;
    }
    for layer in &mut plan.layers {
        layer.attention.head_norms = HeadNorms::OF_HEADS;
    }
    Ok(plan)
}
