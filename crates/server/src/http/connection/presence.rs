//! What a connection is waiting for: its client, or the server.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parkade_sync::Mutex;
use tokio::time::Instant;

/// How long a body may stand still before its connection counts as idle.
const STILL_BODY: Duration = Duration::from_secs(1);

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing of a next request has come since then.
    Idle { since: Instant },
    /// Its head has been coming since then.
    Head { since: Instant },
    /// Its body has been coming; the last of it then.
    Body { since: Instant },
    /// It is being answered.
    Answering,
    /// Its place was given to another connection.
    GivenUp,
}

impl Phase {
    fn idle_since(self, quiet: Duration, now: Instant) -> Option<Instant> {
        let (since, least) = match self {
            Self::Idle { since } | Self::Head { since } => (since, quiet),
            Self::Body { since } => (since, STILL_BODY),
            Self::Answering | Self::GivenUp => return None,
        };
        (now.duration_since(since) >= least).then_some(since)
    }
}

/// A connection's phase, shared by its gate, its answers and the door.
pub(crate) struct Presence {
    inner: Mutex<Inner>,
}

struct Inner {
    phase: Phase,
    /// Of the task that reads.
    reader: Option<Waker>,
}

impl Presence {
    pub fn new(now: Instant) -> Arc<Self> {
        let inner = Inner { phase: Phase::Idle { since: now }, reader: None };
        Arc::new(Self { inner: Mutex::new("server.presence", inner) })
    }

    /// The phase now; `reader` is woken when somebody else changes it.
    pub(super) fn watch(&self, reader: &Waker) -> Phase {
        let mut inner = self.inner.lock();
        if !inner.reader.as_ref().is_some_and(|known| known.will_wake(reader)) {
            inner.reader = Some(reader.clone());
        }
        inner.phase
    }

    pub(super) fn phase(&self) -> Phase {
        self.inner.lock().phase
    }

    /// The first bytes of a head have come.
    pub(super) fn head_begins(&self, now: Instant) {
        let phase = &mut self.inner.lock().phase;
        if let Phase::Idle { .. } = phase {
            *phase = Phase::Head { since: now };
        }
    }

    /// A head is complete. False if the connection was given up meanwhile.
    pub(super) fn request_begins(&self, has_body: bool, now: Instant) -> bool {
        let phase = &mut self.inner.lock().phase;
        if *phase == Phase::GivenUp {
            return false;
        }
        *phase = if has_body { Phase::Body { since: now } } else { Phase::Answering };
        true
    }

    /// A part of the body has come.
    pub(super) fn body_comes(&self, is_complete: bool, now: Instant) {
        let phase = &mut self.inner.lock().phase;
        // An answer can be over before the body is.
        if let Phase::Body { .. } = phase {
            *phase = if is_complete { Phase::Answering } else { Phase::Body { since: now } };
        }
    }

    fn answered(&self, now: Instant) {
        let mut inner = self.inner.lock();
        if inner.phase != Phase::GivenUp {
            inner.phase = Phase::Idle { since: now };
        }
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Since when it has done nothing but wait for its client, if it has done so for longer than `quiet`.
    pub fn idle_since(&self, quiet: Duration, now: Instant) -> Option<Instant> {
        self.inner.lock().phase.idle_since(quiet, now)
    }

    /// Ends the connection if it waits for its client. False if it does not.
    pub fn give_up(&self, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        if inner.phase.idle_since(Duration::ZERO, now).is_none() {
            return false;
        }
        inner.phase = Phase::GivenUp;
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }
}

/// The server's turn on a connection: from a request's head to the end of its answer.
pub(super) struct Turn(pub Arc<Presence>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.answered(Instant::now());
    }
}
