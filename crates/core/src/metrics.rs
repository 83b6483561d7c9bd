//! The engine's metrics in Prometheus' form. Names follow vLLM's where a metric means the same, with the prefix `parkade_`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use crate::event::{RequestError, Usage};
use crate::figures::{EngineSnapshot, Totals};
use crate::refusal::Refusal;

type Labels = [(&'static str, &'static str); 1];
type ClassLabels = [(&'static str, &'static str); 2];
type Seconds = Counter<f64, AtomicU64>;

/// The engine's metrics. They are written by the worker with relaxed atomics and read at any time.
pub struct EngineMetrics {
    registry: Registry,
    running: Gauge,
    waiting: Gauge,
    parked: Gauge,
    by_class: Family<ClassLabels, Gauge>,
    lot_requests: Family<Labels, Counter>,
    resumptions: Counter,
    class_preemptions: Counter,
    paused: Gauge,
    cache_usage: Gauge<f64, AtomicU64>,
    blocks_used: Gauge,
    blocks_available: Gauge,
    blocks_cached: Gauge,
    pub(crate) prompt_tokens: Counter,
    pub(crate) generation_tokens: Counter,
    pub(crate) cached_tokens: Counter,
    pub(crate) time_to_first_token: Histogram,
    pub(crate) inter_token_latency: Histogram,
    end_to_end: Histogram,
    pub(crate) queue_time: Histogram,
    ended: Family<Labels, Counter>,
    refusals: Family<Labels, Counter>,
    pub(crate) preemptions: Counter,
    expiries: Counter,
    pub(crate) interruptions: Counter,
    pub(crate) admissions: Counter,
    steps: Counter,
    step_time: Family<Labels, Seconds>,
    step_tokens: Histogram,
}

/// Where the time of one step went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTime {
    /// Planning, admission and bookkeeping.
    pub schedule: Duration,
    /// The forward pass.
    pub forward: Duration,
    /// Sampling, detokenisation and delivery.
    pub sample: Duration,
}

impl StepTime {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.schedule + self.forward + self.sample
    }
}

impl EngineMetrics {
    pub(crate) fn new(blocks: usize) -> Self {
        let mut registry = Registry::with_prefix("parkade");
        registry.register_collector(Box::new(LockWaits));
        let mut page = Page(&mut registry);
        let metrics = EngineMetrics {
            running: page.add("num_requests_running", "Requests that take part in the steps", Gauge::default()),
            waiting: page.add("num_requests_waiting", "Requests in line", Gauge::default()),
            parked: page.add(
                "num_requests_parked",
                "Requests that gave their memory back for a while",
                Gauge::default(),
            ),
            by_class: page.add(
                "class_requests",
                "Requests by class and state (waiting, running, parked), if the scheduler knows classes",
                Family::default(),
            ),
            lot_requests: page.add(
                "lot_requests",
                "Requests handed to the parking lot, and what became of them (submitted is the sum of the others and those that are here)",
                Family::default(),
            ),
            resumptions: page.add("num_resumptions", "Parked requests that were resumed", Counter::default()),
            class_preemptions: page.add(
                "num_class_preemptions",
                "Running requests that were parked to make room for a higher class",
                Counter::default(),
            ),
            paused: page.add("num_requests_paused", "Running requests whose reader is too slow", Gauge::default()),
            cache_usage: page.add(
                "kv_cache_usage_perc",
                "Share of the KV blocks that running requests hold (1 is all)",
                Gauge::default(),
            ),
            blocks_used: page.add("kv_blocks_used", "KV blocks that running requests hold", Gauge::default()),
            blocks_available: page.add(
                "kv_blocks_available",
                "KV blocks that a request which comes now could be given: neither held nor promised",
                Gauge::default(),
            ),
            blocks_cached: page.add("kv_blocks_cached", "KV blocks that only the prefix cache holds", Gauge::default()),
            prompt_tokens: page.add("prompt_tokens", "Prompt tokens of admitted requests", Counter::default()),
            generation_tokens: page.add("generation_tokens", "Generated tokens", Counter::default()),
            cached_tokens: page.add(
                "prompt_tokens_cached",
                "Prompt tokens that came from the prefix cache",
                Counter::default(),
            ),
            time_to_first_token: page.add(
                "time_to_first_token_seconds",
                "From the submission to the first token",
                seconds(),
            ),
            inter_token_latency: page.add("inter_token_latency_seconds", "Between two tokens of one answer", seconds()),
            end_to_end: page.add("e2e_request_latency_seconds", "From the submission to the end", seconds()),
            queue_time: page.add("request_queue_time_seconds", "From the submission to the admission", seconds()),
            ended: page.add(
                "request_success",
                "Answers that ended, by the reason (stop, length, abort, expired, shutdown, error)",
                Family::default(),
            ),
            refusals: page.add("request_refusals", "Requests turned away, by the reason", Family::default()),
            preemptions: page.add("num_preemptions", "Running requests that were parked", Counter::default()),
            expiries: page.add("request_expiries", "Requests whose deadline passed", Counter::default()),
            interruptions: page.add(
                "engine_step_interruptions",
                "Forward passes that were left in the middle for a first token of a higher class, and taken up again after it",
                Counter::default(),
            ),
            admissions: page.add("num_admissions", "Requests that got their memory and began to run", Counter::default()),
            steps: page.add("engine_steps", "Forward passes", Counter::default()),
            step_time: page.add(
                "engine_step_seconds",
                "Time of the steps, by part (schedule, forward, sample)",
                Family::default(),
            ),
            step_tokens: page.add(
                "iteration_tokens",
                "Tokens in one forward pass",
                Histogram::new((0..13).map(|power| f64::from(1u32 << power))),
            ),
            registry: Registry::default(),
        };
        page.add("kv_blocks", "KV blocks that there are", Gauge::<i64>::default()).set(blocks as i64);
        let build = page.add("build_info", "The version, always 1", Family::<[(&str, &str); 1], Gauge>::default());
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        EngineMetrics { registry, ..metrics }
    }

    /// Appends all metrics to `out` in the OpenMetrics text format, without the closing `# EOF` line: a server adds its own first.
    ///
    /// # Errors
    /// None for a `String`.
    pub fn encode(&self, out: &mut String) -> fmt::Result {
        prometheus_client::encoding::text::encode_registry(out, &self.registry)
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refusals.get_or_create(&[("reason", refusal.reason())]).inc();
    }

    pub(crate) fn answer_ended(&self, reason: &'static str) {
        self.ended.get_or_create(&[("finished_reason", reason)]).inc();
    }

    pub(crate) fn completed(&self, usage: &Usage) {
        self.end_to_end.observe(usage.total.as_secs_f64());
    }

    pub(crate) fn failed(&self, error: &RequestError, answers: usize) {
        for _ in 0..answers {
            self.answer_ended(error.reason());
        }
        if matches!(error, RequestError::Deadline { .. }) {
            self.expiries.inc();
        }
    }

    pub(crate) fn step(&self, time: &StepTime, tokens: usize) {
        self.steps.inc();
        self.step_tokens.observe(tokens as f64);
        for (part, spent) in [("schedule", time.schedule), ("forward", time.forward), ("sample", time.sample)] {
            self.step_time.get_or_create(&[("part", part)]).inc_by(spent.as_secs_f64());
        }
    }

    pub(crate) fn show(&self, now: &EngineSnapshot) {
        self.running.set(now.running as i64);
        self.waiting.set(now.waiting as i64);
        self.parked.set(now.parked as i64);
        for class in &now.classes {
            let states = [("waiting", class.waiting), ("running", class.running), ("parked", class.parked)];
            for (state, count) in states {
                self.by_class.get_or_create(&[("class", class.class.name()), ("state", state)]).set(count as i64);
            }
        }
        if let Some(totals) = &now.totals {
            self.show_totals(totals);
        }
        self.paused.set(now.paused as i64);
        self.blocks_used.set(now.blocks_used as i64);
        self.blocks_available.set(now.blocks_available as i64);
        self.blocks_cached.set(now.blocks_cached as i64);
        self.cache_usage.set(now.blocks_used as f64 / now.blocks_total.max(1) as f64);
    }

    /// The lot counts these itself; here they are only shown.
    fn show_totals(&self, totals: &Totals) {
        // Relaxed: nothing else is ordered by a counter. The highest wins, so that two scrapes at once never step back.
        let show = |counter: &Counter, count| {
            counter.inner().fetch_max(count, Ordering::Relaxed);
        };
        for (outcome, count) in [
            ("submitted", totals.submitted),
            ("refused", totals.refused),
            ("completed", totals.completed),
            ("failed", totals.failed),
            ("cancelled", totals.cancelled),
            ("expired", totals.expired),
        ] {
            show(&self.lot_requests.get_or_create(&[("outcome", outcome)]), count);
        }
        show(&self.resumptions, totals.resumed);
        show(&self.class_preemptions, totals.preempted);
    }
}

impl fmt::Debug for EngineMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineMetrics").finish_non_exhaustive()
    }
}

struct Page<'a>(&'a mut Registry);

impl Page<'_> {
    /// Registers a metric and gives it back: the registry keeps a handle of its own.
    fn add<M: prometheus_client::registry::Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

/// From a millisecond to about two minutes.
fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 7.5, 10.0,
        20.0, 40.0, 80.0, 120.0,
    ])
}

/// The waits for each named lock of the process, read when the metrics are.
#[derive(Debug)]
struct LockWaits;

impl Collector for LockWaits {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let locks = parkade_sync::locks();
        let mut waits = encoder.encode_descriptor(
            "lock_wait_seconds",
            "Time that threads waited for a lock",
            None,
            MetricType::Counter,
        )?;
        for lock in &locks {
            ConstCounter::new(lock.waited.as_secs_f64()).encode(waits.encode_family(&[("lock", lock.name)])?)?;
        }
        let mut contended = encoder.encode_descriptor(
            "lock_contended",
            "How often a thread had to wait for a lock",
            None,
            ConstCounter::<u64>::TYPE,
        )?;
        for lock in &locks {
            ConstCounter::new(lock.contended).encode(contended.encode_family(&[("lock", lock.name)])?)?;
        }
        Ok(())
    }
}
