//! Reading along: a stream of the events that a tape remembers and will get.

use std::sync::Arc;

use crate::event::Event;
use crate::request::RequestId;

use super::live::LiveRequest;
use super::tape::Missing;

/// Why a stream cannot be attached to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// No such stream is remembered.
    #[error("no stream of a request '{0}' is known; finished streams are forgotten after a while")]
    Unknown(RequestId),
    /// Events before this one are forgotten.
    #[error("event {from} is forgotten; the oldest that is remembered is {oldest}")]
    TooFarBack {
        /// The event that was asked for.
        from: u64,
        /// The oldest one that is there.
        oldest: u64,
    },
    /// There are not so many events.
    #[error("event {from} does not exist: the stream has {events} so far, from 0 on{}", if *.ended { ", and has ended" } else { "" })]
    TooFarAhead {
        /// The event that was asked for.
        from: u64,
        /// How many there are.
        events: u64,
        /// There will be no more.
        ended: bool,
    },
}

/// Reads along with a stream. It never slows the request down: a reader that falls behind what is remembered is told so.
#[derive(Debug)]
pub struct AttachedStream {
    request: Arc<LiveRequest>,
    next: u64,
}

impl AttachedStream {
    /// Whose reader has been counted already.
    pub(super) fn new(request: Arc<LiveRequest>, from: u64) -> Self {
        AttachedStream { request, next: from }
    }

    /// Whether there is nothing to come: the stream has ended before the next event.
    pub fn is_over(&self) -> bool {
        matches!(self.request.tape.event(self.next), Err(Missing::End))
    }

    /// The next event with its number; `None` after the last one.
    ///
    /// # Errors
    /// [`AttachError::TooFarBack`] if the reader was so slow that the event is forgotten. The stream then goes on with the oldest one
    /// that is remembered.
    pub async fn next(&mut self) -> Option<Result<(u64, Event), AttachError>> {
        loop {
            // Before the look, so that news between the look and the wait are not missed.
            let request = Arc::clone(&self.request);
            let news = request.tape.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            match self.request.tape.event(self.next) {
                Ok(Some(event)) => {
                    let number = self.next;
                    self.next += 1;
                    return Some(Ok((number, event)));
                }
                Err(Missing::End) => return None,
                Err(Missing::Forgotten(oldest)) => {
                    let from = std::mem::replace(&mut self.next, oldest);
                    return Some(Err(AttachError::TooFarBack { from, oldest }));
                }
                Ok(None) => news.await,
            }
        }
    }
}

impl Drop for AttachedStream {
    fn drop(&mut self) {
        self.request.follower_left();
    }
}
