//! Passes that were left in the middle because a higher class needs its first token.
//!
//! A step's pass can be long: many streams, a long prompt. When a request of a higher class comes meanwhile, the pass is left between
//! two layers, the newcomer's prompt is computed in a pass of its own, and then the first one goes on where it was. Nothing is lost and nothing
//! is computed twice. What a sequence gets does not depend on it: a row's result never depends on what else is computed.
//!
//! Until its pass has ended, a sequence is as it was before the step. So one that ends or is parked meanwhile is just dropped from the plan;
//! the pass then leaves its blocks alone.

use std::time::Instant;

use parkade_kernels::{SlotPair, Span};
use parkade_model::{Batch, Outputs};

use crate::backend::{BackendError, Pass};
use crate::metrics::StepTime;
use parkade_pool::TaskId;

use super::Stepper;
use super::memory_policy::MemoryPolicy;
use super::plan::{Share, StepPlan};

/// A step whose pass has begun or is about to.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) plan: StepPlan,
    /// How urgent the first tokens were that it was planned for. Only what is more urgent overtakes it.
    pub(super) urgency: u8,
    /// What it has taken so far.
    pub(super) time: StepTime,
    /// Its pass was left and goes on.
    pub(super) is_left: bool,
}

impl Stepper {
    /// What this step computes: a pass that was left, unless something more urgent has come; else a new one.
    pub(super) fn next_turn(&mut self, now: Instant, memory: &mut dyn MemoryPolicy) -> (Option<Turn>, Vec<TaskId>) {
        self.abandon_empty();
        let urgency = memory.urgency();
        let mut parked = Vec::new();
        if self.left.last().is_none_or(|left| urgency > left.urgency) {
            let mut plan = self.plan(now, memory);
            parked = std::mem::take(&mut plan.parked);
            if !plan.shares.is_empty() {
                self.lay_out(&mut plan);
                return (Some(Turn { plan, urgency, ..Turn::default() }), parked);
            }
            self.abandon_empty();
        }
        (self.left.pop(), parked)
    }

    /// Gives up passes that nobody is part of any more.
    fn abandon_empty(&mut self) {
        while self.left.pop_if(|left| left.plan.shares.is_empty()).is_some() {
            self.backend.abandon();
        }
    }

    /// Takes a request out of all passes that were left: its blocks are about to be somebody else's.
    pub(super) fn drop_from_left(&mut self, key: TaskId) {
        self.left.iter_mut().for_each(|left| left.plan.drop_request(key));
    }

    /// Whether a request is part of a pass that was left.
    pub(super) fn is_in_left(&self, key: TaskId) -> bool {
        self.left.iter().any(|left| left.plan.shares.iter().any(|share| share.key == key))
    }

    /// Runs a turn's pass through the backend, or goes on with it. When it is done the logits are in `self.logits`, in the order of the shares.
    pub(super) fn forward(&mut self, turn: &Turn, stop: &dyn Fn() -> bool) -> Result<Pass, BackendError> {
        let StepPlan { shares, copies, tokens, logit_rows, .. } = &turn.plan;
        let spans: Vec<Span<'_>> = shares
            .iter()
            .map(|share| {
                let seq = &self.requests[&share.key].seqs[share.choice];
                Span { first_row: share.first_row, rows: share.rows, past: seq.computed, blocks: seq.table.as_raw() }
            })
            .collect();
        let state = |share: &Share| self.requests[&share.key].seqs[share.choice].table.state_pair();
        let states: Vec<SlotPair> = shares.iter().filter_map(state).collect();
        let outputs = match self.embedder {
            None => Outputs::Logits(logit_rows),
            Some(_) => Outputs::Hidden(logit_rows),
        };
        let batch = Batch { tokens, spans: &spans, states: &states, outputs };
        let pass = if turn.is_left {
            self.backend.resume(&batch, &mut self.logits, stop)?
        } else {
            for (_, copy) in copies {
                self.backend.copy_block(copy.from.0, copy.to.0);
            }
            self.backend.forward_until(&batch, &mut self.logits, stop)?
        };
        let wanted = logit_rows.len() * self.output_width();
        if pass == Pass::Left || self.logits.len() == wanted {
            return Ok(pass);
        }
        Err(BackendError(format!("the backend gave {} logits instead of {wanted}", self.logits.len())))
    }
}
