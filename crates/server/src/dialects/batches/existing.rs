//! Listing and cancelling batches.

use axum::Json;
use axum::extract::State;
use parkade_store::Batch;
use serde::Deserialize;
use serde_json::Value;

use super::files::limit;
use super::objects;
use crate::access::Identity;
use crate::generate::{AppState, deeds, of_store};
use crate::http::{ApiError, Name, Parameters, quote};

/// How many batches a list has, and at most, as OpenAI's.
const USUAL: usize = 20;
const MOST: usize = 100;

/// Which batches are asked for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    limit: Option<usize>,
    after: Option<String>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    identity: Identity,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let store = state.durable().store()?;
    let limit = limit(wanted.limit, USUAL, MOST)?;
    if !store.may_have_work() {
        return Ok(Json(objects::list(Vec::new(), false)));
    }
    let owner = identity.owner().unwrap_or_default();
    let page = store.batches(owner, wanted.after.as_deref(), limit).await.map_err(of_store)?;
    Ok(Json(objects::list(page.members.iter().map(objects::batch).collect(), page.has_more)))
}

fn found(batch: Option<Batch>, id: &str) -> Result<Json<Value>, ApiError> {
    let batch = batch.ok_or_else(|| {
        let message = format!("the batch {} is not here: it was never, or was too old", quote(id));
        ApiError::not_found("batch_not_found", message).with_param("id")
    })?;
    Ok(Json(objects::batch(&batch)))
}

pub(super) async fn retrieve(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
) -> Result<Json<Value>, ApiError> {
    let store = state.durable().store()?;
    if !store.may_have_work() {
        return found(None, &id);
    }
    found(store.batch(identity.owner().unwrap_or_default(), &id).await.map_err(of_store)?, &id)
}

pub(super) async fn cancel(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
) -> Result<Json<Value>, ApiError> {
    let store = state.durable().store()?;
    if !store.may_have_work() {
        return found(None, &id);
    }
    let deed = deeds::of(&identity, "batch.cancelling", &id);
    let batch = store.cancel_batch(identity.owner().unwrap_or_default(), &id, &deed).await.map_err(of_store)?;
    state.durable().wake();
    found(batch, &id)
}
