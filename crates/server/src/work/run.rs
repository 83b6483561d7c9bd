//! One line of a batch: asked of the server's own paths, waited for, and asked again when the server could not take it.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use parkade_store::{ClaimedLine, LineResult, Store, StoreError};
use serde_json::value::RawValue;
use tower::ServiceExt;

use super::written;
use crate::access::Identity;
use crate::generate::AppState;
use crate::http::Quiet;

/// How often a line is asked again that the server failed on.
const MOST_FAILURES: usize = 2;

/// How long is waited when the server could not take it and does not say how long.
const PAUSE: Duration = Duration::from_secs(1);

/// What is needed of a line's text.
#[derive(serde::Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
}

/// The body of a line, which is JSON as it stands there.
///
/// # Errors
/// What is written of a line that cannot be read.
pub(crate) fn body_of(text: &[u8], custom_id: &str, number: u64) -> Result<Bytes, String> {
    match serde_json::from_slice::<Asked<'_>>(text) {
        Ok(asked) => Ok(Bytes::copy_from_slice(asked.body.get().as_bytes())),
        Err(error) => {
            let message = format!("the line cannot be read any more: {error}");
            Err(written::refused(Some(custom_id), number, "invalid_json", &message))
        }
    }
}

/// Who sent the batch, as long as its key exists.
pub(super) fn sender(state: &AppState, owner: &str) -> Option<Identity> {
    let policy = state.access().policy();
    match (&policy.keys, owner) {
        (_, "") | (None, _) => Some(Identity::ANONYMOUS.offline()),
        (Some(keys), owner) => Some(Identity::of_key(keys.named(owner)?).offline()),
    }
}

/// Runs a line to its end. It can be dropped at any moment, which cancels it.
pub(super) async fn run(
    state: &AppState,
    inside: &Router,
    store: &Store,
    line: &ClaimedLine,
) -> Result<LineResult, StoreError> {
    let done =
        |is_answered, written| LineResult { batch: line.batch.clone(), number: line.number, is_answered, written };
    let refused =
        |code, message: &str| done(false, written::refused(Some(&line.custom_id), line.number, code, message));
    let Some(identity) = sender(state, &line.owner) else {
        return Ok(refused("invalid_api_key", "the key that this batch was sent with is not known here any more"));
    };
    let text = store.read_range(&line.input_file, line.start, line.length).await?;
    let body = match body_of(&text, &line.custom_id, line.number) {
        Ok(body) => body,
        Err(written) => return Ok(done(false, written)),
    };
    drop(text);
    let (is_answered, written) = answer(inside, (&line.endpoint, &line.custom_id), identity, body).await;
    Ok(done(is_answered, written))
}

/// What is written of a line, and whether it has been answered. It is asked again as long as the server cannot take it.
pub(crate) async fn answer(
    inside: &Router,
    (endpoint, custom_id): (&str, &str),
    identity: Identity,
    body: Bytes,
) -> (bool, String) {
    let mut failures = 0;
    loop {
        let (status, headers, answer) = ask(inside, endpoint, identity.clone(), body.clone()).await;
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            failures += usize::from(status == StatusCode::INTERNAL_SERVER_ERROR);
            if may_come_back(&headers) && failures <= MOST_FAILURES {
                tokio::time::sleep(pause(&headers)).await;
                continue;
            }
        }
        let request_id = text_of(&headers, "x-request-id").unwrap_or_default();
        let body = String::from_utf8_lossy(&answer);
        return (status.is_success(), written::answered(custom_id, status, request_id, &body));
    }
}

async fn ask(inside: &Router, path: &str, identity: Identity, body: Bytes) -> (StatusCode, HeaderMap, Bytes) {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let request = request.extension(identity).extension(Quiet);
    let request = match request.body(Body::from(body)) {
        Ok(request) => request,
        Err(error) => return (StatusCode::BAD_REQUEST, HeaderMap::new(), Bytes::from(error.to_string())),
    };
    let Ok(response) = inside.clone().oneshot(request).await;
    let (head, body) = response.into_parts();
    // What the server writes is bounded by what a model can answer.
    match to_bytes(body, usize::MAX).await {
        Ok(body) => (head.status, head.headers, body),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, head.headers, Bytes::from(format!("{:?}", error.to_string())))
        }
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn may_come_back(headers: &HeaderMap) -> bool {
    text_of(headers, "x-should-retry") != Some("false")
}

fn pause(headers: &HeaderMap) -> Duration {
    text_of(headers, "retry-after").and_then(|text| text.parse().ok()).map_or(PAUSE, Duration::from_secs)
}
