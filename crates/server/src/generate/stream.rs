//! Streamed answers: server-sent events in the form that OpenAI's clients read.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use parkade_core::{Event, RequestError, Usage};
use serde::Serialize;

use crate::config::ServerConfig;
use crate::generate::answers::Answers;
use crate::http::error::ApiError;

/// A line that clients skip; it keeps proxies from closing a silent connection.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// What ends a stream that was complete.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// How many bytes are collected before they are sent although more events are there.
const FULL: usize = 16 << 10;

/// Events on their way to the client.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Adds one event.
    pub fn data(&mut self, body: &impl Serialize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(b"data: ");
        if let Err(error) = serde_json::to_writer(&mut self.bytes, body) {
            self.bytes.truncate(start);
            tracing::error!(%error, "a chunk could not be written as JSON");
            return;
        }
        self.bytes.extend_from_slice(b"\n\n");
    }

    /// Adds the event that tells of a failure; nothing follows it.
    pub fn error(&mut self, error: &ApiError) {
        self.bytes.extend_from_slice(b"event: error\n");
        self.data(&error.envelope());
    }

    /// Adds the line that ends a stream which was complete.
    pub fn done(&mut self) {
        self.bytes.extend_from_slice(DONE);
    }

    /// Adds a line that clients skip.
    pub fn keep_alive(&mut self) {
        self.bytes.extend_from_slice(KEEP_ALIVE);
    }

    /// Gives the last event a number. Only the last one of several: who has read it has read all of them.
    pub fn number(&mut self, number: u64) {
        let end = self.bytes.len().saturating_sub(2);
        let start = self.bytes[..end].windows(2).rposition(|pair| pair == b"\n\n").map_or(0, |place| place + 2);
        if end > 0 {
            self.bytes.splice(start..start, format!("id: {number}\n").into_bytes());
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was collected.
    pub fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.bytes))
    }
}

/// Turns the engine's events into chunks of one of the two APIs.
pub(crate) trait Encoder: Send + 'static {
    /// What comes before the first event.
    fn open(&mut self, frames: &mut Frames);
    /// One event of the prompt with this number.
    fn event(&mut self, prompt: usize, event: Event, frames: &mut Frames);
    /// What comes after the last event.
    fn close(&mut self, usage: &Usage, frames: &mut Frames);
}

struct Running<E> {
    answers: Answers,
    encoder: E,
    keep_alive: Duration,
    frames: Frames,
    ended: bool,
}

impl<E: Encoder> Running<E> {
    /// Waits for an event, or long enough for a comment, and writes it. An error is given back, not written: before
    /// the first event it can still become the status.
    async fn advance(&mut self, patience: Duration) -> Result<(), ApiError> {
        match tokio::time::timeout(patience, self.answers.next()).await {
            Err(_) => self.frames.keep_alive(),
            Ok(next) => self.write(next)?,
        }
        // What is there already goes out in the same piece: each piece costs a system call and a packet.
        while !self.ended && self.frames.bytes.len() < FULL {
            match self.answers.next().now_or_never() {
                Some(next) => self.write(next)?,
                None => break,
            }
        }
        Ok(())
    }

    fn write(&mut self, next: Result<Option<(usize, Event)>, RequestError>) -> Result<(), ApiError> {
        match next {
            Ok(Some((prompt, event))) => self.encoder.event(prompt, event, &mut self.frames),
            Ok(None) => {
                self.encoder.close(self.answers.usage(), &mut self.frames);
                self.frames.done();
                self.ended = true;
            }
            Err(error) => {
                self.ended = true;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The next bytes, or `None` when all were sent.
    async fn next_bytes(&mut self) -> Option<Bytes> {
        // An event may give no bytes: a token that is only a part of a character.
        while self.frames.is_empty() && !self.ended {
            if let Err(error) = self.advance(self.keep_alive).await {
                self.frames.error(&error);
            }
        }
        Some(self.frames.take()).filter(|bytes| !bytes.is_empty())
    }
}

/// Answers with a stream. The head is held back until the first event, so that a request which fails in line still
/// gets its status and one that runs says how long it was there, but no longer than the configuration says.
///
/// # Errors
/// What became of the request if it failed before its first event.
pub(crate) async fn respond(
    answers: Answers,
    encoder: impl Encoder,
    config: &ServerConfig,
) -> Result<Response, ApiError> {
    let keep_alive = config.keep_alive_comment;
    let mut running = Running { answers, encoder, keep_alive, frames: Frames::default(), ended: false };
    running.encoder.open(&mut running.frames);
    running.advance(config.head_hold).await?;
    if let Some(queued) = running.answers.queued() {
        running.answers.log().set_queue_time(queued);
    }
    let bytes = stream::unfold(running, |mut running| async move {
        let bytes = running.next_bytes().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), running))
    });
    Ok(event_stream(Body::from_stream(bytes)))
}

/// A response whose body is a stream of events.
pub(crate) fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    let fixed = HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, fixed("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, fixed("no-cache"));
    // nginx would collect the events otherwise.
    headers.insert("x-accel-buffering", fixed("no"));
    response
}
