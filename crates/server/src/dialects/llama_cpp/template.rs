//! `POST /apply-template`: the prompt that the model's chat template makes of messages.

use serde_json::{Value, json};

use crate::access::Identity;
use crate::dialects::fields::Fields;
use crate::dialects::request::{chat, generation};
use crate::generate::{AppState, Inspection};
use crate::http::ApiError;

/// The prompt of messages.
pub(super) struct ApplyTemplate;

impl Inspection for ApplyTemplate {
    fn look(state: &AppState, body: &Value, _: &Identity) -> Result<Value, ApiError> {
        let fields = Fields::top(body)?;
        let model = state.model(generation::model_name(&fields)?)?;
        Ok(json!({"prompt": chat::prompt(&fields, state, &model)?.prompt.text()}))
    }
}
