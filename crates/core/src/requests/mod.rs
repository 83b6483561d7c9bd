//! Every request that is here, and what became of those that were: one map under one lock, from which the names, the figures, the sums of
//! each tenant and the remembered streams are taken.

mod attached;
mod live;
mod tape;
mod tenants;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parkade_pool::{Clock, PoolHandle};
use parkade_sync::Mutex;

use crate::event::RequestError;
use crate::figures::{TenantFigures, Totals};
use crate::metrics::EngineMetrics;
use crate::parking_lot::TaskMetadata;
use crate::refusal::Refusal;
use crate::request::{Request, RequestId};

pub use attached::{AttachError, AttachedStream};
pub(crate) use live::Sink;
pub use live::{End, LiveRequest, RequestState};
pub use tape::ReplayLimits;
pub(crate) use tenants::OwnFigures;
use tenants::Sums;

/// The requests of one engine.
pub(crate) struct LiveRequests {
    state: Mutex<State>,
    limits: ReplayLimits,
    metrics: Arc<EngineMetrics>,
    clock: Clock,
    /// Reaches the pool; it is there from the start on, but only after its executor is.
    pool: OnceLock<PoolHandle>,
    /// What is cancelled from now on is cancelled by the shutdown.
    closing: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Those that have not ended, and those whose streams are still remembered.
    by_id: HashMap<RequestId, Arc<LiveRequest>>,
    /// Those that have ended, in the order in which they did.
    finished: VecDeque<Finished>,
    finished_bytes: usize,
    sums: Sums,
    /// How many a newer request has taken the place of, over all tenants.
    superseded: u64,
}

struct Finished {
    at: Instant,
    request: Arc<LiveRequest>,
    /// What its tape holds.
    bytes: usize,
}

impl State {
    fn live(&self) -> impl Iterator<Item = &LiveRequest> {
        self.by_id.values().map(|request| &**request).filter(|request| request.end().is_none())
    }

    /// Forgets a request, unless a newer one has taken its name.
    fn forget(&mut self, request: &Arc<LiveRequest>) {
        if self.by_id.get(request.id()).is_some_and(|current| Arc::ptr_eq(current, request)) {
            self.by_id.remove(request.id());
        }
    }

    /// Forgets the streams that are too old or too many.
    fn tidy(&mut self, limits: &ReplayLimits, now: Instant) {
        let is_old = |finished: &Finished| now.saturating_duration_since(finished.at) > limits.keep;
        while self.finished.len() > limits.finished
            || self.finished_bytes > limits.finished_bytes
            || self.finished.front().is_some_and(is_old)
        {
            let Some(Finished { request, bytes, .. }) = self.finished.pop_front() else { return };
            self.finished_bytes -= bytes;
            self.forget(&request);
        }
    }
}

impl LiveRequests {
    pub(crate) fn new(limits: ReplayLimits, metrics: Arc<EngineMetrics>, clock: Clock) -> Self {
        let state = Mutex::new("requests", State::default());
        LiveRequests { state, limits, metrics, clock, pool: OnceLock::new(), closing: AtomicBool::new(false) }
    }

    /// Says how the pool is reached.
    pub(crate) fn are_run_by(&self, pool: PoolHandle) {
        let is_first = self.pool.set(pool).is_ok();
        debug_assert!(is_first, "requests are run by one pool");
    }

    /// What is now for the requests.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether there is a worker.
    pub(crate) fn have_a_worker(&self) -> bool {
        self.pool.get().is_none_or(PoolHandle::is_alive)
    }

    /// What is cancelled from now on is cancelled by the shutdown.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// A request that waits from now on.
    ///
    /// # Errors
    /// If another one of this name is here.
    pub(crate) fn enter(&self, request: &Request, metadata: TaskMetadata) -> Result<Arc<LiveRequest>, Refusal> {
        let live = Arc::new(LiveRequest::new(request, metadata, self.limits, self.clock.clone()));
        let mut state = self.state.lock();
        if state.by_id.get(live.id()).is_some_and(|other| other.end().is_none()) {
            let id = live.id();
            return Err(Refusal::invalid(
                "request_id",
                format!("a request with the id '{id}' is already there; choose another id"),
            ));
        }
        state.sums.enter(live.tenant());
        state.by_id.insert(live.id().clone(), Arc::clone(&live));
        Ok(live)
    }

    /// The policy would not have it: nothing of it stays but the count.
    pub(crate) fn refuse(&self, request: &Arc<LiveRequest>) {
        let mut state = self.state.lock();
        state.forget(request);
        state.sums.end(request.tenant(), |totals| totals.refused += 1);
        request.set_end(End { usage: request.usage(), error: Some(RequestError::Stopped) });
    }

    /// Notes how a request ended. Its name is free, its tape is kept for a while. False if it had ended before.
    pub(crate) fn end(&self, request: &Arc<LiveRequest>, end: End) -> bool {
        let now = self.clock.now();
        // Under the lock, so that the sums and the figures are right at any time.
        let mut state = self.state.lock();
        if request.end().is_some() {
            return false;
        }
        state.sums.end(request.tenant(), |totals| match &end.error {
            None => totals.completed += 1,
            Some(RequestError::Cancelled) => totals.cancelled += 1,
            Some(RequestError::Superseded) => totals.superseded += 1,
            Some(RequestError::Deadline { .. }) => totals.expired += 1,
            Some(_) => totals.failed += 1,
        });
        state.superseded += u64::from(end.error == Some(RequestError::Superseded));
        request.set_end(end);
        let bytes = request.tape.bytes();
        state.finished_bytes += bytes;
        state.finished.push_back(Finished { at: now, request: Arc::clone(request), bytes });
        state.tidy(&self.limits, now);
        true
    }

    /// Whoever had a request is gone without a word: it was dropped in line, or the worker has died.
    pub(crate) fn abandoned(&self, request: &LiveRequest) -> RequestError {
        if request.queued().is_some() {
            return RequestError::Stopped;
        }
        let error = self.verdict(request, true);
        self.metrics.failed(&error, request.answers);
        error
    }

    /// Why the policy ended a request that had not failed by itself, in line or when it had run.
    pub(crate) fn verdict(&self, request: &LiveRequest, in_line: bool) -> RequestError {
        // Whoever is in line is told at once, perhaps under the policy's lock.
        let has_expired = !in_line && request.has_expired();
        if let Some(unwanted) = request.unwanted().filter(|_| !has_expired) {
            return unwanted;
        }
        if let Some(overdue) = request.overdue(self.clock.now()) {
            return overdue;
        }
        if self.closing.load(Ordering::Relaxed) {
            return RequestError::ShuttingDown;
        }
        if !self.have_a_worker() {
            return RequestError::Stopped;
        }
        // The parking lot gives up who waits and cannot be done in time any more.
        let given_up = request.limits().min().filter(|_| in_line);
        // Nobody else is ended while there is a worker, but by a panic that the worker has outlived.
        given_up.map_or_else(
            || RequestError::Panicked { message: "it was part of a step that panicked".to_owned() },
            |limit| RequestError::Deadline { allowed: limit.duration_since(request.metadata.submitted_at) },
        )
    }

    /// Counts something of a tenant's.
    pub(crate) fn count(&self, tenant: &str, count: impl FnOnce(&mut Totals)) {
        count(self.state.lock().sums.of(tenant));
    }

    /// A request that has not ended.
    pub(crate) fn find(&self, id: &RequestId) -> Option<Arc<LiveRequest>> {
        self.state.lock().by_id.get(id).filter(|request| request.end().is_none()).cloned()
    }

    /// One tenant's own figures.
    pub(crate) fn own_figures(&self, tenant: &str) -> OwnFigures {
        let state = self.state.lock();
        OwnFigures::new(state.sums.totals(tenant), state.live().filter(|request| request.tenant() == tenant))
    }

    /// How many requests a newer one has taken the place of.
    pub(crate) fn superseded(&self) -> u64 {
        self.state.lock().superseded
    }

    /// Every tenant that has requests, by name.
    pub(crate) fn tenants(&self) -> Vec<TenantFigures> {
        tenants::figures(self.state.lock().live())
    }

    /// Reads along from event number `from`.
    pub(crate) fn attach(&self, id: &RequestId, from: u64) -> Result<AttachedStream, AttachError> {
        let mut state = self.state.lock();
        state.tidy(&self.limits, self.clock.now());
        let request = state.by_id.get(id).ok_or_else(|| AttachError::Unknown(id.clone()))?;
        let (events, ended) = request.tape.remembered();
        if from < events.start {
            return Err(AttachError::TooFarBack { from, oldest: events.start });
        }
        if from > events.end {
            return Err(AttachError::TooFarAhead { from, events: events.end, ended });
        }
        request.tape.add_reader();
        Ok(AttachedStream::new(Arc::clone(request), from))
    }

    /// How many streams are remembered, running ones included.
    pub(crate) fn remembered(&self) -> usize {
        self.state.lock().by_id.len()
    }
}

#[cfg(test)]
mod tests;
