//! What the lot is told about a request, and the settings of the scheduler.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parkade_pool as pool;
use parkade_pool::{Class, Cost, PerClass, TaskSpec, TenantPolicy, Time, Units, Work};

use crate::engine::EngineError;
use crate::request::RequestId;

/// What a request costs: memory in KV blocks and sequences, time in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceCost {
    /// KV blocks that it needs in order to begin: the prompt's, less those that running requests share with it.
    pub blocks: u64,
    /// KV blocks that its answers will probably need on top.
    pub expected_growth: u64,
    /// The most KV blocks that its answers can need on top.
    pub worst_growth: u64,
    /// Sequences: one for each answer.
    pub seqs: u64,
    /// Prompt tokens that have to be computed: those that the prefix cache does not have.
    pub prefill_tokens: u64,
    /// Answer tokens that are expected, over all answers.
    pub expected_tokens: u64,
    /// Prompt tokens that the prefix cache has.
    pub cached_tokens: u64,
}

/// Kinds of units that the lot counts.
pub(super) const BLOCKS: usize = 0;

impl ResourceCost {
    fn units(&self) -> Cost {
        Cost::growing(
            Units::from([self.blocks, self.seqs]),
            Units::from([self.expected_growth]),
            Units::from([self.worst_growth]),
        )
    }
}

/// Everything about a request that its scheduling depends on.
/// [`ResourceAdapter::metadata`](super::ResourceAdapter::metadata) makes it.
///
/// ```no_run
/// use std::time::Instant;
///
/// use parkade_core::parking_lot::{InferenceWorkerPool, TaskMetadata};
/// use parkade_core::{Refusal, Request};
///
/// fn describe(pool: &InferenceWorkerPool, request: &Request) -> Result<String, Refusal> {
///     let TaskMetadata { id, tenant, class, cost, .. } = pool.adapter().metadata(request, Instant::now())?;
///     Ok(format!("{id} of {tenant}, {}: {} KV blocks", class.name(), cost.blocks))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TaskMetadata {
    /// The request.
    pub id: RequestId,
    /// On whose account it runs.
    pub tenant: String,
    /// Its priority class.
    pub class: Class,
    /// Its place among its tenant's requests with the same deadline, lower first.
    pub rank: i64,
    /// When the whole answer must be there.
    pub deadline: Option<Instant>,
    /// When its first token must be there.
    pub first_token_deadline: Option<Instant>,
    /// What it costs.
    pub cost: ResourceCost,
    /// When it came.
    pub submitted_at: Instant,
}

impl TaskMetadata {
    /// The same in the lot's terms; `time_at` turns a moment into the lot's time.
    pub(super) fn spec(&self, time_at: impl Fn(Instant) -> Time) -> TaskSpec {
        TaskSpec {
            class: self.class,
            rank: self.rank,
            deadline: self.deadline.map(&time_at),
            first_token_deadline: self.first_token_deadline.map(&time_at),
            work: Work::new(self.cost.prefill_tokens, self.cost.expected_tokens),
            ..TaskSpec::new(self.tenant.as_str(), self.cost.units())
        }
    }
}

/// From whose answers it is learnt how long the next one will probably be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HistoryScope {
    /// From the tenant's own, and from everybody's as long as it has too few.
    #[default]
    Everybody,
    /// From the tenant's own alone, so that nothing that it is told (limits, waits, refusals) depends on what others were answered.
    Tenant,
}

/// The settings of the `parking-lot` scheduler. All but `reserve_full` can be changed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotSettings {
    /// Reserve the longest possible answer before a request starts, instead of the expected one: nobody is parked for growth then.
    pub reserve_full: bool,
    /// Shares of the classes, from 1 to 10000 each: what each is guaranteed while all of them want more than there is.
    pub class_weights: PerClass<u32>,
    /// Tokens that a class may be ahead of its share before a lower class goes first.
    pub class_burst: u64,
    /// The most prompt and expected answer tokens that may wait, over all requests.
    pub max_waiting_tokens: u64,
    /// Up to which percentage of what may wait (requests and tokens) each class finds room, counting everybody's: below 100 it is refused before
    /// the line is full, above 100 it finds room when the others have filled it.
    pub waiting_percent: PerClass<u32>,
    /// What a prompt token counts in fair shares, from 1 to 10000.
    pub prompt_price: u32,
    /// What an answer token counts in fair shares, from 1 to 10000.
    pub answer_price: u32,
    /// How many requests one decision looks at before it gives up.
    pub lookahead: u32,
    /// How often a request that does not fit may be passed by others; then room is kept free for it.
    pub max_bypass: u32,
    /// Whether a request may have running ones of lower classes parked.
    pub preempt: bool,
    /// How far back the measured speeds reach, on which waits and deadlines are judged: seconds of busy time, at least 1.
    pub rate_memory_seconds: u32,
    /// From whose answers the expected length of the next one is learnt.
    pub history: HistoryScope,
    /// What holds for tenants that are not named.
    pub tenant: TenantPolicy,
    /// What holds for tenants by name.
    pub tenants: HashMap<String, TenantPolicy>,
}

impl Default for LotSettings {
    fn default() -> Self {
        let limits = pool::Limits::default();
        LotSettings {
            reserve_full: false,
            class_weights: limits.class_weights,
            class_burst: limits.class_burst,
            max_waiting_tokens: limits.room.tokens,
            waiting_percent: limits.room.percent,
            prompt_price: limits.prices.prefill,
            answer_price: limits.prices.decode,
            lookahead: limits.lookahead,
            max_bypass: limits.max_bypass,
            preempt: limits.preempt,
            rate_memory_seconds: limits.rate_memory.as_secs() as u32,
            history: HistoryScope::default(),
            tenant: TenantPolicy::default(),
            tenants: HashMap::new(),
        }
    }
}

impl LotSettings {
    /// Checks each value.
    ///
    /// # Errors
    /// The first one that makes no sense, with what is allowed.
    pub fn validate(&self) -> Result<(), EngineError> {
        self.limits(1).validate().map_err(config_error)
    }

    pub(super) fn limits(&self, max_queue_depth: usize) -> pool::Limits {
        pool::Limits {
            class_weights: self.class_weights,
            class_burst: self.class_burst,
            prices: pool::TokenPrices { prefill: self.prompt_price, decode: self.answer_price },
            room: pool::WaitingRoom {
                tasks: max_queue_depth as u64,
                tokens: self.max_waiting_tokens,
                percent: self.waiting_percent,
            },
            tenant: self.tenant,
            named_tenants: self.tenants.clone(),
            max_bypass: self.max_bypass,
            lookahead: self.lookahead,
            preempt: self.preempt,
            rate_memory: Duration::from_secs(self.rate_memory_seconds.into()),
        }
    }

    pub(super) fn reserve(&self) -> pool::Reserve {
        if self.reserve_full { pool::Reserve::Full } else { pool::Reserve::Predicted }
    }
}

pub(super) fn config_error(error: pool::ConfigError) -> EngineError {
    EngineError::Lot { field: error.field, value: error.value, remedy: error.remedy }
}
