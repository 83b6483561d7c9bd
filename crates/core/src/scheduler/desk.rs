//! The default scheduler's book: who runs, who waits, what is reserved. No threads in here.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::config::{EngineConfig, SchedulerKind};
use crate::engine::{EngineSnapshot, RequestStatus};
use crate::event::RequestError;
use crate::geometry::{Geometry, Need};
use crate::record::{RequestRecord, RequestState};
use crate::refusal::Refusal;
use crate::request::{Request, RequestId, RequestKey};
use crate::stepper::{Arrival, Ended, Stepper};
use crate::stream::Outlet;

use super::estimate::{Estimate, Work};

/// What lies between callers and the worker.
pub(super) struct Desk {
    /// Requests that have their reservation and wait for the worker to look.
    admitted: Vec<Arrival>,
    /// Requests that wait for a reservation, in the order of their arrival.
    line: VecDeque<Arrival>,
    max_queue_depth: usize,
    /// What is not reserved.
    free: Free,
    /// What each request that was admitted holds.
    reserved: HashMap<RequestKey, Need>,
    /// Every request that has not had its last event.
    live: HashMap<RequestId, Entry>,
    keys: u64,
    pub(super) cancelled: Vec<RequestKey>,
    /// Set by whoever changes something that the worker should look at.
    pub(super) news: bool,
    /// No more requests; what is left at this time is cancelled.
    pub(super) closing: Option<Instant>,
    pub(super) worker_alive: bool,
    pub(super) estimate: Estimate,
    /// As of the last step.
    pub(super) snapshot: EngineSnapshot,
}

/// Sequences and blocks that nobody has reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Free {
    seqs: usize,
    blocks: usize,
}

impl Free {
    fn covers(&self, need: &Need) -> bool {
        need.seqs <= self.seqs && need.blocks <= self.blocks
    }
}

struct Entry {
    key: RequestKey,
    record: Arc<RequestRecord>,
}

impl Desk {
    pub(super) fn new(geometry: &Geometry, config: &EngineConfig) -> Self {
        Desk {
            admitted: Vec::new(),
            line: VecDeque::new(),
            max_queue_depth: config.max_queue_depth,
            free: Free { seqs: config.max_seqs, blocks: geometry.blocks },
            reserved: HashMap::new(),
            live: HashMap::new(),
            keys: 0,
            cancelled: Vec::new(),
            news: false,
            closing: None,
            worker_alive: true,
            estimate: Estimate::default(),
            snapshot: EngineSnapshot {
                scheduler: SchedulerKind::Default.name(),
                max_seqs: config.max_seqs,
                max_queue_depth: config.max_queue_depth,
                block_len: geometry.block_len,
                blocks_total: geometry.blocks,
                blocks_free: geometry.blocks,
                ..EngineSnapshot::default()
            },
        }
    }

    /// Whether a request may come in: it can run at once, or there is a place in line.
    pub(super) fn door(&self, request: &Request, need: &Need) -> Result<(), Refusal> {
        if !self.worker_alive {
            return Err(Refusal::Stopped);
        }
        let retry_after = || self.estimate.retry_after(self.work_before(self.line.len()));
        if self.closing.is_some() {
            return Err(Refusal::Draining { retry_after: retry_after() });
        }
        if self.live.contains_key(&request.id) {
            return Err(Refusal::invalid(
                "request_id",
                format!("a request with the id '{}' is already there; choose another id", request.id),
            ));
        }
        let can_run = self.line.is_empty() && self.free.covers(need);
        if !can_run && self.line.len() >= self.max_queue_depth {
            return Err(Refusal::QueueFull {
                unit: "requests",
                waiting: self.line.len(),
                limit: self.max_queue_depth,
                retry_after: retry_after(),
            });
        }
        Ok(())
    }

    /// Takes a request in that may come in.
    pub(super) fn enter(&mut self, request: Request, need: Need, outlet: Outlet, now: Instant) {
        self.keys += 1;
        let key = RequestKey(self.keys);
        self.live.insert(request.id.clone(), Entry { key, record: Arc::clone(outlet.record()) });
        self.line.push_back(Arrival { key, request, need, outlet, submitted: now });
        self.advance_line();
    }

    /// Gives those at the head of the line their reservations, as far as they fit.
    fn advance_line(&mut self) {
        while self.line.front().is_some_and(|first| self.free.covers(&first.need)) {
            let arrival = self.line.pop_front().expect("somebody is first");
            self.free.seqs -= arrival.need.seqs;
            self.free.blocks -= arrival.need.blocks;
            self.reserved.insert(arrival.key, arrival.need);
            arrival.outlet.record().set_blocks(arrival.need.blocks);
            arrival.outlet.record().set_state(RequestState::Running);
            self.admitted.push(arrival);
        }
    }

    /// The requests that the worker must take over now.
    pub(super) fn take_admitted(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.admitted)
    }

    /// Books the end of requests that ran.
    pub(super) fn note_ended(&mut self, ended: &[Ended]) {
        for ended in ended {
            let need = self.reserved.remove(&ended.key).expect("a request that ran had its reservation");
            self.free.seqs += need.seqs;
            self.free.blocks += need.blocks;
            self.live.remove(&ended.id);
            if ended.result.is_ok() {
                self.estimate.note_answer(ended.completion_tokens / need.seqs.max(1));
            }
        }
        self.advance_line();
    }

    /// Takes everyone out of the line who will not run any more: gone, cancelled, too late. Tells the caller about each.
    pub(super) fn clear_line(&mut self, now: Instant, mut tell: impl FnMut(&RequestError, usize)) {
        let reason = |arrival: &Arrival, cancelled: &[RequestKey]| {
            if arrival.outlet.is_closed() || cancelled.contains(&arrival.key) {
                return Some(RequestError::Cancelled);
            }
            let late = arrival.deadline().is_some_and(|deadline| deadline <= now);
            late.then(|| RequestError::Deadline { allowed: arrival.request.timeout.unwrap_or_default() })
        };
        let mut place = 0;
        while let Some(arrival) = self.line.get(place) {
            let Some(error) = reason(arrival, &self.cancelled) else {
                place += 1;
                continue;
            };
            let arrival = self.line.remove(place).expect("there is somebody at this place");
            self.live.remove(&arrival.request.id);
            tell(&error, arrival.need.seqs);
            arrival.fail(error);
        }
        self.advance_line();
    }

    /// Ends everyone in line. Tells the caller about each.
    pub(super) fn dismiss_line(&mut self, error: &RequestError, mut tell: impl FnMut(&RequestError, usize)) {
        for arrival in self.line.drain(..) {
            self.live.remove(&arrival.request.id);
            tell(error, arrival.need.seqs);
            arrival.fail(error.clone());
        }
    }

    /// Forgets everything: the worker is gone, and with it every request that it had.
    pub(super) fn close(&mut self, tell: impl FnMut(&RequestError, usize)) {
        self.dismiss_line(&RequestError::Stopped, tell);
        self.worker_alive = false;
        self.admitted.clear();
        self.reserved.clear();
        self.live.clear();
    }

    pub(super) fn key_of(&self, id: &RequestId) -> Option<RequestKey> {
        self.live.get(id).map(|entry| entry.key)
    }

    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Whether nobody is here.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The next deadline of somebody in line.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.line.iter().filter_map(Arrival::deadline).min()
    }

    pub(super) fn status(&self, id: &RequestId) -> Option<RequestStatus> {
        let Entry { key, record } = self.live.get(id)?;
        let place = self.line.iter().position(|arrival| arrival.key == *key);
        let is_own = |arrival: &&Arrival| arrival.request.tenant == record.tenant;
        Some(RequestStatus {
            state: record.state(),
            place,
            own_place: place.map(|place| self.line.iter().take(place).filter(is_own).count()),
            estimated_wait: place.map(|place| self.estimate.time(self.work_before(place))),
            tenant: record.tenant.clone(),
            priority: record.class,
            prompt_tokens: record.prompt_tokens,
            completion_tokens: record.generated(),
            age: record.opened.elapsed(),
        })
    }

    /// What is still to be done before the request at `place` in line can start: half of what runs, and all that waits before it.
    fn work_before(&self, place: usize) -> Work {
        let mut work = self.estimate.half_done(self.reserved.values().map(|need| need.seqs).sum());
        for arrival in self.line.iter().take(place) {
            work += self.estimate.work(arrival.request.prompt.len(), arrival.need.answer, arrival.request.n);
        }
        work
    }

    /// The state in figures.
    pub(super) fn figures(&self) -> EngineSnapshot {
        EngineSnapshot {
            // The worker has not seen the newest ones yet.
            running: self.snapshot.running + self.admitted.len(),
            running_seqs: self.snapshot.running_seqs
                + self.admitted.iter().map(|arrival| arrival.need.seqs).sum::<usize>(),
            waiting: self.line.len(),
            draining: self.closing.is_some(),
            active_workers: usize::from(self.worker_alive),
            // Whoever runs has all that it can ever need set aside.
            blocks_available: self.free.blocks,
            prefill_rate: self.estimate.prefill_rate.unwrap_or(0.0),
            decode_rate: self.estimate.decode_rate.unwrap_or(0.0),
            ..self.snapshot.clone()
        }
    }

    /// Notes what the stepper has, after a step.
    pub(super) fn note_step(&mut self, stepper: &Stepper) {
        let census = stepper.census();
        self.estimate.prefill_rate = stepper.pace().prefill_rate();
        self.estimate.decode_rate = stepper.pace().decode_rate();
        let snapshot = &mut self.snapshot;
        (snapshot.running, snapshot.running_seqs) = (census.running, census.running_seqs);
        (snapshot.paused, snapshot.parked) = (census.paused, census.parked);
        (snapshot.blocks_used, snapshot.blocks_cached, snapshot.blocks_free) =
            (census.blocks.used, census.blocks.cached, census.blocks.free);
        debug_assert!(
            census.running + census.parked + self.admitted.len() == self.reserved.len(),
            "whoever runs has a reservation"
        );
    }
}
