//! A worker thread: it owns an executor and does what the policy decides.

use std::time::Instant;

use super::executor::{Executor, Step, StepContext};
use super::outcome::{Failure, Outcome};
use super::shared::{Shared, Todo, observe};
use crate::catch_panic::catch_panic;
use crate::{Class, Decision, Ending, Policy, TaskId};

/// One worker.
pub(super) struct Worker<'a, E: Executor> {
    shared: &'a Shared<E>,
    number: usize,
    executor: E,
    /// How long the executor wants to be left alone, if it does.
    rest: Option<Option<Instant>>,
}

impl<'a, E: Executor> Worker<'a, E> {
    pub(super) fn new(shared: &'a Shared<E>, number: usize, executor: E) -> Worker<'a, E> {
        Worker { shared, number, executor, rest: None }
    }

    /// Works until the pool stops.
    pub(super) fn run(self) {
        let _departure = Departure { shared: self.shared, worker: self.number };
        // Dropped before the departure: what it holds is free by the time that the lot hands it out again.
        let mut worker = self;
        worker.settle(|_| {}); // The first count of free units.
        loop {
            let has_room = worker.has_room();
            match worker.shared.next(worker.number, has_room, worker.rest) {
                Todo::Start(id, task) => worker.start(id, task),
                Todo::Other(decision) => worker.obey(decision),
                Todo::Step(urgent, sitting_out) => worker.step(urgent, sitting_out),
                Todo::Nothing => {}
                Todo::Quit => return,
            }
        }
    }

    /// An executor that cannot even say so has no room; it goes on with what it has.
    fn has_room(&self) -> bool {
        catch_panic(|| self.executor.has_room()).unwrap_or_else(|panic| {
            tracing::error!(worker = self.number, panic, "asking an executor for room panicked");
            false
        })
    }

    fn start(&mut self, id: TaskId, task: E::Task) {
        self.rest = None;
        if let Err(panic) = catch_panic(|| self.executor.admit(id, task)) {
            self.fail(id, &panic);
            self.settle(|_| {});
        }
    }

    fn obey(&mut self, decision: Decision) {
        self.rest = None;
        match decision {
            Decision::Park(id) => match catch_panic(|| self.executor.park(id)) {
                Ok(()) => self.settle(|policy| policy.parked(id)),
                Err(panic) => {
                    self.fail(id, &panic);
                    self.settle(|_| {});
                }
            },
            Decision::Cancel(id) => {
                if let Err(panic) = catch_panic(|| self.executor.cancel(id)) {
                    tracing::error!(task = %id, panic, "dropping a task panicked");
                }
                self.shared.end(id, &[], Ending::Cancelled, Outcome::Cancelled);
                self.settle(|_| {});
            }
            Decision::Resume(id) => {
                if let Err(panic) = catch_panic(|| self.executor.resume(id)) {
                    self.fail(id, &panic);
                    self.settle(|_| {});
                }
            }
            Decision::Start(id) => unreachable!("{id} starts with its payload"),
        }
    }

    fn step(&mut self, urgent: Option<Class>, sitting_out: Vec<TaskId>) {
        let mut context = StepContext::new(self.shared, urgent, sitting_out);
        let began = Instant::now();
        let stepped = catch_panic(|| self.executor.step(&mut context));
        let busy = context.busy().unwrap_or_else(|| began.elapsed());
        self.rest = match stepped {
            Ok(Step::Again) => None,
            Ok(Step::Idle(until)) => Some(until),
            Err(panic) => {
                let culprits = match context.blamed() {
                    [] => self.shared.read(|state| state.policy.running_on(self.number)),
                    blamed => blamed.to_vec(),
                };
                for culprit in culprits {
                    self.fail(culprit, &panic);
                }
                None
            }
        };
        let progress = context.take_progress();
        self.settle(|policy| policy.report(busy, &progress));
    }

    /// A panic was this task's fault: it ends, the others go on.
    fn fail(&mut self, id: TaskId, panic: &str) {
        if self.shared.read(|state| state.policy.state_of(id).is_none()) {
            return; // It had ended before the panic.
        }
        tracing::error!(task = %id, panic, "a task panicked and has failed");
        if let Err(panic) = catch_panic(|| self.executor.cancel(id)) {
            tracing::error!(task = %id, panic, "dropping the failed task panicked too");
        }
        self.shared.end(id, &[], Ending::Failed, Outcome::Failed(Failure::Panic(panic.to_owned())));
    }

    /// Reports to the policy, tells it what is really free now, and has it decide.
    fn settle(&mut self, report: impl FnOnce(&mut dyn Policy)) {
        let free = catch_panic(|| self.executor.snapshot()).unwrap_or_default();
        let now = self.shared.now();
        self.shared.command(|state| {
            report(&mut *state.policy);
            observe(state, free);
            state.policy.settle(now);
        });
    }
}

/// Signs the thread off however it ends.
struct Departure<'a, E: Executor> {
    shared: &'a Shared<E>,
    worker: usize,
}

impl<E: Executor> Drop for Departure<'_, E> {
    fn drop(&mut self) {
        self.shared.depart(self.worker, std::thread::panicking());
    }
}
