//! Fields that name tokens, by their ids or by texts.

use parkade_model::TokenId;
use parkade_model::tokenizer::{Bos, SpecialTokens, Tokenizer};
use serde_json::Value;

use crate::dialects::fields::{Fields, integer};
use crate::generate::ModelEntry;
use crate::http::{ApiError, quote};

/// A list of ids of the vocabulary.
pub(crate) fn token_ids(fields: &Fields<'_>, field: &str, model: &ModelEntry) -> Result<Vec<TokenId>, ApiError> {
    let last = TokenId::try_from(model.config.vocab.saturating_sub(1)).unwrap_or(TokenId::MAX);
    let read = |(i, value): (usize, &Value)| integer(value, &format!("{}[{i}]", fields.name(field)), 0..=last);
    fields.list(field)?.into_iter().flatten().enumerate().map(read).collect()
}

/// The tokens of a text that stands in the midst of another one.
pub(crate) fn tokens_within(model: &ModelEntry, text: &str, path: &str) -> Result<Vec<TokenId>, ApiError> {
    if let Some(tokens) = model.tokenizer.encode_further(text) {
        return Ok(tokens);
    }
    model.tokenizer.encode(text, SpecialTokens::AsText, Bos::Never).map_err(|error| {
        ApiError::invalid_value(path, format!("{path} is {}, which cannot be tokenised: {error}", quote(text)))
    })
}

/// Refuses a list, or an object, of too many entries.
pub(crate) fn at_most(field: &str, entries: usize, most: usize) -> Result<(), ApiError> {
    if entries <= most {
        return Ok(());
    }
    Err(ApiError::invalid_value(field, format!("{field} has {entries} entries; allowed: at most {most}")))
}

/// The text of tokens, with control tokens as they are spelled.
pub(in crate::dialects) fn written(tokenizer: &Tokenizer, tokens: &[TokenId]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|&id| tokenizer.written_bytes(id)).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
