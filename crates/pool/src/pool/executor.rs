//! What a worker drives, and what it can say and ask during a step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::outcome::{Failure, Outcome};
use super::shared::{Payload, Shared};
use crate::{Class, Ending, Growth, Progress, TaskId, Time, Units, Work};

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

impl<E: Executor> Payload for E {
    type Task = E::Task;
    type Output = E::Output;
}

/// One step's line to the policy.
pub struct StepContext<'a, E: Executor> {
    shared: &'a Shared<E>,
    now: Time,
    began: Instant,
    /// Of all running tasks how many had been told to stop when the step began.
    stops: u64,
    urgent: Option<Class>,
    sitting_out: Vec<TaskId>,
    progress: Vec<Progress>,
    took: Option<Duration>,
    blamed: Vec<TaskId>,
}

impl<'a, E: Executor> StepContext<'a, E> {
    pub(super) fn new(
        shared: &'a Shared<E>,
        began: Instant,
        urgent: Option<Class>,
        mut sitting_out: Vec<TaskId>,
    ) -> StepContext<'a, E> {
        sitting_out.sort_unstable();
        let (now, stops) = (shared.time_at(began), shared.stops());
        let (progress, blamed) = (Vec::new(), Vec::new());
        StepContext { shared, now, began, stops, urgent, sitting_out, progress, took: None, blamed }
    }

    /// When the step began, on the pool's clock.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Whether this running task should sit out the step, keeping what it holds, because a task of a higher class
    /// needs its first token.
    pub fn sits_out(&self, id: TaskId) -> bool {
        self.sitting_out.binary_search(&id).is_ok()
    }

    /// The highest class that should not have waited for this step, if there is one: a first token of it is due, and
    /// lower classes sit out.
    pub fn urgent(&self) -> Option<Class> {
        self.urgent
    }

    /// Whether a higher class than [`urgent`](Self::urgent) has come since the step began, a running task is to stop, or it is the turn of
    /// another pool with the same worker. An executor that can leave
    /// its step in the middle should then do so, return [`Step::Again`](super::Step::Again), and go on with it when it is stepped with nothing more
    /// urgent to do. Costs next to nothing.
    pub fn is_overtaken(&self) -> bool {
        self.shared.urgent() > self.urgent || self.shared.stops() != self.stops || self.shared.is_turn_over(self.began)
    }

    /// Asks for more units for a running task. `free` is the executor's [`snapshot`](Executor::snapshot) as of now.
    /// The answer may be to park others first, which are to be parked at once, and to ask again:
    ///
    /// ```text
    /// loop {
    ///     match ctx.grow(id, Units::from([1]), self.snapshot()) {
    ///         Growth::Granted => break self.take_block(id),
    ///         Growth::ParkFirst(victims) => victims.into_iter().for_each(|victim| self.park(victim)),
    ///         Growth::ParkSelf => break self.park(id),
    ///         Growth::Denied => break self.fail(id),
    ///     }
    /// }
    /// ```
    pub fn grow(&mut self, id: TaskId, amount: Units, free: Option<Units>) -> Growth {
        let now = self.shared.now();
        self.shared.command(|state| state.policy.grow(now, id, amount, free))
    }

    /// Says that a running task does without `amount` of its units until it asks for them again, see [`Policy::lend`](crate::Policy::lend).
    pub fn lend(&mut self, id: TaskId, amount: Units) -> bool {
        self.shared.command(|state| state.policy.lend(id, amount))
    }

    /// Says what this step has done for a task. To be said before the task is said to have ended, or its last tokens are
    /// charged to nobody.
    pub fn progress(&mut self, task: TaskId, prefill: u64, decode: u64) {
        self.progress.push(Progress { task, prefill, decode });
    }

    /// What is reported with this step took so long, if that is not the time since the step began: parts of it may have
    /// been done in earlier steps, or nothing that is reported yet.
    pub fn took(&mut self, busy: Duration) {
        self.took = Some(busy);
    }

    /// The task is done, the executor holds nothing for it any more, and this is what it gives.
    pub fn complete(&mut self, id: TaskId, output: E::Output) {
        self.end(id, Ending::Completed, Outcome::Completed(output));
    }

    /// The task has failed, alone; the executor holds nothing for it any more.
    pub fn fail(&mut self, id: TaskId, why: impl Into<String>) {
        self.end(id, Ending::Failed, Outcome::Failed(Failure::Error(why.into())));
    }

    /// A job has returned. One that was told to stop has left some of its work out, and one that is over after its deadline has
    /// expired, whatever it gives.
    pub(crate) fn job_is_over(&mut self, id: TaskId, work: Work, told: bool, result: Result<E::Output, String>) {
        let last = Progress { task: id, prefill: work.prefill, decode: work.decode };
        if self.shared.end_job(&last, told, result) {
            // The policy learns from this how fast work is done.
            self.progress.push(last);
        }
    }

    /// Nobody wants the task any more (its reader has gone); the executor holds nothing for it any more.
    pub fn cancelled(&mut self, id: TaskId) {
        self.end(id, Ending::Cancelled, Outcome::Cancelled);
    }

    /// What was said to have been done for the task counts before the policy forgets it: its tenant has had those tokens.
    fn end(&self, id: TaskId, ending: Ending, outcome: Outcome<E::Output>) {
        let last: Vec<Progress> = self.progress.iter().filter(|progress| progress.task == id).copied().collect();
        self.shared.end(id, &last, ending, outcome);
    }

    /// What could be given out now, in the middle of a step: the executor's [`snapshot`](Executor::snapshot), for those who look
    /// at the figures before the step is over.
    pub fn observe(&mut self, free: Units) {
        self.shared.command(|state| state.policy.observe(free));
    }

    /// The executor has parked this running task of its own accord, because its reader is slow. It is resumed some
    /// time after [`WorkerPool::unpause`](super::WorkerPool::unpause). False if it is not running.
    pub fn pause(&mut self, id: TaskId) -> bool {
        self.shared.command(|state| state.policy.pause(id))
    }

    /// Names the tasks whose fault it is if the step panics from here on. With nobody named, it is everybody's.
    pub fn blame(&mut self, tasks: &[TaskId]) {
        self.blamed.clear();
        self.blamed.extend_from_slice(tasks);
    }

    /// What the task has to do, and a flag that goes up when it is to stop, so that work inside a step can look.
    pub(crate) fn work_and_stop_flag(&self, id: TaskId) -> (Work, Option<Arc<AtomicBool>>) {
        self.shared.work_and_stop_flag(id)
    }

    pub(super) fn take_progress(&mut self) -> Vec<Progress> {
        std::mem::take(&mut self.progress)
    }

    pub(super) fn busy(&self) -> Option<Duration> {
        self.took
    }

    pub(super) fn blamed(&self) -> &[TaskId] {
        &self.blamed
    }
}

/// Whether a flag from [`StepContext::work_and_stop_flag`] is up. Relaxed: it carries nothing but itself.
pub(crate) fn is_up(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}
