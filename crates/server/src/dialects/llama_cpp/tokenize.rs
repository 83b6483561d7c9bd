//! `POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`.
//!
//! llama.cpp and vLLM have the same paths with other fields: a text in `content` is llama.cpp's, in `prompt` or `messages` vLLM's, and
//! each is answered in its own shape. Tokens are `tokens` in both, so a text of tokens comes back under both names.

use axum::Json;
use axum::extract::State;
use parkade_model::TokenId;
use parkade_model::tokenizer::{Bos, SpecialTokens, Tokenizer};
use serde_json::{Value, json};

use crate::access::Identity;
use crate::dialects::fields::Fields;
use crate::dialects::request::{chat, generation, tokens};
use crate::generate::{AppState, Inspection, ModelEntry, untokenisable};
use crate::http::ApiError;

/// The longest text that is tokenised, in bytes.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// The tokens of a text.
pub(super) struct Tokenize;

impl Inspection for Tokenize {
    fn look(state: &AppState, body: &Value, _: &Identity) -> Result<Value, ApiError> {
        tokens_of(state, &Fields::top(body)?)
    }
}

/// The text of tokens.
pub(super) struct Detokenize;

impl Inspection for Detokenize {
    fn look(state: &AppState, body: &Value, _: &Identity) -> Result<Value, ApiError> {
        text_of(state, &Fields::top(body)?)
    }
}

/// What a client needs to know of a tokenizer that it cannot see: vLLM's path, which evaluation harnesses ask.
pub(super) async fn info(State(state): State<AppState>, _: Identity) -> Result<Json<Value>, ApiError> {
    let model = state.model(None)?;
    let tokenizer = &model.tokenizer;
    let spelled = |id: Option<TokenId>| id.map(|id| tokenizer.token_text(id).to_owned());
    Ok(Json(json!({
        "tokenizer_class": model.config.architecture,
        "vocab_size": tokenizer.vocab_size(),
        "model_max_length": model.config.context_length,
        "bos_token": spelled(tokenizer.bos()),
        "eos_token": spelled(tokenizer.eos()),
        "pad_token": spelled(tokenizer.eos()),
        "add_bos_token": tokenizer.adds_bos(),
        "chat_template": model.template.as_ref().and_then(|template| template.source(false)),
    })))
}

fn tokens_of(state: &AppState, fields: &Fields<'_>) -> Result<Value, ApiError> {
    let model = state.model(generation::model_name(fields)?)?;
    let given: Vec<_> =
        ["content", "prompt", "messages"].into_iter().filter(|name| fields.get(name).is_some()).collect();
    if let [first, second, ..] = given[..] {
        let message = format!("{first} and {second} are both there; send one of content, prompt and messages");
        return Err(ApiError::invalid_value(second, message));
    }
    match given.first() {
        Some(&"content") => of_content(fields, &model),
        Some(&"prompt") => {
            let text = text(fields, "prompt")?;
            let special = fields.boolean("add_special_tokens")?.unwrap_or(true);
            let bos = if special { Bos::AsModel } else { Bos::Never };
            counted(fields, &model, &encode(&model, text, SpecialTokens::Parse, bos, "prompt")?)
        }
        Some(_) => counted(fields, &model, &chat::prompt(fields, state, &model)?.tokens),
        None => Err(ApiError::missing("content", "a text (or prompt, or messages)")),
    }
}

/// llama.cpp's answer.
fn of_content(fields: &Fields<'_>, model: &ModelEntry) -> Result<Value, ApiError> {
    let text = text(fields, "content")?;
    let bos = if fields.boolean("add_special")?.unwrap_or(false) { Bos::AsModel } else { Bos::Never };
    let special = match fields.boolean("parse_special")?.unwrap_or(true) {
        true => SpecialTokens::Parse,
        false => SpecialTokens::AsText,
    };
    let tokens = encode(model, text, special, bos, "content")?;
    Ok(match fields.boolean("with_pieces")?.unwrap_or(false) {
        false => json!({ "tokens": tokens }),
        true => {
            let pieces = tokens.iter().map(|&id| json!({"id": id, "piece": piece(&model.tokenizer, id)}));
            json!({"tokens": pieces.collect::<Vec<_>>()})
        }
    })
}

/// vLLM's answer.
fn counted(fields: &Fields<'_>, model: &ModelEntry, tokens: &[TokenId]) -> Result<Value, ApiError> {
    let spelled = |&id: &TokenId| model.tokenizer.token_text(id).to_owned();
    let strings = fields.boolean("return_token_strs")?.unwrap_or(false);
    let strings = strings.then(|| tokens.iter().map(spelled).collect::<Vec<_>>());
    Ok(json!({
        "count": tokens.len(),
        "max_model_len": model.config.context_length,
        "tokens": tokens,
        "token_strs": strings,
    }))
}

fn text_of(state: &AppState, fields: &Fields<'_>) -> Result<Value, ApiError> {
    let model = state.model(generation::model_name(fields)?)?;
    if fields.get("tokens").is_none() {
        return Err(ApiError::missing("tokens", "a list of token ids"));
    }
    let text = tokens::written(&model.tokenizer, &tokens::token_ids(fields, "tokens", &model)?);
    Ok(json!({"content": text, "prompt": text}))
}

/// A token's text; its bytes, if these are no text by themselves.
fn piece(tokenizer: &Tokenizer, id: TokenId) -> Value {
    let bytes = tokenizer.written_bytes(id);
    std::str::from_utf8(bytes).map_or_else(|_| json!(bytes), Value::from)
}

fn text<'a>(fields: &Fields<'a>, field: &str) -> Result<&'a str, ApiError> {
    let text = fields.string(field)?.unwrap_or_default();
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("{field} has {} bytes; allowed: at most {MAX_TEXT_BYTES}, send it in parts", text.len());
        return Err(ApiError::invalid_value(field, message));
    }
    Ok(text)
}

fn encode(
    model: &ModelEntry,
    text: &str,
    special: SpecialTokens,
    bos: Bos,
    field: &'static str,
) -> Result<Vec<TokenId>, ApiError> {
    model.tokenizer.encode(text, special, bos).map_err(|error| untokenisable(field, &error))
}
