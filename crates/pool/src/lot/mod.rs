//! The lot: a scheduler of token work (prompt and answer tokens, first tokens). A synchronous, deterministic state machine:
//! commands and the time go in, decisions come out.
//!
//! It is four machines, each with its own audit, and what they do together:
//!
//! | file | subject |
//! | --- | --- |
//! | `tasks.rs`, `task.rs` | the table of tasks: where each is in its life, counts, deadlines |
//! | `queue/` | who waits: classes, tenants, fair shares, order |
//! | `memory/` | who holds units: ledger, forecast, preemption |
//! | `speed.rs`, `delay.rs` | how fast work is done; what first tokens wait for beside it |
//! | `outbox.rs` | what has been decided and not been handed out yet |
//! | `submit.rs` | the gate: taken, made to wait, or refused |
//! | `admission.rs` | `settle`: expire, choose, admit, have others parked |
//! | `growth.rs`, `lifecycle.rs` | growth, parking, resuming; what executors report, cancellation, ends |
//! | `figures.rs`, `wait_estimate.rs` | statistics; places in line and estimated waits |
//! | `policy_impl.rs`, `audit.rs` | the lot as a [`Policy`](crate::Policy); the invariants |

mod admission;
mod audit;
mod delay;
mod figures;
mod growth;
mod lifecycle;
mod memory;
mod outbox;
mod policy_impl;
mod queue;
mod speed;
mod submit;
mod task;
mod tasks;
mod wait_estimate;

use crate::{Capacity, ConfigError, PolicyConfig, Units};
pub use figures::TenantStats;

use memory::Memory;
use outbox::Outbox;
use queue::Queue;
use speed::Speed;
use tasks::Tasks;

/// The parking lot.
///
/// Nothing in here waits, sleeps, spawns or looks at a clock. A command changes what the lot knows; [`Policy::settle`](crate::Policy::settle)
/// then decides what follows from it, and [`Policy::next_decision`](crate::Policy::next_decision) and
/// [`Policy::next_ended`](crate::Policy::next_ended) hand the decisions out.
///
/// ```
/// use parkade_pool::*;
/// let mut lot = Lot::new(PolicyConfig::new(Capacity::new([("slots", 1)])))?;
/// let spec = TaskSpec::new("alice", Cost::fixed(Units::from([1])));
/// let now = Time::ZERO;
/// let (first, placed) = lot.submit(now, &spec)?;
/// assert_eq!(placed, Placement::Admitted);
/// let (second, placed) = lot.submit(now, &spec)?;
/// assert_eq!(placed, Placement::Waiting);
///
/// assert_eq!(lot.next_decision(0, true), Some(Decision::Start(first)));
/// lot.ended(first, Ending::Completed);
/// lot.settle(now);
/// assert_eq!(lot.next_decision(0, true), Some(Decision::Start(second)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lot {
    config: PolicyConfig,
    tasks: Tasks,
    queue: Queue,
    memory: Memory,
    speed: Speed,
    outbox: Outbox,
    /// Nothing that waits could be admitted when last looked, and no units have come back since.
    settled: bool,
    draining: bool,
    /// Tasks passed in the current choice; kept for its memory.
    passed: Vec<u32>,
}

impl Lot {
    /// An empty lot.
    ///
    /// # Errors
    /// If the configuration makes no sense.
    pub fn new(config: PolicyConfig) -> Result<Lot, ConfigError> {
        config.validate()?;
        Ok(Lot {
            tasks: Tasks::default(),
            queue: Queue::default(),
            memory: Memory::new(config.capacity.total()),
            speed: Speed::default(),
            outbox: Outbox::new(config.workers),
            settled: true,
            draining: false,
            passed: Vec::new(),
            config,
        })
    }

    /// The units that the lot counts.
    pub fn capacity(&self) -> &Capacity {
        &self.config.capacity
    }

    /// Units that were handed out to tasks which no worker has taken up yet.
    pub fn in_transit(&self) -> Units {
        self.memory.ledger().in_transit()
    }
}
