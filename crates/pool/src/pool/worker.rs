//! A worker thread: it owns an executor and does what the policy decides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::executor::{Executor, Step, StepContext};
use super::outcome::{Failure, Outcome};
use super::shared::{Rest, Shared, Todo, observe};
use crate::catch_panic::catch_panic;
use crate::{Class, Decision, Ending, Policy, TaskId};

/// One worker. A pool's threads run theirs; whoever has none, as a simulation, takes its turns by hand, see
/// [`WorkerPool::by_hand`](super::WorkerPool::by_hand).
pub struct Worker<E: Executor> {
    number: usize,
    // Dropped before the departure: what it holds is free by the time that the policy hands it out again.
    executor: E,
    rest: Rest,
    /// How long others have had its thread since its last step, though it could have been stepped.
    waited: Duration,
    shared: Arc<Shared<E>>,
    _departure: Departure<E>,
}

/// What became of a worker's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It did something, and there may be more.
    Worked,
    /// There was nothing to do, and there will be nothing until this moment unless something happens.
    Idle(Option<Instant>),
    /// The pool has stopped.
    Stopped,
}

impl<E: Executor> Worker<E> {
    pub(super) fn new(shared: Arc<Shared<E>>, number: usize, executor: E) -> Worker<E> {
        let departure = Departure { shared: Arc::clone(&shared), worker: number };
        let mut worker = Worker { number, executor, rest: None, waited: Duration::ZERO, shared, _departure: departure };
        worker.settle(|_| {}); // The first count of free units.
        worker
    }

    /// Works until the pool stops.
    pub(super) fn run(mut self) {
        loop {
            let todo = self.shared.next(self.number, self.has_room(), self.rest);
            if !self.does(todo) {
                return;
            }
        }
    }

    /// Does one thing, if there is one to do.
    pub fn turn(&mut self) -> Turn {
        match self.look() {
            Err(until) => Turn::Idle(until),
            Ok(todo) => {
                if self.does(todo) {
                    Turn::Worked
                } else {
                    Turn::Stopped
                }
            }
        }
    }

    /// What there is to do now; if nothing, until when.
    pub(super) fn look(&mut self) -> Result<Todo<E>, Option<Instant>> {
        self.shared.next_now(self.number, self.has_room(), self.rest)
    }

    /// It could be stepped, and is not now.
    pub(super) fn stay_awake(&mut self) {
        self.rest = None;
    }

    /// Others have had its thread for so long.
    pub(super) fn has_waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// False if there is nothing to do any more.
    pub(super) fn does(&mut self, todo: Todo<E>) -> bool {
        match todo {
            Todo::Start(id, task) => self.start(id, task),
            Todo::Other(decision) => self.obey(decision),
            Todo::Step(urgent, sitting_out) => self.step(urgent, sitting_out),
            Todo::Nothing => {}
            Todo::Quit => return false,
        }
        true
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
        let shared = Arc::clone(&self.shared);
        let began = self.shared.clock.now();
        let mut context = StepContext::new(&shared, began, urgent, sitting_out);
        let stepped = catch_panic(|| self.executor.step(&mut context));
        let busy = context.busy().unwrap_or_else(|| self.shared.clock.since(began));
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
        // What its tasks wait for counts: estimates are of how fast work is done here, and not of how fast it could be.
        let waited = if progress.is_empty() { Duration::ZERO } else { std::mem::take(&mut self.waited) };
        self.settle(|policy| policy.report(busy + waited, &progress));
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

/// Signs the worker off however it ends.
struct Departure<E: Executor> {
    shared: Arc<Shared<E>>,
    worker: usize,
}

impl<E: Executor> Drop for Departure<E> {
    fn drop(&mut self) {
        self.shared.depart(self.worker, std::thread::panicking());
    }
}
