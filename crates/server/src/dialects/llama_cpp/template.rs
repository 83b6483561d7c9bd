//! `POST /apply-template`: the prompt that the model's chat template makes of messages. Nothing is computed by the model.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use crate::access::Identity;
use crate::dialects::fields::Fields;
use crate::dialects::openai::parse::{chat, generation};
use crate::generate::{AppState, inspect};
use crate::http::{ApiError, RequestLog};

pub(super) async fn apply(
    State(state): State<AppState>,
    identity: Identity,
    Extension(log): Extension<Arc<RequestLog>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    inspect(state, identity, log, headers, body, look).await
}

fn look(state: &AppState, body: &Value) -> Result<Value, ApiError> {
    let fields = Fields::top(body)?;
    let model = state.model(generation::model_name(&fields)?)?;
    Ok(json!({"prompt": chat::prompt(&fields, state, &model)?.prompt.text()}))
}
