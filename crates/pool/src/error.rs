//! Why a task was not taken, in numbers.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// What a bound of the waiting room counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Tasks.
    Tasks,
    /// Prompt and expected answer tokens.
    Tokens,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Measure::Tasks => "tasks",
            Measure::Tokens => "tokens",
        })
    }
}

/// Why a task was refused. `retry_after` is in whole seconds, from 1 to 120.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PoolError {
    /// The waiting room is full for tasks of this class.
    #[error("the waiting room has no place for it: {waiting} {measure} wait and the limit is {limit}; retry in {} s", retry_after.as_secs())]
    QueueFull {
        /// What is full.
        measure: Measure,
        /// How many wait, without this task.
        waiting: u64,
        /// How many may.
        limit: u64,
        /// When to come back.
        retry_after: Duration,
    },
    /// This tenant's part of the waiting room is full.
    #[error("tenant '{tenant}' may have no more waiting: {waiting} {measure} wait and the limit is {limit}; retry in {} s", retry_after.as_secs())]
    TenantQueueFull {
        /// Whose.
        tenant: String,
        /// What is full.
        measure: Measure,
        /// How many wait, without this task.
        waiting: u64,
        /// How many may.
        limit: u64,
        /// When to come back.
        retry_after: Duration,
    },
    /// The tenant has as many tasks in flight (waiting, running or parked) as it may.
    #[error("tenant '{tenant}' has {in_flight} tasks in flight and the limit is {limit}; retry in {} s", retry_after.as_secs())]
    TenantConcurrency {
        /// Whose.
        tenant: String,
        /// How many are in flight already.
        in_flight: u64,
        /// How many may be.
        limit: u64,
        /// When to come back.
        retry_after: Duration,
    },
    /// It would not fit even if nothing else ran; to try again is useless.
    #[error("the task can need {needed} {unit} and there are {capacity} in all; make it smaller")]
    TooLarge {
        /// Which unit there is too little of.
        unit: String,
        /// How many the task can need at worst.
        needed: u64,
        /// How many there are.
        capacity: u64,
    },
    /// By the estimate it cannot be done in time.
    #[error(
        "the deadline is in {allowed:?} and the estimate is {needed:?}; allow more time or come back when there is less load"
    )]
    DeadlineUnreachable {
        /// How long it would take from now.
        needed: Duration,
        /// How long it may take.
        allowed: Duration,
    },
    /// Its deadline had passed when it came.
    #[error("the deadline had already passed by {late:?}")]
    Expired {
        /// By how much.
        late: Duration,
    },
    /// The lot is being emptied and takes nothing new.
    #[error("shutting down: no new tasks are taken; retry in {} s", retry_after.as_secs())]
    Draining {
        /// When to come back (to another replica, or to the next process).
        retry_after: Duration,
    },
}

impl PoolError {
    /// When it makes sense to try again; `None` if that cannot help. One that had no time left may come back with more.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            PoolError::QueueFull { retry_after, .. }
            | PoolError::TenantQueueFull { retry_after, .. }
            | PoolError::TenantConcurrency { retry_after, .. }
            | PoolError::Draining { retry_after } => Some(*retry_after),
            // By then the line has become shorter by what it is too long.
            PoolError::DeadlineUnreachable { needed, allowed } => {
                let excess = needed.saturating_sub(*allowed).as_secs_f64().ceil() as u64;
                Some(Duration::from_secs(excess.clamp(1, 120)))
            }
            PoolError::TooLarge { .. } | PoolError::Expired { .. } => None,
        }
    }

    /// A short name for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            PoolError::QueueFull { .. } => "queue_full",
            PoolError::TenantQueueFull { .. } => "tenant_queue_full",
            PoolError::TenantConcurrency { .. } => "tenant_concurrency",
            PoolError::TooLarge { .. } => "too_large",
            PoolError::DeadlineUnreachable { .. } => "deadline_unreachable",
            PoolError::Expired { .. } => "expired",
            PoolError::Draining { .. } => "draining",
        }
    }
}

/// A configuration that makes no sense, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} is {value}; {remedy}")]
pub struct ConfigError {
    /// Which field, by its name in files.
    pub field: String,
    /// What it says.
    pub value: String,
    /// What it should say.
    pub remedy: String,
}

impl ConfigError {
    pub(crate) fn new(field: &str, value: impl fmt::Display, remedy: impl Into<String>) -> ConfigError {
        ConfigError { field: field.to_owned(), value: value.to_string(), remedy: remedy.into() }
    }

    /// The same, of a field that stands in a table.
    #[must_use]
    pub fn of(self, table: &str) -> ConfigError {
        ConfigError { field: format!("{table}.{}", self.field), ..self }
    }
}
