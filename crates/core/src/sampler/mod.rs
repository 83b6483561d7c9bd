//! Choosing the next token.

mod candidates;
mod logprobs;
mod softmax;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parkade_model::TokenId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::sampling::SamplingParams;
use candidates::{Candidate, Ranked};
pub(crate) use logprobs::logprob;

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
}

/// Memory that sampling uses again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    logits: Vec<f32>,
    weights: Vec<f32>,
    candidates: Vec<Candidate>,
    ranking: Vec<Ranked>,
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
        let prompt = if params.repetition_penalty == 1.0 { HashSet::new() } else { prompt.iter().copied().collect() };
        Sampler { params, random, generated: HashMap::new(), prompt }
    }

    /// Chooses a token, of those that are `allowed` if that is given: a bit for each, 32 in a word. Each choice draws once from the generator, or not at all.
    ///
    /// # Errors
    /// If the logits hold no distribution.
    pub fn choose(
        &mut self,
        logits: &[f32],
        allowed: Option<&[u32]>,
        scratch: &mut Scratch,
    ) -> Result<TokenId, NoDistribution> {
        let Scratch { logits: edited, weights, candidates, ranking } = scratch;
        let logits = self.adjust(logits, allowed, edited);
        let largest = softmax::largest(logits).ok_or(NoDistribution)?;
        let token = if self.params.temperature < GREEDY {
            logits.iter().position(|&logit| logit == largest).expect("the largest logit is one of them")
        } else if self.is_plain() {
            let scale = 1.0 / self.params.temperature;
            weights.clear();
            weights.extend(logits.iter().map(|&logit| softmax::exp((logit - largest) * scale)));
            softmax::draw(weights, self.uniform())
        } else {
            self.filter(logits, largest, candidates, ranking);
            weights.clear();
            weights.extend(candidates.iter().map(|candidate| softmax::exp(candidate.logit)));
            candidates[softmax::draw(weights, self.uniform())].id as usize
        } as TokenId;
        Ok(token)
    }

    /// The answer has this token from now on.
    pub fn accept(&mut self, token: TokenId) {
        *self.generated.entry(token).or_default() += 1;
    }

    /// Bias, penalties and what is allowed, in a copy if there are any.
    fn adjust<'a>(&self, logits: &'a [f32], allowed: Option<&[u32]>, copy: &'a mut Vec<f32>) -> &'a [f32] {
        let params = &*self.params;
        let repetition = params.repetition_penalty;
        let counted = params.presence_penalty != 0.0 || params.frequency_penalty != 0.0;
        if params.logit_bias.is_empty() && repetition == 1.0 && !counted && allowed.is_none() {
            return logits;
        }
        copy.clear();
        copy.extend_from_slice(logits);
        for &(id, bias) in &params.logit_bias {
            copy[id as usize] += bias;
        }
        if repetition != 1.0 {
            let answer_only = self.generated.keys().filter(|id| !self.prompt.contains(id));
            for &id in self.prompt.iter().chain(answer_only) {
                let logit = &mut copy[id as usize];
                // A tiny penalty takes the quotient out of range; the largest number is as good.
                *logit = if *logit > 0.0 { (*logit / repetition).min(f32::MAX) } else { *logit * repetition };
            }
        }
        if counted {
            for (&id, &count) in &self.generated {
                copy[id as usize] -= params.presence_penalty + params.frequency_penalty * count as f32;
            }
        }
        if let Some(allowed) = allowed {
            forbid_others(copy, allowed);
        }
        copy
    }

    fn is_plain(&self) -> bool {
        self.params.top_k == 0 && self.params.typical_p >= 1.0 && self.params.top_p >= 1.0 && self.params.min_p <= 0.0
    }

    /// What `top_k`, `typical_p`, `top_p` and `min_p` leave, in this order.
    fn filter(&self, logits: &[f32], largest: f32, out: &mut Vec<Candidate>, ranking: &mut Vec<Ranked>) {
        let params = &*self.params;
        let scale = 1.0 / params.temperature;
        let top_k = params.top_k as usize;
        if top_k > 0 && top_k < logits.len() {
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
