//! `prompt` as llama.cpp takes it: a text, token ids, or both in one list, or an object with the text; and lists of these, one for each answer.

use parkade_model::TokenId;
use parkade_model::tokenizer::{Bos, SpecialTokens};
use serde_json::Value;

use crate::dialects::fields::{Fields, integer, wrong_type};
use crate::generate::{ModelEntry, refuse_hopeless, untokenisable};
use crate::http::ApiError;

/// The field that prompts come from.
pub(super) const FIELD: &str = "prompt";

/// The most prompts in one request.
const MAX_PROMPTS: usize = 256;

const EXPECTED: &str = "a string, a list of token ids and strings, an object with prompt_string, or a list of prompts";

/// The prompts of a body, and whether it gave a list of them: then it gets a list of answers.
pub(super) fn read(fields: &Fields<'_>, model: &ModelEntry) -> Result<(Vec<Vec<TokenId>>, bool), ApiError> {
    let value = fields.get(FIELD).ok_or_else(|| ApiError::missing(FIELD, EXPECTED))?;
    match value {
        Value::Array(list) if !list.iter().any(Value::is_number) => {
            if list.is_empty() || list.len() > MAX_PROMPTS {
                let message = format!("{FIELD} has {} entries; allowed: 1 to {MAX_PROMPTS} prompts", list.len());
                return Err(ApiError::invalid_value(FIELD, message));
            }
            let read = |(i, prompt)| one(prompt, &format!("{FIELD}[{i}]"), model);
            Ok((list.iter().enumerate().map(read).collect::<Result<_, _>>()?, true))
        }
        prompt => Ok((vec![one(prompt, FIELD, model)?], false)),
    }
}

/// One prompt. The first of its texts begins as the model's texts do, the others go on.
fn one(prompt: &Value, path: &str, model: &ModelEntry) -> Result<Vec<TokenId>, ApiError> {
    match prompt {
        Value::String(text) => tokenize(text, Bos::AsModel, model),
        Value::Array(parts) if !parts.is_empty() => {
            let last = TokenId::try_from(model.config.vocab.saturating_sub(1)).unwrap_or(TokenId::MAX);
            let mut tokens = Vec::with_capacity(parts.len());
            for (i, part) in parts.iter().enumerate() {
                match part {
                    Value::String(text) => {
                        let bos = if tokens.is_empty() { Bos::AsModel } else { Bos::Never };
                        tokens.extend(tokenize(text, bos, model)?);
                    }
                    id => tokens.push(integer(id, &format!("{path}[{i}]"), 0..=last)?),
                }
            }
            Ok(tokens)
        }
        object @ Value::Object(_) => {
            let fields = Fields::at(object, path.to_owned())?;
            if fields.list("multimodal_data")?.is_some_and(|list| !list.is_empty()) {
                let name = fields.name("multimodal_data");
                let message = format!("{name} is not supported; the models here read text only: leave it out");
                return Err(ApiError::unsupported(&name, message));
            }
            let name = fields.name("prompt_string");
            let text = fields.string("prompt_string")?.ok_or_else(|| ApiError::missing(&name, "a string"))?;
            tokenize(text, Bos::AsModel, model)
        }
        other => Err(wrong_type(path.to_owned(), other, EXPECTED)),
    }
}

/// The tokens of a text that a client sent.
fn tokenize(text: &str, bos: Bos, model: &ModelEntry) -> Result<Vec<TokenId>, ApiError> {
    refuse_hopeless(model, text, FIELD)?;
    let tokens = model.tokenizer.encode(text, SpecialTokens::Parse, bos);
    tokens.map_err(|error| untokenisable(FIELD, &error))
}
