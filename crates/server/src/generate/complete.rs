//! From the body of a request to its answer: the one handler of all operations of all dialects.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::answers::{self, Answers};
use super::background;
use super::call::{Again, Birth, Call, Origin, Saved};
use super::kept::Kept;
use super::reading;
use super::stream;
use super::supersedes::Wish;
use crate::access::Identity;
use crate::generate::{AppState, Deadlines, IgnoredFields, Task};
use crate::http::body::{self, RawBody};
use crate::http::{ApiError, RequestLog};

/// Names the fields of the body that nobody reads.
const IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-parkade-ignored-fields");

/// What a dialect can be asked for, such as the completion of a chat.
pub(crate) trait Operation: 'static {
    /// Bodies up to this length are read where they arrive: a hop to another thread takes longer.
    const INLINE_BYTES: usize;
    /// Which earlier answer a body follows, for APIs that keep answers.
    const FOLLOWS: Option<Follows> = None;
    /// Reads a body, and tokenises. It takes time in proportion to the body.
    fn read(state: &AppState, body: &Value, call: &Call<'_>) -> Result<Task, ApiError>;
}

/// Finds the name of an earlier answer in a body.
pub(crate) type Follows = fn(&Value) -> Option<&str>;

/// What was made of a body.
struct Read {
    task: Task,
    supersedes: Option<Wish>,
    /// How it was asked for, if it is computed whether or not somebody reads it.
    saved: Option<Saved>,
}

/// The handler of an operation.
pub(crate) async fn complete<O: Operation>(
    State(state): State<AppState>,
    identity: Identity,
    Extension(log): Extension<Arc<RequestLog>>,
    origin: Option<Extension<Origin>>,
    request: Request,
) -> Result<Response, ApiError> {
    state.admits()?;
    let (head, body) = request.into_parts();
    let arrival = state.supersessions().arrive(&head.headers)?;
    let deadlines = Deadlines::from_headers(&head.headers)?;
    let raw = body::read(state.http(), identity.payer(log.sender()), &head.headers, body).await?;
    let is_reborn = origin.is_some();
    let usual = || Origin { birth: Birth::now(), is_first: true, again: None };
    let Origin { birth, is_first, again } = origin.map_or_else(usual, |origin| origin.0);
    let (shared, sender, asked_before) = (state.clone(), identity.clone(), again.clone());
    let request_id = log.id().to_owned();
    let read = move |body: &Value, earlier: Option<&Kept>| {
        let again = asked_before.as_deref();
        let supersedes = if is_first { arrival.wish(body)? } else { None };
        let call = Call { identity: &sender, deadlines, birth: &birth, earlier, again: again.map(|again| &again.kept) };
        let mut task = O::read(&shared, body, &call)?;
        if let Some(again) = again {
            again.restore(&mut task);
        }
        let is_kept = task.encoder.begun().is_some();
        if is_kept || is_reborn {
            task.seed(birth.seed);
        }
        let saved = (is_kept && again.is_none() && shared.durable().any_store().is_some())
            .then(|| Saved::new(head.uri.path(), &request_id, body.clone(), birth.clone(), deadlines).of_task(&task));
        Ok(Read { task, supersedes, saved })
    };
    let inline = raw.len() <= O::INLINE_BYTES;
    let Read { task, supersedes, saved } = read_body((&state, &identity), raw, inline, O::FOLLOWS, read).await?;
    tell_ignored(&state, task.ignored.as_ref(), &log);
    let task = if task.format.is_some() { prepare(&state, false, move || task.compile()).await? } else { task };
    answer((&state, &identity), log, task, supersedes, (saved, again)).await
}

/// Computes what a body asked for.
async fn answer(
    (state, identity): (&AppState, &Identity),
    log: Arc<RequestLog>,
    task: Task,
    supersedes: Option<Wish>,
    kept_as: (Option<Saved>, Option<Arc<Again>>),
) -> Result<Response, ApiError> {
    let has_deadline = task.requests.iter().any(|request| request.timeout.or(request.ttft_slo).is_some());
    let (stream, encoder, n) = (task.stream, task.encoder.clone(), task.requests.first().map_or(0, |first| first.n));
    let mut answers = Answers::submit(state, identity, log, task, supersedes).await?;
    if let Some(begun) = encoder.begun() {
        let kept = background::begin((state, identity), answers, encoder, begun, kept_as).await?;
        return match stream {
            true => Ok(reading::respond(state, &kept, 0)),
            false => json(serde_json::to_vec(&kept.body)),
        };
    }
    if stream {
        return stream::respond(answers, encoder, identity, has_deadline, state).await;
    }
    let collected = answers::collect(&mut answers, n).await?;
    let whole = encoder.whole(&collected, answers.usage());
    if let Some(kept) = encoder.kept() {
        state.kept().put(kept).await;
    }
    json(whole)
}

/// What a dialect can be asked about a body: no engine is asked, and nothing is charged.
pub(crate) trait Inspection: 'static {
    /// Which earlier answer a body follows, for APIs that keep answers.
    const FOLLOWS: Option<Follows> = None;
    /// Looks at a body. It takes time in proportion to it.
    fn look(state: &AppState, body: &Value, call: &Call<'_>) -> Result<Value, ApiError>;
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
    let (shared, sender) = (state.clone(), identity.clone());
    let look = move |body: &Value, earlier: Option<&Kept>| {
        let (birth, deadlines) = (Birth::now(), Deadlines::default());
        I::look(&shared, body, &Call { identity: &sender, deadlines, birth: &birth, earlier, again: None })
    };
    let seen = read_body((&state, &identity), raw, false, I::FOLLOWS, look).await?;
    json(serde_json::to_vec(&seen))
}

/// Parses a body, fetches the answer that it follows, if it is one of those that do, and reads it.
async fn read_body<T: Send + 'static>(
    (state, identity): (&AppState, &Identity),
    raw: RawBody,
    inline: bool,
    follows: Option<Follows>,
    read: impl FnOnce(&Value, Option<&Kept>) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let Some(follows) = follows else {
        return prepare(state, inline, move || read(&raw.parse()?.value, None)).await;
    };
    let body = prepare(state, inline, move || raw.parse()).await?;
    let earlier = match follows(&body.value) {
        Some(id) => state.kept().get(id, identity.owner()).await?,
        None => None,
    };
    prepare(state, inline, move || read(&body.value, earlier.as_deref())).await
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
