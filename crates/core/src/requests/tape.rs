//! The remembered events of one stream, for others than its own reader.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parkade_sync::Mutex;
use tokio::sync::Notify;

use crate::event::{Event, TokenLogprob};

/// What is remembered, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayLimits {
    /// Events of one stream; of a longer one the beginning is forgotten.
    pub events: usize,
    /// Bytes of one stream, about; of a larger one the beginning is forgotten.
    pub bytes: usize,
    /// Bytes of all finished streams together; of more the oldest are forgotten.
    pub finished_bytes: usize,
    /// Finished streams.
    pub finished: usize,
    /// How long a finished stream is remembered.
    pub keep: Duration,
}

impl Default for ReplayLimits {
    fn default() -> Self {
        ReplayLimits {
            events: 4096,
            bytes: 1 << 20,
            finished_bytes: 16 << 20,
            finished: 256,
            keep: Duration::from_secs(60),
        }
    }
}

pub(super) struct Tape {
    events: Mutex<Events>,
    limits: ReplayLimits,
    readers: AtomicUsize,
    pub(super) news: Notify,
}

#[derive(Debug, Default)]
struct Events {
    /// The number of the oldest one that is remembered.
    first: u64,
    remembered: VecDeque<Event>,
    bytes: usize,
    is_complete: bool,
}

/// About what an event takes in memory.
pub(super) fn bytes_of(event: &Event) -> usize {
    let logprob = |of: &Option<TokenLogprob>| of.as_ref().map_or(0, |of| size_of_val(&of.top[..]));
    let beside = match event {
        Event::PromptLogprobs(of) => of.iter().map(|of| size_of::<Option<TokenLogprob>>() + logprob(of)).sum(),
        Event::Token { text, logprob: of, .. } => text.len() + logprob(of),
        Event::Finished { text, stop_string, .. } => text.len() + stop_string.as_ref().map_or(0, String::len),
        Event::Embedding(values) => size_of_val(&values[..]),
        Event::PromptProgress(_) | Event::Done(_) | Event::Failed(_) => 0,
    };
    size_of::<Event>() + beside
}

/// Why there is no event of some number, and never will be.
pub(super) enum Missing {
    /// The stream has ended before it.
    End,
    /// It is forgotten; this is the oldest that is there.
    Forgotten(u64),
}

impl Tape {
    pub(super) fn new(limits: ReplayLimits) -> Self {
        let events = Mutex::new("requests.tape", Events::default());
        Tape { events, limits, readers: AtomicUsize::new(0), news: Notify::new() }
    }

    pub(super) fn record(&self, event: &Event) {
        let mut events = self.events.lock();
        events.bytes += bytes_of(event);
        events.remembered.push_back(event.clone());
        // The newest stays, whatever it takes: those who keep up must get it.
        while events.remembered.len() > 1
            && (events.remembered.len() > self.limits.events || events.bytes > self.limits.bytes)
        {
            let forgotten = events.remembered.pop_front().expect("there are two at least");
            events.bytes -= bytes_of(&forgotten);
            events.first += 1;
        }
        events.is_complete |= event.is_last();
        drop(events);
        self.news.notify_waiters();
    }

    /// How many read along.
    pub(super) fn readers(&self) -> usize {
        self.readers.load(Ordering::SeqCst)
    }

    pub(super) fn add_reader(&self) {
        self.readers.fetch_add(1, Ordering::SeqCst);
    }

    /// Says how many are left.
    pub(super) fn remove_reader(&self) -> usize {
        self.readers.fetch_sub(1, Ordering::SeqCst) - 1
    }

    pub(super) fn bytes(&self) -> usize {
        self.events.lock().bytes
    }

    /// The numbers of the remembered events, and whether the last of them is the stream's last.
    pub(super) fn remembered(&self) -> (Range<u64>, bool) {
        let events = self.events.lock();
        (events.first..events.first + events.remembered.len() as u64, events.is_complete)
    }

    /// The event of this number; `None` if it has not come yet.
    pub(super) fn event(&self, number: u64) -> Result<Option<Event>, Missing> {
        let events = self.events.lock();
        let Some(place) = number.checked_sub(events.first) else {
            return Err(Missing::Forgotten(events.first));
        };
        let event = usize::try_from(place).ok().and_then(|place| events.remembered.get(place));
        if event.is_none() && events.is_complete {
            return Err(Missing::End);
        }
        Ok(event.cloned())
    }
}
