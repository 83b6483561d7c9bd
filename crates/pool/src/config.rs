//! Limits, weights and switches of a policy.

use std::collections::HashMap;
use std::time::Duration;

use crate::{Capacity, ConfigError, PerClass};

/// The largest weight of a class or tenant.
pub const MAX_WEIGHT: u32 = 10_000;

/// How much of a task's growth is set aside when it is admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// As much as lets the predicted peak of all running tasks fit; a wrong prediction parks somebody.
    #[default]
    Predicted,
    /// The worst case of each task; nobody is ever parked for growth.
    Full,
}

/// What a token counts in fair shares. An answer token costs a pass over the weights, a prompt token a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPrices {
    /// One prompt token.
    pub prefill: u32,
    /// One answer token.
    pub decode: u32,
}

/// How much may wait. A tenant that has no more than its share of it (the whole, divided by those who wait) finds as much
/// again when others have filled it, so that a flood shuts nobody out: twice these limits is the most that ever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingRoom {
    /// Tasks that may wait.
    pub tasks: u64,
    /// Prompt and expected answer tokens that may wait.
    pub tokens: u64,
    /// For each class the percentage of these limits up to which it may fill the room, counting everybody's tasks.
    /// Above 100 it finds room when the classes below have filled theirs.
    pub percent: PerClass<u32>,
}

impl WaitingRoom {
    /// Room for this many tasks with at most this many tokens. Low finds it full at three quarters, high and
    /// critical have a quarter and a half on top that the others cannot take.
    pub fn new(tasks: u64, tokens: u64) -> WaitingRoom {
        WaitingRoom { tasks, tokens, percent: PerClass::new(75, 100, 125, 150) }
    }
}

/// What one tenant may have, and its share among the tenants of a class. `None` is no limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantPolicy {
    /// Its share, relative to the weights of others, from 1 to [`MAX_WEIGHT`].
    pub weight: u32,
    /// The most that may run (or be parked) at once; more have to wait.
    pub max_running: Option<u64>,
    /// The most that may be in flight (waiting, running or parked); more are refused.
    pub max_concurrent: Option<u64>,
    /// The most tasks that may wait.
    pub max_waiting: Option<u64>,
    /// The most prompt and expected answer tokens that may wait.
    pub max_waiting_tokens: Option<u64>,
}

impl Default for TenantPolicy {
    fn default() -> Self {
        TenantPolicy { weight: 1, max_running: None, max_concurrent: None, max_waiting: None, max_waiting_tokens: None }
    }
}

/// Everything that can be set on a [`Policy`](crate::Policy). What is under `limits` can be changed while it runs.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// The units there are.
    pub capacity: Capacity,
    /// How growth is set aside.
    pub reserve: Reserve,
    /// How many threads take tasks from it; a [`WorkerPool`](crate::WorkerPool) sets it to the number of its executors.
    pub workers: usize,
    /// The part that can be changed at run time.
    pub limits: Limits,
}

/// The part of the configuration that can be changed at run time, by [`Policy::reconfigure`](crate::Policy::reconfigure).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Shares of the classes.
    pub class_weights: PerClass<u32>,
    /// How many tokens a class may be ahead of its share before a lower class goes first. What a higher class
    /// needs at once (a first token) comes at once; what it takes for long is limited to its share.
    pub class_burst: u64,
    /// What tokens count in shares.
    pub prices: TokenPrices,
    /// How much may wait.
    pub room: WaitingRoom,
    /// The policy of tenants that are not named.
    pub tenant: TenantPolicy,
    /// Policies by name.
    pub named_tenants: HashMap<String, TenantPolicy>,
    /// How often a task that does not fit may be passed by tasks behind it. After that units are kept free for it.
    pub max_bypass: u32,
    /// How many tasks one decision looks at before it gives up.
    pub lookahead: u32,
    /// Whether a task may have running tasks of lower classes parked when it finds no room.
    pub preempt: bool,
    /// How far back the measured service rates reach, in busy time.
    pub rate_memory: Duration,
}

impl PolicyConfig {
    /// The defaults for this capacity and one worker.
    pub fn new(capacity: Capacity) -> PolicyConfig {
        PolicyConfig { capacity, reserve: Reserve::default(), workers: 1, limits: Limits::default() }
    }

    /// Says what makes no sense.
    pub fn validate(&self) -> Result<(), ConfigError> {
        at_least_one("capacity", self.capacity.kinds() as u64, "name at least one kind of unit")?;
        for unit in 0..self.capacity.kinds() {
            at_least_one("capacity", self.capacity.total().get(unit), "give each named unit a total of at least 1")?;
        }
        at_least_one("workers", self.workers as u64, "use at least 1")?;
        self.limits.validate()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            class_weights: PerClass::new(1, 4, 16, 64),
            class_burst: 4096,
            prices: TokenPrices { prefill: 1, decode: 2 },
            room: WaitingRoom::new(256, 1 << 20),
            tenant: TenantPolicy::default(),
            named_tenants: HashMap::new(),
            max_bypass: 16,
            lookahead: 16,
            preempt: true,
            rate_memory: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The policy that holds for a tenant.
    pub fn policy(&self, tenant: &str) -> &TenantPolicy {
        self.named_tenants.get(tenant).unwrap_or(&self.tenant)
    }

    /// Says what makes no sense.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (_, &share) in self.class_weights.iter() {
            weight("class_weights", share)?;
        }
        weight("tenant.weight", self.tenant.weight)?;
        for policy in self.named_tenants.values() {
            weight("named_tenants.weight", policy.weight)?;
        }
        weight("prices.prefill", self.prices.prefill)?;
        weight("prices.decode", self.prices.decode)?;
        at_least_one("lookahead", u64::from(self.lookahead), "look at one task at least")?;
        at_least_one("rate_memory", self.rate_memory.as_millis() as u64, "remember at least a millisecond")
    }
}

fn weight(field: &'static str, value: u32) -> Result<(), ConfigError> {
    if (1..=MAX_WEIGHT).contains(&value) {
        return Ok(());
    }
    Err(ConfigError { field, value: value.to_string(), remedy: "use a weight from 1 to 10000" })
}

fn at_least_one(field: &'static str, value: u64, remedy: &'static str) -> Result<(), ConfigError> {
    if value >= 1 {
        return Ok(());
    }
    Err(ConfigError { field, value: value.to_string(), remedy })
}
