//! The scheduler's handle: from a job to its stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parkade_grammar::{Format, Grammar, GrammarError, Grammars};
use parkade_model::Embedder;
use parkade_pool::{Class, Drain, DrainWaiting, Limits, PoolError, TaskState, WorkerPool};

use crate::config::SchedulerKind;
use crate::error::EngineError;
use crate::figures::{
    BlockFigures, ClassFigures, EngineSnapshot, RateFigures, RequestFigures, RequestStatus, SequenceFigures,
    StateFigures, Totals,
};
use crate::kv_groups::KvGroups;
use crate::metrics::EngineMetrics;
use crate::refusal::{Refusal, Remedies};
use crate::request::{Request, RequestId, TaskKind};
use crate::requests::{RequestState, Sink};
use crate::stepper::Arrival;
use crate::stream::{self, RequestStream};

use super::executor::{LlmExecutor, Queued, Shared};
use super::job::{Collector, Delivery, InferenceJob, InferenceResult};
use super::resource_adapter::{PricedRequest, ResourceAdapter};
use super::results::Results;
use super::streaming_registry::StreamingRegistry;
use super::types::{BLOCKS, HistoryScope};

/// A scheduler: a policy that decides, and one worker thread that drives the requests of one model replica.
/// [`EngineConfig::scheduler`] says which policy.
pub struct InferenceWorkerPool {
    pub(super) pool: WorkerPool<LlmExecutor>,
    pub(super) shared: Arc<Shared>,
    pub(super) streams: StreamingRegistry,
    pub(super) metrics: Arc<EngineMetrics>,
    pub(super) scheduler: SchedulerKind,
    pub(super) has_classes: bool,
    pub(super) max_seqs: usize,
    pub(super) max_queue_depth: usize,
    pub(super) stream_capacity: usize,
    pub(super) groups: KvGroups,
    pub(super) state_bytes: usize,
    pub(super) vocab: usize,
    pub(super) embedder: Option<Embedder>,
    /// Of answers with a format, if the vocabulary has any.
    pub(super) grammars: Option<Grammars>,
    pub(super) remedies: Remedies,
    /// Of jobs that nobody waits for.
    pub(super) results: Results,
    /// Requests that callers refused themselves. Relaxed: a sum for those who ask.
    pub(super) refused_before: AtomicU64,
}

impl InferenceWorkerPool {
    /// Hands a request in: it is admitted, waits until there is room, or is refused, at once. It never blocks.
    ///
    /// # Errors
    /// Why it was refused: a field that is not allowed, or no room.
    pub fn submit(&self, request: Request) -> Result<RequestStream, Refusal> {
        self.submit_priced(self.price(request)?)
    }

    /// Compiles what answers are to be, see [`Engine::compile`](crate::Engine::compile).
    ///
    /// # Errors
    /// What is wrong with the format, and where.
    pub fn compile(&self, format: &Format) -> Result<Arc<Grammar>, GrammarError> {
        match &self.grammars {
            Some(grammars) => grammars.compile(format),
            None => Err(GrammarError {
                reason: "the model's vocabulary has no formats".to_owned(),
                place: None,
                is_late: false,
            }),
        }
    }

    /// Prices a request, see [`Engine::price`](crate::Engine::price).
    ///
    /// # Errors
    /// If it can never be served.
    pub fn price(&self, request: Request) -> Result<PricedRequest, Refusal> {
        let check = || {
            if !self.is_alive() {
                return Err(Refusal::Stopped);
            }
            request.check_task(TaskKind::of(self.embedder))?;
            request.validate(self.vocab)
        };
        check()
            .and_then(|()| self.shared.adapter.priced(request, self.shared.requests.clock().now()))
            .inspect_err(|refusal| self.metrics.refused(refusal))
    }

    /// Hands in a request that has its price, see [`submit`](Self::submit).
    ///
    /// # Errors
    /// Why it was refused.
    pub fn submit_priced(&self, request: PricedRequest) -> Result<RequestStream, Refusal> {
        self.take(request, None).inspect_err(|refusal| self.metrics.refused(refusal))
    }

    /// The same, with all events also given to somebody who never makes them wait.
    pub(super) fn submit_into(&self, request: PricedRequest, sink: Arc<dyn Sink>) -> Result<RequestStream, Refusal> {
        self.take(request, Some(sink)).inspect_err(|refusal| self.metrics.refused(refusal))
    }

    /// The request of a job, its format compiled.
    pub(super) fn compiled(&self, job: InferenceJob) -> Result<Request, Refusal> {
        let InferenceJob { mut request, format, .. } = job;
        if let (None, Some(format)) = (&request.format, format) {
            let compiled = self.compile(&format);
            request.format = Some(compiled.map_err(|error| Refusal::invalid("format", error.to_string()))?);
        }
        Ok(request)
    }

    fn take(&self, priced: PricedRequest, sink: Option<Arc<dyn Sink>>) -> Result<RequestStream, Refusal> {
        let PricedRequest { request, metadata, answer } = priced;
        let deadlines = [request.ttft_slo, request.timeout];
        let spec = metadata.spec(|moment| self.pool.time_at(moment));
        let live = self.shared.requests.enter(&request, metadata)?;
        if let Some(sink) = sink {
            live.pass_on_to(sink);
        }
        let capacity = self.stream_capacity.max(4 * request.n + 8);
        let (outlet, stream) = stream::open(Arc::clone(&live), Arc::clone(&self.shared.requests), capacity);
        match self.pool.submit(&spec, Queued(Arrival { request, answer, outlet })) {
            Ok(taken) => {
                // The outcome reaches the reader through its stream.
                live.taken_as(self.pool.handle(), taken.id(), taken.placement());
                Ok(stream)
            }
            Err(rejected) => {
                stream.release();
                rejected.task.0.outlet.refuse();
                match refusal(rejected.error, self.remedies) {
                    // A policy that has lost its worker takes no more, as one that drains; but nobody is shutting down.
                    Refusal::Draining { .. } if !self.shared.requests.have_a_worker() => Err(Refusal::Stopped),
                    // A moment of it has passed already; its client knows it by the whole.
                    Refusal::Deadline { estimate, allowed } => {
                        let whole = deadlines.into_iter().flatten().filter(|whole| *whole >= allowed).min();
                        Err(Refusal::Deadline { estimate, allowed: whole.unwrap_or(allowed) })
                    }
                    refusal => Err(refusal),
                }
            }
        }
    }

    /// Counts a refusal that the caller decided, see [`Engine::note_refusal`](crate::Engine::note_refusal).
    pub(crate) fn note_refusal(&self, refusal: &Refusal) {
        self.metrics.refused(refusal);
        self.refused_before.fetch_add(1, Ordering::Relaxed);
        if let Refusal::RateLimited { tenant, .. } = refusal {
            self.shared.requests.count(tenant, |totals| {
                totals.submitted += 1;
                totals.refused += 1;
            });
        }
    }

    /// Runs a job: a streamed one gives its stream at once, a whole one its complete answers.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn run(&self, job: InferenceJob) -> Result<InferenceResult, Refusal> {
        let delivery = job.delivery;
        let result = InferenceResult::Streaming(self.submit(self.compiled(job)?)?);
        Ok(if delivery == Delivery::Stream { result } else { result.collected().await })
    }

    /// As [`run`](Self::run), for threads outside an async runtime.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn run_blocking(&self, job: InferenceJob) -> Result<InferenceResult, Refusal> {
        let (n, delivery) = (job.request.n, job.delivery);
        let mut stream = self.submit(self.compiled(job)?)?;
        if delivery == Delivery::Stream {
            return Ok(InferenceResult::Streaming(stream));
        }
        let mut collector = Collector::new(n);
        while let Some(event) = stream.blocking_next() {
            if let Some(result) = collector.take(event) {
                return Ok(result);
            }
        }
        unreachable!("a stream ends with its last event")
    }

    /// Ends a request for a newer one, see [`Engine::supersede`](crate::Engine::supersede). False if it is not here.
    pub fn supersede(&self, id: &RequestId) -> bool {
        self.shared.requests.find(id).is_some_and(|request| request.supersede())
    }

    /// Cancels a request. Its memory is free before the next step. False if it is not here.
    pub fn cancel(&self, id: &RequestId) -> bool {
        self.shared.requests.find(id).is_some_and(|request| request.cancel())
    }

    /// Where a request stands; `None` if it is not known or has ended.
    pub fn status(&self, id: &RequestId) -> Option<RequestStatus> {
        let request = self.shared.requests.find(id)?;
        let outlook = self.pool.outlook(request.task()?)?;
        let place = |ahead: u64| usize::try_from(ahead).unwrap_or(usize::MAX);
        Some(RequestStatus {
            state: match outlook.state {
                TaskState::Waiting => RequestState::Waiting,
                TaskState::Running => RequestState::Running,
                TaskState::Parked => RequestState::Parked,
            },
            place: outlook.ahead.map(place),
            own_place: outlook.own_ahead.map(place),
            estimated_wait: outlook.wait,
            tenant: request.tenant().to_owned(),
            class: request.metadata.class,
            prompt_tokens: request.prompt_tokens,
            completion_tokens: request.generated(),
            age: self.shared.requests.clock().since(request.metadata.submitted_at),
        })
    }

    /// The state in figures.
    pub fn snapshot(&self) -> EngineSnapshot {
        let stats = self.pool.stats();
        let census = *self.shared.census.lock();
        let sums = &stats.policy;
        let refused_before = self.refused_before.load(Ordering::Relaxed);
        let to_usize = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let classes = Class::ALL.map(|class| {
            let figures = sums.classes[class];
            ClassFigures {
                class,
                waiting: to_usize(figures.waiting),
                waiting_tokens: figures.waiting_tokens,
                running: to_usize(figures.running),
                parked: to_usize(figures.parked),
            }
        });
        let (blocks, states) = (census.blocks, census.states);
        // To the policy they are cancelled, and it may not know of the last ones yet.
        let superseded = self.shared.requests.superseded().min(sums.cancelled);
        EngineSnapshot {
            scheduler: self.scheduler.name(),
            active_workers: stats.workers,
            draining: self.pool.is_draining(),
            max_queue_depth: self.max_queue_depth,
            kv_cache_usage_perc: blocks.used as f64 / blocks.total.max(1) as f64,
            requests: RequestFigures {
                waiting: to_usize(sums.waiting),
                running: to_usize(sums.running),
                parked: to_usize(sums.parked),
                paused: census.paused,
            },
            sequences: SequenceFigures { running: census.running_seqs, limit: self.max_seqs },
            kv_blocks: BlockFigures {
                tokens_each: self.groups.block_len(),
                groups: self.groups.count(),
                total: blocks.total,
                used: blocks.used,
                cached: blocks.cached,
                free: blocks.free,
                available: to_usize(sums.available.get(BLOCKS)),
                promised: to_usize(sums.in_use.get(BLOCKS)),
            },
            state_slots: StateFigures {
                bytes_each: self.state_bytes,
                total: states.total,
                used: states.used,
                cached: states.cached,
                free: states.free,
            },
            rates: RateFigures {
                prefill_tokens_per_second: sums.rates.prefill,
                decode_tokens_per_second: sums.rates.decode,
            },
            classes: if self.has_classes { classes.to_vec() } else { Vec::new() },
            tenants: self.shared.requests.tenants(),
            totals: Totals {
                preemptions: sums.preemptions,
                class_preemptions: sums.class_preemptions,
                resumptions: sums.resumptions,
                submitted: sums.submitted + refused_before,
                refused: sums.refused + refused_before,
                completed: sums.completed,
                failed: sums.failed,
                cancelled: sums.cancelled - superseded,
                superseded,
                expired: sums.expired,
            },
            work: Some(self.metrics.work.figures()),
        }
    }

    /// The state in figures as one tenant may see it, see [`Engine::snapshot_of`](crate::Engine::snapshot_of).
    pub fn snapshot_of(&self, tenant: &str) -> EngineSnapshot {
        self.shared.requests.own_figures(tenant).among(tenant, self.snapshot())
    }

    /// Whether the worker is there. One that has died takes no more requests: only a restart helps.
    pub fn is_alive(&self) -> bool {
        self.shared.requests.have_a_worker()
    }

    /// What the model makes of texts, if it does not go on with them.
    pub fn embedder(&self) -> Option<Embedder> {
        self.embedder
    }

    /// Whether requests are served by class; if not, all are served alike.
    pub fn has_classes(&self) -> bool {
        self.has_classes
    }

    pub(crate) fn metrics(&self) -> &EngineMetrics {
        &self.metrics
    }

    /// Refuses new requests, finishes those that are here, cancels what is left after `limit`, and waits for the worker's end.
    pub fn drain(&self, limit: Duration, waiting: DrainWaiting) {
        self.shared.requests.close();
        let report = self.pool.shutdown(Drain { waiting, ..Drain::within(limit) });
        if report.given_up > 0 {
            tracing::error!(requests = report.given_up, "requests did not stop and were given up");
        }
    }

    /// What requests are priced with.
    pub fn adapter(&self) -> &ResourceAdapter {
        &self.shared.adapter
    }

    /// Streams that can be attached to.
    pub fn streams(&self) -> &StreamingRegistry {
        &self.streams
    }

    /// Replaces weights and limits while everything goes on; how many may wait stays as it was at the start.
    ///
    /// # Errors
    /// If they make no sense; then nothing changes.
    pub fn reconfigure(&self, limits: Limits, history: HistoryScope) -> Result<(), EngineError> {
        self.pool.reconfigure(with_places(limits, self.max_queue_depth))?;
        self.shared.adapter.learn_from(history);
        Ok(())
    }
}

pub(super) fn with_places(limits: Limits, max_queue_depth: usize) -> Limits {
    Limits { max_waiting: max_queue_depth as u64, ..limits }
}

/// The policy's refusal in the engine's words.
fn refusal(error: PoolError, remedies: Remedies) -> Refusal {
    let to_usize = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    match error {
        PoolError::QueueFull { measure, waiting, limit, retry_after } => Refusal::QueueFull {
            unit: measure_name(measure),
            waiting: to_usize(waiting),
            limit: to_usize(limit),
            retry_after,
        },
        PoolError::TenantQueueFull { tenant, measure, waiting, limit, retry_after } => Refusal::TenantQueueFull {
            tenant,
            unit: measure_name(measure),
            waiting: to_usize(waiting),
            limit: to_usize(limit),
            retry_after,
        },
        PoolError::TenantConcurrency { tenant, limit, retry_after, .. } => {
            Refusal::RateLimited { tenant, unit: "concurrent requests", limit, retry_after }
        }
        PoolError::TooLarge { unit, needed, capacity } => Refusal::RequestTooLarge {
            param: if unit == "sequences" { "n" } else { "prompt" },
            resource: if unit == "sequences" { "sequences" } else { "KV blocks" },
            needed: to_usize(needed),
            total: to_usize(capacity),
            remedy: if unit == "sequences" { remedies.seqs } else { remedies.kv },
        },
        PoolError::DeadlineUnreachable { needed, allowed } => Refusal::Deadline { estimate: needed, allowed },
        PoolError::Expired { .. } => Refusal::Deadline { estimate: Duration::ZERO, allowed: Duration::ZERO },
        PoolError::Draining { retry_after } => Refusal::Draining { retry_after },
    }
}

fn measure_name(measure: parkade_pool::Measure) -> &'static str {
    match measure {
        parkade_pool::Measure::Tasks => "requests",
        parkade_pool::Measure::Tokens => "tokens",
    }
}

impl std::fmt::Debug for InferenceWorkerPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InferenceWorkerPool").finish_non_exhaustive()
    }
}
