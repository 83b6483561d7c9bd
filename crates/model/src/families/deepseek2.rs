//! DeepSeek V2 and V3: latent attention, dense layers first, experts in groups beside shared ones.

use parkade_kernels::RopeLayout;

use crate::config::{MAX_HEAD_DIM, MAX_LAYERS, MAX_WIDTH, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::plan::{ExpertsPlan, LatentPlan, Plan, Presence, RopeScaling, RoutingPlan, RoutingScores};

pub(super) const NAMES: &[&str] = &["deepseek2"];

pub(super) fn plan(keys: &Keys<'_>, config: &ModelConfig) -> Result<Plan, ModelError> {
    let mut plan = Plan::llama(keys, config, RopeLayout::Interleaved)?;
    let latent = latent(keys, config, plan.ropes[0].dimensions)?;
    let mut scale = 1.0 / ((latent.plain + latent.rotated) as f32).sqrt();
    if let RopeScaling::Yarn(yarn) = &mut plan.ropes[0].scaling {
        // With a multiplier the scores grow by it, and rotated values then do not. (The converter has taken a tenth of it.)
        let growth = if yarn.log_multiplier > 0.0 { yarn.log_multiplier } else { 0.1 } * yarn.factor.ln();
        if yarn.log_multiplier > 0.0 {
            yarn.log_multiplier = 1.0;
        }
        scale *= (1.0 + growth).powi(2);
    }
    for layer in &mut plan.layers {
        layer.attention.scale = scale;
        layer.attention.kv_heads = config.kv_heads;
        layer.attention.latent = Some(latent.clone());
    }
    let dense = keys.count("leading_dense_block_count", MAX_LAYERS)?;
    let routing = RoutingPlan::read(keys, RoutingScores::Softmax, false, Presence::Optional)?;
    let experts = ExpertsPlan::swiglu(keys, routing)?.with_shared_count(keys)?;
    plan.mix(&experts, |layer| layer >= dense);
    Ok(plan)
}

/// Files in which the matrices of keys and of values are apart say the size of a head in the cache, and the heads' own with `_mla`.
pub(super) fn latent(keys: &Keys<'_>, config: &ModelConfig, rotated: usize) -> Result<LatentPlan, ModelError> {
    let rank = keys.size("attention.kv_lora_rank", MAX_HEAD_DIM)?;
    let own_key = keys.optional_size("attention.key_length_mla", MAX_HEAD_DIM)?;
    let own_value = keys.optional_size("attention.value_length_mla", MAX_HEAD_DIM)?;
    let (name, key, value) = match own_key {
        Some(key) => ("attention.key_length_mla", key, own_value.unwrap_or(key)),
        None => ("attention.key_length", config.head_dim, config.value_dim),
    };
    if key <= rotated {
        return Err(keys.wrong(name, key, format!("more than the {rotated} values that are rotated")));
    }
    let apart = own_key.is_some();
    let cached = if apart { (1, rank + rotated) } else { (config.heads, key) };
    if (config.kv_heads, config.head_dim) != cached {
        let found = format!("{} with attention.key_length {}", config.kv_heads, config.head_dim);
        let expected = format!("{} with {}, as latent attention caches them", cached.0, cached.1);
        return Err(keys.wrong("attention.head_count_kv", found, expected));
    }
    if !apart && value > key {
        return Err(keys.wrong("attention.value_length", value, format!("at most the {key} values of a key")));
    }
    let query_rank = Some(keys.count("attention.q_lora_rank", MAX_WIDTH)?).filter(|&rank| rank > 0);
    Ok(LatentPlan { query_rank, rank, plain: key - rotated, rotated, value, apart })
}
