//! What is settled when the engine is done with the requests of one HTTP request: before the response ends, if its client reads slowly, and
//! after it, if others read along.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parkade_core::{LiveRequest, Usage};

use crate::generate::charge::Charge;
use crate::generate::supersedes::Claim;
use crate::generate::{AppState, Entry};
use crate::http::RequestLog;

/// The account of one HTTP request. It is settled once, with what the engine has done.
pub(crate) struct Settlement {
    pub state: AppState,
    /// What the engine does for each prompt.
    pub requests: Vec<Arc<LiveRequest>>,
    pub charge: Charge,
    pub log: Arc<RequestLog>,
    /// None if the HTTP request was refused, and never was.
    pub entry: Option<Arc<Entry>>,
    /// Of a request that takes the place of others.
    pub claim: Option<Claim>,
    pub settled: OnceLock<()>,
}

impl Settlement {
    /// Settles as soon as the engine is done with all prompts, whatever becomes of the response.
    pub fn when_ended(self) -> Arc<Self> {
        let settlement = Arc::new(self);
        let waiting = settlement.clone();
        tokio::spawn(async move {
            for request in &waiting.requests {
                request.ended().await;
            }
            waiting.settle();
        });
        settlement
    }

    /// Settles now if the engine is done with all prompts.
    pub fn settle_if_ended(&self) {
        if self.requests.iter().all(|request| request.end().is_some()) {
            self.settle();
        }
    }

    fn settle(&self) {
        self.settled.get_or_init(|| {
            let mut usage = Usage::default();
            self.requests.iter().for_each(|request| add(&mut usage, &request.usage()));
            self.charge.settle((usage.prompt_tokens + usage.completion_tokens) as u64);
            self.log.set_usage(usage);
            if let Some(entry) = &self.entry {
                self.state.in_flight().end(entry, Instant::now());
            }
            if let Some(claim) = &self.claim {
                claim.release();
            }
        });
    }
}

impl Drop for Settlement {
    /// The runtime ends before the engine does: what was done until now counts.
    fn drop(&mut self) {
        self.settle();
    }
}

/// Adds what one prompt used to what the others did. They were in line and ran at the same time.
pub(crate) fn add(sum: &mut Usage, usage: &Usage) {
    sum.prompt_tokens += usage.prompt_tokens;
    sum.completion_tokens += usage.completion_tokens;
    sum.cached_tokens += usage.cached_tokens;
    sum.parked += usage.parked;
    sum.queue = sum.queue.max(usage.queue);
    sum.total = sum.total.max(usage.total);
    sum.first_token = match (sum.first_token, usage.first_token) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}
