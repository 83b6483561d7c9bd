//! From a request to its price.

use std::sync::Arc;
use std::time::Instant;

use parkade_sync::Mutex;

use crate::blocks::PrefixDirectory;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::request_limits::{Need, RequestLimits};

use super::history::AnswerHistory;
use super::types::{HistoryScope, ResourceCost, TaskMetadata};

/// Prices requests from the model's limits, what the prefix cache has, and how long answers were lately.
/// [`InferenceWorkerPool::adapter`](super::InferenceWorkerPool::adapter) gives a running model's.
///
/// ```no_run
/// use parkade_core::parking_lot::InferenceWorkerPool;
/// use parkade_core::{Refusal, Request};
///
/// fn quote(pool: &InferenceWorkerPool, request: &Request) -> Result<(), Refusal> {
///     let price = pool.adapter().price(request)?;
///     println!("{} KV blocks now, about {} more later, at most {}", price.blocks, price.expected_growth, price.worst_growth);
///     println!("{} tokens to compute, {} from the cache", price.prefill_tokens, price.cached_tokens);
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct ResourceAdapter {
    limits: RequestLimits,
    prefix: Option<Arc<PrefixDirectory>>,
    history: Mutex<AnswerHistory>,
    reserve_full: bool,
}

impl ResourceAdapter {
    pub(super) fn new(limits: RequestLimits, prefix: Option<Arc<PrefixDirectory>>, reserve_full: bool) -> Self {
        let history = Mutex::new("parking_lot.history", AnswerHistory::default());
        ResourceAdapter { limits, prefix, history, reserve_full }
    }

    /// Says from whose answers it may learn what to expect, from now on.
    pub(super) fn learn_from(&self, scope: HistoryScope) {
        self.history.lock().scope = scope;
    }

    /// A request with its price.
    ///
    /// # Errors
    /// If it would not fit even if it were alone.
    pub(super) fn priced(&self, request: Request, now: Instant) -> Result<PricedRequest, Refusal> {
        let (metadata, need) = self.priced_of(&request, now)?;
        Ok(PricedRequest { request, metadata, answer: need.answer })
    }

    /// What the policy is told about a request, and what it needs in full.
    fn priced_of(&self, request: &Request, now: Instant) -> Result<(TaskMetadata, Need), Refusal> {
        let need = self.limits.need(request)?;
        let after = |limit| now.checked_add(limit);
        let metadata = TaskMetadata {
            id: request.id.clone(),
            tenant: request.tenant.clone(),
            class: request.class,
            rank: request.rank,
            deadline: request.timeout.and_then(after),
            first_token_deadline: request.ttft_slo.and_then(after),
            cost: self.price_of(request, &need),
            submitted_at: now,
        };
        Ok((metadata, need))
    }

    /// What the lot would be told about a request that came now.
    ///
    /// # Errors
    /// If it would not fit even if it were alone, or if it has no prompt or no answers.
    pub fn metadata(&self, request: &Request, now: Instant) -> Result<TaskMetadata, Refusal> {
        check_shape(request)?;
        Ok(self.priced_of(request, now)?.0)
    }

    /// What a request costs now.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    pub fn price(&self, request: &Request) -> Result<ResourceCost, Refusal> {
        check_shape(request)?;
        Ok(self.price_of(request, &self.limits.need(request)?))
    }

    fn price_of(&self, request: &Request, need: &Need) -> ResourceCost {
        let prompt = request.prompt.len();
        // The last token of a prompt is always computed, for its logits; an echo needs the logits of all.
        let cacheable = if request.prompt_logprobs.is_some() { 0 } else { prompt - 1 };
        let look_up = |prefix: &Arc<PrefixDirectory>| prefix.look_up(&request.cache_scope, &request.prompt, cacheable);
        let hit = self.prefix.as_ref().map(look_up).unwrap_or_default();
        // Blocks that running requests hold cost no memory; idle cached ones do, because they could be given to others. With full
        // reservations nothing is deducted: those others may end first.
        // Those of windows are shared only for a while, if the text goes on behind the windows.
        let in_windows = if self.limits.slides(prompt, need.answer) { 0 } else { hit.held_in_windows };
        let shared = if self.reserve_full { 0 } else { hit.held + in_windows };
        let blocks = self.limits.blocks_in_full(prompt, 1, request.n);
        // A text that is only read has no answer.
        let expected = if need.answer == 0 { 0 } else { self.history.lock().expect(&request.tenant, need.answer) };
        let expected_blocks = self.limits.blocks_in_full(prompt, expected, request.n);
        let cached_tokens = hit.places * self.limits.groups.block_len();
        ResourceCost {
            blocks: blocks.saturating_sub(shared) as u64,
            expected_growth: (expected_blocks - blocks) as u64,
            worst_growth: (need.blocks - blocks) as u64,
            seqs: need.seqs as u64,
            prefill_tokens: (prompt - cached_tokens) as u64,
            expected_tokens: expected.saturating_mul(request.n) as u64,
            cached_tokens: cached_tokens as u64,
        }
    }

    /// Notes how long the answers of a request became.
    pub(super) fn note_answers(&self, tenant: &str, answers: usize, tokens: usize) {
        self.history.lock().note(tenant, tokens.div_ceil(answers.max(1)));
    }
}

/// A valid request with its price, which is taken once and serves limits, scheduling and the books alike:
/// [`Engine::price`](crate::Engine::price) makes it, [`Engine::submit_priced`](crate::Engine::submit_priced) takes it.
#[derive(Clone, Debug)]
pub struct PricedRequest {
    pub(super) request: Request,
    pub(super) metadata: TaskMetadata,
    /// The longest answer in tokens.
    pub(super) answer: usize,
}

impl PricedRequest {
    /// What it asks for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What it costs.
    pub fn cost(&self) -> &ResourceCost {
        &self.metadata.cost
    }

    /// The most tokens that it can use: its prompt, and its answers if each becomes as long as it may and as there is room for.
    pub fn most_tokens(&self) -> u64 {
        self.request.prompt.len().saturating_add(self.answer.saturating_mul(self.request.n)) as u64
    }
}

/// What must hold for a request to have a price at all.
fn check_shape(request: &Request) -> Result<(), Refusal> {
    if request.prompt.is_empty() {
        return Err(Refusal::invalid("prompt", "the prompt has no tokens; send at least one"));
    }
    if request.n == 0 {
        return Err(Refusal::invalid("n", "n is 0; ask for at least one answer"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv_groups::KvGroups;

    fn adapter() -> ResourceAdapter {
        let limits = RequestLimits {
            context_length: 1000,
            blocks: 100,
            groups: KvGroups::new(&[None], 16),
            max_seqs: 8,
            remedies: Default::default(),
        };
        ResourceAdapter::new(limits, None, false)
    }

    fn request(prompt: usize, max_tokens: usize, n: usize) -> Request {
        Request { max_tokens: Some(max_tokens), n, ..Request::new("r", vec![1; prompt]) }
    }

    #[test]
    fn the_price_follows_the_geometry() {
        let cost = adapter().price(&request(40, 30, 1)).unwrap();
        let expected = ResourceCost {
            blocks: 3,
            expected_growth: 2,
            worst_growth: 2,
            seqs: 1,
            prefill_tokens: 40,
            expected_tokens: 30,
            cached_tokens: 0,
        };
        assert_eq!(cost, expected, "40 tokens are 3 blocks; 69 stored tokens are 5");
        let cost = adapter().price(&request(40, 30, 4)).unwrap();
        assert_eq!((cost.blocks, cost.worst_growth, cost.seqs), (2 + 4, 4 * 2, 4), "two full blocks are shared");
    }

    #[test]
    fn what_has_no_prompt_or_no_answer_has_no_price() {
        for request in [request(0, 5, 1), request(5, 5, 0)] {
            assert!(matches!(adapter().price(&request), Err(Refusal::Invalid { .. })));
            assert!(matches!(adapter().metadata(&request, Instant::now()), Err(Refusal::Invalid { .. })));
        }
    }

    #[test]
    fn the_expected_answer_follows_the_history() {
        let adapter = adapter();
        (0..20).for_each(|_| adapter.note_answers("", 2, 40));
        let cost = adapter.price(&request(16, 900, 1)).unwrap();
        assert_eq!((cost.expected_tokens, cost.expected_growth), (20, 2));
        assert_eq!(cost.worst_growth, (16 + 899usize).div_ceil(16) as u64 - 1);
    }
}
