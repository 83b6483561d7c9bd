//! `GET /v1/requests/{id}`, `POST /v1/requests/{id}/cancel` and `GET /v1/requests/{id}/stream`.
//!
//! The id is the `x-request-id` that an answer carries, or that its client sent with the request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Identity;
use crate::dialects::request::service_tier;
use crate::generate::attach;
use crate::generate::in_flight::MOST_ENDED;
use crate::generate::{AppState, Entry, Silence};
use crate::http::{ApiError, Name, Parameters, quote};

/// Where a request stands, in JSON.
fn card(entry: &Entry, identity: &Identity) -> Value {
    let progress = entry.progress().seen_by(identity);
    json!({
        "id": entry.id,
        "object": "request",
        "model": entry.model.name,
        "state": progress.state.name(),
        "error": progress.error,
        "class": entry.class.name(),
        "service_tier": service_tier::served(entry.class, entry.model.engine.has_classes()),
        "tenant": entry.tenant,
        "supersedes": entry.supersedes,
        "place": progress.ahead,
        "estimated_wait_ms": progress.wait.map(milliseconds),
        "prompt_tokens": progress.prompt_tokens,
        "completion_tokens": progress.completion_tokens,
        "age_ms": milliseconds(progress.age),
    })
}

fn find(state: &AppState, id: &str, identity: &Identity) -> Result<Arc<Entry>, ApiError> {
    state.in_flight().find(id, identity, Instant::now()).ok_or_else(|| {
        let message = format!(
            "no request {} is known; the last {MOST_ENDED} that ended are remembered, for a minute, and those of other keys are not shown",
            quote(id)
        );
        ApiError::not_found("request_not_found", message).with_param("id")
    })
}

pub(crate) async fn status(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(card(&*find(&state, &id, &identity)?, &identity)))
}

/// Cancels a request. One that had ended already stays as it was, which `cancelled` tells.
pub(crate) async fn cancel(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
) -> Result<Json<Value>, ApiError> {
    let entry = find(&state, &id, &identity)?;
    let cancelled = entry.cancel();
    let mut card = card(&entry, &identity);
    card["cancelled"] = Value::Bool(cancelled);
    Ok(Json(card))
}

/// A whole number; one that has no end is as far as any.
fn number(name: &'static str, text: &str) -> Result<u64, ApiError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("{name} is {}; allowed: a whole number, 0 or more", quote(text));
        return Err(ApiError::invalid_value(name, message));
    }
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// From where to read along.
#[derive(Debug, Deserialize)]
pub(crate) struct From {
    from: Option<String>,
    prompt: Option<String>,
}

/// Reads along with a request's stream, from its beginning, from event `from`, or after the event that a browser's
/// `last-event-id` names.
pub(crate) async fn attach(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
    Parameters(asked): Parameters<From>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let entry = find(&state, &id, &identity)?;
    let last = headers.get("last-event-id").map(|last| String::from_utf8_lossy(last.as_bytes()));
    let from = match (&asked.from, last) {
        (Some(from), _) => number("from", from)?,
        (None, Some(last)) => number("last-event-id", &last)?.saturating_add(1),
        (None, None) => 0,
    };
    let prompt = match &asked.prompt {
        Some(prompt) => usize::try_from(number("prompt", prompt)?).unwrap_or(usize::MAX),
        None => 0,
    };
    attach::respond(&entry, (prompt, from), Silence::new(entry.clone(), &identity, state.config()))
}

/// Whole milliseconds.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
