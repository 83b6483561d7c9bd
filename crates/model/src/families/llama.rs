//! Llama and its many kin.

use parkade_kernels::RopeLayout;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{ExpertsPlan, Plan, Presence, RoutingPlan, RoutingScores};

/// Converters call Llama, Mistral, Mixtral, TinyLlama and SmolLM all `llama`; the names after it are for files of converters that kept the
/// models' own. ERNIE 4.5 computes the same.
pub(super) const NAMES: &[&str] = &["llama", "mistral", "smollm", "tinyllama", "ernie4_5"];

/// The converter reorders Q and K so that neighbours are the pairs that rotate. A Mixtral is a Llama with experts.
pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Interleaved)?;
    if keys.integer("expert_count")?.is_some_and(|count| count > 0) {
        let routing = RoutingPlan::read(keys, RoutingScores::Softmax, true, Presence::Never)?;
        plan.mix(&ExpertsPlan::swiglu(keys, routing)?, |_| true);
    }
    Ok(plan)
}
