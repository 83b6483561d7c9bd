//! Listing, reading and deleting files.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use parkade_store::{File, Order, Purpose, Store};
use serde::Deserialize;
use serde_json::{Value, json};

use super::objects;
use crate::access::Identity;
use crate::generate::{AppState, deeds, of_store};
use crate::http::{ApiError, Name, Parameters, Retry, quote};

/// How many files a list has at most, as OpenAI's.
const MOST: usize = 10_000;

/// Which files are asked for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    purpose: Option<String>,
    limit: Option<usize>,
    order: Option<String>,
    after: Option<String>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    identity: Identity,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let store = state.durable().store()?;
    let purpose = match wanted.purpose.as_deref() {
        None | Some("") => None,
        Some(name) => Some(Purpose::of(name).ok_or_else(|| {
            let all = Purpose::ALL.map(Purpose::name).join(", ");
            ApiError::invalid_value("purpose", format!("purpose is {}; allowed: {all}", quote(name)))
        })?),
    };
    let order = match wanted.order.as_deref() {
        None | Some("desc") => Order::Descending,
        Some("asc") => Order::Ascending,
        Some(other) => {
            return Err(ApiError::invalid_value("order", format!("order is {}; allowed: asc, desc", quote(other))));
        }
    };
    let limit = limit(wanted.limit, MOST, MOST)?;
    if !store.may_have_work() {
        return Ok(Json(objects::list(Vec::new(), false)));
    }
    let owner = identity.owner().unwrap_or_default();
    let page = store.files(owner, purpose, (order, wanted.after.as_deref(), limit)).await.map_err(of_store)?;
    Ok(Json(objects::list(page.members.iter().map(objects::file).collect(), page.has_more)))
}

/// How many members of a list are wanted.
pub(super) fn limit(wanted: Option<usize>, usual: usize, most: usize) -> Result<usize, ApiError> {
    let limit = wanted.unwrap_or(usual);
    match (1..=most).contains(&limit) {
        true => Ok(limit),
        false => Err(ApiError::invalid_value("limit", format!("limit is {limit}; allowed: 1 to {most}"))),
    }
}

/// A file of its owner's.
pub(super) async fn find(store: &Store, identity: &Identity, id: &str, param: &str) -> Result<File, ApiError> {
    let found = match store.may_have_work() {
        true => store.file(identity.owner().unwrap_or_default(), id).await.map_err(of_store)?,
        false => None,
    };
    found.ok_or_else(|| {
        let message = format!("the file {} is not here: it was never, has been deleted or was too old", quote(id));
        ApiError::not_found("file_not_found", message).with_param(param)
    })
}

pub(super) async fn retrieve(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(objects::file(&find(state.durable().store()?, &identity, &id, "id").await?)))
}

pub(super) async fn delete(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
) -> Result<Json<Value>, ApiError> {
    let store = state.durable().store()?;
    let file = find(store, &identity, &id, "id").await?;
    if store.file_is_in_use(&file.id).await.map_err(of_store)? {
        let message = format!("the file {} is read by a batch that is not over; cancel that first", quote(&id));
        return Err(ApiError::new(StatusCode::CONFLICT, "file_in_use", message, Retry::Never).with_param("id"));
    }
    let deed = deeds::of(&identity, "file.deleted", &file.id);
    let deleted = store.delete_file(&file.owner, &file.id, &deed).await.map_err(of_store)?;
    Ok(Json(json!({"id": file.id, "object": "file", "deleted": deleted})))
}

pub(super) async fn content(
    State(state): State<AppState>,
    identity: Identity,
    Name(id): Name,
) -> Result<Response, ApiError> {
    let store = state.durable().store()?.clone();
    let file = find(&store, &identity, &id, "id").await?;
    let pieces = stream::try_unfold((store, file.id, 0), |(store, id, number)| async move {
        let piece = store.file_chunk(&id, number).await?;
        Ok::<_, parkade_store::StoreError>(piece.map(|piece| (Bytes::from(piece), (store, id, number + 1))))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        // Its bytes are counted: a file that is deleted while it is read is a body that breaks off, and no shorter one.
        (header::CONTENT_LENGTH, file.bytes.to_string()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
