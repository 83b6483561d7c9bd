//! From the body of a request to its answer: the one handler of all operations of all dialects.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::answers::{self, Answers};
use super::background;
use super::event_log::EventLog;
use super::stream;
use crate::access::Identity;
use crate::generate::{AppState, Deadlines, IgnoredFields, Task};
use crate::http::body;
use crate::http::{ApiError, RequestLog};

/// Names the fields of the body that nobody reads.
const IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-parkade-ignored-fields");

/// What a dialect can be asked for, such as the completion of a chat.
pub(crate) trait Operation: 'static {
    /// Bodies up to this length are read where they arrive: a hop to another thread takes longer.
    const INLINE_BYTES: usize;
    /// Reads a body, and tokenises. It takes time in proportion to the body.
    fn read(state: &AppState, body: &Value, identity: &Identity, deadlines: Deadlines) -> Result<Task, ApiError>;
}

/// The handler of an operation.
pub(crate) async fn complete<O: Operation>(
    State(state): State<AppState>,
    identity: Identity,
    Extension(log): Extension<Arc<RequestLog>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    state.admits()?;
    let arrival = state.supersessions().arrive(&headers)?;
    let deadlines = Deadlines::from_headers(&headers)?;
    let raw = body::read(state.http(), identity.payer(log.sender()), &headers, body).await?;
    let inline = raw.len() <= O::INLINE_BYTES;
    let (shared, sender) = (state.clone(), identity.clone());
    let read = move || {
        let body = raw.parse()?;
        Ok((arrival.wish(&body.value)?, O::read(&shared, &body.value, &sender, deadlines)?))
    };
    let (supersedes, task) = prepare(&state, inline, read).await?;
    tell_ignored(&state, task.ignored.as_ref(), &log);
    let task = if task.format.is_some() { prepare(&state, false, move || task.compile()).await? } else { task };
    let has_deadline = task.requests.iter().any(|request| request.timeout.or(request.ttft_slo).is_some());
    let (stream, encoder, n) = (task.stream, task.encoder.clone(), task.requests.first().map_or(0, |first| first.n));
    let mut answers = Answers::submit(&state, &identity, log, task, supersedes).await?;
    let events = EventLog::new();
    if let Some(begun) = encoder.in_background(answers.entry().clone(), &events) {
        background::run(answers, encoder, Arc::clone(&events));
        return match stream {
            true => Ok(events.respond(0, state.config().keep_alive_comment)),
            false => json(serde_json::to_vec(&begun)),
        };
    }
    if stream {
        return stream::respond(answers, encoder.chunks(), &identity, has_deadline, state.config()).await;
    }
    let collected = answers::collect(&mut answers, n).await?;
    json(encoder.whole(&collected, answers.usage()))
}

/// What a dialect can be asked about a body: no engine is asked, and nothing is charged.
pub(crate) trait Inspection: 'static {
    /// Looks at a body. It takes time in proportion to it.
    fn look(state: &AppState, body: &Value, identity: &Identity) -> Result<Value, ApiError>;
}

/// The handler of an inspection.
pub(crate) async fn inspect<I: Inspection>(
    State(state): State<AppState>,
    identity: Identity,
    Extension(log): Extension<Arc<RequestLog>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let raw = body::read(state.http(), identity.payer(log.sender()), &headers, body).await?;
    let shared = state.clone();
    let seen = prepare(&state, false, move || I::look(&shared, &raw.parse()?.value, &identity)).await?;
    json(serde_json::to_vec(&seen))
}

/// Says in the response and in the log which fields nobody reads.
pub(super) fn tell_ignored(state: &AppState, ignored: Option<&IgnoredFields>, log: &RequestLog) {
    if let Some(ignored) = ignored {
        state.ignored_log().tell(ignored);
        log.set_headers(|headers| headers.extend(ignored.header().map(|names| (IGNORED_FIELDS, names))));
    }
}

/// Runs work that takes time in proportion to what a client sent.
pub(super) async fn prepare<T: Send + 'static>(
    state: &AppState,
    inline: bool,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if inline {
        return work();
    }
    let permit = state.preparation().clone().acquire_owned().await;
    let task = tokio::task::spawn_blocking(move || {
        // Held until the work is done, also when its client is gone.
        let _permit = permit;
        work()
    });
    match task.await {
        Ok(result) => result,
        Err(failure) => {
            tracing::error!(%failure, "preparing a request failed");
            Err(ApiError::internal("the server failed on this request; it may be sent again"))
        }
    }
}

/// A JSON body with status 200.
pub(super) fn json(body: serde_json::Result<Vec<u8>>) -> Result<Response, ApiError> {
    match body {
        Ok(body) => Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response()),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            Err(ApiError::internal("the answer could not be written"))
        }
    }
}
