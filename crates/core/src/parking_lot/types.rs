//! What the policy is told about a request.

use std::time::{Duration, Instant};

use parkade_pool::{Class, Cost, TaskSpec, Time, Units, Work};
use serde::{Deserialize, Serialize};

use crate::request::RequestId;

/// What a request costs: memory in KV blocks and sequences, time in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
/// use std::time::{Duration, Instant};
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
#[non_exhaustive]
pub enum HistoryScope {
    /// From the tenant's own, and from everybody's as long as it has too few.
    #[default]
    Everybody,
    /// From the tenant's own alone, so that nothing that it is told (limits, waits, refusals) depends on what others were answered.
    Tenant,
}

/// Which results of jobs that nobody waits for are kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultLimits {
    /// Results; of more the oldest are forgotten.
    pub most: usize,
    /// Bytes of all together, about; of more the oldest are forgotten.
    pub bytes: usize,
    /// How long a result is kept.
    pub keep: Duration,
}

impl Default for ResultLimits {
    fn default() -> Self {
        ResultLimits { most: 1024, bytes: 64 << 20, keep: Duration::from_secs(3600) }
    }
}
