//! Asking for answers that are kept, cancelling and deleting them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::keep::unknown;
use super::parse;
use crate::access::Identity;
use crate::dialects::fields::Fields;
use crate::generate::{AppState, Inspection, Kept};
use crate::http::{ApiError, Name, Parameters, quote};

/// How many items a page of input items has.
const PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;

/// How long the end of an answer that is cancelled is waited for. It comes within a layer of the model's pass.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a response is asked for.
#[derive(Deserialize)]
pub(super) struct Retrieve {
    #[serde(default)]
    stream: bool,
    /// The number of the last event that was read.
    starting_after: Option<usize>,
}

/// Which items of input are asked for.
#[derive(Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
    order: Option<Order>,
    /// The id of the item before the first one.
    after: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Order {
    Asc,
    Desc,
}

fn find(state: &AppState, id: &str, identity: &Identity) -> Result<Arc<Kept>, ApiError> {
    state.kept().get(id, identity.owner()).ok_or_else(|| unknown(id))
}

/// The response as it is now.
fn now(kept: &Kept) -> Value {
    let mut body = kept.body.clone();
    if let Some(job) = &kept.job {
        body["status"] = if job.is_waiting() { "queued" } else { "in_progress" }.into();
    }
    body
}

pub(super) async fn retrieve(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
    Parameters(query): Parameters<Retrieve>,
) -> Result<Response, ApiError> {
    let kept = find(&state, &id, &identity)?;
    if !query.stream {
        return Ok(Json(now(&kept)).into_response());
    }
    let Some(events) = kept.events.clone() else {
        let message =
            format!("the response {} was not created with background: true; there is no stream of it", quote(&id));
        return Err(ApiError::invalid_value("stream", message));
    };
    let from = query.starting_after.map_or(0, |last| last.saturating_add(1));
    if from > events.count() {
        let message =
            format!("starting_after is {}; the response {} has {} events so far", from - 1, quote(&id), events.count());
        return Err(ApiError::bad_request("out_of_range", message).with_param("starting_after"));
    }
    Ok(events.respond(from, state.config().keep_alive_comment))
}

pub(super) async fn delete(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
) -> Result<Json<Value>, ApiError> {
    let kept = find(&state, &id, &identity)?;
    state.kept().remove(&id, identity.owner());
    if let Some(job) = &kept.job {
        job.cancel();
    }
    Ok(Json(json!({"id": id, "object": "response", "deleted": true})))
}

pub(super) async fn cancel(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
) -> Result<Json<Value>, ApiError> {
    let kept = find(&state, &id, &identity)?;
    let Some(events) = &kept.events else {
        let message =
            format!("the response {} was not created with background: true; close its connection instead", quote(&id));
        return Err(ApiError::bad_request("not_cancellable", message));
    };
    if kept.job.as_ref().is_some_and(|job| job.cancel()) {
        events.ended(PATIENCE).await;
    }
    // What it has become, unless somebody has deleted it meanwhile.
    let kept = state.kept().get(&id, identity.owner()).unwrap_or(kept);
    Ok(Json(now(&kept)))
}

pub(super) async fn input_items(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
    Parameters(query): Parameters<Page>,
) -> Result<Json<Value>, ApiError> {
    let kept = find(&state, &id, &identity)?;
    let mut items: Vec<&Value> = kept.items.as_array().into_iter().flatten().collect();
    if query.order != Some(Order::Asc) {
        items.reverse();
    }
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(ApiError::invalid_value("limit", format!("limit is {limit}; allowed: 1 to {LARGEST_PAGE}")));
    }
    let from = query
        .after
        .map_or(0, |after| items.iter().position(|item| item["id"] == after).map_or(items.len(), |at| at + 1));
    let page: Vec<&Value> = items.iter().skip(from).take(limit).copied().collect();
    let ids = |item: Option<&&Value>| item.map(|item| item["id"].clone()).unwrap_or_default();
    Ok(Json(json!({
        "object": "list",
        "data": page,
        "first_id": ids(page.first()),
        "last_id": ids(page.last()),
        "has_more": from + page.len() < items.len(),
    })))
}

/// How many tokens the prompt of a body has.
pub(super) struct InputTokens;

impl Inspection for InputTokens {
    fn look(state: &AppState, body: &Value, identity: &Identity) -> Result<Value, ApiError> {
        let fields = Fields::top(body)?;
        let (model, asked, _) = parse::read_chat(state, &fields, identity, "resp_0")?;
        let prepared = asked.conversation.prepare(&model)?;
        Ok(json!({"object": "response.input_tokens", "input_tokens": prepared.tokens.len()}))
    }
}
