//! Why a request is turned away at the door.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bounds of the seconds that somebody is told to wait.
const RETRY_SECONDS: RangeInclusive<u64> = 1..=120;

/// Why [`Engine::submit`](crate::Engine::submit) turned a request away. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A field of the request is not allowed.
    #[error("{message}")]
    Invalid {
        /// The field, as in OpenAI's API.
        param: String,
        /// The value and what is allowed.
        message: String,
    },
    /// The prompt leaves no room for an answer in the model's context. The words are OpenAI's: clients search for them.
    #[error(
        "This model's maximum context length is {limit} tokens. However, you requested {} tokens ({prompt_tokens} in the prompt, 1 in the completion). Please reduce the length of the prompt.",
        .prompt_tokens.saturating_add(1)
    )]
    ContextLength {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// The model's context in tokens.
        limit: usize,
    },
    /// The request would not fit even if it were alone.
    #[error(
        "the request needs {needed} {resource} at least and the server has {total}; {}, or give the server more ({remedy})",
        if *.param == "n" { "lower n" } else { "reduce the length of the prompt" }
    )]
    RequestTooLarge {
        /// The field that makes it so: `prompt`, or `n` where one answer to the same prompt would fit.
        param: &'static str,
        /// What it needs too much of.
        resource: &'static str,
        /// How much it needs.
        needed: usize,
        /// How much there is.
        total: usize,
        /// The server's option that gives more.
        remedy: &'static str,
    },
    /// The waiting line is full.
    // How many wait is a matter of others than the one who is told.
    #[error("the server is overloaded: its waiting line is full; retry in {} s", retry_seconds(*.retry_after))]
    QueueFull {
        /// What is counted: requests, or their tokens.
        unit: &'static str,
        /// How many wait.
        waiting: usize,
        /// How many may.
        limit: usize,
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// This tenant's own share of the waiting line is full.
    #[error("tenant '{tenant}' already has {waiting} {unit} waiting and {limit} are allowed; retry in {} s", retry_seconds(*.retry_after))]
    TenantQueueFull {
        /// The tenant.
        tenant: String,
        /// What is counted: requests, or their tokens.
        unit: &'static str,
        /// How many it has.
        waiting: usize,
        /// How many it may have.
        limit: usize,
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// This tenant has used up its rate.
    #[error("Rate limit reached for tenant '{tenant}': {limit} {unit}. Please try again in {}s.", retry_seconds(*.retry_after))]
    RateLimited {
        /// The tenant.
        tenant: String,
        /// What is limited, for example "tokens per minute".
        unit: &'static str,
        /// The limit.
        limit: u64,
        /// When the rate allows the request.
        retry_after: Duration,
    },
    /// The deadline cannot be met.
    // By how much is a matter of what others have running; `retry_after` says as much of it as is needed.
    #[error("the deadline of {} ms cannot be met with the load that there is now; allow more time, or send it again later", .allowed.as_millis())]
    Deadline {
        /// How long the answer is likely to take.
        estimate: Duration,
        /// How long it may take, as its client said.
        allowed: Duration,
    },
    /// The server is shutting down.
    #[error("the server is shutting down; retry in {} s", retry_seconds(*.retry_after))]
    Draining {
        /// When another server is likely to be there.
        retry_after: Duration,
    },
    /// The engine has ended, by a shutdown or by a fault of its own.
    #[error("the engine has stopped; restart the server")]
    Stopped,
}

/// When to come back, in whole seconds: rounded up, from 1 to 120. A message and the header `retry-after` beside it both
/// say this.
pub fn retry_seconds(wait: Duration) -> u64 {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    seconds.clamp(*RETRY_SECONDS.start(), *RETRY_SECONDS.end())
}

impl Refusal {
    /// A field that is not allowed.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal::Invalid { param: param.into(), message: message.into() }
    }

    /// The refusal's name, as it is written in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Invalid { .. } => "invalid",
            Refusal::ContextLength { .. } => "context_length_exceeded",
            Refusal::RequestTooLarge { .. } => "request_too_large",
            Refusal::QueueFull { .. } => "server_is_overloaded",
            Refusal::TenantQueueFull { .. } => "tenant_queue_full",
            Refusal::RateLimited { .. } => "rate_limit_exceeded",
            Refusal::Deadline { .. } => "deadline_exceeded",
            Refusal::Draining { .. } => "shutting_down",
            Refusal::Stopped => "stopped",
        }
    }

    /// When to come back, if that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::QueueFull { retry_after, .. }
            | Refusal::TenantQueueFull { retry_after, .. }
            | Refusal::RateLimited { retry_after, .. }
            | Refusal::Draining { retry_after } => Some(*retry_after),
            // By then the line has become shorter by what it is too long.
            Refusal::Deadline { estimate, allowed } => Some(estimate.saturating_sub(*allowed)),
            Refusal::Invalid { .. }
            | Refusal::ContextLength { .. }
            | Refusal::RequestTooLarge { .. }
            | Refusal::Stopped => None,
        }
    }
}

/// Which settings more of each resource comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedies {
    /// The memory for keys and values.
    pub kv: &'static str,
    /// Sequences at once.
    pub seqs: &'static str,
}

impl Default for Remedies {
    fn default() -> Self {
        Remedies { kv: "--kv-cache-mb", seqs: "--max-seqs" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_from_1_to_120() {
        let told = |ms| retry_seconds(Duration::from_millis(ms));
        assert_eq!([0, 1, 1000, 1001, 119_001, 120_001, 131_000].map(told), [1, 1, 1, 2, 120, 120, 120]);
        assert_eq!(retry_seconds(Duration::MAX), 120);
    }
}
