//! The events of an answer that is computed here, written down so that they can be read from anywhere, also later.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use parkade_sync::Mutex;
use tokio::sync::watch;

use crate::http::Frames;

/// Whether more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Perhaps.
    Open,
    /// No: they are complete.
    Ended,
    /// Not here: the answer is not computed here any more.
    Left,
}

/// The events of an answer, as they go to its readers.
pub(crate) struct EventLog {
    events: Mutex<Vec<Bytes>>,
    /// How many there are, and whether there will be more.
    progress: watch::Sender<(usize, Course)>,
}

impl EventLog {
    /// Nothing has happened yet.
    pub fn new() -> Arc<Self> {
        let progress = watch::Sender::new((0, Course::Open));
        Arc::new(Self { events: Mutex::new("server.event_log", Vec::new()), progress })
    }

    /// Bytes of all events so far.
    pub fn bytes(&self) -> usize {
        self.events.lock().iter().map(Bytes::len).sum()
    }

    /// Writes down what has happened: whole events.
    pub fn push(&self, frames: &mut Frames, ended: bool) {
        let bytes = frames.take();
        let mut events = Vec::new();
        let (mut from, mut at) = (0, 0);
        while let Some(length) = bytes[at..].windows(2).position(|pair| pair == b"\n\n") {
            at += length + 2;
            events.push(bytes.slice(from..at));
            from = at;
        }
        self.add(events, ended);
    }

    /// Writes down a piece of an answer, whatever it is.
    pub fn push_piece(&self, piece: Bytes) {
        self.add(vec![piece], false);
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.add(Vec::new(), true);
    }

    fn add(&self, more: Vec<Bytes>, ended: bool) {
        let mut events = self.events.lock();
        events.extend(more);
        let count = events.len();
        drop(events);
        self.progress.send_if_modified(|(known, course)| {
            // Whoever has left says no more.
            let is_open = *course == Course::Open;
            if is_open {
                (*known, *course) = (count, if ended { Course::Ended } else { Course::Open });
            }
            is_open
        });
    }

    /// The answer is not computed here any more: what is still written down is not read.
    pub fn leave(&self) {
        self.progress.send_if_modified(|(_, course)| {
            let is_open = *course == Course::Open;
            if is_open {
                *course = Course::Left;
            }
            is_open
        });
    }

    /// How many there are so far, and whether more will come.
    pub fn progress(&self) -> (usize, Course) {
        *self.progress.borrow()
    }

    /// Tells of each change.
    pub fn watch(&self) -> watch::Receiver<(usize, Course)> {
        self.progress.subscribe()
    }

    /// Those from one number to another.
    pub fn between(&self, from: usize, to: usize) -> Vec<Bytes> {
        self.events.lock().get(from..to).map(<[Bytes]>::to_vec).unwrap_or_default()
    }

    /// Waits until there are more than `known`, or no more will come. How it stands then.
    pub async fn beyond(&self, known: usize) -> (usize, Course) {
        let mut progress = self.watch();
        let more = progress.wait_for(|(count, course)| *count > known || *course != Course::Open).await;
        // Who writes them is there as long as the log is.
        more.map_or((known, Course::Left), |now| *now)
    }

    /// Whether the answer is not computed here any more.
    pub fn has_left(&self) -> bool {
        self.progress().1 == Course::Left
    }

    /// All of it as the body of a response, as it comes. One that is not completed here breaks off.
    pub fn body(self: Arc<Self>) -> Body {
        Body::from_stream(stream::unfold(Some((self, 0)), |reader| async move {
            let (log, from) = reader?;
            let (count, course) = log.beyond(from).await;
            match (count > from, course) {
                (true, _) => Some((Ok(Bytes::from(log.between(from, count).concat())), Some((log, count)))),
                (false, Course::Ended) => None,
                (false, _) => Some((Err(io::Error::other("the answer is not computed here any more")), None)),
            }
        }))
    }

    /// Waits for the last event, but not longer than `patience`.
    pub async fn ended(&self, patience: Duration) {
        let mut progress = self.watch();
        // As above.
        let _ = tokio::time::timeout(patience, progress.wait_for(|(_, course)| *course != Course::Open)).await;
    }
}
