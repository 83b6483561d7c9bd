//! Limits, weights and switches of a policy.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::tenant_policy::{MAX_WEIGHT, TenantPolicy};
use crate::{Capacity, ConfigError, PerClass};

/// How much of a task's growth is set aside when it is admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Reserve {
    /// As much as lets the predicted peak of all running tasks fit; a wrong prediction parks somebody.
    #[default]
    Predicted,
    /// The worst case of each task; nobody is ever parked for growth.
    Full,
}

/// What becomes of tasks in line when everything is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DrainWaiting {
    /// They run too, as far as the limit allows.
    #[default]
    Finish,
    /// They end at once, so that their clients can go elsewhere.
    Refuse,
}

/// What a token counts in fair shares. An answer token costs a pass over the weights, a prompt token a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenPrices {
    /// One prompt token.
    #[serde(rename = "prompt")]
    pub prefill: u32,
    /// One answer token.
    #[serde(rename = "answer")]
    pub decode: u32,
}

impl Default for TokenPrices {
    fn default() -> Self {
        TokenPrices { prefill: 1, decode: 2 }
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
/// In files its fields are written with hyphens; what is left out has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Limits {
    /// How many tokens a class may be ahead of its share before a lower class goes first. What a higher class
    /// needs at once (a first token) comes at once; what it takes for long is limited to its share.
    pub class_burst: u64,
    /// Tasks that may wait. A tenant that has no more than its share of it (the whole, divided by those who wait) finds as much again when others
    /// have filled it, so that a flood shuts nobody out: twice this and twice `max_waiting_tokens` is the most that ever waits.
    #[serde(skip)]
    pub max_waiting: u64,
    /// Prompt and expected answer tokens that may wait.
    pub max_waiting_tokens: u64,
    /// How often a task that does not fit may be passed by tasks behind it. After that units are kept free for it.
    pub max_bypass: u32,
    /// How many tasks one decision looks at before it gives up.
    pub lookahead: u32,
    /// Whether a task may have running tasks of lower classes parked when it finds no room.
    pub preempt: bool,
    /// How far back the measured service rates reach, in busy time: whole seconds in files.
    #[serde(with = "whole_seconds")]
    pub rate_memory: Duration,
    // Tables come last, as TOML wants them.
    /// Shares of the classes: what each is guaranteed while all of them want more than there is.
    #[serde(deserialize_with = "class_weights")]
    pub class_weights: PerClass<u32>,
    /// For each class the percentage of what may wait up to which it may fill the room, counting everybody's tasks. Above 100 it finds room
    /// when the classes below have filled theirs.
    #[serde(deserialize_with = "waiting_percent")]
    pub waiting_percent: PerClass<u32>,
    /// What tokens count in shares.
    #[serde(rename = "token-prices")]
    pub prices: TokenPrices,
    /// The policy of tenants that are not named.
    pub tenant: TenantPolicy,
    /// Policies by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<String, TenantPolicy>,
}

/// What each class has unless something else is said.
const CLASS_WEIGHTS: PerClass<u32> = PerClass::new(1, 4, 16, 64);
/// Low finds the room full at three quarters, high and critical have a quarter and a half on top that the others cannot take.
const WAITING_PERCENT: PerClass<u32> = PerClass::new(75, 100, 125, 150);

fn class_weights<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PerClass<u32>, D::Error> {
    CLASS_WEIGHTS.with(deserializer)
}

fn waiting_percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PerClass<u32>, D::Error> {
    WAITING_PERCENT.with(deserializer)
}

mod whole_seconds {
    use super::*;

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u32::deserialize(deserializer).map(|seconds| Duration::from_secs(seconds.into()))
    }
}

impl PolicyConfig {
    /// The defaults for this capacity and one worker.
    pub fn new(capacity: Capacity) -> PolicyConfig {
        PolicyConfig { capacity, reserve: Reserve::default(), workers: 1, limits: Limits::default() }
    }

    /// Says what makes no sense.
    ///
    /// # Errors
    /// The first value that makes no sense.
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
            class_burst: 4096,
            max_waiting: 256,
            max_waiting_tokens: 1 << 20,
            max_bypass: 16,
            lookahead: 16,
            preempt: true,
            rate_memory: Duration::from_secs(10),
            class_weights: CLASS_WEIGHTS,
            waiting_percent: WAITING_PERCENT,
            prices: TokenPrices::default(),
            tenant: TenantPolicy::default(),
            tenants: BTreeMap::new(),
        }
    }
}

impl Limits {
    /// The policy that holds for a tenant.
    pub fn policy(&self, tenant: &str) -> &TenantPolicy {
        self.tenants.get(tenant).unwrap_or(&self.tenant)
    }

    /// Says what makes no sense, by the name that it has in files.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (class, &weight) in self.class_weights.iter() {
            within(&format!("class-weights.{}", class.name()), weight, 1..=MAX_WEIGHT)?;
        }
        for (class, &percent) in self.waiting_percent.iter() {
            // 0: tasks of the class start at once or not at all.
            within(&format!("waiting-percent.{}", class.name()), percent, 0..=1_000)?;
        }
        within("token-prices.prompt", self.prices.prefill, 1..=MAX_WEIGHT)?;
        within("token-prices.answer", self.prices.decode, 1..=MAX_WEIGHT)?;
        within("lookahead", self.lookahead, 1..=10_000)?;
        within("rate-memory", self.rate_memory.as_secs(), 1..=3_600)?;
        self.tenant.validate().map_err(|error| error.of("tenant"))?;
        for (name, policy) in &self.tenants {
            policy.validate().map_err(|error| error.of(&format!("tenants.{name}")))?;
        }
        Ok(())
    }
}

fn within<T: PartialOrd + Display>(field: &str, value: T, allowed: RangeInclusive<T>) -> Result<(), ConfigError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let remedy = format!("use a whole number from {} to {}", allowed.start(), allowed.end());
    Err(ConfigError::new(field, value, remedy))
}

fn at_least_one(field: &str, value: u64, remedy: &str) -> Result<(), ConfigError> {
    if value >= 1 { Ok(()) } else { Err(ConfigError::new(field, value, remedy)) }
}
