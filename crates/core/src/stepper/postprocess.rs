//! From logits to delivered text, and the step as a whole.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::backend::Pass;
use crate::event::{Event, FinishReason, RequestError};
use crate::sampler::logprob;
use parkade_model::TokenId;
use parkade_pool::TaskId;

use super::memory_policy::MemoryPolicy;
use super::paused_pass::Turn;
use super::plan::{Share, StepPlan};
use super::sequence::{Finish, Said, Stage};
use super::{Progress, StepReport, Stepper};

impl Stepper {
    /// One step for all requests that are ready; nothing, if none is. Its pass may be left in the middle; a later step goes on with it.
    pub(crate) fn step(&mut self, now: Instant, memory: &mut dyn MemoryPolicy) -> StepReport {
        let begin = self.clock.now();
        self.end_abandoned(now);
        let (turn, parked) = self.next_turn(now, memory);
        let mut report = StepReport { parked, ..StepReport::default() };
        let Some(mut turn) = turn else { return report };
        self.begin_masks(&turn.plan);
        let planned = self.clock.now();
        // A panic is a failure like any other: what the pass had begun is given up with the requests that were part of it.
        let result = catch_unwind(AssertUnwindSafe(|| self.forward(&turn, &|| memory.interrupts())));
        let computed = self.clock.now();
        let now = now + computed.duration_since(begin);
        turn.time.schedule += planned - begin;
        turn.time.forward += computed - planned;
        match result {
            Ok(Ok(Pass::Left)) => {
                self.metrics.work.step_interruptions.inc();
                self.left.push(Turn { is_left: true, ..turn });
                report.was_left = true;
                return report;
            }
            Ok(Ok(Pass::Done)) => self.postprocess(&turn.plan, now, &mut report),
            Ok(Err(error)) => self.fail_all(&turn.plan, &error.0, now),
            Err(panic) => self.fail_all(&turn.plan, &format!("the backend panicked: {}", panic_message(&*panic)), now),
        }
        turn.time.sample += self.clock.since(computed);
        report.time = turn.time;
        let prompt_rows = report.progress.iter().map(|progress| progress.prompt_rows).sum();
        let rows = turn.plan.rows();
        self.budget.note(rows - prompt_rows, prompt_rows, report.time.total());
        self.metrics.step(&report.time, rows);
        if cfg!(debug_assertions) {
            self.audit();
        }
        report
    }

    fn fail_all(&mut self, plan: &StepPlan, message: &str, now: Instant) {
        tracing::error!(requests = plan.shares.len(), message, "forward pass failed");
        for share in &plan.shares {
            self.fail(share.key, RequestError::Forward { message: message.to_owned() }, now);
        }
    }

    /// Notes what was computed, and gives each sequence that is complete its next token.
    fn postprocess(&mut self, plan: &StepPlan, now: Instant, report: &mut StepReport) {
        let width = self.output_width();
        let logits = std::mem::take(&mut self.logits);
        for share in &plan.shares {
            let rows = &logits[share.first_logit * width..][..share.logit_rows * width];
            let active = self.requests.get_mut(&share.key).expect("planned requests are here");
            let generated_before = active.generated();
            let seq = &mut active.seqs[share.choice];
            let is_prompt = !seq.is_decoding() || seq.computed < seq.prompt_len;
            seq.computed += share.rows;
            let proposals = seq.roll_back();
            self.pool.record(&mut seq.table, &active.scope, &seq.tokens[..seq.computed]);
            if self.pool.has_states() {
                let rolls = !seq.keeps_for_others(self.pool.block_len());
                self.pool.keep_state(&mut seq.table, seq.computed, rolls);
            }
            let complete = seq.missing() == 0;
            if is_prompt {
                active.tell_progress(share.choice, share.past);
            }
            // A panic over one request's logits, or over the text of its token, is that request's failure and nobody else's.
            let chosen = catch_unwind(AssertUnwindSafe(|| {
                if self.embedder.is_some() {
                    self.embed(share, rows, complete, now);
                    return;
                }
                self.echo(share, rows);
                self.share_prompt(share);
                if complete {
                    self.accept(share, &proposals, rows, now);
                }
            }));
            if let Err(panic) = chosen {
                let active = self.requests.get_mut(&share.key).expect("planned requests are here");
                active.failure = Some(RequestError::Panicked { message: panic_message(&*panic) });
            }
            let active = self.requests.get_mut(&share.key).expect("planned requests are here");
            let seq = &mut active.seqs[share.choice];
            if self.pool.step_back(&mut seq.table) {
                seq.computed = share.past;
            }
            active.outlet.request().set_generated(active.generated());
            let generated = active.generated() - generated_before;
            report.progress.push(Progress {
                key: share.key,
                prompt_rows: if is_prompt { share.rows } else { 0 },
                generated,
            });
        }
        self.logits = logits;
        self.settle(plan, now);
    }

    /// Chooses and accepts a token, and more as long as it is the one that was proposed: then the row behind it counts too.
    fn accept(&mut self, share: &Share, proposals: &[TokenId], rows: &[f32], now: Instant) {
        let wanted = 1 + proposals.len();
        let given = rows.chunks_exact(self.backend.vocab());
        // An echo has more rows; of what is forced there may be none but the last.
        let (before, without) = (given.len().saturating_sub(wanted), wanted.saturating_sub(given.len()));
        let mut rows = std::iter::repeat_n(&[][..], without).chain(given.skip(before));
        let first = rows.next().expect("who is complete has a row of logits");
        self.next_tokens(share.key, first, now);
        for (&proposal, logits) in proposals.iter().zip(rows) {
            let active = self.requests.get_mut(&share.key).expect("planned requests are here");
            let seq = &mut active.seqs[share.choice];
            if active.failure.is_some() || !seq.accept_computed(proposal) {
                return;
            }
            self.pool.record(&mut seq.table, &active.scope, &seq.tokens[..seq.computed]);
            self.next_tokens(share.key, logits, now);
        }
    }

    /// Pools the hidden states of a text, and delivers what the model makes of them when all are there.
    fn embed(&mut self, share: &Share, hidden: &[f32], complete: bool, now: Instant) {
        let width = self.output_width();
        let active = self.requests.get_mut(&share.key).expect("planned requests are here");
        active.pooled.add(hidden, width);
        if !complete {
            return;
        }
        let mut values = active.pooled.finish();
        self.backend.finish(&mut values);
        if values.iter().any(|value| !value.is_finite()) {
            active.failure = Some(RequestError::NoLogits);
            return;
        }
        active.first_token = Some(now);
        self.metrics.first_token(&active.outlet.request().metadata, now);
        let seq = &mut active.seqs[share.choice];
        seq.stage = Stage::Finished;
        seq.release(&mut self.pool);
        self.metrics.answer_ended(FinishReason::Stop.name());
        active.outlet.send(Event::Embedding(values));
    }

    /// Notes the log-probabilities of the prompt's tokens, and delivers them when all are there.
    fn echo(&mut self, share: &Share, rows: &[f32]) {
        let active = self.requests.get_mut(&share.key).expect("planned requests are here");
        let Some(echo) = &mut active.echo else { return };
        let seq = &active.seqs[share.choice];
        let alternatives = active.settings.prompt_logprobs.unwrap_or(0);
        // After parking it goes on from a block's end, and computes again what it knew.
        let known = (echo.len() - 1).saturating_sub(share.past);
        for row in rows.chunks_exact(self.backend.vocab()).skip(known) {
            if echo.len() == seq.prompt_len {
                break;
            }
            match logprob(row, seq.tokens[echo.len()], alternatives, &mut self.scratch) {
                Ok(found) => echo.push(Some(found)),
                Err(_) => {
                    active.failure = Some(RequestError::NoLogits);
                    return;
                }
            }
        }
        if echo.len() == seq.prompt_len {
            let echo = active.echo.take().unwrap_or_default();
            active.outlet.send(Event::PromptLogprobs(echo));
        }
    }

    /// Once the prompt is computed, the answers that waited for it share its blocks.
    fn share_prompt(&mut self, share: &Share) {
        let seqs = &mut self.requests.get_mut(&share.key).expect("planned requests are here").seqs;
        let prompt_len = seqs[share.choice].prompt_len;
        if seqs[share.choice].computed < prompt_len {
            return;
        }
        for choice in 0..seqs.len() {
            if seqs[choice].stage != Stage::Following {
                continue;
            }
            // A new answer takes the whole prompt, and the logits of its last token with it. One that is resumed has tokens of its own
            // behind the prompt's last full block and computes these again.
            let is_new = seqs[choice].generated() == 0;
            debug_assert!(
                !is_new || seqs[share.choice].computed == prompt_len,
                "all answers get their first token together"
            );
            let tokens = if is_new { prompt_len } else { prompt_len - prompt_len % self.pool.block_len() };
            let table = &seqs[share.choice].table;
            if !is_new && (self.pool.has_states() || !self.pool.reaches_back(table, tokens)) {
                // It goes on from what the prefix cache has nearest to its end.
                seqs[choice].stage = Stage::Live;
                continue;
            }
            let table = self.pool.share(&seqs[share.choice].table, self.pool.groups().places(tokens));
            let seq = &mut seqs[choice];
            (seq.table, seq.computed, seq.stage) = (table, tokens, Stage::Live);
        }
    }

    /// The next token of every answer of a request that is complete up to these logits: one, or all of them after the prompt.
    fn next_tokens(&mut self, key: TaskId, logits: &[f32], now: Instant) {
        let active = self.requests.get_mut(&key).expect("planned requests are here");
        for (index, seq) in active.seqs.iter_mut().enumerate() {
            if active.failure.is_some() {
                return;
            }
            if seq.stage != Stage::Live || seq.missing() > 0 {
                continue;
            }
            let next = match seq.next(logits, &active.settings, &*self.vocabulary, &mut self.scratch) {
                Ok(next) => next,
                Err(error) => {
                    active.failure = Some(error);
                    return;
                }
            };
            if next.generated {
                self.metrics.work.generation_tokens.inc();
                let metadata = &active.outlet.request().metadata;
                match seq.last_token.replace(now) {
                    Some(before) => self.metrics.next_token(metadata, now.saturating_duration_since(before)),
                    None if active.first_token.is_none() => {
                        active.first_token = Some(now);
                        self.metrics.first_token(metadata, now);
                    }
                    None => {}
                }
            }
            if let Some(Said { id, text, logprob }) = next.said {
                active.outlet.send(Event::Token { index, id, text, logprob });
            }
            if let Some(Finish { reason, text, stop_string, end_token }) = next.finish {
                seq.stage = Stage::Finished;
                seq.release(&mut self.pool);
                self.metrics.answer_ended(reason.name());
                active.outlet.send(Event::Finished { index, reason, text, stop_string, end_token });
            }
        }
    }

    /// Ends the requests of a step that are complete or have failed.
    fn settle(&mut self, plan: &StepPlan, now: Instant) {
        for share in &plan.shares {
            let Some(active) = self.requests.get_mut(&share.key) else { continue };
            if let Some(error) = active.failure.take() {
                self.fail(share.key, error, now);
            } else if active.unfinished() == 0 {
                self.end(share.key, Ok(()), now);
            }
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}
