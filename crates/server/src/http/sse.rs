//! Server-sent events on their way to a client.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;

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

    /// Adds one event that has a name.
    pub fn named(&mut self, name: &str, body: &impl Serialize) {
        self.bytes.extend_from_slice(format!("event: {name}\n").as_bytes());
        self.data(body);
    }

    /// Adds one event that is a line of text.
    pub fn text(&mut self, line: &str) {
        self.bytes.extend_from_slice(format!("data: {line}\n\n").as_bytes());
    }

    /// Adds a line that clients skip.
    pub fn comment(&mut self, line: &str) {
        self.bytes.extend_from_slice(format!(": {line}\n\n").as_bytes());
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

    /// Whether there is enough to be sent at once.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    /// What was collected.
    pub fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.bytes))
    }
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
