//! What a [`WorkerPool`](crate::WorkerPool) asks of a scheduling policy.

use std::time::Duration;

use crate::{
    Class, ConfigError, Decision, Ending, Growth, Limits, Outlook, Placement, PolicyStats, PoolError, Progress, TaskId,
    TaskSpec, TaskState, Time, Units, Work,
};

/// How a policy's running tasks stand beside those of another pool that has the same worker. Only time is shared between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The highest class of which a first token is due; `None`: nobody goes before others.
    pub first_token: Option<Class>,
    /// The highest class that runs.
    pub highest: Option<Class>,
    /// Its weight; 0 is taken as 1.
    pub weight: u32,
}

/// A scheduling policy: a synchronous, deterministic state machine without threads, clocks or I/O. Commands and the time go in,
/// decisions come out.
///
/// A [`WorkerPool`](crate::WorkerPool) puts one lock around it and drives it from its threads; a simulation can drive it
/// without any. A command changes what the policy knows; [`settle`](Policy::settle) then decides what follows from it, and
/// [`next_decision`](Policy::next_decision) and [`next_ended`](Policy::next_ended) hand the decisions out.
///
/// [`Fifo`](crate::Fifo) is the shortest one. What a policy does not do (park, prefer a class) it leaves to the methods that are
/// given here.
pub trait Policy: Send + 'static {
    /// Says how many workers ask for decisions, numbered from 0. Called once, before anything else.
    fn employ(&mut self, workers: usize);

    // Commands of those who have tasks.

    /// Takes a task, or says why not. Waits for nothing.
    ///
    /// # Errors
    /// A refusal leaves nothing behind.
    fn submit(&mut self, now: Time, spec: &TaskSpec) -> Result<(TaskId, Placement), PoolError>;

    /// Nobody wants this task any more. One that waits has ended with this; one that an executor has ends when the
    /// executor says so. False if there is no such task.
    fn cancel(&mut self, id: TaskId) -> bool;

    /// Cancels what has not been admitted yet.
    fn cancel_waiting(&mut self);

    /// Cancels everything.
    fn cancel_all(&mut self) {
        for id in self.living() {
            self.cancel(id);
        }
    }

    /// Somebody takes what a paused task makes again: it may be resumed. False if it was not paused.
    fn unpause(&mut self, _id: TaskId) -> bool {
        false
    }

    /// Takes nothing new from now on.
    fn drain(&mut self);

    /// Replaces limits and weights. What waits or runs stays where it is; new limits hold from the next decision.
    ///
    /// # Errors
    /// If the limits make no sense; then nothing changes.
    fn reconfigure(&mut self, limits: Limits) -> Result<(), ConfigError>;

    // Reports of executors.

    /// Takes the executor's own count of free units (what it could give out now, caches that it would evict
    /// included), after everything that it was told to take up has been taken up.
    fn observe(&mut self, free: Units);

    /// An executor's step took `busy` and did this for its tasks. Tasks that have ended since they were worked for are
    /// named too: their tokens took time. They are not counted again, see [`count_progress`](Policy::count_progress).
    fn report(&mut self, busy: Duration, progress: &[Progress]);

    /// Counts one task's tokens for it. For the last step of a task, which has to be counted before [`ended`](Policy::ended) and
    /// so before the step itself can be reported.
    fn count_progress(&mut self, progress: &Progress);

    /// A running task wants `amount` on top of what it holds. `free` is what its executor could really give out now.
    ///
    /// After [`Growth::ParkFirst`] the executor parks the victims, which makes their units really free, and asks again.
    fn grow(&mut self, now: Time, id: TaskId, amount: Units, free: Option<Units>) -> Growth;

    /// A running task does without `amount` of what it holds, until it asks for that again; the executor has it free. If it is parked, it is
    /// resumed with all of it: it begins anew. False if it stays set aside for the task.
    fn lend(&mut self, _id: TaskId, _amount: Units) -> bool {
        false
    }

    /// The executor has parked this task, as it was told to. Its units are back.
    fn parked(&mut self, _id: TaskId) {}

    /// The executor would park this running task of its own accord, because nobody takes what it makes. It is not
    /// resumed before [`unpause`](Policy::unpause). False if it is not to be parked: it is not running, or nothing ever is.
    fn pause(&mut self, _id: TaskId) -> bool {
        false
    }

    /// An executor is done with a task and holds nothing for it any more. Returns how it ended, which is `ending`
    /// unless the task was stopped by the policy; `None` if there is no such task (any more).
    fn ended(&mut self, id: TaskId, ending: Ending) -> Option<Ending>;

    // Decisions.

    /// Decides everything that follows from what has changed. To be called after each batch of commands, and when
    /// [`next_deadline`](Policy::next_deadline) has come.
    fn settle(&mut self, now: Time);

    /// When [`settle`](Policy::settle) has to be called again even if nothing happens.
    fn next_deadline(&mut self) -> Option<Time>;

    /// The next thing for this worker to do. `take_new` says whether it has room for a task that nobody has started.
    fn next_decision(&mut self, worker: usize, take_new: bool) -> Option<Decision>;

    /// Whether there is something for this worker that no other one can do.
    fn has_orders(&self, worker: usize) -> bool;

    /// How many admitted tasks no worker has taken up yet (some of them may have been cancelled meanwhile).
    fn waiting_starts(&self) -> usize;

    /// The next task that ended without an executor's doing: cancelled or expired before a worker took it.
    fn next_ended(&mut self) -> Option<(TaskId, Ending)>;

    /// The next task that an executor has been ordered to drop: to be told at once, because the order is seen only after the step.
    fn next_stop(&mut self) -> Option<TaskId>;

    /// The highest class that should not wait for a step in flight; `None`: nobody goes before others.
    fn urgent(&self) -> Option<Class> {
        None
    }

    /// How its running tasks stand beside those of another pool with the same worker. By default all are alike.
    fn standing(&self) -> Standing {
        Standing::default()
    }

    /// The running tasks of a worker that should sit out its next step.
    fn sitting_out(&self, _worker: usize, _out: &mut Vec<TaskId>) {}

    // Questions.

    /// Whether running tasks are ever parked.
    fn parks(&self) -> bool {
        false
    }

    /// Whether tasks are served by class; if not, all are served alike.
    fn has_classes(&self) -> bool {
        false
    }

    /// The limits that hold now.
    fn limits(&self) -> &Limits;

    /// Whether it is being emptied.
    fn is_draining(&self) -> bool;

    /// How many tasks are here, waiting, running or parked.
    fn present(&self) -> u64;

    /// Whether no task is left.
    fn is_empty(&self) -> bool {
        self.present() == 0
    }

    /// Every task that is here.
    fn living(&self) -> Vec<TaskId>;

    /// The tasks that a worker has, running or parked.
    fn kept_by(&self, worker: usize) -> Vec<TaskId>;

    /// The running tasks that a worker has.
    fn running_on(&self, worker: usize) -> Vec<TaskId>;

    /// Whether a worker has running tasks.
    fn is_busy(&self, worker: usize) -> bool;

    /// Where a task is; `None` if it has ended.
    fn state_of(&self, id: TaskId) -> Option<TaskState>;

    /// How a task will have ended that is to stop.
    fn stop_of(&self, id: TaskId) -> Option<Ending>;

    /// What a task has to do, as it was submitted; nothing if it has ended.
    fn work_of(&self, id: TaskId) -> Work;

    /// What can be told about a task; `None` if it has ended.
    fn outlook(&self, id: TaskId) -> Option<Outlook>;

    /// The numbers.
    fn stats(&self) -> PolicyStats;
}
