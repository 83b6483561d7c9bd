//! `POST /v1/messages/count_tokens`: how many tokens a body's prompt has.

use serde_json::{Value, json};

use super::parse::read_chat;
use crate::dialects::fields::Fields;
use crate::generate::{AppState, Call, Inspection};
use crate::http::ApiError;

/// How many tokens a prompt has.
pub(super) struct CountTokens;

impl Inspection for CountTokens {
    fn look(state: &AppState, body: &Value, _: &Call<'_>) -> Result<Value, ApiError> {
        let fields = Fields::top(body)?;
        let (model, chat, _) = read_chat(state, &fields)?;
        let prepared = chat.prepare(&model)?;
        Ok(json!({"input_tokens": prepared.tokens.len()}))
    }
}
