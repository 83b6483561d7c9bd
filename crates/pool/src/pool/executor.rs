//! What a worker drives.

use std::time::Instant;

use super::context::StepContext;
use crate::{TaskId, Units};

/// Whether an executor wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Step again as soon as commands have been looked at.
    Again,
    /// There is nothing to do for the tasks that it has (their readers are slow, say) until
    /// [`WorkerPool::wake`](super::WorkerPool::wake), a command, or this moment.
    Idle(Option<Instant>),
}

/// Advances many tasks by steps. A worker thread owns it; all of its methods are called there, one after the other.
///
/// The worker calls `admit`, `park`, `resume` and `cancel` between steps, as the policy decides, and `step` for as long
/// as the executor has running tasks. A panic in `step` fails the tasks that [`StepContext::blame`] named, or else all
/// that run here; a panic in one of the others fails its task. Either way each failed task is then given to `cancel`,
/// and the worker goes on.
pub trait Executor: Send + 'static {
    /// What is handed over with a task.
    type Task: Send + 'static;
    /// What a completed task gives. It need not be serialisable: a stream or a handle will do.
    type Output: Send + 'static;

    /// Whether it can park a task half way and take it up again. If not, whatever is submitted is taken as not
    /// [`parkable`](crate::TaskSpec::parkable), and `park` and `resume` are never called.
    const PARKS: bool = true;

    /// The units that could be given out now, caches that would be evicted included: the truth, which the policy asks
    /// for with each decision. What `admit`, `resume` and granted growth were given counts as taken, whether it has
    /// been touched or not. `None`: there is no own count and the policy's ledger decides. A pool with more than one
    /// worker shares one budget, so its executors must answer `None`.
    fn snapshot(&self) -> Option<Units> {
        None
    }

    /// Whether a task that is new could be taken up now. One that runs jobs to their end says no while it has one.
    fn has_room(&self) -> bool {
        true
    }

    /// Take up a task; its `cost.now` is there for it.
    fn admit(&mut self, id: TaskId, task: Self::Task);

    /// Free the units of a running task and keep its state.
    fn park(&mut self, id: TaskId);

    /// Take up a parked task; as much as it held when it was parked is there for it.
    fn resume(&mut self, id: TaskId);

    /// Drop a task, running or parked, and free what it holds. Its outcome has been seen to.
    fn cancel(&mut self, id: TaskId);

    /// Advance the running tasks, those aside that sit out. Growth, progress, results and failures go to `ctx`.
    fn step(&mut self, ctx: &mut StepContext<'_, Self>) -> Step
    where
        Self: Sized;
}
