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
use crate::generate::kept::Kind;
use crate::generate::{AppState, Call, Follows, Inspection, Kept, deed, of_store, respond};
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

async fn find(state: &AppState, id: &str, identity: &Identity) -> Result<Arc<Kept>, ApiError> {
    let kept = state.kept().get(id, identity.owner()).await?;
    kept.filter(|kept| kept.kind == Kind::Response).ok_or_else(|| unknown(id))
}

/// Whether it is, or was, computed whether or not somebody reads it.
fn is_in_background(kept: &Kept) -> bool {
    kept.body["background"] == true
}

/// The response as it is now.
fn now(kept: &Kept) -> Value {
    let mut body = kept.body.clone();
    if kept.is_under_way() {
        body["status"] = if kept.is_waiting() { "queued" } else { "in_progress" }.into();
    }
    body
}

pub(super) async fn retrieve(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
    Parameters(query): Parameters<Retrieve>,
) -> Result<Response, ApiError> {
    let kept = find(&state, &id, &identity).await?;
    if !query.stream {
        return Ok(Json(now(&kept)).into_response());
    }
    if !is_in_background(&kept) {
        let message =
            format!("the response {} was not created with background: true; there is no stream of it", quote(&id));
        return Err(ApiError::invalid_value("stream", message));
    }
    let from = query.starting_after.map_or(0, |last| last.saturating_add(1));
    // One that is under way may have had more events before it was taken up again.
    if !kept.is_under_way() {
        let count = count_events(&state, &kept).await?;
        if from > count {
            let message = format!("starting_after is {}; the response {} has {count} events", from - 1, quote(&id));
            return Err(ApiError::bad_request("out_of_range", message).with_param("starting_after"));
        }
    }
    Ok(respond(&state, &kept, from))
}

async fn count_events(state: &AppState, kept: &Kept) -> Result<usize, ApiError> {
    match &kept.events {
        Some(events) => Ok(events.progress().0),
        None => {
            let count = state.durable().store()?.count_events(&kept.id).await.map_err(of_store)?;
            Ok(usize::try_from(count).unwrap_or(usize::MAX))
        }
    }
}

pub(super) async fn delete(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
) -> Result<Json<Value>, ApiError> {
    find(&state, &id, &identity).await?;
    let deed = deed(&identity, "response.deleted", &id);
    if !state.kept().delete(&id, identity.owner(), &deed).await? {
        return Err(unknown(&id));
    }
    Ok(Json(json!({"id": id, "object": "response", "deleted": true})))
}

pub(super) async fn cancel(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
) -> Result<Json<Value>, ApiError> {
    let kept = find(&state, &id, &identity).await?;
    if !is_in_background(&kept) {
        let message =
            format!("the response {} was not created with background: true; close its connection instead", quote(&id));
        return Err(ApiError::bad_request("not_cancellable", message));
    }
    let deed = deed(&identity, "response.cancelling", &id);
    state.durable().wake();
    state.kept().cancel(&kept, &deed, PATIENCE).await?;
    // What it has become, unless somebody has deleted it meanwhile.
    let kept = state.kept().get(&id, identity.owner()).await?.unwrap_or(kept);
    Ok(Json(now(&kept)))
}

pub(super) async fn input_items(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
    Parameters(query): Parameters<Page>,
) -> Result<Json<Value>, ApiError> {
    let kept = find(&state, &id, &identity).await?;
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
    const FOLLOWS: Option<Follows> = Some(parse::follows);

    fn look(state: &AppState, body: &Value, call: &Call<'_>) -> Result<Value, ApiError> {
        let fields = Fields::top(body)?;
        let (model, asked, _) = parse::read_chat(state, &fields, call, "resp_0")?;
        let prepared = asked.conversation.prepare(&model)?;
        Ok(json!({"object": "response.input_tokens", "input_tokens": prepared.tokens.len()}))
    }
}
