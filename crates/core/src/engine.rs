//! The engine's handle: what the server and the command line hold.

use std::sync::Arc;
use std::time::Duration;

use parkade_grammar::{Format, Grammar, GrammarError};
use parkade_model::Embedder;
use parkade_model::tokenizer::Tokenizer;
use parkade_pool::{Clock, DrainWaiting, JointWorker, Limits, Worker};

use crate::backend::Backend;
use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::figures::{EngineSnapshot, RequestStatus};
use crate::metrics::EngineMetrics;
use crate::parking_lot::{HistoryScope, InferenceWorkerPool, LlmExecutor, PricedRequest, Served};
use crate::refusal::Refusal;
use crate::request::{Request, RequestId, TaskKind};
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
        InferenceWorkerPool::start(backend, vocabulary, config).map(Engine::over)
    }

    /// An engine without its thread, for simulations: the worker does something when its [`turn`](Worker::turn) is taken, and time is what
    /// the clock says.
    ///
    /// # Errors
    /// If the configuration does not fit the backend, or the scheduler is not in this build.
    pub fn by_hand(
        backend: Box<dyn Backend>,
        vocabulary: Arc<dyn Vocabulary>,
        config: EngineConfig,
        clock: Clock,
    ) -> Result<(Engine, Worker<LlmExecutor>), EngineError> {
        let (pool, worker) = InferenceWorkerPool::by_hand(backend, vocabulary, config, clock)?;
        Ok((Engine::over(pool), worker))
    }

    /// Starts one worker for several models, a chat model and an embedder for example. Each has an engine with its own scheduler, blocks, line and
    /// figures, and ends by itself. They share time alone: a model goes before another while one of its requests waits for a first token and is
    /// of a higher class than all that run in the other; else they have the time by the weights of these classes. A pass is left in the middle
    /// when it is the other's turn.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_joint(models: Vec<Served>) -> Result<Vec<Engine>, EngineError> {
        Ok(InferenceWorkerPool::start_joint(models)?.into_iter().map(Engine::over).collect())
    }

    /// The same without the thread, as [`by_hand`](Self::by_hand).
    ///
    /// # Errors
    /// As [`by_hand`](Self::by_hand).
    pub fn joint_by_hand(
        models: Vec<Served>,
        clock: Clock,
    ) -> Result<(Vec<Engine>, JointWorker<LlmExecutor>), EngineError> {
        let (pools, worker) = InferenceWorkerPool::joint_by_hand(models, clock)?;
        Ok((pools.into_iter().map(Engine::over).collect(), worker))
    }

    fn over(pool: InferenceWorkerPool) -> Engine {
        Engine { inner: Arc::new(Inner { pool }) }
    }

    /// Compiles what answers are to be, for [`Request::format`], or finds it among what was compiled. It takes up to a second and is to be done where that
    /// keeps nobody waiting.
    ///
    /// # Errors
    /// What is wrong with the format, and where.
    pub fn compile(&self, format: &Format) -> Result<Arc<Grammar>, GrammarError> {
        self.inner.pool.compile(format)
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

    /// Cancels a request because a newer one takes its place: it gets [`RequestError::Superseded`](crate::RequestError::Superseded), and
    /// counts as superseded. False if no such request is there.
    pub fn supersede(&self, id: &RequestId) -> bool {
        self.inner.pool.supersede(id)
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

    /// The engine's metrics, to be written with a [`snapshot`](Self::snapshot).
    pub fn metrics(&self) -> &EngineMetrics {
        self.inner.pool.metrics()
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

    /// What the model makes of texts, if it does not go on with them.
    pub fn embedder(&self) -> Option<Embedder> {
        self.inner.pool.embedder()
    }

    /// What the model does with texts: the one task that requests may have.
    pub fn task(&self) -> TaskKind {
        TaskKind::of(self.embedder())
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
        self.inner.pool.note_refusal(refusal);
    }
}
