//! One request and its response: the id that both carry, the counters, and the one line in the log.

use std::any::Any;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parkade_core::{Class, Usage};
use parkade_sync::Mutex;
use uuid::Uuid;

use crate::http::metrics::NO_ROUTE;
use crate::http::{ApiError, Ends, HttpState, Sender};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const QUEUE_MS: HeaderName = HeaderName::from_static("x-parkade-queue-ms");

/// The longest `x-request-id` that is taken over from a client.
const LONGEST_ID: usize = 128;

/// The status in log and metrics of a request whose client left before the response began, as nginx logs it.
const CLIENT_LEFT: u16 = 499;

/// What is known of a request while it is answered. It is logged when the last reference goes: the engine's work may end after the
/// response, when others read along.
pub(crate) struct RequestLog {
    http: Arc<HttpState>,
    id: String,
    method: Method,
    route: String,
    started: Instant,
    outcome: OnceLock<(StatusCode, Option<&'static str>)>,
    class: OnceLock<Class>,
    usage: OnceLock<Usage>,
    queue_time: OnceLock<Duration>,
    /// What the response says besides.
    headers: Mutex<HeaderMap>,
    sender: Option<Sender>,
    is_quiet: bool,
    held: OnceLock<Box<dyn Any + Send + Sync>>,
    delivery: OnceLock<Delivery>,
}

/// Marks a request of the server's own, such as a line of a batch: there may be many, and each is told of elsewhere.
#[derive(Clone, Copy)]
pub(crate) struct Quiet;

/// How a response ended.
struct Delivery {
    /// All of it was sent.
    complete: bool,
    /// From the request's head on.
    took: Duration,
}

impl RequestLog {
    /// Takes note of the class that the request asks in.
    pub fn set_class(&self, class: Class) {
        let _first = self.class.set(class);
    }

    /// Takes note of what the engine used.
    pub fn set_usage(&self, usage: Usage) {
        // One HTTP request has one usage: a second call would be a mistake, and keeps the first.
        let _first = self.usage.set(usage);
    }

    /// Takes note of how long the request was in line, before its usage is known.
    pub fn set_queue_time(&self, time: Duration) {
        let _first = self.queue_time.set(time);
    }

    /// Takes note that the request has been in line until now and does not run any more.
    pub fn set_queued_in_vain(&self) {
        self.set_queue_time(self.started.elapsed());
    }

    /// Writes headers that the response will have; the latest count.
    pub fn set_headers(&self, write: impl FnOnce(&mut HeaderMap)) {
        write(&mut self.headers.lock());
    }

    /// Keeps something until the request ends.
    pub fn hold(&self, held: impl Any + Send + Sync) {
        let _first = self.held.set(Box::new(held));
    }

    /// Who sent it; `None` if it came over no socket.
    pub fn sender(&self) -> Option<Sender> {
        self.sender
    }

    /// How long it was in line, as far as that is known.
    fn time_in_line(&self) -> Option<Duration> {
        // What the client was told first stays: a stream's head tells it before the usage is known.
        self.queue_time.get().copied().or(self.usage.get().map(|usage| usage.queue))
    }

    /// The id that request and response carry.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether this is a probe, a scrape or the like, which come by the second and are not worth a line at info.
    fn is_routine(&self) -> bool {
        self.is_quiet || matches!(self.route.as_str(), "/health" | "/health/ready" | "/metrics" | "/v1/metrics")
    }

    fn status(&self) -> u16 {
        self.outcome.get().map_or(CLIENT_LEFT, |(status, _)| status.as_u16())
    }

    fn code(&self) -> Option<&'static str> {
        self.outcome.get().and_then(|(_, code)| *code)
    }

    /// Counts the end of the response.
    fn responded(&self, complete: bool) {
        let took = self.started.elapsed();
        self.http.metrics.ended(&self.method, &self.route, self.status(), took);
        if let Some(code) = self.code() {
            self.http.metrics.failed(code);
        }
        let _first = self.delivery.set(Delivery { complete, took });
    }

    fn log(&self, delivery: &Delivery) {
        let usage = self.usage.get().copied().unwrap_or_default();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    id = self.id,
                    method = %self.method,
                    route = self.route,
                    status = self.status(),
                    code = self.code(),
                    delivered = delivery.complete,
                    class = self.class.get().map(|class| class.name()),
                    prompt_tokens = usage.prompt_tokens,
                    cached_tokens = usage.cached_tokens,
                    completion_tokens = usage.completion_tokens,
                    queue_ms = self.time_in_line().map(|time| time.as_millis() as u64),
                    first_token_ms = usage.first_token.map(|time| time.as_millis() as u64),
                    total_ms = delivery.took.as_millis() as u64,
                    "request"
                )
            };
        }
        if self.is_routine() {
            line!(debug);
        } else {
            line!(info);
        }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        if let Some(delivery) = self.delivery.get() {
            self.log(delivery);
        }
    }
}

/// Ends the response when it is dropped: with its body, or with the handler whose client left.
struct Ending {
    log: Arc<RequestLog>,
    delivered: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.log.responded(self.delivered);
    }
}

/// The middleware around all handlers.
pub(crate) async fn track(State(http): State<Arc<HttpState>>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let log = Arc::new(RequestLog {
        id: request_id(request.headers()),
        method: request.method().clone(),
        route: route.map_or(NO_ROUTE, MatchedPath::as_str).to_owned(),
        started: Instant::now(),
        outcome: OnceLock::new(),
        class: OnceLock::new(),
        usage: OnceLock::new(),
        queue_time: OnceLock::new(),
        headers: Mutex::new("server.response_headers", HeaderMap::new()),
        sender: request.extensions().get::<Ends>().map(|ends| ends.sender),
        is_quiet: request.extensions().get::<Quiet>().is_some(),
        held: OnceLock::new(),
        delivery: OnceLock::new(),
        http: http.clone(),
    });
    http.metrics.began();
    let mut ending = Ending { log: log.clone(), delivered: false };
    request.extensions_mut().insert(log.clone());
    let mut response = next.run(request).await;
    let code = response.extensions().get().map(ApiError::code);
    let _first = log.outcome.set((response.status(), code));
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&log.id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(queue) = log.time_in_line() {
        headers.insert(QUEUE_MS, HeaderValue::from(queue.as_millis() as u64));
    }
    headers.extend(std::mem::take(&mut *log.headers.lock()));
    response.map(|body| {
        ending.delivered = body.is_end_stream();
        Body::new(Tracked { body, ending })
    })
}

/// An id for a request that has none.
pub(crate) fn new_id() -> String {
    format!("req_{}", Uuid::new_v4().simple())
}

/// Whether a request can have this id: 1 to 128 visible characters of ASCII.
#[must_use]
pub fn is_request_id(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The client's id if it is one that can stand in a header and a log line, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    match sent.filter(|id| is_request_id(id)) {
        Some(id) => id.to_owned(),
        None => new_id(),
    }
}

/// A response body that ends its request.
struct Tracked {
    body: Body,
    ending: Ending,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.ending.delivered = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(sent: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(sent).expect("a header"));
        request_id(&headers)
    }

    #[test]
    fn a_clients_id_is_taken_over_if_it_is_harmless() {
        assert_eq!(id_of(b"build-7/step:3"), "build-7/step:3");
        for bad in [&b""[..], b"two words", b"caf\xc3\xa9", &[b'a'; 129]] {
            assert!(id_of(bad).starts_with("req_"), "{bad:?}");
        }
        assert!(request_id(&HeaderMap::new()).starts_with("req_"));
    }
}
