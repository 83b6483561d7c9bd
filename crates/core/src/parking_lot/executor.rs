//! The stepper as the pool drives it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parkade_pool::{Executor, Growth as Answer, Step, StepContext, TaskId, Units};
use parkade_sync::Mutex;

use crate::event::RequestError;
use crate::requests::LiveRequests;
use crate::stepper::{Arrival, Ask, Census, Ended, Free, Grant, MemoryPolicy, Stepper};

use super::resource_adapter::ResourceAdapter;

/// What callers and the worker share.
pub(super) struct Shared {
    pub(super) adapter: ResourceAdapter,
    pub(super) requests: Arc<LiveRequests>,
    /// The stepper's counts as of the last step.
    pub(super) census: Mutex<Census>,
}

/// The bridge between the pool and a pipeline: it drives all requests of one model replica, step by step.
/// [`InferenceWorkerPool::start`](super::InferenceWorkerPool::start) makes one and gives it to its worker thread; nobody else calls it.
///
/// The policy counts KV blocks and sequences. What it has granted to a request and the request has not taken from the block pool yet is
/// owed to it; [`snapshot`](Executor::snapshot) is what the block pool could give out, less that.
pub struct LlmExecutor {
    stepper: Stepper,
    shared: Arc<Shared>,
    /// A reader that takes nothing for so long has its request parked, if anybody is.
    slow_reader: Option<Duration>,
}

/// A request that the policy has taken and no worker has taken up. One that is dropped has its last event by that.
pub struct Queued(pub(super) Arrival);

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Queued").field(self.0.outlet.request()).finish()
    }
}

fn units(free: Free) -> Units {
    Units::from([free.blocks as u64, free.seqs as u64])
}

impl LlmExecutor {
    pub(super) fn new(stepper: Stepper, shared: Arc<Shared>, slow_reader: Option<Duration>) -> Self {
        let executor = LlmExecutor { stepper, shared, slow_reader };
        executor.publish();
        executor
    }

    fn now(&self) -> Instant {
        self.shared.requests.clock().now()
    }

    fn publish(&self) {
        *self.shared.census.lock() = self.stepper.census();
    }

    /// Tells the pool about a request that has ended.
    fn report_end(&mut self, ended: &Ended, context: &mut StepContext<'_, Self>) {
        match &ended.result {
            Ok(()) => {
                let request = ended.request();
                self.shared.adapter.note_answers(request.tenant(), request.answers, ended.completion_tokens);
                context.complete(ended.key, ());
            }
            Err(RequestError::Cancelled | RequestError::Superseded) => context.cancelled(ended.key),
            Err(error) => context.fail(ended.key, error.to_string()),
        }
        context.observe(units(self.stepper.free()));
    }

    /// Parks requests whose readers have taken nothing for long.
    fn park_slow(&mut self, context: &mut StepContext<'_, Self>) {
        let Some(limit) = self.slow_reader else { return };
        let now = self.now();
        let is_long = |since: Instant| now.saturating_duration_since(since) >= limit;
        let slow: Vec<TaskId> =
            self.stepper.paused().filter(|&(_, since)| is_long(since)).map(|(key, _)| key).collect();
        for key in slow {
            if !context.pause(key) {
                continue;
            }
            self.stepper.park(key);
            // The reader may have read on before the policy knew that it is waited for.
            if self.stepper.has_room(key)
                && let Some(request) = self.stepper.request(key)
            {
                request.wake();
            }
        }
    }
}

impl Executor for LlmExecutor {
    type Task = Queued;
    type Output = ();

    fn snapshot(&self) -> Option<Units> {
        Some(units(self.stepper.free()))
    }

    fn admit(&mut self, id: TaskId, queued: Queued) {
        self.stepper.admit(id, queued.0, self.now());
    }

    fn park(&mut self, id: TaskId) {
        if self.stepper.park(id)
            && let Some(request) = self.stepper.request(id)
        {
            self.shared.requests.count(request.tenant(), |totals| totals.class_preemptions += 1);
        }
    }

    fn resume(&mut self, id: TaskId) {
        if self.stepper.resume(id)
            && let Some(request) = self.stepper.request(id)
        {
            self.shared.requests.count(request.tenant(), |totals| totals.resumptions += 1);
        }
    }

    fn cancel(&mut self, id: TaskId) {
        let Some(request) = self.stepper.request(id) else { return };
        let error = self.shared.requests.verdict(request, false);
        self.stepper.fail(id, error, self.now());
        // The pool knows: it was its own decision. Whoever reads the last event finds the room that the request had.
        let ended = self.stepper.take_ended();
        self.publish();
        drop(ended);
    }

    fn step(&mut self, context: &mut StepContext<'_, Self>) -> Step {
        let report = self.stepper.step(self.now(), &mut Granted { context });
        for part in &report.progress {
            context.progress(part.key, part.prompt_rows as u64, part.generated as u64);
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
        f.debug_struct("LlmExecutor").field("census", &self.stepper.census()).finish_non_exhaustive()
    }
}

/// Memory as the policy of the pool grants it.
struct Granted<'a, 'c> {
    context: &'a mut StepContext<'c, LlmExecutor>,
}

impl MemoryPolicy for Granted<'_, '_> {
    fn ask(&mut self, ask: &Ask) -> Grant {
        if ask.short == 0 {
            return Grant::Yes;
        }
        match self.context.grow(ask.key, Units::from([ask.short as u64]), Some(units(ask.free))) {
            Answer::Granted => Grant::Yes,
            Answer::ParkFirst(victims) => Grant::Park(victims),
            Answer::ParkSelf => Grant::Park(vec![ask.key]),
            Answer::Denied => Grant::Never,
        }
    }

    fn lend(&mut self, key: TaskId, blocks: usize) -> bool {
        self.context.lend(key, Units::from([blocks as u64]))
    }

    fn sits_out(&self, key: TaskId) -> bool {
        self.context.sits_out(key)
    }

    fn urgency(&self) -> u8 {
        self.context.urgent().map_or(0, |class| 1 + class as u8)
    }

    fn interrupts(&self) -> bool {
        self.context.is_overtaken()
    }
}
