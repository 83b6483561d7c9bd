//! The parking lot: admission by price, priorities, deadlines, parking and worker threads.

mod error;
mod handover;
mod jobs;
mod lot;
mod pool;
mod sys;
mod task;
mod time;
mod units;

pub use error::{ConfigError, Measure, PoolError};
pub use jobs::{Job, JobContext, JobExecutor, JobPool};
pub use lot::{
    ClassStats, Decision, Ending, Growth, Limits, Lot, LotConfig, LotStats, MAX_WEIGHT, Outlook, Placement, Progress,
    Rates, Reserve, TaskState, TenantPolicy, TenantStats, TokenPrices, WaitingRoom,
};
pub use pool::{
    Drain, Executor, Failure, Outcome, PoolConfig, PoolHandle, PoolStats, Rejected, ShutdownReport, StartError, Step,
    StepContext, Ticket, Waiting, WorkerPool,
};
pub use task::{Class, Cost, PerClass, TaskId, TaskSpec, Work};
pub use time::Time;
pub use units::{Capacity, MAX_UNITS, Units};
