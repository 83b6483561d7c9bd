//! The events of an answer, written down so that they can be read from anywhere, also later.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use parkade_sync::Mutex;
use tokio::sync::watch;

use crate::http::{Frames, event_stream};

/// A line that clients skip; it keeps proxies from closing a silent connection.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// The events of an answer, as they go to its readers.
pub(crate) struct EventLog {
    events: Mutex<Vec<Bytes>>,
    /// How many there are, and whether there will be more.
    progress: watch::Sender<(usize, bool)>,
}

impl EventLog {
    /// Nothing has happened yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { events: Mutex::new("server.event_log", Vec::new()), progress: watch::Sender::new((0, false)) })
    }

    /// Bytes of all events so far.
    pub fn bytes(&self) -> usize {
        self.events.lock().iter().map(Bytes::len).sum()
    }

    /// Writes down what has happened: whole events.
    pub(super) fn push(&self, frames: &mut Frames, ended: bool) {
        let bytes = frames.take();
        let mut events = self.events.lock();
        let (mut from, mut at) = (0, 0);
        while let Some(length) = bytes[at..].windows(2).position(|pair| pair == b"\n\n") {
            at += length + 2;
            events.push(bytes.slice(from..at));
            from = at;
        }
        let count = events.len();
        drop(events);
        self.progress.send_replace((count, ended));
    }

    /// How many there are so far.
    pub fn count(&self) -> usize {
        self.progress.borrow().0
    }

    /// Waits for the last event, but not longer than `patience`.
    pub async fn ended(&self, patience: Duration) {
        let mut progress = self.progress.subscribe();
        // Who writes them is there as long as the log is.
        let _ = tokio::time::timeout(patience, progress.wait_for(|(_, ended)| *ended)).await;
    }

    /// The events from this number on, to the last one that will be.
    pub fn respond(self: Arc<Self>, from: usize, keep_alive: Duration) -> Response {
        let reader = (self.progress.subscribe(), self, from);
        let bytes = stream::unfold(reader, move |(mut progress, log, from)| async move {
            loop {
                let (count, ended) = *progress.borrow_and_update();
                if from < count {
                    let events: Vec<u8> = log.events.lock()[from..count].concat();
                    return Some((Ok::<_, Infallible>(Bytes::from(events)), (progress, log, count)));
                }
                if ended {
                    return None;
                }
                match tokio::time::timeout(keep_alive, progress.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) => return Some((Ok(Bytes::from_static(KEEP_ALIVE)), (progress, log, from))),
                }
            }
        });
        event_stream(Body::from_stream(bytes))
    }
}
