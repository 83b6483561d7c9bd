//! The parking lot: admission by price, priorities, deadlines, parking and worker threads.
//!
//! A machine that is too small for its peaks has three honest answers to a task: *admit* it now, *park* it until there
//! is room, or *refuse* it at once with the reason and the time to come back. This crate gives these answers. It
//! knows nothing about language models: a task has a price in named units (memory blocks, slots, bytes), an amount of
//! work in tokens, a tenant, a class, and perhaps deadlines.
//!
//! - [`Policy`] decides: a synchronous, deterministic state machine without threads, clocks or I/O. There are two:
//!   [`Lot`], the parking lot, behind the feature `parking-lot-scheduler` (on by default), and [`Fifo`], first come, first served.
//! - [`WorkerPool`] puts threads around one, each of which drives an [`Executor`] that advances many tasks by steps.
//! - [`JobPool`] is the simple case: closures that run to their end.
//!
//! # The life of a task
//!
//! ```text
//!            submit
//!              │
//!      ┌───────┴────────┐
//!      ▼                ▼
//!   refused          waiting ──────────────── cancel, deadline ───────────┐
//!  (PoolError)          │ admitted: units reserved                        │
//!                       ▼                                                 │
//!                    starting ─────────────── cancel, deadline ───────────┤
//!                       │ a worker takes it                               │
//!                       ▼                                                 ▼
//!     ┌────────────► running ── completed, failed, cancelled, expired ► ended
//!     │                 │  ▲                                              ▲
//!     │     told to park│  │ growth granted                               │
//!     │                 ▼                                                 │
//!  resuming ◄──────── parked ──────────────── cancel, deadline ───────────┘
//!        there is room again
//! ```
//!
//! Every task that was submitted ends exactly once: refused, completed, failed, cancelled or expired. Units are
//! reserved on the way to *starting* and *resuming*, and given back on every way out of *running*.
//!
//! # The parking lot in words
//!
//! **Price.** A task says what it needs now, what it will probably grow by, and the worst case. One whose worst case is
//! more than there is gets refused at once. It is admitted when what it needs now is free and the *predicted peak* of
//! all running tasks fits: running tasks grow, but they also end and give back, so the peak of the sum is less than
//! the sum of the peaks ([`Reserve::Predicted`]). Tasks that cannot be parked, or whose length nobody knows, are
//! reserved for their worst case, as all are with [`Reserve::Full`]. What is really free is told by the executor with
//! each decision; the lot keeps only what it has handed out on top of that.
//!
//! **Order.** The highest class first, as long as it has not had more than its share (by weight) and a burst; a class
//! that has waits until the others have caught up, so that each has its share and none starves. Inside a class, those
//! that were parked, then the tenant that has been served least (virtual token counters by weight). Inside a tenant
//! the earliest deadline, then the lowest rank, then the first come.
//!
//! **Passing.** A task that does not fit may be passed by others behind it [`Limits::max_bypass`] times; then what comes
//! free is kept for it.
//!
//! **Parking.** When the first in line finds no room it may have running tasks of lower classes parked. When a running
//! task cannot grow, somebody is parked: of the lowest class the one with most slack to its deadline, then the
//! youngest, and the asking task itself if it is that one. A task that was let in for its class's share while a
//! higher class waited is defended like that class: its turn is not taken back.
//!
//! **Time.** While a task of a higher class needs its first token, running tasks of lower classes sit out steps
//! ([`Policy::sitting_out`]), again only within its share.
//!
//! **Deadlines and backpressure.** The waiting room is bounded by tasks and tokens, for all, by class and by tenant, and
//! one tenant that fills it does not shut out those who have less than their share of it. The
//! lot measures how fast prompts and answers are computed, and so how long a newcomer will wait: a deadline that
//! cannot be met is refused at submission, one that passes while its task waits ends it without a start, and
//! [`PoolError::retry_after`] is that estimate in whole seconds from 1 to 120.
//!
//! # Example
//!
//! ```
//! use parkade_pool::*;
//! use std::time::Duration;
//!
//! # #[cfg(feature = "parking-lot-scheduler")] {
//! // Two threads, and 1 GiB that jobs share.
//! let capacity = Capacity::new([("threads", 2), ("bytes", 1 << 30)]);
//! let pool = JobPool::start(PoolConfig::new(Lot::new(PolicyConfig::new(capacity))?), 2)?;
//!
//! let price = Cost::fixed(Units::from([1, 600 << 20]));
//! let urgent = TaskSpec { class: Class::High, ..TaskSpec::new("alice", price) };
//! let ticket = pool.submit(&urgent, |_job| "done")?;
//! assert_eq!(ticket.wait(), Outcome::Completed("done"));
//!
//! // What can never fit is refused at once, with numbers.
//! let refused = pool.submit(&TaskSpec::new("bob", Cost::fixed(Units::from([1, 2 << 30]))), |_job| "never");
//! assert_eq!(
//!     refused.unwrap_err().error.to_string(),
//!     "the task can need 2147483648 bytes and there are 1073741824 in all; make it smaller"
//! );
//! pool.workers().shutdown(Drain::within(Duration::from_secs(1)));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/steps.rs` shows an executor that advances many tasks by steps, with growth and parking.
//!
//! # How it is tested
//!
//! [`Lot::audit`] checks every invariant from scratch. Debug builds call it after each decision while few tasks are
//! here. `tests/properties.rs` calls it after each of many random commands,
//! `tests/simulation.rs` after each step of simulated machines under all kinds of traffic and faults, where fairness
//! and starvation bounds are measured too. `tests/loom.rs` runs the worker pool itself, not a model of it, through all
//! interleavings of small cases. `tests/known_failures.rs` has what the ancestor of this crate got wrong.

mod catch_panic;
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
mod time;
mod units;

pub use config::{Limits, MAX_WEIGHT, PolicyConfig, Reserve, TenantPolicy, TokenPrices, WaitingRoom};
pub use decision::{Decision, Ending, Growth, Outlook, Placement, Progress, TaskState};
pub use error::{ConfigError, Measure, PoolError};
pub use fifo::Fifo;
pub use jobs::{Job, JobContext, JobExecutor, JobPool, Submitted};
#[cfg(feature = "parking-lot-scheduler")]
pub use lot::{Lot, TenantStats};
pub use policy::Policy;
pub use pool::{
    Drain, Executor, Failure, Outcome, PoolConfig, PoolHandle, PoolStats, Rejected, ShutdownReport, StartError, Step,
    StepContext, Ticket, Waiting, WorkerPool,
};
pub use rates::Rates;
pub use stats::{ClassStats, PolicyStats};
pub use task::{Class, Cost, PerClass, TaskId, TaskSpec, Work};
pub use time::Time;
pub use units::{Capacity, MAX_UNITS, Units};
