//! Choosing the next token.

mod bans;
mod candidates;
mod logprobs;
mod repetition;
mod softmax;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parkade_model::TokenId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::sampling::SamplingParams;
use bans::LeastLength;
use candidates::{Candidate, Ranked};
pub(crate) use logprobs::{chance, logprob};
use repetition::Repetitions;

/// Below this a temperature is taken for 0: dividing by it would only overflow.
const GREEDY: f32 = 1e-5;

/// Chooses the tokens of one answer. All that the choice depends on is in here and in the logits, so an answer that was parked goes on
/// with the tokens that it would have had anyway.
#[derive(Debug)]
pub struct Sampler {
    params: Arc<SamplingParams>,
    random: ChaCha8Rng,
    /// How often the answer has each token.
    generated: HashMap<TokenId, u32>,
    /// The prompt's tokens, if the repetition penalty needs them.
    prompt: HashSet<TokenId>,
    /// The prompt and the answer, if the parameters look at what came last.
    text: Vec<TokenId>,
    looks_back: bool,
    /// Where the answer begins in it.
    answer_start: usize,
    /// How many tokens the answer has.
    length: usize,
    least: LeastLength,
    /// The tokens that may come, a bit for each, 32 in a word.
    allowed: Option<Vec<u32>>,
}

/// What the last token was drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Drawn {
    /// Nothing else could come.
    #[default]
    Certain,
    /// The whole vocabulary: each token has its weight.
    Vocabulary,
    /// What the filters left: each candidate has its weight.
    Candidates,
}

/// Memory that sampling uses again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    logits: Vec<f32>,
    weights: Vec<f32>,
    candidates: Vec<Candidate>,
    ranking: Vec<Ranked>,
    repetitions: Repetitions,
    banned: Vec<(TokenId, f32)>,
    pub(crate) drawn: Drawn,
}

/// The logits hold no distribution: one is not a number, or none is finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the logits hold no distribution: one is not a number, or none is finite")]
pub struct NoDistribution;

impl Sampler {
    /// The sampler of answer `choice` of a request. Each answer draws from a stream of its own, derived from the one seed.
    pub fn new(params: Arc<SamplingParams>, prompt: &[TokenId], seed: u64, choice: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(choice as u64);
        let looks_back = params.dry.is_some() || params.penalty_window.is_some() || !params.bad_words.is_empty();
        let text = if looks_back { prompt.to_vec() } else { Vec::new() };
        let counts = params.repetition_penalty == 1.0 || params.penalty_window.is_some();
        let prompt = if counts { HashSet::new() } else { prompt.iter().copied().collect() };
        Sampler {
            random,
            generated: HashMap::new(),
            prompt,
            answer_start: text.len(),
            text,
            looks_back,
            length: 0,
            least: LeastLength::default(),
            allowed: params.allowed_tokens.as_deref().map(mask_of),
            params,
        }
    }

    /// None of the tokens `ends` comes before the answer has at least so many tokens, unless nothing else could.
    #[must_use]
    pub fn at_least(mut self, tokens: usize, ends: Arc<[TokenId]>) -> Self {
        self.least = LeastLength { tokens, ends };
        self
    }

    /// Chooses a token, of those that are `allowed` if that is given: a bit for each, 32 in a word. Each choice draws once from the generator, once more for XTC,
    /// or not at all.
    ///
    /// # Errors
    /// If the logits hold no distribution.
    pub fn choose(
        &mut self,
        logits: &[f32],
        allowed: Option<&[u32]>,
        scratch: &mut Scratch,
    ) -> Result<TokenId, NoDistribution> {
        let Scratch { logits: edited, weights, candidates, ranking, repetitions, banned, drawn } = scratch;
        let logits = match self.is_unedited(allowed) {
            true => logits,
            false => {
                edited.clear();
                edited.extend_from_slice(logits);
                self.adjust(edited, allowed, repetitions);
                let answer = &self.text[self.answer_start..];
                bans::ban(edited, bans::banned(answer, self.length, &self.least, &self.params.bad_words), banned);
                edited
            }
        };
        let largest = softmax::largest(logits).ok_or(NoDistribution)?;
        let token = if self.params.temperature < GREEDY {
            *drawn = Drawn::Certain;
            logits.iter().position(|&logit| logit == largest).expect("the largest logit is one of them")
        } else if self.is_plain() {
            *drawn = Drawn::Vocabulary;
            let scale = 1.0 / self.params.temperature;
            weights.clear();
            weights.extend(logits.iter().map(|&logit| softmax::exp((logit - largest) * scale)));
            softmax::draw(weights, self.uniform())
        } else {
            *drawn = Drawn::Candidates;
            self.filter(logits, largest, candidates, ranking);
            if self.params.xtc.is_on() && self.uniform() < f64::from(self.params.xtc.probability) {
                candidates::leave_out_top_choices(candidates, self.params.xtc.threshold);
            }
            weights.clear();
            weights.extend(candidates.iter().map(|candidate| softmax::exp(candidate.logit)));
            candidates[softmax::draw(weights, self.uniform())].id as usize
        } as TokenId;
        Ok(token)
    }

    /// The answer has this token from now on.
    pub fn accept(&mut self, token: TokenId) {
        *self.generated.entry(token).or_default() += 1;
        self.length += 1;
        if self.looks_back {
            self.text.push(token);
        }
    }

    /// Whether the model's own logits are taken.
    fn is_unedited(&self, allowed: Option<&[u32]>) -> bool {
        let params = &*self.params;
        let is_penalised = params.repetition_penalty != 1.0 || self.counts() || params.dry.is_some();
        let is_banned = !params.bad_words.is_empty() || self.length < self.least.tokens;
        let is_limited = allowed.is_some() || self.allowed.is_some();
        params.logit_bias.is_empty() && !is_penalised && !is_banned && !is_limited
    }

    /// Whether it matters how often the answer has a token.
    fn counts(&self) -> bool {
        self.params.presence_penalty != 0.0 || self.params.frequency_penalty != 0.0
    }

    /// Bias, penalties and what is allowed.
    fn adjust(&self, logits: &mut [f32], allowed: Option<&[u32]>, repetitions: &mut Repetitions) {
        for &(id, bias) in &self.params.logit_bias {
            logits[id as usize] += bias;
        }
        match self.params.penalty_window {
            Some(window) => self.penalise_window(logits, window),
            None => {
                let answer_only = self.generated.keys().filter(|id| !self.prompt.contains(id));
                self.penalise(logits, self.prompt.iter().chain(answer_only).copied(), &self.generated);
            }
        }
        if let Some(dry) = &self.params.dry {
            repetitions.penalise(dry, &self.text, logits);
        }
        for allowed in [allowed, self.allowed.as_deref()].into_iter().flatten() {
            forbid_others(logits, allowed);
        }
    }

    /// The penalties, of what is among the last tokens.
    fn penalise_window(&self, logits: &mut [f32], window: usize) {
        let start = self.text.len().saturating_sub(window);
        let seen: HashSet<TokenId> = self.text[start..].iter().copied().collect();
        let mut counts: HashMap<TokenId, u32> = HashMap::new();
        for &id in &self.text[start.max(self.answer_start)..] {
            *counts.entry(id).or_default() += 1;
        }
        self.penalise(logits, seen.into_iter(), &counts);
    }

    /// The repetition penalty for what was `seen`, each once, and the others for what the answer has so often.
    fn penalise(&self, logits: &mut [f32], seen: impl Iterator<Item = TokenId>, counts: &HashMap<TokenId, u32>) {
        let params = &*self.params;
        let repetition = params.repetition_penalty;
        if repetition != 1.0 {
            for id in seen {
                let logit = &mut logits[id as usize];
                // A tiny penalty takes the quotient out of range; the largest number is as good.
                *logit = if *logit > 0.0 { (*logit / repetition).min(f32::MAX) } else { *logit * repetition };
            }
        }
        if self.counts() {
            for (&id, &count) in counts {
                logits[id as usize] -= params.presence_penalty + params.frequency_penalty * count as f32;
            }
        }
    }

    fn is_plain(&self) -> bool {
        let params = &*self.params;
        let keeps_all = params.top_k == 0 && params.typical_p >= 1.0 && params.top_p >= 1.0 && params.min_p <= 0.0;
        keeps_all && params.top_n_sigma <= 0.0 && !params.xtc.is_on()
    }

    /// What `top_n_sigma`, `top_k`, `typical_p`, `top_p` and `min_p` leave, in this order.
    fn filter(&self, logits: &[f32], largest: f32, out: &mut Vec<Candidate>, ranking: &mut Vec<Ranked>) {
        let params = &*self.params;
        let scale = 1.0 / params.temperature;
        let top_k = params.top_k as usize;
        if params.top_n_sigma > 0.0 {
            let least = -f64::from(params.top_n_sigma) * softmax::deviation(logits) * f64::from(scale);
            candidates::at_least(logits, largest, scale, least as f32, out);
            candidates::keep_top_k(out, top_k);
        } else if top_k > 0 && top_k < logits.len() {
            candidates::top(logits, top_k, out);
            out.iter_mut().for_each(|candidate| candidate.logit = (candidate.logit - largest) * scale);
        } else if params.typical_p < 1.0 {
            candidates::at_least(logits, largest, scale, UNLIKELY, out);
        } else if params.top_p < 1.0 {
            self.nucleus(logits, largest, out, ranking);
            candidates::keep_min_p(out, params.min_p);
            return;
        } else {
            candidates::at_least(logits, largest, scale, params.min_p.ln(), out);
            return;
        }
        if params.typical_p < 1.0 {
            candidates::keep_typical(out, params.typical_p, ranking);
        }
        if params.top_p < 1.0 {
            let total = candidates::weight_of(out);
            candidates::keep_top_p(out, params.top_p, total, ranking);
        }
        candidates::keep_min_p(out, params.min_p);
    }

    /// `top_p` over the whole vocabulary. Few tokens have nearly all of the probability, so only those above a threshold are looked at; it
    /// is lowered until they have enough.
    fn nucleus(&self, logits: &[f32], largest: f32, out: &mut Vec<Candidate>, ranking: &mut Vec<Ranked>) {
        let scale = 1.0 / self.params.temperature;
        let total = softmax::sum_of_exp(logits, largest, scale);
        for least in [-4.0, -8.0, UNLIKELY] {
            candidates::at_least(logits, largest, scale, least, out);
            if candidates::keep_top_p(out, self.params.top_p, total, ranking) {
                return;
            }
        }
    }

    /// From 0 up to, but without, 1, with 53 random bits.
    fn uniform(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Takes away the logits of all tokens that are not among those that are allowed. Of each word the fewer bits are looked at: nearly all tokens may
/// come next inside of a text, and few between texts.
fn forbid_others(logits: &mut [f32], allowed: &[u32]) {
    let words = allowed.iter().copied().chain(std::iter::repeat(0));
    for (logits, word) in logits.chunks_mut(32).zip(words) {
        let below = logits.len();
        let places = |word| bits(word).take_while(move |&bit| bit < below);
        if word.count_ones() > 16 {
            places(!word).for_each(|bit| logits[bit] = f32::NEG_INFINITY);
        } else {
            let mut kept = [0.0; 32];
            places(word).for_each(|bit| kept[bit] = logits[bit]);
            logits.fill(f32::NEG_INFINITY);
            places(word).for_each(|bit| logits[bit] = kept[bit]);
        }
    }
}

/// A bit for each token, 32 in a word.
fn mask_of(tokens: &[TokenId]) -> Vec<u32> {
    let words = tokens.iter().max().map_or(0, |&last| last as usize / 32 + 1);
    let mut mask = vec![0; words];
    tokens.iter().for_each(|&id| mask[id as usize / 32] |= 1 << (id % 32));
    mask
}

/// The places of the ones in a word, lowest first.
fn bits(mut word: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (bit < 32).then_some(bit)
    })
}

/// A scaled logit below which a token's probability is 0 in the arithmetic used here.
const UNLIKELY: f32 = -87.0;

#[cfg(test)]
mod tests;
