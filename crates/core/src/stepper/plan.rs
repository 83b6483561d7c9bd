//! What the next forward pass computes.

use std::time::Instant;

use parkade_model::TokenId;

use crate::blocks::{Copy, Hit};
use crate::event::RequestError;
use parkade_pool::{Class, TaskId};

use super::Stepper;
use super::active::Active;
use super::memory_policy::{Ask, Grant, MemoryPolicy};
use super::sequence::{Sequence, Stage};

/// The part of one sequence in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) key: TaskId,
    pub(super) choice: usize,
    /// Tokens that were computed before.
    pub(super) past: usize,
    /// Tokens to compute, from the first that is missing.
    pub(super) rows: usize,
    /// Of these, the ones whose logits (or hidden states) are wanted: the first of them, and how many.
    pub(super) first_wanted: usize,
    pub(super) logit_rows: usize,
    /// Its first row among those of the pass.
    pub(super) first_row: usize,
    /// Its first row among the logits of the pass.
    pub(super) first_logit: usize,
}

/// One step: who takes part with how many tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct StepPlan {
    pub(super) shares: Vec<Share>,
    pub(super) copies: Vec<(TaskId, Copy)>,
    /// Requests that had to be parked for it.
    pub(super) parked: Vec<TaskId>,
    /// All rows of the pass, and those whose logits are wanted. Both stay as they are when somebody is dropped.
    pub(super) tokens: Vec<TokenId>,
    pub(super) logit_rows: Vec<usize>,
}

/// A plan in the making.
struct Planning<'a> {
    now: Instant,
    memory: &'a mut dyn MemoryPolicy,
    plan: StepPlan,
}

impl StepPlan {
    pub(super) fn drop_request(&mut self, key: TaskId) {
        self.shares.retain(|share| share.key != key);
        self.copies.retain(|&(owner, _)| owner != key);
    }

    pub(super) fn rows(&self) -> usize {
        self.shares.iter().map(|share| share.rows).sum()
    }
}

/// Logits that one sequence may want at once, for its echo: a long prompt takes several steps instead of a vocabulary's memory for each token.
const MOST_LOGITS: usize = 1 << 22;

/// While first tokens are urgent no further prompt joins a pass that has so many rows of prompts: more would make it no more efficient, only longer.
const ROWS_WORTH_A_PASS: usize = 64;

impl Stepper {
    /// Answers that stream come first, one token each; what is left of the budget goes to prompts.
    ///
    /// Prompts are ordered by the moment since which their readers wait, plus the time that each would still take alone. So a short one need not wait for
    /// a long one that came just before it, and none is overtaken by what comes later than it could have been done.
    /// While first tokens are urgent, a long prompt is the only one of its step: to share it would only make two wait for the sum.
    pub(super) fn plan(&mut self, now: Instant, memory: &mut dyn MemoryPolicy) -> StepPlan {
        let is_urgent = memory.urgency() > 0;
        let ready = self.ready(now, memory);
        let mut planning = Planning { now, memory, plan: StepPlan::default() };
        for &seq in &ready {
            if self.sequence(seq).is_some_and(Sequence::is_decoding) {
                self.propose(seq);
                if self.take_part(seq, usize::MAX, &mut planning) == 0
                    && let Some(active) = self.requests.get_mut(&seq.0)
                {
                    active.seqs[seq.1].roll_back();
                }
            }
        }
        let mut prompts: Vec<_> = ready
            .into_iter()
            .filter(|&seq| self.sequence(seq).is_some_and(|seq| !seq.is_decoding() && seq.missing() > 0))
            .collect();
        if prompts.len() > 1 {
            prompts.sort_by_cached_key(|&seq| self.due(seq));
        }
        let budget = self.budget.budget(planning.plan.shares.len());
        let mut taken = 0;
        for &seq in &prompts {
            let enough = if is_urgent { ROWS_WORTH_A_PASS.min(budget) } else { budget };
            if taken < enough && (taken == 0 || self.fits(seq, enough - taken)) {
                taken += self.take_part(seq, budget - taken, &mut planning);
            }
        }
        planning.plan
    }

    /// Live sequences of running requests whose readers keep up, and who do not sit out. If a pass was left, only those that wait for their first token.
    fn ready(&mut self, now: Instant, memory: &dyn MemoryPolicy) -> Vec<(TaskId, usize)> {
        let overtaking = !self.left.is_empty();
        let mut ready = Vec::new();
        for &key in &self.running {
            if overtaking && (self.is_in_left(key) || self.requests[&key].first_token.is_some()) {
                continue;
            }
            let active = self.requests.get_mut(&key).expect("running requests are here");
            if !active.outlet.has_room_for(active.events_per_step()) {
                active.paused_since.get_or_insert(now);
                continue;
            }
            active.paused_since = None;
            if memory.sits_out(key) {
                continue;
            }
            let live = active.seqs.iter().enumerate().filter(|(_, seq)| seq.stage == Stage::Live);
            ready.extend(live.map(|(choice, _)| (key, choice)));
        }
        ready
    }

    /// A sequence, unless its request was parked or has failed meanwhile.
    fn sequence(&self, (key, choice): (TaskId, usize)) -> Option<&Sequence> {
        self.requests.get(&key).filter(|active| !active.parked).map(|active| &active.seqs[choice])
    }

    /// How many tokens it has not computed.
    fn missing(&self, seq: (TaskId, usize)) -> usize {
        self.sequence(seq).map_or(0, Sequence::missing)
    }

    /// Whether a sequence can take part with so many rows.
    fn fits(&self, seq: (TaskId, usize), rows: usize) -> bool {
        !self.is_whole() || self.missing(seq) <= rows
    }

    /// Whether a text is computed in one pass.
    fn is_whole(&self) -> bool {
        self.embedder.is_some_and(|embedder| embedder.is_whole)
    }

    /// When a sequence would have its next token if it had been computed alone since its reader began to wait.
    fn due(&self, (key, choice): (TaskId, usize)) -> Instant {
        let active = &self.requests[&key];
        let seq = &active.seqs[choice];
        let cached = self.cached(active, seq).places * self.pool.block_len();
        seq.last_token.unwrap_or(active.submitted) + self.budget.prefill_time(seq.missing() - cached)
    }

    /// What the cache has for a sequence, if it has no blocks yet.
    fn cached(&self, active: &Active, seq: &Sequence) -> Hit {
        if !seq.table.is_empty() {
            return Hit::default();
        }
        self.pool.look_up(&active.scope, &seq.tokens, active.cache_limit(seq))
    }

    /// Adds up to `most` tokens of a sequence to the plan, if it may have the blocks. Returns how many.
    fn take_part(&mut self, seq: (TaskId, usize), most: usize, planning: &mut Planning<'_>) -> usize {
        let (key, choice) = seq;
        self.slide(seq, planning.memory);
        while self.missing(seq) > 0 {
            if !self.pool.has_room_for_state(&self.requests[&key].seqs[choice].table) {
                // Others go on from its state or have taken the last slot; both are over with the next passes.
                return 0;
            }
            let wish = self.wish(key, choice, most);
            let short = wish.blocks.saturating_sub(self.requests[&key].owed());
            let available = self.pool.counts().available();
            let grant = match wish.blocks {
                0 => Grant::Yes,
                _ => planning.memory.ask(&Ask { key, short, free: self.free() }),
            };
            match grant {
                Grant::Yes => {
                    let active = self.requests.get_mut(&key).expect("planned requests are here");
                    active.grant(short);
                    if wish.blocks > available {
                        // A policy that promised what is not there: the request waits for a better step.
                        return 0;
                    }
                    active.taken += wish.blocks;
                    return self.fulfil(key, choice, &wish, &mut planning.plan);
                }
                Grant::Never => {
                    planning.plan.drop_request(key);
                    self.fail(key, RequestError::NoRoom, planning.now);
                }
                Grant::Park(victims) => {
                    let victims: Vec<TaskId> = victims.into_iter().filter(|&victim| self.park(victim)).collect();
                    if victims.is_empty() {
                        return 0;
                    }
                    victims.iter().for_each(|&victim| planning.plan.drop_request(victim));
                    planning.plan.parked.extend(victims);
                }
            }
        }
        0
    }

    /// Gives back the blocks that a sequence's windows have left behind, and lends to the policy what its request will not take again soon.
    fn slide(&mut self, (key, choice): (TaskId, usize), memory: &mut dyn MemoryPolicy) {
        let groups = self.pool.groups().count();
        let Some(active) = self.requests.get_mut(&key).filter(|active| groups > 1 && !active.parked) else { return };
        let is_followed = active.seqs.iter().any(|seq| seq.stage == Stage::Following);
        let seq = &mut active.seqs[choice];
        // Answers that are resumed with it go on from the prompt's last whole block.
        let whole = seq.prompt_len - seq.prompt_len % self.pool.block_len();
        let position = if is_followed { seq.computed.min(whole) } else { seq.computed };
        active.taken = active.taken.saturating_sub(self.pool.slide(&mut seq.table, position));
        // What it took and others hold too does not come back by that.
        let held: usize = active.seqs.iter().map(|seq| seq.table.held()).sum();
        let of_others = active.taken.saturating_sub(held);
        // One answer that streams takes at most a chunk's blocks again before its windows leave as many behind.
        let streams = active.seqs.len() == 1 && active.seqs[choice].is_decoding();
        let soon = (groups - 1) * self.pool.groups().places_at_once();
        let spare = if streams { (active.granted - active.taken).saturating_sub(soon) } else { 0 };
        active.taken -= of_others;
        if of_others + spare > 0 && memory.lend(key, of_others + spare) {
            active.lend(of_others + spare);
        }
    }

    /// What a sequence would take part with: cached blocks if it has none yet, its rows, and the blocks that are new for it.
    fn wish(&self, key: TaskId, choice: usize, most: usize) -> Wish {
        let active = &self.requests[&key];
        let seq = &active.seqs[choice];
        let hit = self.cached(active, seq);
        let past = seq.computed + hit.places * self.pool.block_len();
        let most = most.min(self.pool.groups().rows_in_a_pass());
        let mut rows = (seq.tokens.len() - past).min(if self.is_whole() { usize::MAX } else { most });
        if active.echo.is_some() {
            rows = rows.min((MOST_LOGITS / self.backend.vocab()).max(1));
        }
        let fork = match seq.table.is_empty() {
            true if self.pool.has_states() => {
                self.pool.known_tokens(&active.scope, &seq.tokens, active.cache_limit(seq))
            }
            _ => seq.fork,
        };
        if self.pool.has_states() && !seq.is_decoding() {
            rows = seq.rows_to_a_snapshot(past, rows, fork, self.pool.block_len());
        }
        let groups = self.pool.groups();
        let grown = groups.places(past + rows).saturating_sub(hit.places.max(seq.table.len()));
        let own = self.pool.shared(&seq.table, past);
        Wish { rows, fork, grown, blocks: grown * groups.count() + hit.idle + own }
    }

    /// Takes the blocks and notes the sequence in the plan.
    fn fulfil(&mut self, key: TaskId, choice: usize, wish: &Wish, plan: &mut StepPlan) -> usize {
        let active = self.requests.get_mut(&key).expect("planned requests are here");
        let first_time = active.parkings == 0;
        let echo = active.echo.is_some();
        let limit = active.cache_limit(&active.seqs[choice]);
        let seq = &mut active.seqs[choice];
        if seq.table.is_empty() {
            seq.fork = wish.fork;
            seq.table.set_outlasts(active.outlet.request().metadata.class > Class::Low);
            seq.computed = self.pool.attach(&mut seq.table, &active.scope, &seq.tokens, limit);
            if first_time && seq.generated() == 0 {
                active.cached_tokens = seq.computed;
                self.metrics.work.prompt_tokens_cached.inc_by(seq.computed as u64);
            }
        }
        let copies = self.pool.make_own(&mut seq.table, seq.computed).expect("the blocks were available");
        self.pool.grow(&mut seq.table, wish.grown).expect("the blocks were available");
        self.pool.begin_pass(&mut seq.table, seq.computed + wish.rows, seq.proposed > 0);
        plan.copies.extend(copies.into_iter().map(|copy| (key, copy)));
        let last = wish.rows == seq.missing();
        let wanted = match self.embedder {
            Some(embedder) => embedder.pooling.rows(seq.computed, wish.rows, seq.tokens.len()),
            None if echo => 0..wish.rows,
            None if seq.wants_all_logits(&active.settings) => {
                wish.rows - usize::from(last) * (1 + seq.proposed)..wish.rows
            }
            None => wish.rows - usize::from(last)..wish.rows,
        };
        plan.shares.push(Share {
            key,
            choice,
            past: seq.computed,
            rows: wish.rows,
            first_wanted: wanted.start,
            logit_rows: wanted.len(),
            first_row: 0,
            first_logit: 0,
        });
        wish.rows
    }

    /// Gives each share its rows, when nobody is added any more.
    pub(super) fn lay_out(&self, plan: &mut StepPlan) {
        for share in &mut plan.shares {
            let seq = &self.requests[&share.key].seqs[share.choice];
            (share.first_row, share.first_logit) = (plan.tokens.len(), plan.logit_rows.len());
            plan.tokens.extend_from_slice(&seq.tokens[seq.computed..][..share.rows]);
            plan.logit_rows.extend((share.first_row + share.first_wanted..).take(share.logit_rows));
        }
    }
}

/// What a sequence would take part with.
struct Wish {
    rows: usize,
    /// Where its tokens went on differently from those of a text that was seen before, if the model keeps a state.
    fork: usize,
    /// Places to add to its table.
    grown: usize,
    /// Blocks that are taken from the available ones: new ones, idle cached ones, and a copy of a shared one.
    blocks: usize,
}
