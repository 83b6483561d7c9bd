//! The book of figures: what an engine and its requests are doing, and what they have done.
//!
//! A figure is one line here. It is a field for the code, a key in JSON (by serde) and, if it has one, a metric for Prometheus with
//! the same text. What cannot be a number of a moment, distributions and reasons, is in [`metrics`](crate::metrics).

use std::fmt;
use std::time::Duration;

use parkade_pool::Class;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use serde::{Serialize, Serializer};

use crate::requests::RequestState;

/// A record of figures. `name: type = gauge "metric";` makes a metric of the line too; one without is for JSON alone. The lines of a `family`
/// are one metric, told apart by a label with the line's name, and `parts` are records themselves.
macro_rules! figures {
    ($(#[$about:meta])+ $record:ident {
        $(#[doc = $help:literal] $(#[doc = $more:literal])* $(#[serde($($serde:tt)*)])? $field:ident: $kind:ty $(= $shape:ident $metric:literal)?;)*
        $(family $family:literal, $label:literal, $family_help:literal {
            $($(#[$one_about:meta])+ $one:ident: $one_kind:ty;)*
        })?
        $(parts { $($(#[$part_about:meta])+ $part:ident: $part_kind:ty;)* })?
    }) => {
        $(#[$about])+
        #[derive(Clone, Debug, Default, PartialEq, Serialize)]
        pub struct $record {
            $(#[doc = $help] $(#[doc = $more])* $(#[serde($($serde)*)])? pub $field: $kind,)*
            $($($(#[$one_about])+ pub $one: $one_kind,)*)?
            $($($(#[$part_about])+ pub $part: $part_kind,)*)?
        }

        impl Encode for $record {
            fn encode(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
                $($($shape(page, $metric, $help, self.$field)?;)?)*
                $({
                    let lines = [$((stringify!($one), self.$one),)*];
                    let mut family = page.encode_descriptor($family, $family_help, None, MetricType::Counter)?;
                    for (name, count) in lines {
                        ConstCounter::new(count).encode(family.encode_family(&[($label, name)])?)?;
                    }
                })?
                $($(self.$part.encode(page)?;)*)?
                Ok(())
            }
        }
    };
}

/// What is counted as it happens: for each line a counter that the worker writes and anybody reads, and its figure.
macro_rules! counters {
    ($(#[doc = $help:literal] $field:ident = $metric:literal;)*) => {
        figures! {
            /// Sums since the start over the work of an engine.
            #[derive(Copy, Eq)]
            WorkFigures {
                $(#[doc = $help] $field: u64 = counter $metric;)*
            }
        }

        /// The counters behind [`WorkFigures`].
        #[derive(Debug, Default)]
        pub(crate) struct Work {
            $(#[doc = $help] pub(crate) $field: Counter,)*
        }

        impl Work {
            pub(crate) fn figures(&self) -> WorkFigures {
                WorkFigures { $($field: self.$field.get(),)* }
            }
        }
    };
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

figures! {
    /// The engine's state in figures, as of the last step.
    EngineSnapshot {
        /// The scheduler's name.
        #[serde(rename = "scheduler_type")]
        scheduler: &'static str;
        /// Worker threads that are alive.
        active_workers: usize = gauge "active_workers";
        /// Whether the engine takes no more requests.
        draining: bool;
        /// The longest line.
        max_queue_depth: usize = gauge "max_queue_depth";
        /// Share of the KV blocks that running requests hold (1 is all).
        kv_cache_usage_perc: f64 = gauge "kv_cache_usage_perc";
        parts {
            /// Requests that are here.
            requests: RequestFigures;
            /// Sequences that run.
            sequences: SequenceFigures;
            /// The KV cache.
            kv_blocks: BlockFigures;
            /// The states of sequences, if the model keeps any.
            state_slots: StateFigures;
            /// Measured speeds.
            rates: RateFigures;
            /// By class, lowest first, if the scheduler knows classes.
            #[serde(serialize_with = "by_name")]
            classes: Vec<ClassFigures>;
            /// Tenants that have requests.
            #[serde(serialize_with = "by_name")]
            tenants: Vec<TenantFigures>;
            /// Sums since the start over requests.
            totals: Totals;
            /// Sums since the start over the engine's work; `None` for a tenant's own figures, since they tell of all.
            #[serde(skip_serializing_if = "Option::is_none")]
            work: Option<WorkFigures>;
        }
    }
}

figures! {
    /// Requests that are here, by state.
    #[derive(Copy)]
    RequestFigures {
        /// Requests in line.
        waiting: usize = gauge "num_requests_waiting";
        /// Requests that take part in the steps.
        running: usize = gauge "num_requests_running";
        /// Requests that gave their memory back for a while.
        parked: usize = gauge "num_requests_parked";
        /// Running requests whose reader is too slow.
        paused: usize = gauge "num_requests_paused";
    }
}

figures! {
    /// Sequences; a request with `n` answers has `n`.
    #[derive(Copy)]
    SequenceFigures {
        /// Sequences that run.
        running: usize = gauge "num_sequences_running";
        /// The most sequences that may run.
        limit: usize = gauge "num_sequences_limit";
    }
}

figures! {
    /// The KV cache in blocks.
    #[derive(Copy)]
    BlockFigures {
        /// Tokens in a KV block.
        tokens_each: usize = gauge "kv_blocks_tokens_each";
        /// Groups of layers; a text has a KV block of each for the same tokens, but for those that a group's window has left behind.
        groups: usize = gauge "kv_block_groups";
        /// KV blocks that there are.
        total: usize = gauge "kv_blocks";
        /// KV blocks that running requests hold.
        used: usize = gauge "kv_blocks_used";
        /// KV blocks that only the prefix cache holds; they are given up when needed.
        cached: usize = gauge "kv_blocks_cached";
        /// KV blocks that hold nothing.
        free: usize = gauge "kv_blocks_free";
        /// KV blocks that a request which comes now could be given: all but those promised, and those set aside for growth.
        /// What is set aside is what running requests are expected to need beyond their promise.
        available: usize = gauge "kv_blocks_available";
        /// KV blocks that the scheduler has granted to running requests, whether they use them already or not.
        /// Shared ones count for each. Only the `parking-lot` scheduler grants them apart from using them.
        promised: usize = gauge "kv_blocks_promised";
    }
}

figures! {
    /// The states of sequences, for models with layers that keep one: all 0 for others.
    #[derive(Copy)]
    StateFigures {
        /// Bytes of a sequence's state.
        bytes_each: usize = gauge "state_slots_bytes_each";
        /// State slots that there are.
        total: usize = gauge "state_slots";
        /// State slots that running sequences hold.
        used: usize = gauge "state_slots_used";
        /// State slots with a snapshot that only the prefix cache holds; they are given up when needed.
        cached: usize = gauge "state_slots_cached";
        /// State slots that hold nothing.
        free: usize = gauge "state_slots_free";
    }
}

figures! {
    /// Measured speeds: 0 until there are any, and the last ones while nothing runs.
    #[derive(Copy)]
    RateFigures {
        /// Prompt tokens per second, over the last seconds of work.
        #[serde(serialize_with = "to_a_tenth")]
        prefill_tokens_per_second: f64 = gauge "prefill_tokens_per_second";
        /// Generated tokens per second over all running requests, over the last seconds of work.
        #[serde(serialize_with = "to_a_tenth")]
        decode_tokens_per_second: f64 = gauge "decode_tokens_per_second";
    }
}

figures! {
    /// Sums since the start over requests. Submitted is the sum of all other outcomes and what is here now.
    #[derive(Copy, Eq)]
    Totals {
        /// Times that a running request was parked, for whatever reason.
        preemptions: u64 = counter "num_preemptions";
        /// Times that a running request was parked to make room for a higher class.
        class_preemptions: u64 = counter "num_class_preemptions";
        /// Times that a parked request was resumed.
        resumptions: u64 = counter "num_resumptions";
        family "lot_requests", "outcome",
        "Requests handed in, and what became of them (submitted is the sum of the others and those that are here)." {
            /// Requests that were handed in.
            submitted: u64;
            /// Requests that were refused.
            refused: u64;
            /// Requests whose answers are complete.
            completed: u64;
            /// Requests that failed.
            failed: u64;
            /// Requests that somebody cancelled.
            cancelled: u64;
            /// Requests whose place a newer one of their sender has taken.
            superseded: u64;
            /// Requests whose deadline passed.
            expired: u64;
        }
    }
}

counters! {
    /// Requests that got their memory and began to run.
    admissions = "num_admissions";
    /// Prompt tokens of admitted requests.
    prompt_tokens = "prompt_tokens";
    /// Prompt tokens that came from the prefix cache.
    prompt_tokens_cached = "prompt_tokens_cached";
    /// Generated tokens.
    generation_tokens = "generation_tokens";
    /// Forward passes.
    steps = "engine_steps";
    /// Forward passes that were left in the middle, for a first token of a higher class or because it was another model's turn, and taken up again after it.
    step_interruptions = "engine_step_interruptions";
}

/// The state of one class in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClassFigures {
    /// The class.
    #[serde(skip)]
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

/// The state of one tenant in figures, beside those of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantFigures {
    /// The tenant.
    #[serde(skip)]
    pub name: String,
    /// Requests in line.
    pub waiting: usize,
    /// Prompt and expected answer tokens of the requests in line.
    pub waiting_tokens: u64,
    /// Requests that run or are parked.
    pub active: usize,
}

impl ClassFigures {
    pub(crate) fn new(class: Class) -> Self {
        ClassFigures { class, waiting: 0, waiting_tokens: 0, running: 0, parked: 0 }
    }
}

impl TenantFigures {
    pub(crate) fn new(name: &str) -> Self {
        TenantFigures { name: name.to_owned(), waiting: 0, waiting_tokens: 0, active: 0 }
    }
}

/// Writes metrics to Prometheus' page.
trait Encode {
    fn encode(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result;
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.as_ref().map_or(Ok(()), |figures| figures.encode(page))
    }
}

/// Figures of one of many, which has a name.
trait Named {
    /// What the names are of: the label of the metrics, and how their names begin.
    const KIND: &'static str;
    fn name(&self) -> &str;
    fn waiting_tokens(&self) -> u64;
    /// Requests by state.
    fn requests(&self) -> Vec<(&'static str, usize)>;
}

impl Named for ClassFigures {
    const KIND: &'static str = "class";

    fn name(&self) -> &str {
        self.class.name()
    }

    fn waiting_tokens(&self) -> u64 {
        self.waiting_tokens
    }

    fn requests(&self) -> Vec<(&'static str, usize)> {
        vec![("waiting", self.waiting), ("running", self.running), ("parked", self.parked)]
    }
}

impl Named for TenantFigures {
    const KIND: &'static str = "tenant";

    fn name(&self) -> &str {
        &self.name
    }

    fn waiting_tokens(&self) -> u64 {
        self.waiting_tokens
    }

    fn requests(&self) -> Vec<(&'static str, usize)> {
        vec![("waiting", self.waiting), ("active", self.active)]
    }
}

impl<T: Named> Encode for Vec<T> {
    fn encode(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        let (requests, tokens) = (format!("{}_requests", T::KIND), format!("{}_waiting_tokens", T::KIND));
        let help = format!("Requests by {} and state.", T::KIND);
        let mut family = page.encode_descriptor(&requests, &help, None, MetricType::Gauge)?;
        for one in self {
            for (state, count) in one.requests() {
                let labels = [(T::KIND, one.name()), ("state", state)];
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = format!("Prompt and expected answer tokens of the requests in line by {}.", T::KIND);
        let mut family = page.encode_descriptor(&tokens, &help, None, MetricType::Gauge)?;
        for one in self {
            ConstGauge::new(one.waiting_tokens()).encode(family.encode_family(&[(T::KIND, one.name())])?)?;
        }
        Ok(())
    }
}

impl Collector for EngineSnapshot {
    fn encode(&self, mut page: DescriptorEncoder<'_>) -> fmt::Result {
        Encode::encode(self, &mut page)
    }
}

fn gauge(page: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
    ConstGauge::new(value).encode(page.encode_descriptor(name, help.trim(), None, MetricType::Gauge)?)
}

fn counter(page: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(page.encode_descriptor(name, help.trim(), None, MetricType::Counter)?)
}

/// A list as an object, by the names of what is in it.
fn by_name<T: Named + Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(list.iter().map(|one| (one.name(), one)))
}

/// More digits of a rate are noise.
fn to_a_tenth<S: Serializer>(rate: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((rate * 10.0).round() / 10.0)
}
