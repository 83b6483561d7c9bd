//! One live request: what it asked for and costs, how far it is, who reads it, how it ended. Its life, from top to bottom:
//!
//! 1. [`LiveRequests::enter`](super::LiveRequests::enter) gives it its name and its place in the books; it waits.
//! 2. The policy has taken it ([`taken_as`](LiveRequest::taken_as)): from now on it can be woken and cancelled.
//! 3. It runs, is parked, runs again ([`set_state`](LiveRequest::set_state)); every event is on its tape, and each reader has its own way to it:
//!    its own one by a bounded stream, others by the tape.
//! 4. It has ended ([`LiveRequests::end`](super::LiveRequests::end)): noted once, before its last event is sent. The name is free, the
//!    tape is kept for a while, and whoever has to account for the request learns the truth from it, also when its reader left first.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parkade_pool::{Clock, Ending, Placement, PoolHandle, TaskId};
use tokio::sync::Notify;

use crate::event::{Event, RequestError, Usage};
use crate::parking_lot::TaskMetadata;
use crate::request::{Request, RequestId};

use super::tape::{ReplayLimits, Tape};

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestState {
    /// In line.
    Waiting,
    /// It takes part in the steps, or may at once.
    Running,
    /// It gave its memory back for a while.
    Parked,
    /// It has had its last event.
    Ended,
}

impl RequestState {
    /// The name in lower case.
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

/// Takes the events of a request as they come. It is on the worker's thread, and must not make it wait.
pub(crate) trait Sink: Send + Sync {
    /// The next event.
    fn take(&self, event: &Event);
}

/// What a request has done so far and how it ended: [`RequestStream::request`](crate::RequestStream::request) gives it.
///
/// ```
/// use parkade_core::{End, RequestStream};
///
/// /// What was computed for a request whose reader leaves: known when the engine is done with it.
/// async fn leave(stream: RequestStream) -> usize {
///     let request = stream.request();
///     drop(stream);
///     let End { usage, .. } = request.ended().await;
///     usage.prompt_tokens + usage.completion_tokens
/// }
/// ```
pub struct LiveRequest {
    /// What its scheduling depends on, its price among it.
    pub(crate) metadata: TaskMetadata,
    pub(crate) prompt_tokens: usize,
    /// How many answers were asked for.
    pub(crate) answers: usize,
    /// How to reach the policy that has taken it.
    task: OnceLock<(PoolHandle, TaskId)>,
    /// Somebody does not want it any more. Relaxed: it only explains an end that is ordered by the pool's lock.
    cancelled: AtomicBool,
    /// That was because a newer request takes its place. Relaxed, as `cancelled`.
    superseded: AtomicBool,
    /// Its own reader has left. SeqCst, as the count of those who read along: of the last two who leave at once, one sees the other gone.
    left: AtomicBool,
    pub(super) tape: Tape,
    /// Who has all events beside its readers.
    sink: OnceLock<Arc<dyn Sink>>,
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
    clock: Clock,
}

impl LiveRequest {
    pub(crate) fn new(request: &Request, metadata: TaskMetadata, limits: ReplayLimits, clock: Clock) -> Self {
        let blocks = usize::try_from(metadata.cost.blocks).unwrap_or(usize::MAX);
        LiveRequest {
            metadata,
            prompt_tokens: request.prompt.len(),
            answers: request.n,
            task: OnceLock::new(),
            cancelled: AtomicBool::new(false),
            superseded: AtomicBool::new(false),
            left: AtomicBool::new(false),
            tape: Tape::new(limits),
            sink: OnceLock::new(),
            paused: AtomicBool::new(false),
            state: AtomicU8::new(RequestState::Waiting as u8),
            generated: AtomicUsize::new(0),
            // What it is granted when it is admitted.
            blocks: AtomicUsize::new(blocks),
            queued: OnceLock::new(),
            end: OnceLock::new(),
            news: Notify::new(),
            clock,
        }
    }

    /// Its name.
    pub fn id(&self) -> &RequestId {
        &self.metadata.id
    }

    pub(crate) fn tenant(&self) -> &str {
        &self.metadata.tenant
    }

    /// Prompt tokens that have to be computed, and those that are expected of its answers.
    pub(crate) fn expected_tokens(&self) -> u64 {
        self.metadata.cost.prefill_tokens.saturating_add(self.metadata.cost.expected_tokens)
    }

    // Reaching the policy.

    /// The policy has taken it under this name. Known as soon as it has a reader.
    pub(crate) fn taken_as(&self, pool: PoolHandle, task: TaskId, placement: Placement) {
        let is_first = self.task.set((pool, task)).is_ok();
        debug_assert!(is_first, "a request is taken once");
        if placement == Placement::Admitted {
            // Unless the worker has been quicker, and it is parked or has ended already.
            let (waits, runs) = (RequestState::Waiting as u8, RequestState::Running as u8);
            let _ = self.state.compare_exchange(waits, runs, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    pub(crate) fn task(&self) -> Option<TaskId> {
        self.task.get().map(|&(_, task)| task)
    }

    /// Has the worker look at it again: its reader has made room.
    pub(crate) fn wake(&self) {
        if let Some((pool, task)) = self.task.get() {
            pool.unpause(*task);
            pool.wake();
        }
    }

    /// Nobody wants it any more. False if it has ended.
    pub(crate) fn cancel(&self) -> bool {
        self.cancelled.store(true, Ordering::Relaxed);
        self.task.get().is_some_and(|(pool, task)| pool.cancel(*task))
    }

    /// A newer request takes its place. False if it has ended.
    pub(crate) fn supersede(&self) -> bool {
        self.superseded.store(true, Ordering::Relaxed);
        self.cancel()
    }

    /// Why it is not wanted any more, if it is not.
    pub(crate) fn unwanted(&self) -> Option<RequestError> {
        let why =
            if self.superseded.load(Ordering::Relaxed) { RequestError::Superseded } else { RequestError::Cancelled };
        self.cancelled.load(Ordering::Relaxed).then_some(why)
    }

    /// Whether the policy has it end because its time is over: what came after that does not count.
    pub(crate) fn has_expired(&self) -> bool {
        self.task.get().is_some_and(|(pool, task)| pool.stop_of(*task) == Some(Ending::Expired))
    }

    /// That its time is over, if it is.
    pub(crate) fn overdue(&self, now: Instant) -> Option<RequestError> {
        let passed = self.limits().filter(|&limit| limit <= now).max()?;
        Some(RequestError::Deadline { allowed: passed.duration_since(self.metadata.submitted_at) })
    }

    /// Its deadlines. A first token that has come has kept its own.
    pub(crate) fn limits(&self) -> impl Iterator<Item = Instant> {
        let TaskMetadata { deadline, first_token_deadline, .. } = self.metadata;
        [deadline, first_token_deadline.filter(|_| self.generated() == 0)].into_iter().flatten()
    }

    /// Its own reader has left. A request is wanted as long as its own reader or somebody who reads along is there; whoever of
    /// them leaves last cancels it, wherever it stands; unless it is [detached](Self::detach).
    pub(crate) fn reader_left(&self) {
        self.left.store(true, Ordering::SeqCst);
        if self.tape.readers() == 0 {
            self.cancel();
        } else {
            // Others read along, and they are never waited for: if it was parked for its own reader, it goes on.
            self.wake();
        }
    }

    /// It is wanted from now on, whoever leaves: the engine itself reads along, and never leaves.
    pub(crate) fn detach(&self) {
        self.tape.add_reader();
    }

    /// An event for whoever reads along.
    pub(crate) fn record(&self, event: &Event) {
        self.tape.record(event);
        if let Some(sink) = self.sink.get() {
            sink.take(event);
        }
    }

    /// Its events also go there. Said before it is handed in.
    pub(crate) fn pass_on_to(&self, sink: Arc<dyn Sink>) {
        let is_first = self.sink.set(sink).is_ok();
        debug_assert!(is_first, "a request is handed in once");
    }

    /// Whether others read along.
    pub(crate) fn is_followed(&self) -> bool {
        self.tape.readers() > 0
    }

    /// One of those who read along has left.
    pub(super) fn follower_left(&self) {
        if self.tape.remove_reader() == 0 && self.left.load(Ordering::SeqCst) {
            self.cancel();
        }
    }

    // How far it is.

    /// Where the request stands.
    pub fn state(&self) -> RequestState {
        match self.state.load(Ordering::Relaxed) {
            0 => RequestState::Waiting,
            1 => RequestState::Running,
            2 => RequestState::Parked,
            _ => RequestState::Ended,
        }
    }

    /// Tokens generated so far, over all answers.
    pub fn generated(&self) -> usize {
        self.generated.load(Ordering::Relaxed)
    }

    /// How long it was in line before it first ran; `None` if it has not run.
    pub fn queued(&self) -> Option<Duration> {
        self.queued.get().copied()
    }

    /// How it ended; `None` while it has not.
    pub fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// Waits for its end. Whoever reads its last event finds the end here.
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

    /// What it has used so far; when it has ended, what it used in all.
    pub fn usage(&self) -> Usage {
        if let Some(end) = self.end() {
            return end.usage;
        }
        let (queued, now) = (self.queued(), self.clock.since(self.metadata.submitted_at));
        Usage {
            prompt_tokens: if queued.is_some() { self.prompt_tokens } else { 0 },
            completion_tokens: self.generated(),
            queue: queued.unwrap_or(now),
            total: now,
            ..Usage::default()
        }
    }

    /// KV blocks that were granted to it, while it runs.
    pub(crate) fn blocks(&self) -> usize {
        if self.state() == RequestState::Running { self.blocks.load(Ordering::Relaxed) } else { 0 }
    }

    pub(crate) fn set_state(&self, state: RequestState) {
        if state == RequestState::Running {
            self.queued.get_or_init(|| self.clock.since(self.metadata.submitted_at));
        }
        self.state.store(state as u8, Ordering::Relaxed);
    }

    pub(crate) fn set_generated(&self, tokens: usize) {
        self.generated.store(tokens, Ordering::Relaxed);
    }

    pub(crate) fn set_blocks(&self, blocks: usize) {
        self.blocks.store(blocks, Ordering::Relaxed);
    }

    /// Only the books say so, so that they and this agree.
    pub(super) fn set_end(&self, end: End) {
        let is_first = self.end.set(end).is_ok();
        debug_assert!(is_first, "a request ends once");
        self.set_state(RequestState::Ended);
        self.news.notify_waiters();
    }
}

impl fmt::Debug for LiveRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveRequest").field("id", self.id()).field("state", &self.state()).finish_non_exhaustive()
    }
}
