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
use crate::request::RequestId;
use crate::requests::{End, LiveRequest, LiveRequests, RequestState};

/// Opens a stream of at most `capacity` undelivered events.
pub(crate) fn open(request: Arc<LiveRequest>, requests: Arc<LiveRequests>, capacity: usize) -> (Outlet, RequestStream) {
    let (sender, receiver) = mpsc::channel(capacity);
    let outlet = Outlet { request: Arc::clone(&request), requests, events: sender };
    (outlet, RequestStream { events: receiver, request, ended: false })
}

/// The worker's end. A request whose end is dropped without a word has ended by that.
pub(crate) struct Outlet {
    request: Arc<LiveRequest>,
    requests: Arc<LiveRequests>,
    events: mpsc::Sender<Event>,
}

impl Outlet {
    pub(crate) fn request(&self) -> &Arc<LiveRequest> {
        &self.request
    }

    /// Whether the reader has left, and nobody reads along.
    pub(crate) fn is_closed(&self) -> bool {
        self.events.is_closed() && !self.request.is_followed()
    }

    /// How many events can be sent now.
    pub(crate) fn room(&self) -> usize {
        if self.events.is_closed() { usize::MAX } else { self.events.capacity() }
    }

    /// Whether `events` can be sent now. If not, the reader will wake the worker.
    pub(crate) fn has_room_for(&self, events: usize) -> bool {
        // A reader that has left needs no room, even if others still read along.
        if self.events.capacity() >= events || self.events.is_closed() {
            return true;
        }
        self.request.paused.store(true, Ordering::Relaxed);
        // Pairs with the fence in `RequestStream::after`: either the reader sees the mark, or we see the room that it made.
        fence(Ordering::SeqCst);
        if self.events.capacity() < events {
            return false;
        }
        self.request.paused.store(false, Ordering::Relaxed);
        true
    }

    /// Sends one event. Room was asked for before; a reader that has left is found by [`is_closed`](Self::is_closed) later.
    pub(crate) fn send(&self, event: Event) {
        self.request.record(&event);
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            debug_assert!(false, "no room was kept for {event:?} of request {}", self.request.id());
        }
    }

    /// Notes that the request gave its memory back.
    pub(crate) fn parked(&self) {
        self.request.set_state(RequestState::Parked);
        self.requests.count(self.request.tenant(), |totals| totals.preemptions += 1);
    }

    /// Notes how the request ended, then sends the last event: whoever has read it finds the end in the record.
    pub(crate) fn end(&self, result: Result<(), RequestError>, usage: Usage) {
        let last = match &result {
            Ok(()) => Event::Done(usage),
            Err(error) => Event::Failed(error.clone()),
        };
        if self.requests.end(&self.request, End { usage, error: result.err() }) {
            self.send(last);
        }
    }

    /// The request was refused after all, and nobody has its stream.
    pub(crate) fn refuse(self) {
        self.requests.refuse(&self.request);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if self.request.end().is_none() {
            let error = self.requests.abandoned(&self.request);
            let end = End { usage: self.request.usage(), error: Some(error.clone()) };
            if self.requests.end(&self.request, end) {
                let last = Event::Failed(error);
                self.request.record(&last);
                // In the middle of a step that panicked there may be no room: the reader then finds the stream cut, which says the same.
                let _ = self.events.try_send(last);
            }
        }
    }
}

/// The events of one request, in order, ending with exactly one [`Event::Done`] or [`Event::Failed`]. Dropping it cancels the request,
/// [`detach`](Self::detach) does not.
pub struct RequestStream {
    events: mpsc::Receiver<Event>,
    request: Arc<LiveRequest>,
    ended: bool,
}

impl RequestStream {
    /// Ends it without telling anybody: its request was not taken.
    pub(crate) fn release(mut self) {
        self.ended = true;
    }

    /// The request's name.
    pub fn id(&self) -> &RequestId {
        self.request.id()
    }

    /// How long the request was in line before it first ran; `None` while it never has.
    pub fn queued(&self) -> Option<Duration> {
        self.request.queued()
    }

    /// What the request has done so far and how it ended. It outlives the stream.
    pub fn request(&self) -> Arc<LiveRequest> {
        Arc::clone(&self.request)
    }

    /// Leaves without cancelling: the request runs to its end with nobody reading. It can still be cancelled by its id, and its
    /// deadline holds. Its events can be [read along](crate::parking_lot::StreamingRegistry::attach) by its id while it runs and for a
    /// while after, as far as [`ReplayLimits`](crate::parking_lot::ReplayLimits) remember them; the request that is given back knows
    /// its end for as long as one likes.
    ///
    /// ```no_run
    /// use parkade_core::{Engine, Event, Refusal, Request};
    ///
    /// /// Has an answer written, and looks at it later.
    /// async fn later(engine: Engine, request: Request) -> Result<(), Refusal> {
    ///     let writing = engine.submit(request)?.detach();
    ///     println!("it used {:?}", writing.ended().await.usage);
    ///     let mut events = engine.pool().streams().attach(writing.id(), 0).expect("it has ended just now");
    ///     while let Some(Ok((_, event))) = events.next().await {
    ///         if let Event::Token { text, .. } = event {
    ///             print!("{text}");
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn detach(self) -> Arc<LiveRequest> {
        self.request.detach();
        self.request()
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
        if self.request.paused.load(Ordering::Relaxed)
            && self.events.len() <= self.events.max_capacity() / 2
            && self.request.paused.swap(false, Ordering::Relaxed)
        {
            self.request.wake();
        }
        event
    }
}

impl Drop for RequestStream {
    fn drop(&mut self) {
        if !self.ended {
            self.events.close();
            self.request.reader_left();
        }
    }
}

impl fmt::Debug for RequestStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestStream")
            .field("id", self.request.id())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
