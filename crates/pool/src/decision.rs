//! The words that a policy and those who drive it use: what is decided, and what is told.

use std::time::Duration;

use crate::{Class, TaskId, Time};

/// What has become of a task that was submitted and not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// It has its units and goes to a worker.
    Admitted,
    /// It waits.
    Waiting,
}

/// What a worker is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Take up this task. It counts as running from here on.
    Start(TaskId),
    /// Take up this parked task again.
    Resume(TaskId),
    /// Park this running task, then say so with [`Policy::parked`](crate::Policy::parked).
    Park(TaskId),
    /// Drop this task, running or parked, then say so with [`Policy::ended`](crate::Policy::ended).
    Cancel(TaskId),
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// It did what it was to do.
    Completed,
    /// It could not, or it panicked.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
    /// Its deadline passed, or could no longer be met.
    Expired,
}

/// The answer to a running task that wants to grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Growth {
    /// It may take what it asked for.
    Granted,
    /// Park these first, then ask again. They count as parked from now on.
    ParkFirst(Vec<TaskId>),
    /// Others have a better claim: it is parked itself. It counts as parked from now on and will be resumed when
    /// what it asked for is there too.
    ParkSelf,
    /// It can never have that much: more than there is, or nobody else is left who could make room. It has to fail.
    Denied,
}

/// What one step did for one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which task.
    pub task: TaskId,
    /// Prompt tokens computed, those computed again after parking included.
    pub prefill: u64,
    /// New answer tokens.
    pub decode: u64,
}

/// Where a task is, for those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// It has not been admitted yet.
    Waiting,
    /// It holds units.
    Running,
    /// It has run and will run again.
    Parked,
}

/// What can be told about a task that has not ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// Where it is.
    pub state: TaskState,
    /// Its class.
    pub class: Class,
    /// When it came.
    pub submitted: Time,
    /// How many will probably be admitted before it; `None` unless it waits.
    pub ahead: Option<u64>,
    /// Of these, those of its own tenant; `None` unless it waits.
    pub own_ahead: Option<u64>,
    /// How long it will probably wait; `None` unless it waits and rates have been measured.
    pub wait: Option<Duration>,
    /// Answer tokens so far.
    pub decoded: u64,
    /// How often it was parked.
    pub parkings: u32,
}
