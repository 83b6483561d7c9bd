//! The bounded stream between the worker and one reader.
//!
//! The worker never waits for a reader. It looks at the room that is left before it lets a request take part in a step
//! ([`Outlet::has_room_for`]); a request without room sits out, and its reader wakes the worker once it has read on. A reader that is
//! dropped is seen by [`Outlet::is_closed`] before the next step.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::event::{Event, RequestError, Usage};
use crate::record::RequestRecord;
use crate::register::Registered;
use crate::request::RequestId;

/// Wakes the thread that drives the requests.
pub(crate) trait Waker: Send + Sync {
    /// Something changed that the thread should look at. Called rarely: for a reader that was waited for, or one that left.
    fn wake(&self);

    /// The reader left before the last event.
    fn left(&self) {
        self.wake();
    }

    /// The last of those who read along has left, or there is none any more.
    fn nobody_reads_along(&self) {}
}

/// Remembers a stream's events for others than its reader.
pub(crate) trait Tape: Send + Sync {
    /// The next event.
    fn record(&self, event: &Event);
    /// How many others read along.
    fn readers(&self) -> usize;
}

/// What reader and worker share about one request.
struct Link {
    id: RequestId,
    waker: Arc<dyn Waker>,
    record: Arc<RequestRecord>,
}

/// Opens a stream of at most `capacity` undelivered events, all of which are recorded on `tape`.
pub(crate) fn open(
    id: RequestId,
    capacity: usize,
    waker: Arc<dyn Waker>,
    registered: Registered,
    tape: Arc<dyn Tape>,
) -> (Outlet, RequestStream) {
    let (sender, receiver) = mpsc::channel(capacity);
    let link = Arc::new(Link { id, waker, record: Arc::clone(registered.record()) });
    let outlet = Outlet { registered, events: sender, link: Arc::clone(&link), tape };
    (outlet, RequestStream { events: receiver, link, ended: false })
}

/// The worker's end.
pub(crate) struct Outlet {
    /// Before the sender: when the worker dies, the end is noted before the reader sees it.
    registered: Registered,
    events: mpsc::Sender<Event>,
    link: Arc<Link>,
    tape: Arc<dyn Tape>,
}

impl Outlet {
    pub(crate) fn record(&self) -> &Arc<RequestRecord> {
        &self.link.record
    }

    /// Whether the reader has left, and nobody reads along.
    pub(crate) fn is_closed(&self) -> bool {
        self.events.is_closed() && self.tape.readers() == 0
    }

    /// Whether `events` can be sent now. If not, the reader will wake the worker.
    pub(crate) fn has_room_for(&self, events: usize) -> bool {
        // A reader that has left needs no room, even if others still read along.
        if self.events.capacity() >= events || self.events.is_closed() {
            return true;
        }
        self.link.record.paused.store(true, Ordering::Relaxed);
        // Pairs with the fence in `RequestStream::after`: either the reader sees the mark, or we see the room that it made.
        fence(Ordering::SeqCst);
        if self.events.capacity() < events {
            return false;
        }
        self.link.record.paused.store(false, Ordering::Relaxed);
        true
    }

    /// Sends one event. Room was asked for before; a reader that has left is found by [`is_closed`](Self::is_closed) later.
    pub(crate) fn send(&self, event: Event) {
        self.tape.record(&event);
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            debug_assert!(false, "no room was kept for {event:?} of request {}", self.link.id);
        }
    }

    /// Notes how the request ended, then sends the last event: whoever has read it finds the end in the record.
    pub(crate) fn end(&self, result: Result<(), RequestError>, usage: Usage) {
        let last = match &result {
            Ok(()) => Event::Done(usage),
            Err(error) => Event::Failed(error.clone()),
        };
        self.registered.end(result.err(), usage);
        self.send(last);
    }

    /// The request was refused after all, and nobody has its stream.
    pub(crate) fn refuse(self) {
        self.registered.refuse();
    }
}

/// The events of one request, in order, ending with exactly one [`Event::Done`] or [`Event::Failed`]. Dropping it cancels the request.
pub struct RequestStream {
    events: mpsc::Receiver<Event>,
    link: Arc<Link>,
    ended: bool,
}

impl RequestStream {
    /// Ends it without telling anybody: its request was not taken.
    pub(crate) fn release(mut self) {
        self.ended = true;
    }

    /// The request's name.
    pub fn id(&self) -> &RequestId {
        &self.link.id
    }

    /// How long the request was in line before it first ran; `None` while it never has.
    pub fn queued(&self) -> Option<Duration> {
        self.link.record.queued()
    }

    /// What the request has done so far and how it ended. It outlives the stream.
    pub fn record(&self) -> Arc<RequestRecord> {
        Arc::clone(&self.link.record)
    }

    /// The next event, or `None` after the last one.
    pub async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = self.events.recv().await;
        Some(self.after(event))
    }

    /// As [`next`](Self::next), for threads outside an async runtime.
    ///
    /// # Panics
    /// Inside an async runtime, where it would block other tasks.
    pub fn blocking_next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = self.events.blocking_recv();
        Some(self.after(event))
    }

    /// The next event if it is already there.
    pub fn try_next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        match self.events.try_recv() {
            Ok(event) => Some(self.after(Some(event))),
            Err(mpsc::error::TryRecvError::Empty) => None,
            Err(mpsc::error::TryRecvError::Disconnected) => Some(self.after(None)),
        }
    }

    fn after(&mut self, event: Option<Event>) -> Event {
        // A sender that went away without a last event: the worker died. The reader still gets its one outcome.
        let event = event.unwrap_or(Event::Failed(RequestError::Stopped));
        self.ended = event.is_last();
        // Pairs with the fence in `Outlet::has_room_for`.
        fence(Ordering::SeqCst);
        // Half empty, so that a paused request comes back for more than one step.
        if self.link.record.paused.load(Ordering::Relaxed)
            && self.events.len() <= self.events.max_capacity() / 2
            && self.link.record.paused.swap(false, Ordering::Relaxed)
        {
            self.link.waker.wake();
        }
        event
    }
}

impl Drop for RequestStream {
    fn drop(&mut self) {
        if !self.ended {
            self.events.close();
            self.link.waker.left();
        }
    }
}

impl fmt::Debug for RequestStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestStream").field("id", &self.link.id).field("ended", &self.ended).finish_non_exhaustive()
    }
}
