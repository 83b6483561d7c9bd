//! Requests whose clients may go away: their answers are computed to the end, and kept under the ids of the requests.
//!
//! It is a layer around the paths that can do it: what it keeps is what they would have answered, whole or as a stream.

use std::future::Future;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, StatusCode, header, response};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use parkade_store::AnswerEnd;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use super::call::{Birth, Origin, Saved};
use super::complete::prepare;
use super::durable::{deed, of_store};
use super::kept::{EventLog, Job, Kept, Kind, Progress, name_of_detached, new_row};
use super::record::Claim;
use crate::access::Identity;
use crate::generate::{AppState, Deadlines};
use crate::http::{ApiError, RequestLog, Retry, body, quote};

/// Asks for it.
pub(crate) const HEADER: &str = "x-parkade-detach";

/// Bodies up to this length are read where they arrive.
const INLINE_BYTES: usize = 16 << 10;

/// Whether a request asks for it.
fn is_wanted(headers: &HeaderMap) -> Result<bool, ApiError> {
    match headers.get(HEADER).map(|value| value.as_bytes()) {
        None | Some(b"false") => Ok(false),
        Some(b"true") => Ok(true),
        Some(other) => {
            let other = quote(&String::from_utf8_lossy(other));
            let message = format!("the header {HEADER} is {other}; allowed: true, false");
            Err(ApiError::invalid_value(HEADER, message))
        }
    }
}

/// Whether answers at a path can be kept for clients that go away.
type IsFor = fn(&str) -> bool;

/// The layer; `is_for` says at which paths.
pub(crate) async fn layer(State((state, is_for)): State<(AppState, IsFor)>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    match is_wanted(request.headers()) {
        Ok(false) => next.run(request).await,
        Ok(true) if is_for(path) => begin(state, request, next).await.unwrap_or_else(IntoResponse::into_response),
        Ok(true) => {
            let message = format!(
                "the header {HEADER} is true, and {} has no answer that is kept by it; leave it out",
                quote(path)
            );
            ApiError::unsupported(HEADER, message).into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// Stops an answer that nobody wants any more.
struct Stop(Notify);

impl Job for Stop {
    fn is_waiting(&self) -> bool {
        false
    }

    fn cancel(&self) -> bool {
        self.0.notify_one();
        true
    }
}

/// An answer in the making.
struct Detached {
    state: AppState,
    kept: Kept,
    pieces: Arc<EventLog>,
    stop: Arc<Stop>,
    /// Of what is in the store.
    claim: Option<Claim>,
}

/// Who asked first gets the head of the response, or why there is none.
type Head = oneshot::Sender<Result<response::Parts, ApiError>>;

async fn begin(state: AppState, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, sent) = request.into_parts();
    let identity = Identity::from_request_parts(&mut parts, &state).await?;
    let log = parts.extensions.get::<Arc<RequestLog>>().cloned();
    let log = log.ok_or_else(|| ApiError::internal("the server lost the request's id"))?;
    let deadlines = Deadlines::from_headers(&parts.headers)?;
    let raw = body::read(state.http(), identity.payer(log.sender()), &parts.headers, sent).await?;
    let (bytes, birth) = (raw.copy(), Birth::now());
    // What cannot be read is answered here.
    let body = prepare(&state, raw.len() <= INLINE_BYTES, move || raw.parse()).await?.value;
    let saved = Saved::new(parts.uri.path(), log.id(), body, birth.clone(), deadlines);
    parts.extensions.insert(identity.clone());
    parts.extensions.insert(Origin { birth, is_first: true, again: None });
    let detached = Detached::new(&state, identity.owner(), log.id());
    let pieces = Arc::clone(&detached.pieces);
    let (head, told) = oneshot::channel();
    // A task of its own: this one is dropped when the client leaves.
    tokio::spawn(async move {
        match detached.put(&identity, saved).await {
            Ok(detached) => detached.compute(next.run(Request::from_parts(parts, Body::from(bytes))), Some(head)).await,
            Err(error) => {
                // Nobody may be there to be told.
                let _ = head.send(Err(error));
            }
        }
    });
    let lost = |_| ApiError::internal("the server failed on this request; it may be sent again");
    let parts = told.await.map_err(lost)??;
    Ok(Response::from_parts(parts, pieces.body()))
}

/// Goes on with an answer that is in the store and is computed once more.
pub(crate) fn resume(
    state: &AppState,
    claim: Claim,
    kept: Kept,
    response: impl Future<Output = Response> + Send + 'static,
) {
    let mut detached = Detached::of(state, kept);
    detached.claim = Some(claim);
    state.kept().begin(detached.kept.clone());
    tokio::spawn(detached.compute(response, None));
}

/// An answer as it is kept: as it would have been.
pub(crate) fn kept_body(status: StatusCode, content_type: &str, body: &str) -> Value {
    json!({"status": status.as_u16(), "content_type": content_type, "body": body})
}

impl Detached {
    fn new(state: &AppState, owner: Option<&str>, request: &str) -> Self {
        let kept = Kept {
            id: name_of_detached(owner, request),
            kind: Kind::Detached,
            owner: owner.map(str::to_owned),
            body: json!({"request": request}),
            items: Value::Null,
            messages: Value::Null,
            events: None,
            progress: Progress::Ended,
        };
        Self::of(state, kept)
    }

    fn of(state: &AppState, kept: Kept) -> Self {
        let stop = Arc::new(Stop(Notify::new()));
        let kept = Kept { progress: Progress::Here(stop.clone()), ..kept };
        Self { state: state.clone(), kept, pieces: EventLog::new(), stop, claim: None }
    }

    /// From now on it can be asked for.
    async fn put(mut self, identity: &Identity, saved: Saved) -> Result<Self, ApiError> {
        let request = saved.request_id.clone();
        let taken = || {
            let message = format!(
                "the answer to a request {} is kept already; ask for it with GET /v1/requests/ID/answer, or send another x-request-id",
                quote(&request)
            );
            ApiError::new(StatusCode::CONFLICT, "request_id_in_use", message, Retry::Never)
        };
        if self.state.kept().get(&self.kept.id, identity.owner()).await?.is_some() {
            return Err(taken());
        }
        if let Some(store) = self.state.durable().any_store() {
            let saved = saved.write().map_err(|error| {
                tracing::error!(%error, "a request could not be written as JSON");
                ApiError::internal("the request could not be kept")
            })?;
            let node = self.state.durable().joined().await?;
            let deed = deed(identity, "request.detached", &request);
            let row = new_row(&self.kept, Some(saved));
            if !store.put_answer(&row, Some(&node), Some(&deed)).await.map_err(of_store)? {
                return Err(taken());
            }
            self.claim = Some(Claim::new(&self.state, store, &node, &self.kept));
        }
        self.state.kept().begin(self.kept.clone());
        Ok(self)
    }

    /// Waits for the response, passes it on and keeps it.
    async fn compute(self, response: impl Future<Output = Response>, head: Option<Head>) {
        let lost = async {
            match &self.claim {
                Some(claim) => claim.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            body = self.pass_on(response, head) => self.keep(body).await,
            () = lost => self.pieces.leave(),
            () = self.stop.0.notified() => self.pieces.leave(),
        }
        if self.claim.is_some() || self.pieces.has_left() {
            self.state.kept().leave(&self.kept.id);
        }
    }

    /// What is to be kept of a response, when it is complete; nothing of a refusal that its client has been told.
    async fn pass_on(&self, response: impl Future<Output = Response>, head: Option<Head>) -> Option<Value> {
        let (parts, body) = response.await.into_parts();
        let (status, content_type) = (parts.status, parts.headers.get(header::CONTENT_TYPE));
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or("application/json").to_owned();
        let is_stream = content_type == "text/event-stream";
        let is_told = head.is_some_and(|head| head.send(Ok(parts)).is_ok());
        let mut chunks = body.into_data_stream();
        let mut whole = Vec::new();
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => {
                    whole.extend_from_slice(&chunk);
                    if is_stream {
                        self.pieces.push_piece(chunk);
                    }
                }
                Err(error) => {
                    tracing::warn!(answer = self.kept.id, %error, "an answer broke off");
                    self.pieces.leave();
                    break;
                }
            }
        }
        let body = kept_body(status, &content_type, &String::from_utf8_lossy(&whole));
        if is_told && !status.is_success() {
            self.pieces.push_piece(whole.into());
            return None;
        }
        // Whoever has read a whole answer finds it.
        self.state.kept().end(Kept { body: body.clone(), ..self.kept.clone() });
        if !is_stream {
            self.pieces.push_piece(whole.into());
        }
        Some(body)
    }

    async fn keep(&self, body: Option<Value>) {
        self.pieces.end();
        match (body, &self.claim) {
            (Some(body), Some(claim)) => {
                let end = AnswerEnd { id: self.kept.id.clone(), body: body.to_string(), ..AnswerEnd::default() };
                if let Err(error) = claim.finish(&end, "request.answered", None).await {
                    tracing::debug!(answer = end.id, %error, "an answer is not kept by this process");
                }
            }
            (Some(_), None) => {}
            (None, claim) => {
                self.state.kept().leave(&self.kept.id);
                if let Some(claim) = claim {
                    claim.withdraw().await;
                }
            }
        }
    }
}
