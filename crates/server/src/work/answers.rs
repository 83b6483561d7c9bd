//! Answers that nobody computes: asked once more, as they were asked first.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use parkade_store::{Answer, AnswerEnd, Node, Store, StoreError};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::run::{MOST_FAILURES, may_come_back, pause};
use super::unanswered::Unanswered;
use crate::access::Identity;
use crate::generate::kept::{Kept, Kind, of_row};
use crate::generate::{Again, AppState, Claim, Origin, Saved, detach};
use crate::http::ApiError;

/// How many answers are taken up at once. What runs is not among them: only what has not begun.
const AT_ONCE: usize = 16;

/// Answers that are taken up, until they run.
pub(super) struct Answers {
    state: AppState,
    inside: Router,
    store: Store,
    beginning: JoinSet<()>,
}

impl Answers {
    pub fn new(state: &AppState, inside: &Router, store: &Store) -> Self {
        Self { state: state.clone(), inside: inside.clone(), store: store.clone(), beginning: JoinSet::new() }
    }

    /// Takes up what nobody computes, and ends what somebody has cancelled.
    pub async fn look(&mut self, node: &Node) -> Result<(), StoreError> {
        while let Some(begun) = self.beginning.try_join_next() {
            if let Err(failure) = begun
                && failure.is_panic()
            {
                tracing::error!(%failure, "taking up an answer panicked");
            }
        }
        if self.state.ready().is_err() {
            return Ok(());
        }
        let room = AT_ONCE.saturating_sub(self.beginning.len());
        if room > 0 {
            for row in self.store.claim_answers(node, room).await? {
                let taken_up = TakenUp::new(&self.state, &self.store, node, row);
                self.beginning.spawn(taken_up.begin(self.inside.clone()));
            }
        }
        for id in self.store.cancelled_answers(node).await? {
            self.state.kept().cancel_here(&id);
        }
        Ok(())
    }

    /// Leaves what has not begun.
    pub async fn stop(&mut self) {
        self.beginning.shutdown().await;
    }
}

/// An answer that this process has claimed.
struct TakenUp {
    state: AppState,
    node: Node,
    claim: Claim,
    kept: Kept,
    request: Option<String>,
    is_cancelled: bool,
}

/// Who asked, as long as the key exists.
fn sender(state: &AppState, owner: Option<&str>) -> Option<Identity> {
    let policy = state.access().policy();
    match (&policy.keys, owner) {
        (None, _) | (_, None) => Some(Identity::ANONYMOUS),
        (Some(keys), Some(owner)) => keys.named(owner).map(Identity::of_key),
    }
}

impl TakenUp {
    fn new(state: &AppState, store: &Store, node: &Node, row: Answer) -> Self {
        let (request, is_cancelled) = (row.request.clone(), row.is_cancelled);
        let kept = of_row(row);
        let claim = Claim::new(state, store, node, &kept);
        Self { state: state.clone(), node: node.clone(), claim, kept, request, is_cancelled }
    }

    /// Begins it, or ends it if it cannot be computed.
    async fn begin(self, inside: Router) {
        tracing::info!(answer = self.kept.id, "an answer is taken up");
        if self.is_cancelled {
            return self.end(Unanswered::Cancelled).await;
        }
        let unknown = "the key that this was asked with is not known here any more";
        let Some(sender) = sender(&self.state, self.kept.owner.as_deref()) else {
            return self.end(Unanswered::Failed("invalid_api_key", unknown)).await;
        };
        let saved = match Saved::read(self.request.as_deref().unwrap_or_default()) {
            Ok(saved) => saved,
            Err(why) => return self.end(Unanswered::Failed("request_unreadable", &why)).await,
        };
        match self.kept.kind {
            Kind::Detached => {
                let asked = ask(inside, sender, saved, None);
                detach::resume(&self.state, self.claim, self.kept, asked);
            }
            Kind::Response => {
                let again = Again { saved: saved.clone(), kept: self.kept.clone(), node: self.node.clone() };
                let response = ask(inside, sender, saved, Some(Arc::new(again))).await;
                if !response.status().is_success() {
                    let error = response.extensions().get::<ApiError>();
                    let message = error.map_or("the server failed on it", ApiError::message);
                    let failed = Unanswered::Failed(error.map_or("internal_error", ApiError::code), message);
                    self.end(failed).await;
                }
            }
        }
    }

    /// Ends an answer that is not computed.
    async fn end(self, why: Unanswered<'_>) {
        let first = match self.claim.count_events().await {
            Ok(count) => count,
            Err(error) => {
                tracing::warn!(answer = self.kept.id, %error, "an answer waits for its store");
                return;
            }
        };
        let (body, events, outcome, told) = match self.kept.kind {
            Kind::Response => {
                let last = why.of_response(&self.kept, first);
                (last.body, vec![last.event], last.outcome, Some(last.outcome))
            }
            Kind::Detached => (why.of_detached(), Vec::new(), "request.failed", None),
        };
        let end = AnswerEnd {
            id: self.kept.id.clone(),
            body: body.to_string(),
            messages: self.kept.messages.to_string(),
            first,
            events,
        };
        if let Err(error) = self.claim.finish(&end, outcome, told).await {
            tracing::debug!(answer = end.id, %error, "an answer is not ended by this process");
        }
    }
}

/// Asks the server's own paths, until they do not say to come back.
async fn ask(inside: Router, sender: Identity, saved: Saved, again: Option<Arc<Again>>) -> Response {
    let mut failures = 0;
    loop {
        let response = match request(&saved, sender.clone(), again.clone()) {
            Ok(request) => {
                let Ok(response) = inside.clone().oneshot(request).await;
                response
            }
            Err(error) => return error.into_response(),
        };
        let (status, headers) = (response.status(), response.headers());
        let is_full = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        failures += usize::from(status == StatusCode::INTERNAL_SERVER_ERROR);
        if !is_full || !may_come_back(headers) || failures > MOST_FAILURES {
            return response;
        }
        tokio::time::sleep(pause(headers)).await;
    }
}

fn request(saved: &Saved, sender: Identity, again: Option<Arc<Again>>) -> Result<Request<Body>, ApiError> {
    let origin = Origin { birth: saved.birth.clone(), is_first: false, again };
    let mut request = Request::post(&saved.path)
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-request-id", &saved.request_id)
        .extension(sender)
        .extension(origin);
    if let Some(left) = saved.time_left() {
        // What is too late is told so by those who know deadlines.
        let milliseconds = u64::try_from(left.max(Duration::from_millis(1)).as_millis()).unwrap_or(u64::MAX);
        request = request.header("x-request-timeout-ms", HeaderValue::from(milliseconds));
    }
    let unreadable = |error: axum::http::Error| ApiError::internal(format!("the request cannot be asked: {error}"));
    request.body(Body::from(saved.body.to_string())).map_err(unreadable)
}
