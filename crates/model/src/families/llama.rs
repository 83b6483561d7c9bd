//! Llama and its many kin.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::Plan;

/// Converters call Llama, Mistral, TinyLlama and SmolLM all `llama`; the other names are for files of converters that kept the models' own.
pub(super) const NAMES: &[&str] = &["llama", "mistral", "smollm", "tinyllama"];

/// The converter reorders Q and K so that neighbours are the pairs that rotate.
pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    Plan::llama(keys, config, RopeLayout::Interleaved)
}
