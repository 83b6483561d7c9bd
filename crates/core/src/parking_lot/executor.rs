//! The stepper as the pool drives it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parkade_pool::{Executor, Growth as Answer, Step, StepContext, TaskId, Units};

use crate::event::RequestError;
use crate::register::Register;
use crate::request::RequestKey;
use crate::stepper::{Ask, Ended, Grant, Growth, Stepper};

use super::ticket::{Queued, Shared, Ticket};

/// The bridge between the pool and a pipeline: it drives all requests of one model replica, step by step.
/// [`InferenceWorkerPool::start`](super::InferenceWorkerPool::start) makes one and gives it to its worker thread; nobody else calls it.
///
/// The policy counts KV blocks and sequences. What it has granted to a request and the request has not taken from the block pool yet is
/// owed to it; [`snapshot`](Executor::snapshot) is what the block pool could give out, less that.
pub struct LlmExecutor {
    stepper: Stepper,
    shared: Arc<Shared>,
    max_seqs: u64,
    /// A reader that takes nothing for so long has its request parked, if anybody is.
    slow_reader: Option<Duration>,
    requests: HashMap<RequestKey, Held>,
    keys: HashMap<TaskId, RequestKey>,
}

/// What a request holds of the units.
struct Held {
    task: TaskId,
    ticket: Arc<Ticket>,
    /// Blocks that the policy has granted.
    granted: u64,
    /// Of these, the ones that were taken from the block pool.
    taken: u64,
    parked: bool,
}

impl Held {
    fn owed(&self) -> u64 {
        if self.parked { 0 } else { self.granted - self.taken }
    }

    /// Gives back what it has taken.
    fn park(&mut self, register: &Register) {
        self.parked = true;
        self.taken = 0;
        register.count(&self.ticket.metadata.tenant, |totals| totals.parkings += 1);
    }

    fn grant(&mut self, blocks: u64) {
        self.granted += blocks;
        self.ticket.record.set_blocks(usize::try_from(self.granted).unwrap_or(usize::MAX));
    }
}

/// What could be given out now: available blocks that are not owed to anybody, and sequences.
fn free_units(requests: &HashMap<RequestKey, Held>, available: usize, max_seqs: u64) -> Units {
    let running = || requests.values().filter(|held| !held.parked);
    let owed: u64 = running().map(Held::owed).sum();
    let seqs: u64 = running().map(|held| held.ticket.metadata.cost.seqs).sum();
    Units::from([(available as u64).saturating_sub(owed), max_seqs.saturating_sub(seqs)])
}

impl LlmExecutor {
    pub(super) fn new(stepper: Stepper, shared: Arc<Shared>, slow_reader: Option<Duration>) -> Self {
        let max_seqs = stepper.geometry().max_seqs as u64;
        let executor =
            LlmExecutor { stepper, shared, max_seqs, slow_reader, requests: HashMap::new(), keys: HashMap::new() };
        executor.publish();
        executor
    }

    fn publish(&self) {
        *self.shared.census.lock() = self.stepper.census();
    }

    /// What could be given out now.
    fn free(&self) -> Units {
        free_units(&self.requests, self.stepper.census().blocks.available(), self.max_seqs)
    }

    fn held(&mut self, id: TaskId) -> Option<(RequestKey, &mut Held)> {
        let key = *self.keys.get(&id)?;
        Some((key, self.requests.get_mut(&key)?))
    }

    /// Tells the pool and the callers about a request that has had its last event.
    fn report_end(&mut self, ended: &Ended, context: &mut StepContext<'_, Self>) {
        let Some(held) = self.requests.remove(&ended.key) else { return };
        self.keys.remove(&held.task);
        self.shared.close(&held.ticket);
        match &ended.result {
            Ok(()) => {
                let Ticket { metadata, record, .. } = &*held.ticket;
                self.shared.adapter.note_answers(&metadata.tenant, record.answers, ended.completion_tokens);
                context.complete(held.task, ());
            }
            Err(RequestError::Cancelled) => context.cancelled(held.task),
            Err(error) => context.fail(held.task, error.to_string()),
        }
        context.observe(self.free());
    }

    /// Parks requests whose readers have taken nothing for long.
    fn park_slow(&mut self, context: &mut StepContext<'_, Self>) {
        let Some(limit) = self.slow_reader else { return };
        let now = Instant::now();
        let is_long = |since: Instant| now.saturating_duration_since(since) >= limit;
        let slow: Vec<RequestKey> =
            self.stepper.paused().filter(|&(_, since)| is_long(since)).map(|(key, _)| key).collect();
        for key in slow {
            let held = self.requests.get_mut(&key).expect("running requests are here");
            if !context.pause(held.task) {
                continue;
            }
            held.park(&self.shared.register);
            self.stepper.park(key);
            // The reader may have read on before the policy knew that it is waited for.
            if self.stepper.has_room(key) {
                self.shared.pool().unpause(held.task);
            }
        }
    }
}

impl Executor for LlmExecutor {
    type Task = Queued;
    type Output = ();

    fn snapshot(&self) -> Option<Units> {
        Some(self.free())
    }

    fn admit(&mut self, id: TaskId, queued: Queued) {
        let (key, arrival, ticket) = queued.take();
        let mut held = Held { task: id, ticket, granted: 0, taken: 0, parked: false };
        held.grant(held.ticket.metadata.cost.blocks);
        self.keys.insert(id, key);
        self.requests.insert(key, held);
        self.stepper.admit(arrival, Instant::now());
    }

    fn park(&mut self, id: TaskId) {
        let shared = Arc::clone(&self.shared);
        if let Some((key, held)) = self.held(id) {
            held.park(&shared.register);
            shared.register.count(&held.ticket.metadata.tenant, |totals| totals.preempted += 1);
            self.stepper.park(key);
        }
    }

    fn resume(&mut self, id: TaskId) {
        let shared = Arc::clone(&self.shared);
        if let Some((key, held)) = self.held(id) {
            held.parked = false;
            shared.register.count(&held.ticket.metadata.tenant, |totals| totals.resumed += 1);
            self.stepper.resume(key);
        }
    }

    fn cancel(&mut self, id: TaskId) {
        let Some(key) = self.keys.remove(&id) else { return };
        let Some(held) = self.requests.remove(&key) else { return };
        let error = self.shared.verdict(&held.ticket, false);
        self.shared.close(&held.ticket);
        self.stepper.fail(key, error, Instant::now());
        // The pool knows: it was its own decision.
        self.stepper.take_ended();
        self.publish();
    }

    fn step(&mut self, context: &mut StepContext<'_, Self>) -> Step {
        let (register, max_seqs) = (&*self.shared.register, self.max_seqs);
        let mut growth = GrantedGrowth { context, requests: &mut self.requests, keys: &self.keys, register, max_seqs };
        let report = self.stepper.step(Instant::now(), &mut growth);
        for part in &report.progress {
            if let Some(held) = self.requests.get(&part.key) {
                context.progress(held.task, part.prompt_rows as u64, part.generated as u64);
            }
        }
        let ended = self.stepper.take_ended();
        // Whoever has read a last event finds the room that the request had, in the figures too.
        self.publish();
        for ended in ended {
            self.report_end(&ended, context);
        }
        self.park_slow(context);
        self.publish();
        context.took(report.time.total());
        if report.progress.is_empty() && report.parked.is_empty() && !report.was_left {
            let next_parking = |limit: Duration| self.stepper.paused().map(|(_, since)| since + limit).min();
            return Step::Idle(self.slow_reader.and_then(next_parking));
        }
        Step::Again
    }
}

impl std::fmt::Debug for LlmExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LlmExecutor").field("requests", &self.requests.len()).finish_non_exhaustive()
    }
}

/// Growth as the policy grants it.
struct GrantedGrowth<'a, 'c> {
    context: &'a mut StepContext<'c, LlmExecutor>,
    requests: &'a mut HashMap<RequestKey, Held>,
    keys: &'a HashMap<TaskId, RequestKey>,
    register: &'a Register,
    max_seqs: u64,
}

impl GrantedGrowth<'_, '_> {
    fn park(&mut self, key: RequestKey) {
        if let Some(held) = self.requests.get_mut(&key) {
            held.park(self.register);
        }
    }
}

impl Growth for GrantedGrowth<'_, '_> {
    fn ask(&mut self, ask: &Ask) -> Grant {
        let free = free_units(self.requests, ask.counts.available(), self.max_seqs);
        let held = self.requests.get_mut(&ask.key).expect("running requests are here");
        let wanted = ask.blocks as u64;
        let short = wanted.saturating_sub(held.owed());
        if short > 0 {
            match self.context.grow(held.task, Units::from([short]), Some(free)) {
                Answer::Granted => held.grant(short),
                Answer::ParkFirst(victims) => {
                    let victims: Vec<RequestKey> =
                        victims.iter().filter_map(|victim| self.keys.get(victim).copied()).collect();
                    victims.iter().for_each(|&victim| self.park(victim));
                    return Grant::Park(victims);
                }
                Answer::ParkSelf => {
                    self.park(ask.key);
                    return Grant::Park(vec![ask.key]);
                }
                Answer::Denied => return Grant::Never,
            }
        }
        held.taken += wanted;
        Grant::Yes
    }

    fn sits_out(&self, key: RequestKey) -> bool {
        self.requests.get(&key).is_some_and(|held| self.context.sits_out(held.task))
    }

    fn urgency(&self) -> u8 {
        self.context.urgent().map_or(0, |class| 1 + class as u8)
    }

    fn interrupts(&self) -> bool {
        self.context.is_overtaken()
    }
}
