//! `generation_settings`: how an answer was generated, under llama.cpp's names.

use parkade_core::{Dry, Request, SamplingParams};
use serde_json::{Value, json};

use super::encode::Given;
use crate::dialects::numbers::shortest;

/// llama.cpp's sign for a seed that is drawn.
const DRAWN: u64 = u32::MAX as u64;

/// -1 stands for what has no limit.
fn limit(most: Option<usize>) -> i64 {
    most.map_or(-1, |most| i64::try_from(most).unwrap_or(-1))
}

/// Those of a request.
pub(super) fn of(request: &Request, given: &Given, stream: bool) -> Value {
    let mut settings = of_sampling(&request.sampling);
    let most = limit(request.max_tokens.filter(|&most| most < usize::MAX));
    let further = json!({
        "stop": request.stop,
        "max_tokens": most,
        "n_predict": most,
        "n_keep": 0,
        "n_discard": 0,
        "ignore_eos": request.ignore_eos,
        "stream": stream,
        "n_probs": given.probs.unwrap_or(0),
        "min_keep": 0,
        "timings_per_token": given.timings_per_token,
        "post_sampling_probs": given.sampled,
        "lora": [],
    });
    if let (Some(settings), Value::Object(further)) = (settings.as_object_mut(), further) {
        settings.extend(further);
    }
    settings
}

/// Those that say how the next token is chosen.
pub(super) fn of_sampling(sampling: &SamplingParams) -> Value {
    let dry = sampling.dry.clone().unwrap_or_default();
    let Dry { multiplier, base, allowed_length, window, .. } = dry;
    json!({
        "seed": sampling.seed.unwrap_or(DRAWN),
        "temperature": shortest(sampling.temperature),
        "dynatemp_range": 0.0,
        "dynatemp_exponent": 1.0,
        "top_k": sampling.top_k,
        "top_p": shortest(sampling.top_p),
        "min_p": shortest(sampling.min_p),
        "top_n_sigma": shortest(sampling.top_n_sigma),
        "xtc_probability": shortest(sampling.xtc.probability),
        "xtc_threshold": shortest(sampling.xtc.threshold),
        "typical_p": shortest(sampling.typical_p),
        "repeat_last_n": limit(sampling.penalty_window),
        "repeat_penalty": shortest(sampling.repetition_penalty),
        "presence_penalty": shortest(sampling.presence_penalty),
        "frequency_penalty": shortest(sampling.frequency_penalty),
        "dry_multiplier": shortest(multiplier),
        "dry_base": shortest(base),
        "dry_allowed_length": allowed_length,
        "dry_penalty_last_n": limit(window),
        "mirostat": 0,
        // Below 0 it is off.
        "adaptive_target": -1.0,
        "adaptive_decay": 0.9,
        "samplers": ["penalties", "dry", "temperature", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc"],
    })
}
