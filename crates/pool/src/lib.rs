#![cfg_attr(feature = "parking-lot-scheduler", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "parking-lot-scheduler"), doc = "A scheduler of token work, here without the parking lot.")]

mod catch_panic;
mod clock;
mod config;
mod deadlines;
mod decision;
mod error;
mod fifo;
mod handover;
mod jobs;
mod loom_shim;
#[cfg(feature = "parking-lot-scheduler")]
mod lot;
mod policy;
mod pool;
mod rates;
mod slab;
mod stats;
mod task;
mod tenant_policy;
mod time;
mod units;

pub use clock::Clock;
pub use config::{DrainWaiting, Limits, PolicyConfig, Reserve, TokenPrices};
pub use decision::{Decision, Ending, Growth, Outlook, Placement, Progress, TaskState};
pub use error::{ConfigError, Measure, PoolError};
pub use fifo::Fifo;
pub use jobs::{Job, JobContext, JobExecutor, JobPool, Submitted};
#[cfg(feature = "parking-lot-scheduler")]
pub use lot::{Lot, TenantStats};
pub use policy::{Policy, Standing};
pub use pool::{
    Drain, Executor, Failure, JointWorker, Outcome, PoolConfig, PoolHandle, PoolStats, Rejected, ShutdownReport,
    StartError, Step, StepContext, Ticket, Turn, Worker, WorkerPool,
};
pub use rates::Rates;
pub use stats::{ClassStats, PolicyStats};
pub use task::{Class, Cost, PerClass, TaskId, TaskSpec, Work};
pub use tenant_policy::{TenantField, TenantPolicy};
pub use time::Time;
pub use units::{Capacity, MAX_UNITS, Units};
