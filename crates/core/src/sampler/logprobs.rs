//! Log-probabilities of the model's own distribution.

use parkade_model::TokenId;

use super::candidates;
use super::{NoDistribution, Scratch, softmax};
use crate::event::TokenLogprob;

/// The log-probability of `id` and those of the `count` likeliest tokens, from the raw logits.
pub(crate) fn logprob(
    logits: &[f32],
    id: TokenId,
    count: usize,
    scratch: &mut Scratch,
) -> Result<TokenLogprob, NoDistribution> {
    let largest = softmax::largest(logits).ok_or(NoDistribution)?;
    let log_total = f64::from(largest) + softmax::sum_of_exp(logits, largest, 1.0).ln();
    let of = |logit: f32| (f64::from(logit) - log_total) as f32;
    candidates::top(logits, count, &mut scratch.candidates);
    let top = scratch.candidates.iter().map(|candidate| (candidate.id, of(candidate.logit))).collect();
    Ok(TokenLogprob { id, logprob: of(logits[id as usize]), top })
}
