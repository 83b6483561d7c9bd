//! The fields that say how the next token is chosen.

use std::ops::RangeInclusive;
use std::sync::Arc;

use parkade_core::{SamplingParams, Xtc};
use parkade_model::TokenId;
use serde_json::Value;

use super::dry;
use super::tokens::{at_most, token_ids, tokens_within};
use crate::dialects::fields::{Fields, describe, integer, wrong_type};
use crate::dialects::request::describe::SAMPLING;
use crate::generate::ModelEntry;
use crate::http::{ApiError, quote};

/// What may be added to a token's logit.
const BIAS: RangeInclusive<f64> = -100.0..=100.0;

/// The longest text in `bad_words` and `logit_bias`, in bytes.
const MAX_WORD_BYTES: usize = 256;

/// Whether a field is one of them.
pub(crate) fn reads(name: &str) -> bool {
    SAMPLING.iter().any(|field| field.name == name)
}

/// Reads all of them, with the operator's defaults and then OpenAI's.
pub(crate) fn read(fields: &Fields<'_>, model: &ModelEntry) -> Result<SamplingParams, ApiError> {
    read_over(fields, model, &SamplingParams::default())
}

/// Reads all of them, with the operator's defaults and then a dialect's; ranges that the sampler defines are checked by the sampler's own rules.
pub(super) fn read_over(
    fields: &Fields<'_>,
    model: &ModelEntry,
    neutral: &SamplingParams,
) -> Result<SamplingParams, ApiError> {
    let neutral = &model.defaults.over(neutral);
    let number = |field, default| Ok::<f32, ApiError>(fields.number(field)?.unwrap_or(default));
    let repetition = fields.alias(["repetition_penalty", "repeat_penalty"])?;
    let typical = fields.alias(["typical_p", "typ_p"])?;
    let sigmas = fields.alias(["top_n_sigma", "nsigma"])?;
    let mut bad_words = bad_words(fields, model)?;
    let params = SamplingParams {
        temperature: number("temperature", neutral.temperature)?,
        // 0 and -1 say "all tokens", and so does what is above any vocabulary.
        top_k: match fields.limit("top_k", 0)? {
            Some(k) => u32::try_from(k).unwrap_or(0),
            None => neutral.top_k,
        },
        top_p: number("top_p", neutral.top_p)?,
        min_p: number("min_p", neutral.min_p)?,
        typical_p: number(typical, neutral.typical_p)?,
        // Below 0 it is off, as in llama.cpp.
        top_n_sigma: number(sigmas, neutral.top_n_sigma)?.max(0.0),
        xtc: Xtc {
            probability: number("xtc_probability", neutral.xtc.probability)?,
            threshold: number("xtc_threshold", neutral.xtc.threshold)?,
        },
        presence_penalty: number("presence_penalty", neutral.presence_penalty)?,
        frequency_penalty: number("frequency_penalty", neutral.frequency_penalty)?,
        repetition_penalty: number(repetition, neutral.repetition_penalty)?,
        penalty_window: fields
            .limit(fields.alias(["repeat_last_n", "penalty_last_n"])?, 0)?
            .filter(|&n| n < usize::MAX),
        dry: dry::read(fields, model)?,
        logit_bias: logit_bias(fields, model, &mut bad_words)?,
        allowed_tokens: allowed_tokens(fields, model)?,
        bad_words,
        seed: if fields.get("seed").is_some() { seed(fields)? } else { neutral.seed },
    };
    params.validate(model.config.vocab).map_err(|mut problem| {
        problem.field = match problem.field {
            "repetition_penalty" => repetition,
            "typical_p" => typical,
            "top_n_sigma" => sigmas,
            field => field,
        };
        // As it was sent, and not as it was rounded.
        if let Some(sent) = fields.get(problem.field).filter(|value| value.is_number()) {
            problem.value = sent.to_string();
        }
        ApiError::invalid_value(problem.field, problem.to_string())
    })?;
    Ok(params)
}

/// The seed, any 64 bits. -1 asks for another one each time, as in llama.cpp and vLLM.
fn seed(fields: &Fields<'_>) -> Result<Option<u64>, ApiError> {
    let seed = fields.integer("seed", i128::from(i64::MIN)..=i128::from(u64::MAX))?;
    Ok(seed.filter(|&seed| seed != -1).map(|seed| seed as u64))
}

/// vLLM's `allowed_token_ids`.
fn allowed_tokens(fields: &Fields<'_>, model: &ModelEntry) -> Result<Option<Arc<[TokenId]>>, ApiError> {
    let ids = token_ids(fields, "allowed_token_ids", model)?;
    Ok(Some(ids).filter(|ids| !ids.is_empty()).map(Arc::from))
}

/// vLLM's `bad_words`: as they are in the midst of a text, with a space before them and without.
fn bad_words(fields: &Fields<'_>, model: &ModelEntry) -> Result<Vec<Vec<TokenId>>, ApiError> {
    const FIELD: &str = "bad_words";
    let mut words = Vec::new();
    let list = fields.list(FIELD)?.map_or(&[][..], |list| list);
    at_most(FIELD, list.len(), SamplingParams::MAX_BAD_WORDS / 2)?;
    for (i, value) in list.iter().enumerate() {
        let path = format!("{FIELD}[{i}]");
        let word = value.as_str().ok_or_else(|| wrong_type(path.clone(), value, "a string"))?;
        if word.trim().is_empty() || word.len() > MAX_WORD_BYTES {
            let message = format!("{path} is {}; allowed: a word of 1 to {MAX_WORD_BYTES} bytes", quote(word));
            return Err(ApiError::invalid_value(path, message));
        }
        let (bare, spaced) = (word.trim_start().to_owned(), format!(" {}", word.trim_start()));
        for text in [bare, spaced] {
            let tokens = tokens_within(model, &text, &path)?;
            if !tokens.is_empty() && !words.contains(&tokens) {
                words.push(tokens);
            }
        }
    }
    Ok(words)
}

/// OpenAI's object of ids and numbers, or llama.cpp's list of pairs. A text in the place of an id means each of its tokens, and `false` in
/// the place of a number forbids them.
fn logit_bias(
    fields: &Fields<'_>,
    model: &ModelEntry,
    forbidden: &mut Vec<Vec<TokenId>>,
) -> Result<Vec<(TokenId, f32)>, ApiError> {
    const FIELD: &str = "logit_bias";
    let mut biases = Vec::new();
    let mut take = |tokens: Vec<TokenId>, bias: &Value, path: &str| -> Result<(), ApiError> {
        match bias.as_f64() {
            _ if bias == &Value::Bool(false) => forbidden.extend(tokens.into_iter().map(|id| vec![id])),
            Some(number) if BIAS.contains(&number) => {
                biases.extend(tokens.into_iter().map(|id| (id, number as f32)));
            }
            Some(_) => {
                let message = format!("{path} is {bias}; allowed: a number from -100 to 100, or false");
                return Err(ApiError::invalid_value(FIELD, message));
            }
            None => {
                let message = format!("{path} is {}; allowed: a number from -100 to 100, or false", describe(bias));
                return Err(ApiError::invalid_type(FIELD, message));
            }
        }
        Ok(())
    };
    match fields.get(FIELD) {
        None => {}
        Some(Value::Object(object)) => {
            at_most(FIELD, object.len(), SamplingParams::MAX_BIASES)?;
            for (key, bias) in object {
                let path = format!("{FIELD}[{}]", quote(key));
                let tokens = match key.parse::<TokenId>() {
                    Ok(id) => vec![id],
                    // A number that is no id is a slip, and no text.
                    Err(_) if key.parse::<f64>().is_ok() => {
                        let message = format!("{path} names no token; allowed: a token id, or a text");
                        return Err(ApiError::invalid_value(FIELD, message));
                    }
                    Err(_) => text_tokens(model, key, &path)?,
                };
                take(tokens, bias, &path)?;
            }
        }
        Some(Value::Array(list)) => {
            at_most(FIELD, list.len(), SamplingParams::MAX_BIASES)?;
            for (i, pair) in list.iter().enumerate() {
                let path = format!("{FIELD}[{i}]");
                let Some([token, bias]) = pair.as_array().map(Vec::as_slice) else {
                    return Err(wrong_type(path, pair, "a pair of a token id, or a text, and a number or false"));
                };
                let tokens = match token {
                    Value::String(text) => text_tokens(model, text, &path)?,
                    id => vec![integer(id, &format!("{path}[0]"), 0..=TokenId::MAX)?],
                };
                take(tokens, bias, &format!("{path}[1]"))?;
            }
        }
        Some(other) => return Err(wrong_type(FIELD.to_owned(), other, "an object, or a list of pairs")),
    }
    // A text may be several tokens: the sampler's own limit is on these.
    Ok(biases)
}

/// The tokens of a text that is a key of `logit_bias`.
fn text_tokens(model: &ModelEntry, text: &str, path: &str) -> Result<Vec<TokenId>, ApiError> {
    if text.is_empty() || text.len() > MAX_WORD_BYTES {
        let message = format!("{path} names a text of {} bytes; allowed: 1 to {MAX_WORD_BYTES}", text.len());
        return Err(ApiError::invalid_value("logit_bias", message));
    }
    tokens_within(model, text, path)
}
