//! One request over one connection of its own. Connections are not reused: a server that closes an idle one must not be
//! able to spoil the next request, and a client that vanishes closes only what is its own.

use super::answer::{StreamedAnswer, error_code};
use super::outcome::{Answer, Observation, Outcome};
use super::sse::EventParser;
use super::{Job, Target, Workload};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// The most of an error's body that is read.
const BODY_LIMIT: usize = 1 << 20;

/// Sends request `index` of `workload` and watches it to its end.
pub(super) async fn observe(
    target: &Target,
    workload: &Workload,
    index: usize,
    start: Instant,
    intended: Duration,
) -> Observation {
    let job = workload.job(index);
    let sent = start.elapsed();
    let mut seen = Observation {
        index,
        class: job.class,
        tenant: job.tenant.clone(),
        intended,
        sent,
        ended: sent,
        pieces: Vec::new(),
        output_tokens: 0,
        prompt_tokens: None,
        cached_tokens: None,
        outcome: Outcome::Unanswered,
    };
    let patience = start + intended + target.patience;
    let vanish = job.vanish_after.map(|after| start + sent + after);
    let until = vanish.map_or(patience, |vanish| vanish.min(patience));
    let talk = converse(target, workload, &job, start, &mut seen);
    seen.outcome = match timeout_at(until, talk).await {
        Ok(outcome) => outcome,
        Err(_) if until < patience => Outcome::Vanished,
        Err(_) => Outcome::Unanswered,
    };
    seen.ended = start.elapsed();
    if seen.output_tokens == 0 {
        seen.output_tokens = seen.pieces.len();
    }
    seen
}

async fn converse(target: &Target, workload: &Workload, job: &Job, start: Instant, seen: &mut Observation) -> Outcome {
    let body = workload.body(job, target).to_string();
    let announced = workload.announced.and_then(|slo| slo.ttft);
    let request = match build(target, Method::POST, target.api.path(), body.into(), announced) {
        Ok(request) => request,
        Err(reason) => return Outcome::Unreachable(reason),
    };
    let (_connection, response) = match send(target, request).await {
        Ok(answer) => answer,
        Err(reason) => return Outcome::Unreachable(reason),
    };
    if !response.status().is_success() {
        let answer = refusal(response).await;
        let waited = start.elapsed().saturating_sub(seen.sent);
        return match answer.status {
            503 if answer.code == "deadline_exceeded"
                && (answer.was_in_line || announced.is_some_and(|deadline| waited >= deadline)) =>
            {
                Outcome::Expired(answer)
            }
            429 | 503 => Outcome::Refused(answer),
            _ => Outcome::Rejected(answer),
        };
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !kind.starts_with("text/event-stream") {
        return Outcome::Malformed(format!("a stream of content type '{kind}'"));
    }
    listen(response.into_body(), start, seen).await
}

/// Reads the stream of events to its end.
async fn listen(mut body: Incoming, start: Instant, seen: &mut Observation) -> Outcome {
    let mut parser = EventParser::default();
    let mut answer = StreamedAnswer::default();
    let whole = loop {
        let bytes = match body.frame().await {
            None => break !parser.in_event(),
            Some(Err(_)) => break false,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let now = start.elapsed();
        let events = match parser.push(&bytes) {
            Ok(events) => events,
            Err(error) => return Outcome::Malformed(error.to_string()),
        };
        for event in events {
            if answer.event(&event) {
                seen.pieces.push(now);
            }
        }
        seen.output_tokens = answer.output_tokens.unwrap_or(0);
        seen.prompt_tokens = answer.prompt_tokens;
        seen.cached_tokens = answer.cached_tokens;
    };
    answer.outcome(whole)
}

/// What an answer that is no success says.
async fn refusal(response: Response<Incoming>) -> Answer {
    let status = response.status().as_u16();
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_string());
    let retry_after = header(RETRY_AFTER.as_str());
    let should_retry = header("x-should-retry").and_then(|text| text.parse().ok());
    let was_in_line = header("x-parkade-queue-ms").is_some();
    let body = collect(response.into_body()).await.unwrap_or_default();
    let error: Value = serde_json::from_slice(&body).unwrap_or_default();
    Answer { status, code: error_code(&error["error"]), retry_after, should_retry, was_in_line }
}

/// Asks for something small that is no stream; gives status and body.
///
/// # Errors
/// In words, if no answer came within `target.patience`.
pub(crate) async fn ask(target: &Target, path: &str, body: Option<&Value>) -> Result<(StatusCode, Bytes), String> {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = build(target, method, path, body.into(), None)?;
    let talk = async {
        let (_connection, response) = send(target, request).await?;
        let status = response.status();
        let body = collect(response.into_body()).await?;
        Ok((status, body))
    };
    timeout_at(Instant::now() + target.patience, talk)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {:?}", target.patience)))
}

fn build(
    target: &Target,
    method: Method,
    path: &str,
    body: Bytes,
    ttft: Option<Duration>,
) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", target.base_path))
        .header(HOST, &target.host)
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, "application/json");
    if let Some(key) = &target.api_key {
        request = request.header(AUTHORIZATION, format!("Bearer {key}"));
    }
    if let Some(ttft) = ttft {
        request = request.header("x-slo-ttft-ms", ttft.as_millis().to_string());
    }
    request.body(Full::new(body)).map_err(|error| error.to_string())
}

/// The task that drives a connection. Dropping it closes the socket at once.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn send(target: &Target, request: Request<Full<Bytes>>) -> Result<(Connection, Response<Incoming>), String> {
    let socket = TcpStream::connect(target.address).await.map_err(|error| format!("no connection: {error}"))?;
    let _ = socket.set_nodelay(true);
    let (mut sender, driver) = http1::handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
    let connection = Connection(tokio::spawn(async move {
        // Its errors reach the request or the body, where they are counted.
        let _ = driver.await;
    }));
    let response = sender.send_request(request).await.map_err(|error| format!("closed without an answer: {error}"))?;
    Ok((connection, response))
}

async fn collect(mut body: Incoming) -> Result<Bytes, String> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("cut answer: {error}"))?;
        if let Ok(data) = frame.into_data() {
            all.extend_from_slice(&data);
        }
        if all.len() > BODY_LIMIT {
            return Err(format!("an answer of more than {BODY_LIMIT} bytes"));
        }
    }
    Ok(all.into())
}
