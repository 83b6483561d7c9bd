//! The engine's handle: what the server and the command line hold.

use std::sync::Arc;
use std::time::Duration;

use parkade_model::tokenizer::Tokenizer;
use parkade_pool::{Class, DrainWaiting, Limits};

use crate::backend::Backend;
use crate::config::EngineConfig;
use crate::metrics::EngineMetrics;
use crate::parking_lot::{HistoryScope, InferenceWorkerPool, PricedRequest};
use crate::refusal::Refusal;
use crate::request::{Request, RequestId};
use crate::requests::RequestState;
use crate::stream::RequestStream;
use crate::vocabulary::Vocabulary;

/// A running model. Clones share it; when the last one is dropped, what runs is cancelled and the worker ends.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    pool: InferenceWorkerPool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.pool.drain(Duration::ZERO, DrainWaiting::Refuse);
    }
}

impl Engine {
    /// Starts the worker of a model.
    ///
    /// # Errors
    /// If the configuration does not fit the backend, the scheduler is not in this build, or the thread cannot be started.
    pub fn start(
        backend: Box<dyn Backend>,
        tokenizer: Arc<Tokenizer>,
        config: EngineConfig,
    ) -> Result<Engine, EngineError> {
        Self::start_with(backend, tokenizer, config)
    }

    /// As [`start`](Self::start), with any way to turn tokens into text.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        backend: Box<dyn Backend>,
        vocabulary: Arc<dyn Vocabulary>,
        config: EngineConfig,
    ) -> Result<Engine, EngineError> {
        Ok(Engine { inner: Arc::new(Inner { pool: InferenceWorkerPool::start(backend, vocabulary, config)? }) })
    }

    /// Prices a request. The price holds for [`submit_priced`](Self::submit_priced), and its deadlines count from now.
    ///
    /// # Errors
    /// If it can never be served, not even by an empty server.
    pub fn price(&self, request: Request) -> Result<PricedRequest, Refusal> {
        self.inner.pool.price(request)
    }

    /// Hands in a request that has its price.
    ///
    /// # Errors
    /// Why the request was turned away.
    pub fn submit_priced(&self, request: PricedRequest) -> Result<RequestStream, Refusal> {
        self.inner.pool.submit_priced(request)
    }

    /// Hands a request in. It never blocks: the request is taken or refused at once.
    ///
    /// # Errors
    /// Why the request was turned away.
    pub fn submit(&self, request: Request) -> Result<RequestStream, Refusal> {
        self.inner.pool.submit(request)
    }

    /// Cancels a request. It gets [`RequestError::Cancelled`](crate::RequestError::Cancelled) and its memory is free before the next
    /// step. False if no such request is there.
    pub fn cancel(&self, id: &RequestId) -> bool {
        self.inner.pool.cancel(id)
    }

    /// Where a request stands; `None` if it is not known or has ended.
    pub fn status(&self, id: &RequestId) -> Option<RequestStatus> {
        self.inner.pool.status(id)
    }

    /// The engine's state in figures.
    pub fn snapshot(&self) -> EngineSnapshot {
        self.inner.pool.snapshot()
    }

    /// The engine's state in figures as one tenant may see it: as if it were alone. Memory that it has not got is free; what cannot be told without
    /// telling of others (speeds, what is cached) is zero.
    pub fn snapshot_of(&self, tenant: &str) -> EngineSnapshot {
        self.inner.pool.snapshot_of(tenant)
    }

    /// The engine's metrics, with the gauges as of now.
    pub fn metrics(&self) -> &EngineMetrics {
        let metrics = self.inner.pool.metrics();
        metrics.show(&self.snapshot());
        metrics
    }

    /// What drives the requests: prices, streams that can be attached to, jobs.
    pub fn pool(&self) -> &InferenceWorkerPool {
        &self.inner.pool
    }

    /// Replaces weights and limits while everything goes on. How many may wait stays as it is.
    ///
    /// # Errors
    /// If they make no sense; then nothing changes.
    pub fn reconfigure(&self, limits: Limits, history: HistoryScope) -> Result<(), EngineError> {
        self.inner.pool.reconfigure(limits, history)
    }

    /// Whether the worker is there. One that has died takes no more requests: only a restart helps.
    pub fn is_alive(&self) -> bool {
        self.inner.pool.is_alive()
    }

    /// Whether requests are served by class; if not, all are served alike.
    pub fn has_classes(&self) -> bool {
        self.inner.pool.has_classes()
    }

    /// Refuses new requests, lets those that were taken finish, cancels what is left after `limit`, and returns when the worker has ended.
    pub fn drain(&self, limit: Duration) {
        self.drain_with(limit, DrainWaiting::Finish);
    }

    /// As [`drain`](Self::drain), and says what becomes of the requests that are in line. Refused ones end with
    /// [`RequestError::ShuttingDown`](crate::RequestError::ShuttingDown).
    pub fn drain_with(&self, limit: Duration, waiting: DrainWaiting) {
        self.inner.pool.drain(limit, waiting);
    }

    /// Counts a refusal that the caller decided before it asked the engine, a rate limit for example, among the engine's own.
    pub fn note_refusal(&self, refusal: &Refusal) {
        self.inner.pool.metrics().refused(refusal);
    }
}

/// Why an engine did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A value of the configuration that makes no sense.
    #[error("{field} is {value}; it must be {allowed}")]
    Config {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// A setting of the policy that makes no sense.
    #[error(transparent)]
    Policy(#[from] parkade_pool::ConfigError),
    /// The scheduler is not in this build.
    #[error(
        "the scheduler '{name}' is not in this build; build with the feature parking-lot-scheduler, or take another one"
    )]
    SchedulerMissing {
        /// The scheduler's name.
        name: &'static str,
    },
    /// The worker thread could not be started.
    #[error("the engine's thread could not be started: {message}")]
    Thread {
        /// What the system said.
        message: String,
    },
}

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
