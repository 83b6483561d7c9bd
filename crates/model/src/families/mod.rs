//! The families of models that can be run: a file each, with what differs, and the list of them.

mod bailingmoe2;
mod bert;
mod cohere;
mod deepseek2;
mod dots1;
mod ernie4_5_moe;
mod exaone4;
mod gemma;
mod glm4;
mod gpt_oss;
mod granite;
mod hunyuan;
mod lfm2;
mod llama;
mod llama4;
mod mamba;
mod minicpm3;
mod mistral3;
mod modern_bert;
mod nemotron;
mod olmo2;
mod olmoe;
mod phi3;
mod qwen2;
mod qwen2moe;
mod qwen3;
mod qwen3moe;
mod qwen3next;
mod rwkv7;
mod seed_oss;
mod smollm3;
mod stablelm;
mod starcoder2;

use crate::config::{MAX_HEADS, ModelConfig};
use crate::error::ModelError;
use crate::gguf::Gguf;
use crate::keys::Keys;
use crate::plan::Plan;

/// Models that differ in numbers and weights only.
struct Family {
    /// As in `general.architecture`, which also begins the names of its metadata keys.
    names: &'static [&'static str],
    /// What such a model computes.
    plan: fn(&Keys<'_>, &ModelConfig) -> Result<Plan, ModelError>,
}

const FAMILIES: &[Family] = &[
    Family { names: bailingmoe2::NAMES, plan: bailingmoe2::plan },
    Family { names: deepseek2::NAMES, plan: deepseek2::plan },
    Family { names: glm4::MOE, plan: glm4::moe },
    Family { names: gpt_oss::NAMES, plan: gpt_oss::plan },
    Family { names: lfm2::LFM2, plan: lfm2::lfm2 },
    Family { names: lfm2::LFM2_MOE, plan: lfm2::lfm2_moe },
    Family { names: mamba::MAMBA2, plan: mamba::mamba2 },
    Family { names: mamba::FALCON_H1, plan: mamba::falcon_h1 },
    Family { names: granite::GRANITE_HYBRID, plan: granite::granite_hybrid },
    Family { names: qwen3next::QWEN3NEXT, plan: qwen3next::qwen3next },
    Family { names: qwen3next::QWEN35, plan: qwen3next::qwen35 },
    Family { names: qwen3next::QWEN35_MOE, plan: qwen3next::qwen35_moe },
    Family { names: rwkv7::NAMES, plan: rwkv7::plan },
    Family { names: granite::GRANITE_MOE, plan: granite::granite_moe },
    Family { names: llama4::NAMES, plan: llama4::plan },
    Family { names: minicpm3::NAMES, plan: minicpm3::plan },
    Family { names: olmoe::NAMES, plan: olmoe::plan },
    Family { names: dots1::NAMES, plan: dots1::plan },
    Family { names: ernie4_5_moe::NAMES, plan: ernie4_5_moe::plan },
    Family { names: llama::NAMES, plan: llama::plan },
    Family { names: qwen2::NAMES, plan: qwen2::plan },
    Family { names: qwen2moe::NAMES, plan: qwen2moe::plan },
    Family { names: qwen3::NAMES, plan: qwen3::plan },
    Family { names: qwen3moe::NAMES, plan: qwen3moe::plan },
    Family { names: phi3::NAMES, plan: phi3::plan },
    Family { names: gemma::GEMMA, plan: gemma::gemma },
    Family { names: gemma::GEMMA2, plan: gemma::gemma2 },
    Family { names: gemma::GEMMA3, plan: gemma::gemma3 },
    Family { names: gemma::GEMMA3N, plan: gemma::gemma3n },
    Family { names: gemma::GEMMA4, plan: gemma::gemma4 },
    Family { names: granite::GRANITE, plan: granite::granite },
    Family { names: granite::MINICPM, plan: granite::minicpm },
    Family { names: olmo2::NAMES, plan: olmo2::plan },
    Family { names: smollm3::NAMES, plan: smollm3::plan },
    Family { names: glm4::NAMES, plan: glm4::plan },
    Family { names: cohere::COMMAND_R, plan: cohere::command_r },
    Family { names: cohere::COHERE2, plan: cohere::cohere2 },
    Family { names: starcoder2::NAMES, plan: starcoder2::plan },
    Family { names: stablelm::NAMES, plan: stablelm::plan },
    Family { names: mistral3::NAMES, plan: mistral3::plan },
    Family { names: exaone4::NAMES, plan: exaone4::plan },
    Family { names: seed_oss::NAMES, plan: seed_oss::plan },
    Family { names: hunyuan::NAMES, plan: hunyuan::plan },
    Family { names: nemotron::NAMES, plan: nemotron::plan },
    Family { names: bert::BERT, plan: bert::bert },
    Family { names: bert::NOMIC, plan: bert::nomic },
    Family { names: bert::NOMIC_MOE, plan: bert::nomic_moe },
    Family { names: bert::JINA, plan: bert::jina },
    Family { names: modern_bert::NAMES, plan: modern_bert::plan },
    Family { names: gemma::GEMMA_EMBEDDING, plan: gemma::gemma_embedding },
];

/// The architectures that can be run, as in `general.architecture`.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.names).copied()
}

/// As [`describe_within`], with the whole context that the model was made for.
///
/// # Errors
/// As with [`describe_within`].
pub fn describe(gguf: &Gguf) -> Result<(ModelConfig, Plan), ModelError> {
    describe_within(gguf, None)
}

/// The geometry of a file's model, and what it is made of. `context` limits the positions that a sequence may have.
///
/// # Errors
/// If the architecture is unknown (the message lists those that are known), a key is missing, a value makes no sense, or one asks for
/// something that the family does not compute; or `context` is more than the model was made for.
pub fn describe_within(gguf: &Gguf, context: Option<usize>) -> Result<(ModelConfig, Plan), ModelError> {
    let architecture = gguf.architecture()?;
    let family = FAMILIES.iter().find(|family| family.names.contains(&architecture));
    let family = family.ok_or_else(|| ModelError::Architecture {
        name: architecture.to_owned(),
        supported: architectures().collect::<Vec<_>>().join(", "),
    })?;
    let keys = Keys::new(gguf, architecture);
    let config = ModelConfig::read(&keys, gguf, architecture, context)?;
    let plan = (family.plan)(&keys, &config)?;
    if config.value_dim != config.head_dim && plan.layers.iter().any(|layer| layer.attention.latent.is_none()) {
        let expected = format!("{}, the size of a key: heads of two sizes are not supported", config.head_dim);
        return Err(keys.wrong("attention.value_length", config.value_dim, expected));
    }
    check_layers(&keys, &config, &plan)?;
    keys.refuse_unread()?;
    Ok((config, plan))
}

/// Whether the layers can do what is asked of them.
fn check_layers(keys: &Keys<'_>, config: &ModelConfig, plan: &Plan) -> Result<(), ModelError> {
    if plan.is_two_way() && plan.layers.iter().any(|layer| layer.attention.latent.is_some() || layer.state().is_some())
    {
        let expected = "true: compressed keys and states are seen from behind them only".to_owned();
        return Err(keys.wrong("attention.causal", false, expected));
    }
    let heads = "attention.head_count_kv";
    match plan.layers.iter().zip(&config.layer_kv_heads).position(|(layer, &heads)| layer.attends() && heads == 0) {
        Some(layer) => Err(keys.wrong(heads, format!("0 in layer {layer}"), format!("1 to {MAX_HEADS}"))),
        None => Ok(()),
    }
}
