//! How a scheduler begins: a policy, an executor, and the pool that drives it. Several models can have one worker thread; then each has its own
//! policy, blocks and books, and only time is shared between them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parkade_grammar::Grammars;
use parkade_pool::{
    Capacity, Clock, Fifo, JointWorker, Policy, PolicyConfig, PoolConfig, Reserve, StartError, Worker, WorkerPool,
};
use parkade_sync::Mutex;

use crate::backend::Backend;
use crate::config::{EngineConfig, SchedulerKind};
use crate::error::EngineError;
use crate::kv_groups::KvGroups;
use crate::metrics::EngineMetrics;
use crate::requests::LiveRequests;
use crate::stepper::{Census, Stepper};
use crate::vocabulary::Vocabulary;

use super::executor::{LlmExecutor, Shared};
use super::resource_adapter::ResourceAdapter;
use super::results::Results;
use super::streaming_registry::{ReplayLimits, StreamingRegistry};
use super::worker_pool::{InferenceWorkerPool, with_places};

/// A model that is to be served.
pub struct Served {
    /// What computes.
    pub backend: Box<dyn Backend>,
    /// How its tokens become text.
    pub vocabulary: Arc<dyn Vocabulary>,
    /// The engine's settings for it.
    pub config: EngineConfig,
}

impl InferenceWorkerPool {
    /// Starts the worker of a model.
    ///
    /// # Errors
    /// If the configuration makes no sense or the thread cannot be started.
    pub fn start(
        backend: Box<dyn Backend>,
        vocabulary: Arc<dyn Vocabulary>,
        config: EngineConfig,
    ) -> Result<Self, EngineError> {
        let prepared = Prepared::new(Served { backend, vocabulary, config }, &Clock::default())?;
        let pool = WorkerPool::start(prepared.pool_config, vec![prepared.executor]).map_err(start_error)?;
        Ok(prepared.rest.over(pool))
    }

    /// Starts one worker for several models, with a scheduler for each. See [`Engine::start_joint`](crate::Engine::start_joint).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_joint(models: Vec<Served>) -> Result<Vec<Self>, EngineError> {
        let (members, rest) = Prepared::all(models, &Clock::default())?;
        let pools = WorkerPool::start_joint(members).map_err(start_error)?;
        Ok(rest.into_iter().zip(pools).map(|(rest, pool)| rest.over(pool)).collect())
    }

    /// The scheduler without its thread, and its worker, which does something when its turn is taken; time is what the clock says.
    ///
    /// # Errors
    /// If the configuration makes no sense.
    pub fn by_hand(
        backend: Box<dyn Backend>,
        vocabulary: Arc<dyn Vocabulary>,
        config: EngineConfig,
        clock: Clock,
    ) -> Result<(Self, Worker<LlmExecutor>), EngineError> {
        let prepared = Prepared::new(Served { backend, vocabulary, config }, &clock)?;
        let (pool, worker) = WorkerPool::by_hand(prepared.pool_config, prepared.executor);
        Ok((prepared.rest.over(pool), worker))
    }

    /// The schedulers of several models without their thread, and their worker.
    ///
    /// # Errors
    /// If a configuration makes no sense.
    pub fn joint_by_hand(
        models: Vec<Served>,
        clock: Clock,
    ) -> Result<(Vec<Self>, JointWorker<LlmExecutor>), EngineError> {
        let (members, rest) = Prepared::all(models, &clock)?;
        let (pools, worker) = WorkerPool::joint_by_hand(members);
        Ok((rest.into_iter().zip(pools).map(|(rest, pool)| rest.over(pool)).collect(), worker))
    }
}

/// A scheduler before its worker is there.
struct Prepared {
    pool_config: PoolConfig,
    executor: LlmExecutor,
    rest: Rest,
}

/// What it has beside the pool.
struct Rest {
    shared: Arc<Shared>,
    metrics: Arc<EngineMetrics>,
    config: EngineConfig,
    has_classes: bool,
    max_seqs: usize,
    groups: KvGroups,
    state_bytes: usize,
    vocab: usize,
    embedder: Option<parkade_model::Embedder>,
    grammars: Option<Grammars>,
}

impl Prepared {
    fn new(served: Served, clock: &Clock) -> Result<Prepared, EngineError> {
        let Served { backend, vocabulary, config } = served;
        config.validate()?;
        let metrics = Arc::new(EngineMetrics::new());
        let state_bytes = backend.state_bytes();
        let grammars = Arc::clone(&vocabulary).tokens().map(Grammars::new);
        let stepper = Stepper::new(backend, vocabulary, &config, Arc::clone(&metrics), clock.clone());
        let (limits, vocab, embedder) = (stepper.limits().clone(), stepper.vocab(), stepper.embedder());
        let capacity = [("KV blocks", limits.blocks as u64), ("sequences", limits.max_seqs as u64)];
        let policy = policy(
            config.scheduler,
            PolicyConfig {
                reserve: config.reserve,
                limits: with_places(config.limits.clone(), config.max_queue_depth),
                ..PolicyConfig::new(Capacity::new(capacity))
            },
        )?;
        let (parks, has_classes) = (policy.parks(), policy.has_classes());
        // Where nobody is parked, what others hold now cannot be counted on: they may end first.
        let reserves_full = !parks || config.reserve == Reserve::Full;
        let (max_seqs, groups) = (limits.max_seqs, limits.groups.clone());
        let adapter = ResourceAdapter::new(limits, stepper.prefix_directory(), reserves_full);
        adapter.learn_from(config.history);
        let requests = Arc::new(LiveRequests::new(ReplayLimits::default(), Arc::clone(&metrics), clock.clone()));
        let census = Mutex::new("parking_lot.census", Census::default());
        let shared = Arc::new(Shared { adapter, requests, census });
        // A step can be long: the timekeeper ends what expires meanwhile, so that its client hears of it in time.
        let thread_name = "parkade-engine".to_owned();
        let pool_config = PoolConfig { thread_name, timekeeper: true, clock: clock.clone(), ..PoolConfig::of(policy) };
        let executor = LlmExecutor::new(stepper, Arc::clone(&shared), parks.then_some(config.slow_reader));
        let rest =
            Rest { shared, metrics, config, has_classes, max_seqs, groups, state_bytes, vocab, embedder, grammars };
        Ok(Prepared { pool_config, executor, rest })
    }

    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn all(models: Vec<Served>, clock: &Clock) -> Result<(Vec<(PoolConfig, LlmExecutor)>, Vec<Rest>), EngineError> {
        let prepared = models.into_iter().map(|served| Prepared::new(served, clock)).collect::<Result<Vec<_>, _>>()?;
        Ok(prepared.into_iter().map(|it| ((it.pool_config, it.executor), it.rest)).unzip())
    }
}

impl Rest {
    fn over(self, pool: WorkerPool<LlmExecutor>) -> InferenceWorkerPool {
        let Rest { shared, metrics, config, has_classes, max_seqs, groups, state_bytes, vocab, embedder, grammars } =
            self;
        shared.requests.are_run_by(pool.handle());
        let clock = shared.requests.clock().clone();
        InferenceWorkerPool {
            pool,
            streams: StreamingRegistry::of(Arc::clone(&shared.requests)),
            shared,
            metrics,
            scheduler: config.scheduler,
            has_classes,
            max_seqs,
            max_queue_depth: config.max_queue_depth,
            stream_capacity: config.stream_capacity,
            groups,
            state_bytes,
            vocab,
            embedder,
            grammars,
            remedies: config.remedies,
            results: Results::new(config.results, clock),
            refused_before: AtomicU64::new(0),
        }
    }
}

fn start_error(error: StartError) -> EngineError {
    match error {
        StartError::Config(error) => error.into(),
        error => EngineError::Thread { message: error.to_string() },
    }
}

/// The policy that a scheduler's name stands for.
fn policy(kind: SchedulerKind, config: PolicyConfig) -> Result<Box<dyn Policy>, EngineError> {
    match kind {
        SchedulerKind::Default => Ok(Box::new(Fifo::new(config)?)),
        #[cfg(feature = "parking-lot-scheduler")]
        SchedulerKind::ParkingLot => Ok(Box::new(parkade_pool::Lot::new(config)?)),
        #[cfg(not(feature = "parking-lot-scheduler"))]
        SchedulerKind::ParkingLot => Err(EngineError::SchedulerMissing { name: kind.name() }),
    }
}
