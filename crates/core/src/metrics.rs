//! The engine's metrics in Prometheus' form: the [figures](crate::figures) of a moment, and here distributions and reasons. Names follow vLLM's where a metric means the same, with the prefix `parkade_`.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::event::{RequestError, Usage};
use crate::figures::{EngineSnapshot, Work};
use crate::parking_lot::TaskMetadata;
use crate::refusal::Refusal;

type Labels = [(&'static str, &'static str); 1];
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;
type Seconds = Counter<f64, AtomicU64>;

/// One line for each metric that is no number of a moment: its place in the code, its type, its name, how it begins, and what it says.
macro_rules! metrics {
    ($($visibility:vis $field:ident: $kind:ty = $name:literal, $begin:expr, $help:literal;)*) => {
        /// The engine's metrics. They are written by the worker with relaxed atomics and read at any time.
        pub struct EngineMetrics {
            registry: Registry,
            /// What JSON shows too.
            pub(crate) work: Work,
            $($visibility $field: $kind,)*
        }

        impl EngineMetrics {
            fn registered(mut registry: Registry) -> Self {
                // The registry keeps a handle of its own.
                $(
                    let $field: $kind = $begin;
                    registry.register($name, $help, $field.clone());
                )*
                EngineMetrics { registry, work: Work::default(), $($field,)* }
            }
        }
    };
}

metrics! {
    time_to_first_token: Histogram = "time_to_first_token_seconds", seconds(),
        "From the submission to the first token";
    class_time_to_first_token: Histograms = "class_time_to_first_token_seconds", Histograms::new_with_constructor(seconds),
        "From the submission to the first token, by class";
    first_token_deadline: Histograms = "class_first_token_deadline_ratio", Histograms::new_with_constructor(of_a_deadline),
        "Time to the first token as a share of what its request allowed (1 is the deadline), by class";
    inter_token_latency: Histogram = "inter_token_latency_seconds", seconds(),
        "Between two tokens of one answer";
    class_inter_token_latency: Histograms = "class_inter_token_latency_seconds", Histograms::new_with_constructor(seconds),
        "Between two tokens of one answer, by class";
    end_to_end: Histogram = "e2e_request_latency_seconds", seconds(),
        "From the submission to the end";
    pub(crate) queue_time: Histogram = "request_queue_time_seconds", seconds(),
        "From the submission to the admission";
    ended: Family<Labels, Counter> = "request_success", Default::default(),
        "Answers that ended, by the reason (stop, length, abort, superseded, expired, shutdown, error)";
    refusals: Family<Labels, Counter> = "request_refusals", Default::default(),
        "Requests turned away, by the reason";
    expiries: Counter = "request_expiries", Default::default(),
        "Requests whose deadline passed";
    step_time: Family<Labels, Seconds> = "engine_step_seconds", Default::default(),
        "Time of the steps, by part (schedule, forward, sample)";
    step_tokens: Histogram = "iteration_tokens", Histogram::new((0..13).map(|power| f64::from(1u32 << power))),
        "Tokens in one forward pass";
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
    pub(crate) fn new() -> Self {
        Self::registered(Registry::with_prefix("parkade"))
    }

    /// Appends all metrics to `out` in the OpenMetrics text format, those of `now` with them, without the closing `# EOF` line: a
    /// server adds its own first.
    ///
    /// # Errors
    /// None for a `String`.
    pub fn encode(&self, now: EngineSnapshot, out: &mut String) -> fmt::Result {
        let mut moment = Registry::with_prefix("parkade");
        moment.register_collector(Box::new(now));
        encode_registry(out, &moment)?;
        encode_registry(out, &self.registry)
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refusals.get_or_create(&[("reason", refusal.reason())]).inc();
    }

    pub(crate) fn answer_ended(&self, reason: &'static str) {
        self.ended.get_or_create(&[("finished_reason", reason)]).inc();
    }

    /// A request has its first token.
    pub(crate) fn first_token(&self, of: &TaskMetadata, now: Instant) {
        let took = now.saturating_duration_since(of.submitted_at).as_secs_f64();
        let class = [("class", of.class.name())];
        self.time_to_first_token.observe(took);
        self.class_time_to_first_token.get_or_create(&class).observe(took);
        if let Some(deadline) = of.first_token_deadline {
            let allowed = deadline.saturating_duration_since(of.submitted_at).as_secs_f64();
            self.first_token_deadline.get_or_create(&class).observe(took / allowed.max(0.001));
        }
    }

    /// An answer has its next token, so long after the one before.
    pub(crate) fn next_token(&self, of: &TaskMetadata, gap: Duration) {
        self.inter_token_latency.observe(gap.as_secs_f64());
        self.class_inter_token_latency.get_or_create(&[("class", of.class.name())]).observe(gap.as_secs_f64());
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
        self.work.steps.inc();
        self.step_tokens.observe(tokens as f64);
        for (part, spent) in [("schedule", time.schedule), ("forward", time.forward), ("sample", time.sample)] {
            self.step_time.get_or_create(&[("part", part)]).inc_by(spent.as_secs_f64());
        }
    }
}

impl fmt::Debug for EngineMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineMetrics").finish_non_exhaustive()
    }
}

/// From a millisecond to about two minutes.
fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 7.5, 10.0,
        20.0, 40.0, 80.0, 120.0,
    ])
}

/// From a tenth of the time that was allowed to five times of it.
fn of_a_deadline() -> Histogram {
    Histogram::new([0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0])
}
