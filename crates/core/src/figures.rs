//! The state of an engine and of its requests, in figures.

use std::time::Duration;

use parkade_pool::Class;

use crate::requests::RequestState;

/// Where a request stands.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestStatus {
    /// Waiting, running, parked or ended.
    pub state: RequestState,
    /// Its place in line, from 0, while it waits.
    pub place: Option<usize>,
    /// How many of its own tenant's requests are before it, while it waits.
    pub own_place: Option<usize>,
    /// How long it is likely to wait from now, while it waits.
    pub estimated_wait: Option<Duration>,
    /// On whose account it runs.
    pub tenant: String,
    /// Its class.
    pub class: Class,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were generated so far, over all answers.
    pub completion_tokens: usize,
    /// How long ago it was submitted.
    pub age: Duration,
}

/// The engine's state in figures, as of the last step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineSnapshot {
    /// The scheduler's name.
    pub scheduler: &'static str,
    /// Worker threads that are alive.
    pub active_workers: usize,
    /// Requests in line.
    pub waiting: usize,
    /// Requests that take part in the steps.
    pub running: usize,
    /// Of these, those whose reader is too slow.
    pub paused: usize,
    /// Requests that gave their memory back for a while.
    pub parked: usize,
    /// Sequences that run; a request with `n` answers has `n`.
    pub running_seqs: usize,
    /// The most sequences that may run.
    pub max_seqs: usize,
    /// The longest line.
    pub max_queue_depth: usize,
    /// Tokens in a KV block.
    pub block_len: usize,
    /// KV blocks that there are.
    pub blocks_total: usize,
    /// KV blocks that running requests hold.
    pub blocks_used: usize,
    /// KV blocks that only the prefix cache holds; they are given up when needed.
    pub blocks_cached: usize,
    /// KV blocks that hold nothing.
    pub blocks_free: usize,
    /// KV blocks that a request which comes now could be given: free or cached, and neither on their way to another request nor
    /// set aside for the growth of those that run.
    pub blocks_available: usize,
    /// Measured prompt tokens per second, if there were any.
    pub prefill_rate: f64,
    /// Measured generated tokens per second over all running requests, if there were any.
    pub decode_rate: f64,
    /// KV blocks that the scheduler has granted to running requests, whether they use them already or not; shared ones count for
    /// each. Only the `parking-lot` scheduler grants them apart from using them.
    pub blocks_promised: usize,
    /// By class, lowest first, if the scheduler knows classes.
    pub classes: Vec<ClassFigures>,
    /// Tenants that have requests.
    pub tenants: Vec<TenantFigures>,
    /// Sums since the start, if the scheduler keeps them.
    pub totals: Option<Totals>,
    /// Whether the engine takes no more requests.
    pub draining: bool,
}

/// The state of one class in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassFigures {
    /// The class.
    pub class: Class,
    /// Requests in line.
    pub waiting: usize,
    /// Prompt and expected answer tokens of the requests in line.
    pub waiting_tokens: u64,
    /// Requests that take part in the steps.
    pub running: usize,
    /// Requests that gave their memory back for a while.
    pub parked: usize,
}

impl ClassFigures {
    pub(crate) fn new(class: Class) -> Self {
        ClassFigures { class, waiting: 0, waiting_tokens: 0, running: 0, parked: 0 }
    }
}

/// The state of one tenant in figures, beside those of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantFigures {
    /// The tenant.
    pub name: String,
    /// Requests in line.
    pub waiting: usize,
    /// Prompt and expected answer tokens of the requests in line.
    pub waiting_tokens: u64,
    /// Requests that run or are parked.
    pub active: usize,
}

impl TenantFigures {
    pub(crate) fn new(name: &str) -> Self {
        TenantFigures { name: name.to_owned(), waiting: 0, waiting_tokens: 0, active: 0 }
    }
}

/// Sums since the start. Submitted is the sum of refused, completed, failed, cancelled, expired and what is here now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that were handed in.
    pub submitted: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests whose answers are complete.
    pub completed: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that somebody cancelled.
    pub cancelled: u64,
    /// Requests whose deadline passed.
    pub expired: u64,
    /// How often a running request was parked, for whatever reason.
    pub parkings: u64,
    /// How often one was parked to make room for a higher class.
    pub preempted: u64,
    /// How often a parked one was resumed.
    pub resumed: u64,
}
