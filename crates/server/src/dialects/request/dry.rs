//! The fields of DRY, under llama.cpp's names.

use std::sync::Arc;

use parkade_core::Dry;
use parkade_model::TokenId;
use serde_json::Value;

use super::tokens::{at_most, tokens_within};
use crate::dialects::fields::{Fields, wrong_type};
use crate::generate::ModelEntry;
use crate::http::{ApiError, quote};

/// What no repetition goes across, if the request does not say: llama.cpp's defaults.
const BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

/// The most sequences that break repetitions.
const MAX_BREAKERS: usize = 32;

/// The longest of them, in bytes.
const MAX_BREAKER_BYTES: usize = 40;

/// Reads them; nothing if it is off. Ranges are checked by the sampler's own rules.
pub(super) fn read(fields: &Fields<'_>, model: &ModelEntry) -> Result<Option<Dry>, ApiError> {
    let neutral = Dry::default();
    let window = fields.limit("dry_penalty_last_n", 0)?.filter(|&n| n < usize::MAX);
    let dry = Dry {
        multiplier: fields.number("dry_multiplier")?.unwrap_or(neutral.multiplier),
        base: fields.number("dry_base")?.unwrap_or(neutral.base),
        allowed_length: fields.integer("dry_allowed_length", 0..=usize::MAX)?.unwrap_or(neutral.allowed_length),
        window,
        breakers: Arc::default(),
    };
    let sent = breakers(fields)?;
    // Below 0 it is off too, as in llama.cpp.
    if dry.multiplier <= 0.0 || window == Some(0) {
        return Ok(None);
    }
    Ok(Some(Dry { breakers: breaking_tokens(model, &sent)?, ..dry }))
}

fn breakers<'a>(fields: &Fields<'a>) -> Result<Vec<&'a str>, ApiError> {
    const FIELD: &str = "dry_sequence_breakers";
    let Some(list) = fields.list(FIELD)? else { return Ok(BREAKERS.to_vec()) };
    at_most(FIELD, list.len(), MAX_BREAKERS)?;
    let read = |(i, value): (usize, &'a Value)| {
        let path = format!("{FIELD}[{i}]");
        let text = value.as_str().ok_or_else(|| wrong_type(path.clone(), value, "a string"))?;
        if text.is_empty() || text.len() > MAX_BREAKER_BYTES {
            let message = format!("{path} is {}; allowed: 1 to {MAX_BREAKER_BYTES} bytes", quote(text));
            return Err(ApiError::invalid_value(path, message));
        }
        Ok(text)
    };
    list.iter().enumerate().map(read).collect()
}

/// The tokens that have one of the texts in them; of a text that is in none, the last token that it is made of.
fn breaking_tokens(model: &ModelEntry, texts: &[&str]) -> Result<Arc<[TokenId]>, ApiError> {
    let mut tokens = Vec::new();
    for text in texts {
        let before = tokens.len();
        let vocab = TokenId::try_from(model.tokenizer.vocab_size()).unwrap_or(TokenId::MAX);
        let has = |id: &TokenId| {
            let bytes = model.tokenizer.token_bytes(*id);
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        tokens.extend((0..vocab).filter(has));
        if tokens.len() == before {
            tokens.extend(tokens_within(model, text, "dry_sequence_breakers")?.last());
        }
    }
    tokens.sort_unstable();
    tokens.dedup();
    Ok(tokens.into())
}
