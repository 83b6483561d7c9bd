//! What a request has done so far, and how it ended. A record outlives its request's stream: whoever has to account for the request
//! learns the truth from it, also when its reader left first.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::event::{RequestError, Usage};
use crate::request::{Priority, Request};

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestState {
    /// In line.
    Waiting,
    /// Takes part in the steps.
    Running,
    /// Had begun and gave its memory back for a while.
    Parked,
    /// Has had its last event.
    Ended,
}

impl RequestState {
    /// The state as it is written in status answers.
    pub fn name(self) -> &'static str {
        match self {
            RequestState::Waiting => "waiting",
            RequestState::Running => "running",
            RequestState::Parked => "parked",
            RequestState::Ended => "ended",
        }
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// What it used, however it ended. One that never ran has used nothing but time.
    pub usage: Usage,
    /// Why it failed, if it did.
    pub error: Option<RequestError>,
}

/// What a request has done so far and how it ended: [`RequestStream::record`](crate::RequestStream::record) gives it.
///
/// ```
/// use parkade_core::{End, RequestStream};
///
/// /// What was computed for a request whose reader leaves: known when the engine is done with it.
/// async fn leave(stream: RequestStream) -> usize {
///     let record = stream.record();
///     drop(stream);
///     let End { usage, .. } = record.ended().await;
///     usage.prompt_tokens + usage.completion_tokens
/// }
/// ```
#[derive(Debug)]
pub struct RequestRecord {
    pub(crate) tenant: String,
    pub(crate) class: Priority,
    pub(crate) prompt_tokens: usize,
    /// How many answers were asked for.
    pub(crate) answers: usize,
    /// Prompt and expected answer tokens.
    pub(crate) expected_tokens: u64,
    pub(crate) opened: Instant,
    /// The worker left the request out of a step because its stream was full.
    pub(crate) paused: AtomicBool,
    // Only for those who ask: no other memory depends on these.
    state: AtomicU8,
    generated: AtomicUsize,
    blocks: AtomicUsize,
    /// How long it was in line before it first ran.
    queued: OnceLock<Duration>,
    end: OnceLock<End>,
    news: Notify,
}

impl RequestRecord {
    pub(crate) fn new(request: &Request, expected_tokens: u64) -> Self {
        RequestRecord {
            tenant: request.tenant.clone(),
            class: request.priority,
            prompt_tokens: request.prompt.len(),
            answers: request.n,
            expected_tokens,
            opened: Instant::now(),
            paused: AtomicBool::new(false),
            state: AtomicU8::new(RequestState::Waiting as u8),
            generated: AtomicUsize::new(0),
            blocks: AtomicUsize::new(0),
            queued: OnceLock::new(),
            end: OnceLock::new(),
            news: Notify::new(),
        }
    }

    /// Where the request stands.
    pub fn state(&self) -> RequestState {
        match self.state.load(Ordering::Relaxed) {
            0 => RequestState::Waiting,
            1 => RequestState::Running,
            2 => RequestState::Parked,
            _ => RequestState::Ended,
        }
    }

    /// Tokens that were generated so far, over all answers.
    pub fn generated(&self) -> usize {
        self.generated.load(Ordering::Relaxed)
    }

    /// How long the request was in line before it first ran; `None` while it never has.
    pub fn queued(&self) -> Option<Duration> {
        self.queued.get().copied()
    }

    /// How it ended; `None` while it has not.
    pub fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// Waits until the engine is done with the request. Every request that was taken ends, also when the engine's worker dies.
    pub async fn ended(&self) -> End {
        loop {
            // Before the look, so that an end between the look and the wait is not missed.
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(end) = self.end() {
                return end.clone();
            }
            news.await;
        }
    }

    /// What it has used: all of it if it has ended, else what it has so far.
    pub fn usage(&self) -> Usage {
        if let Some(end) = self.end() {
            return end.usage;
        }
        let (queued, now) = (self.queued(), self.opened.elapsed());
        Usage {
            prompt_tokens: if queued.is_some() { self.prompt_tokens } else { 0 },
            completion_tokens: self.generated(),
            queue: queued.unwrap_or(now),
            total: now,
            ..Usage::default()
        }
    }

    /// KV blocks that the scheduler has granted it; none unless it runs.
    pub(crate) fn blocks(&self) -> usize {
        if self.state() == RequestState::Running { self.blocks.load(Ordering::Relaxed) } else { 0 }
    }

    pub(crate) fn set_state(&self, state: RequestState) {
        if state == RequestState::Running {
            self.queued.get_or_init(|| self.opened.elapsed());
        }
        self.state.store(state as u8, Ordering::Relaxed);
    }

    pub(crate) fn set_generated(&self, tokens: usize) {
        self.generated.store(tokens, Ordering::Relaxed);
    }

    pub(crate) fn set_blocks(&self, blocks: usize) {
        self.blocks.store(blocks, Ordering::Relaxed);
    }

    /// Notes the end. The first one counts; false if there was one.
    pub(crate) fn set_end(&self, end: End) -> bool {
        let is_first = self.end.set(end).is_ok();
        self.set_state(RequestState::Ended);
        self.news.notify_waiters();
        is_first
    }
}
