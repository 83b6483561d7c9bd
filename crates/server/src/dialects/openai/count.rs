//! `POST /v1/chat/completions/input_tokens`: how many tokens a chat's prompt has.

use serde_json::{Value, json};

use super::parse::chat;
use crate::access::Identity;
use crate::dialects::fields::Fields;
use crate::dialects::request::generation;
use crate::generate::{AppState, Inspection};
use crate::http::ApiError;

/// How many tokens a prompt has.
pub(super) struct CountTokens;

impl Inspection for CountTokens {
    fn look(state: &AppState, body: &Value, _: &Identity) -> Result<Value, ApiError> {
        let fields = Fields::top(body)?;
        let model = state.model(generation::model_name(&fields)?)?;
        let prepared = chat::prompt(&fields, state, &model)?;
        Ok(json!({"object": "response.input_tokens", "input_tokens": prepared.tokens.len()}))
    }
}
