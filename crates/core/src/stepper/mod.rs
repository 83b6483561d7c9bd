//! The mechanism: all admitted requests, advanced together by steps.
//!
//! A step is one plan under a token budget, one ragged forward pass, and for each sequence that is complete one token: sampled,
//! turned into text, delivered. There are no threads or policies in here. Time comes in from outside, as an argument and as the [`Clock`] by
//! which steps are timed (which only sizes later budgets and changes no result), and who may have memory is asked of a [`MemoryPolicy`].

mod active;
mod closing;
mod masks;
mod memory_policy;
mod paused_pass;
mod plan;
mod postprocess;
mod proposal;
mod sequence;
mod step_budget;
mod structure;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::backend::Backend;
use crate::blocks::PrefixDirectory;
use crate::blocks::{BlockCounts, BlockPool};
use crate::config::EngineConfig;
use crate::event::{RequestError, Usage};
use crate::metrics::{EngineMetrics, StepTime};
use crate::request_limits::RequestLimits;
use crate::requests::{LiveRequest, RequestState};
use crate::sampler::Scratch;
use crate::stream::Outlet;
use crate::vocabulary::Vocabulary;
use parkade_model::{Embedder, Pooling};
use parkade_pool::{Clock, TaskId};

use active::Active;
pub(crate) use active::Arrival;
use masks::Masks;
pub(crate) use memory_policy::{Ask, Free, Grant, MemoryPolicy};
use paused_pass::Turn;
use proposal::Proposer;
use step_budget::StepBudget;

/// All admitted requests and what they need: the backend, the blocks, the sampler's scratch memory.
pub(crate) struct Stepper {
    backend: Box<dyn Backend>,
    vocabulary: Arc<dyn Vocabulary>,
    metrics: Arc<EngineMetrics>,
    limits: RequestLimits,
    pool: BlockPool,
    requests: BTreeMap<TaskId, Active>,
    /// Requests that take part in the steps, in the order in which they were admitted or resumed.
    running: Vec<TaskId>,
    budget: StepBudget,
    ended: Vec<Ended>,
    logits: Vec<f32>,
    scratch: Scratch,
    /// What the backend makes of texts, if it does not go on with them.
    embedder: Option<Embedder>,
    /// Steps whose passes were left for something more urgent, the last of them last.
    left: Vec<Turn>,
    clock: Clock,
    /// Nobody proposes yet but the tests.
    proposer: Option<Box<dyn Proposer>>,
    masks: Masks,
}

/// A request that has ended. Its blocks are free. Its last event is sent when this is dropped, after the policy has taken it off
/// its books: so whoever has read the last event finds the room that the request had.
pub(crate) struct Ended {
    pub(crate) key: TaskId,
    pub(crate) result: Result<(), RequestError>,
    pub(crate) completion_tokens: usize,
    outlet: Outlet,
    usage: Usage,
}

impl Ended {
    pub(crate) fn request(&self) -> &LiveRequest {
        self.outlet.request()
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.outlet.end(self.result.clone(), self.usage);
    }
}

/// What a step did.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepReport {
    /// For each request that took part: rows of prompt (or of what is computed again), and tokens generated.
    pub(crate) progress: Vec<Progress>,
    /// The pass was left in the middle: there is more to do, though nothing was done for anybody yet.
    pub(crate) was_left: bool,
    /// Requests that were parked for memory.
    pub(crate) parked: Vec<TaskId>,
    pub(crate) time: StepTime,
}

/// One request's part in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) key: TaskId,
    pub(crate) prompt_rows: usize,
    pub(crate) generated: usize,
}

/// How many requests are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) running: usize,
    pub(crate) running_seqs: usize,
    pub(crate) paused: usize,
    pub(crate) parked: usize,
    pub(crate) blocks: BlockCounts,
    pub(crate) states: BlockCounts,
}

impl Stepper {
    pub(crate) fn new(
        backend: Box<dyn Backend>,
        vocabulary: Arc<dyn Vocabulary>,
        config: &EngineConfig,
        metrics: Arc<EngineMetrics>,
        clock: Clock,
    ) -> Self {
        let limits = RequestLimits::of(&*backend, config.max_seqs, config.max_batched_tokens, config.remedies);
        let embedder = backend.embedder();
        // Cached tokens have no hidden states, and those of an encoder depend on what comes behind them.
        let caches = embedder.is_none_or(|embedder| embedder.pooling == Pooling::Last && !embedder.is_whole);
        let mut pool = BlockPool::new(limits.blocks, limits.groups.clone(), config.prefix_cache && caches);
        if backend.state_bytes() > 0 {
            pool = pool.with_states(backend.state_slots(), limits.max_seqs);
        }
        Stepper {
            vocabulary,
            metrics,
            pool,
            requests: BTreeMap::new(),
            running: Vec::new(),
            budget: StepBudget::new(config.step_target, config.max_batched_tokens, limits.groups.block_len()),
            limits,
            ended: Vec::new(),
            logits: Vec::new(),
            scratch: Scratch::default(),
            embedder,
            left: Vec::new(),
            clock,
            proposer: None,
            masks: Masks::default(),
            backend,
        }
    }

    pub(crate) fn limits(&self) -> &RequestLimits {
        &self.limits
    }

    pub(crate) fn vocab(&self) -> usize {
        self.backend.vocab()
    }

    /// What the model makes of texts, if it does not go on with them.
    pub(crate) fn embedder(&self) -> Option<Embedder> {
        self.embedder
    }

    /// How many values a pass gives for each row that something is wanted of.
    fn output_width(&self) -> usize {
        self.embedder.map_or(self.backend.vocab(), |embedder| embedder.hidden)
    }

    /// What the prefix cache has, for other threads.
    pub(crate) fn prefix_directory(&self) -> Option<Arc<PrefixDirectory>> {
        self.pool.directory()
    }

    /// A request that is here.
    pub(crate) fn request(&self, key: TaskId) -> Option<&LiveRequest> {
        self.requests.get(&key).map(|active| &**active.outlet.request())
    }

    /// What could be given out now: what is available and owed to nobody.
    pub(crate) fn free(&self) -> Free {
        let running = || self.running.iter().map(|key| &self.requests[key]);
        let owed: usize = running().map(Active::owed).sum();
        let seqs: usize = running().map(|active| active.seqs.len()).sum();
        Free {
            blocks: self.pool.counts().available().saturating_sub(owed),
            seqs: self.limits.max_seqs.saturating_sub(seqs),
        }
    }

    /// Whether a request's reader has made room for a step. If not, it will wake the worker.
    pub(crate) fn has_room(&self, key: TaskId) -> bool {
        let active = self.requests.get(&key);
        active.is_some_and(|active| active.outlet.has_room_for(active.events_per_step()))
    }

    /// Lets a request take part in the steps from now on.
    pub(crate) fn admit(&mut self, key: TaskId, arrival: Arrival, now: Instant) {
        let active = Active::new(arrival, now, &self.vocabulary, self.backend.vocab());
        self.metrics.work.admissions.inc();
        self.metrics.queue_time.observe(now.saturating_duration_since(active.submitted).as_secs_f64());
        self.metrics.work.prompt_tokens.inc_by(active.usage(now).prompt_tokens as u64);
        self.running.push(key);
        let before = self.requests.insert(key, active);
        debug_assert!(before.is_none(), "{key:?} is admitted twice");
    }

    /// Takes all blocks of a running request. Its tokens, its sampler and its text stay as they are. False if it does not run.
    pub(crate) fn park(&mut self, key: TaskId) -> bool {
        self.drop_from_left(key);
        let Some(active) = self.requests.get_mut(&key).filter(|active| !active.parked) else {
            return false;
        };
        active.release(&mut self.pool);
        active.regroup();
        active.parked = true;
        active.paused_since = None;
        active.parkings += 1;
        active.taken = 0;
        // It computes all again when it is resumed, and then has what it had at first.
        active.granted += std::mem::take(&mut active.lent);
        active.outlet.parked();
        self.running.retain(|&other| other != key);
        true
    }

    /// Lets a parked request take part again. It goes on with the tokens that it would have had anyway. False if it is not parked.
    pub(crate) fn resume(&mut self, key: TaskId) -> bool {
        let Some(active) = self.requests.get_mut(&key).filter(|active| active.parked) else {
            return false;
        };
        active.parked = false;
        active.outlet.request().set_state(RequestState::Running);
        self.running.push(key);
        true
    }

    /// Ends a request with an error; its blocks are free at once. False if it is not there.
    pub(crate) fn fail(&mut self, key: TaskId, error: RequestError, now: Instant) -> bool {
        let Some(unfinished) = self.requests.get(&key).map(Active::unfinished) else {
            return false;
        };
        self.metrics.failed(&error, unfinished);
        self.end(key, Err(error), now);
        true
    }

    /// Ends every request whose reader has left.
    pub(crate) fn end_abandoned(&mut self, now: Instant) {
        let left: Vec<TaskId> =
            self.requests.iter().filter(|(_, active)| active.outlet.is_closed()).map(|(&key, _)| key).collect();
        for key in left {
            let request = self.requests[&key].outlet.request();
            let overdue = if request.has_expired() { request.overdue(now) } else { None };
            self.fail(key, overdue.unwrap_or(RequestError::Cancelled), now);
        }
    }

    /// Running requests whose reader is too slow, and since when.
    pub(crate) fn paused(&self) -> impl Iterator<Item = (TaskId, Instant)> + '_ {
        self.running.iter().filter_map(|key| Some((*key, self.requests[key].paused_since?)))
    }

    /// Requests that have ended since the last call. To be booked and dropped soon: their readers wait for it.
    pub(crate) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    pub(crate) fn census(&self) -> Census {
        let running = || self.running.iter().map(|key| &self.requests[key]);
        Census {
            running: self.running.len(),
            running_seqs: running().map(Active::unfinished).sum(),
            paused: running().filter(|active| active.paused_since.is_some()).count(),
            parked: self.requests.len() - self.running.len(),
            blocks: self.pool.counts(),
            states: self.pool.state_counts(),
        }
    }

    /// The end of everything that a request holds.
    fn end(&mut self, key: TaskId, result: Result<(), RequestError>, now: Instant) {
        self.drop_from_left(key);
        let mut active = self.requests.remove(&key).expect("only requests that are here can end");
        self.running.retain(|&other| other != key);
        active.release(&mut self.pool);
        let usage = active.usage(now);
        self.metrics.completed(&usage);
        let Active { outlet, .. } = active;
        let completion_tokens = usage.completion_tokens;
        self.ended.push(Ended { key, result, completion_tokens, outlet, usage });
    }

    /// Checks every count against the tables that exist.
    fn audit(&self) {
        self.pool.audit(self.requests.values().flat_map(|active| &active.seqs).map(|seq| &seq.table));
        for (key, active) in &self.requests {
            assert_eq!(
                self.running.iter().filter(|&other| other == key).count(),
                usize::from(!active.parked),
                "{key:?} runs once or is parked"
            );
            for seq in &active.seqs {
                assert!(
                    seq.computed < seq.tokens.len() || seq.stage == sequence::Stage::Finished,
                    "the last token is never computed in advance"
                );
                assert!(seq.proposed == 0 || self.is_in_left(*key), "proposals do not outlive their pass");
                assert!(seq.table.len() >= self.pool.groups().places(seq.computed), "what was computed has its blocks");
                assert!(
                    !self.pool.has_states() || seq.table.has_state() == (seq.computed > 0) || self.is_in_left(*key),
                    "what was computed has its state"
                );
                assert!(seq.stage == sequence::Stage::Live || seq.table.is_empty(), "only live sequences hold blocks");
                assert!(!active.parked || seq.table.is_empty(), "a parked request holds no blocks");
            }
        }
    }
}

impl Drop for Stepper {
    fn drop(&mut self) {
        // After a panic the counts may be wrong, and nobody needs the blocks any more.
        if !std::thread::panicking() {
            self.requests.values_mut().for_each(|active| active.release(&mut self.pool));
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::metadata;
