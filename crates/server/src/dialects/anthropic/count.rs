//! `POST /v1/messages/count_tokens`: how many tokens a body's prompt has. Nothing is computed, and nothing charged.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::parse::read_chat;
use crate::access::Identity;
use crate::dialects::fields::Fields;
use crate::generate::{AppState, inspect};
use crate::http::{ApiError, RequestLog};

pub(super) async fn count_tokens(
    State(state): State<AppState>,
    identity: Identity,
    Extension(log): Extension<Arc<RequestLog>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    inspect(state, identity, log, headers, body, count).await
}

fn count(state: &AppState, body: &Value) -> Result<Value, ApiError> {
    let fields = Fields::top(body)?;
    let (model, chat, _) = read_chat(state, &fields)?;
    let prepared = chat.prepare(&model)?;
    Ok(json!({"input_tokens": prepared.tokens.len()}))
}
