//! One admitted request: its answers and its reader.

use std::sync::Arc;
use std::time::Instant;

use parkade_model::{Pooled, TokenId};

use crate::blocks::BlockPool;
use crate::event::{Event, PromptProgress, RequestError, TokenLogprob, Usage};
use crate::request::{CacheScope, Request};
use crate::requests::RequestState;
use crate::sampler::Sampler;
use crate::stop::StopMatcher;
use crate::stream::Outlet;
use crate::vocabulary::Vocabulary;

use super::sequence::{Sequence, Settings, Stage};
use super::structure::Structure;

/// A request on its way to the stepper: taken, but not yet admitted.
pub(crate) struct Arrival {
    pub(crate) request: Request,
    /// The longest answer in tokens.
    pub(crate) answer: usize,
    pub(crate) outlet: Outlet,
}

/// How many tokens of a prompt were told of.
pub(super) struct Told(Option<usize>);

/// An admitted request.
pub(super) struct Active {
    pub(super) outlet: Outlet,
    pub(super) scope: CacheScope,
    pub(super) seqs: Vec<Sequence>,
    pub(super) settings: Settings,
    /// Blocks that the policy has granted.
    pub(super) granted: usize,
    /// Of these, the ones that were taken from the block pool.
    pub(super) taken: usize,
    /// Blocks that had been granted, that windows have left behind, and that the policy has again.
    pub(super) lent: usize,
    pub(super) submitted: Instant,
    pub(super) admitted: Instant,
    pub(super) first_token: Option<Instant>,
    pub(super) cached_tokens: usize,
    /// How often it was parked.
    pub(super) parkings: u32,
    pub(super) parked: bool,
    /// Its stream was full before the last step.
    pub(super) paused_since: Option<Instant>,
    /// The prompt's own log-probabilities, as far as they are known, until they are delivered.
    pub(super) echo: Option<Vec<Option<TokenLogprob>>>,
    /// How much of the prompt its reader was told of, if that is to be told; nothing before the first step.
    pub(super) told: Option<Told>,
    /// The hidden states of a text that is embedded, as far as they are computed.
    pub(super) pooled: Pooled,
    /// Something went wrong with one of its sequences; it ends as soon as the step allows.
    pub(super) failure: Option<RequestError>,
}

impl Active {
    /// `vocab` is how many logits a row has.
    pub(super) fn new(arrival: Arrival, now: Instant, vocabulary: &Arc<dyn Vocabulary>, vocab: usize) -> Self {
        let Arrival { request, answer, outlet } = arrival;
        let metadata = &outlet.request().metadata;
        let (submitted, granted) = (metadata.submitted_at, usize::try_from(metadata.cost.blocks).unwrap_or(usize::MAX));
        let seed = request.sampling.seed.unwrap_or_else(random_seed);
        let sampling = Arc::new(request.sampling.clone());
        let stop = StopMatcher::new(&request.stop);
        outlet.request().set_state(RequestState::Running);
        let matcher = request.format.as_ref().map(|format| format.matcher());
        let ends = ends_of(&request, &**vocabulary, vocab);
        let sequence = |choice| {
            let structure = matcher.clone().map(Structure::new);
            let sampler = Sampler::new(Arc::clone(&sampling), &request.prompt, seed, choice)
                .at_least(request.min_tokens, Arc::clone(&ends));
            Sequence::new(&request, choice, sampler, vocabulary, &stop, structure)
        };
        Active {
            seqs: (0..request.n).map(sequence).collect(),
            scope: request.cache_scope.clone(),
            outlet,
            settings: Settings::of(&request, answer),
            granted,
            taken: 0,
            lent: 0,
            submitted,
            admitted: now,
            first_token: None,
            cached_tokens: 0,
            parkings: 0,
            parked: false,
            paused_since: None,
            // Nothing comes before the first token, so it has no probability.
            echo: request.prompt_logprobs.map(|_| vec![None]),
            told: request.progress.then_some(Told(None)),
            pooled: Pooled::default(),
            failure: None,
        }
    }

    /// Sequences that are not finished.
    pub(super) fn unfinished(&self) -> usize {
        self.seqs.iter().filter(|seq| seq.stage != Stage::Finished).count()
    }

    /// How many of a sequence's tokens cached blocks may hold. The last is always computed, for its logits, and so are all whose logits an echo still needs.
    pub(super) fn cache_limit(&self, seq: &Sequence) -> usize {
        self.echo.as_ref().map_or(usize::MAX, |echo| echo.len() - 1).min(seq.tokens.len() - 1)
    }

    /// The most events that one step can bring, and one place that is always kept for the last event.
    pub(super) fn events_per_step(&self) -> usize {
        // A token and a finish for each answer, a token for each proposal, the prompt's log-probabilities and progress, the end.
        let progress = if self.told.is_some() { 2 } else { 0 };
        2 * self.unfinished() + self.seqs.iter().map(|seq| seq.proposed).sum::<usize>() + progress + 3
    }

    /// Tells the reader how much of the prompt is computed: `before` a step, if nothing was told yet, and after it. What is computed again is no
    /// news.
    pub(super) fn tell_progress(&mut self, choice: usize, before: usize) {
        let Some(Told(told)) = &mut self.told else { return };
        let (tokens, cached) = (self.seqs[choice].prompt_len, self.cached_tokens);
        for computed in [before, self.seqs[choice].computed].map(|computed| computed.min(tokens)) {
            if told.is_none_or(|told| told < computed) {
                *told = Some(computed);
                self.outlet.send(Event::PromptProgress(PromptProgress { tokens, cached, computed }));
            }
        }
    }

    pub(super) fn generated(&self) -> usize {
        self.seqs.iter().map(Sequence::generated).sum()
    }

    /// Blocks that were granted and that it has not taken.
    pub(super) fn owed(&self) -> usize {
        if self.parked { 0 } else { self.granted - self.taken }
    }

    /// More blocks were granted.
    pub(super) fn grant(&mut self, blocks: usize) {
        if blocks > 0 {
            self.granted += blocks;
            self.lent = self.lent.saturating_sub(blocks);
            self.outlet.request().set_blocks(self.granted);
        }
    }

    /// Of what was granted, the policy has so many blocks again.
    pub(super) fn lend(&mut self, blocks: usize) {
        self.granted -= blocks;
        self.lent += blocks;
        self.outlet.request().set_blocks(self.granted);
    }

    pub(super) fn release(&mut self, pool: &mut BlockPool) {
        self.seqs.iter_mut().for_each(|seq| seq.release(pool));
        // It is computed again from the first token on.
        self.pooled = Pooled::default();
    }

    /// After its blocks were released: the first unfinished answer computes the prompt again, the others share it then.
    pub(super) fn regroup(&mut self) {
        let unfinished = self.seqs.iter_mut().filter(|seq| seq.stage != Stage::Finished);
        for (place, seq) in unfinished.enumerate() {
            seq.stage = if place == 0 { Stage::Live } else { Stage::Following };
        }
    }

    pub(super) fn usage(&self, now: Instant) -> Usage {
        Usage {
            prompt_tokens: self.seqs.first().map_or(0, |seq| seq.prompt_len),
            completion_tokens: self.generated(),
            cached_tokens: self.cached_tokens,
            queue: self.admitted.saturating_duration_since(self.submitted),
            first_token: self.first_token.map(|at| at.saturating_duration_since(self.submitted)),
            total: now.saturating_duration_since(self.submitted),
            parked: self.parkings,
        }
    }
}

/// The tokens that a request's answers must not have before they are long enough; none if they may be of any length.
fn ends_of(request: &Request, vocabulary: &dyn Vocabulary, vocab: usize) -> Arc<[TokenId]> {
    if request.min_tokens == 0 {
        return Arc::default();
    }
    let ends = (0..).take(vocab).filter(|&id| vocabulary.is_end(id));
    ends.chain(request.stop_tokens.iter().copied()).collect()
}

/// A seed from the system's randomness, by way of the keys that the standard library draws for its hash maps.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
