//! Log-probabilities: of the model's own distribution, and of the one that was drawn from.

use parkade_model::TokenId;

use super::candidates;
use super::{Drawn, NoDistribution, Scratch, softmax};
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

/// The log-probability of `id`, which was chosen just now, and those of the `count` likeliest tokens, in the distribution that it was drawn
/// from. What had no chance is left out.
pub(crate) fn chance(id: TokenId, count: usize, scratch: &mut Scratch) -> TokenLogprob {
    let weights = &scratch.weights;
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let of = |weight: f32| (f64::from(weight) / total).ln() as f32;
    let mut chances: Vec<(TokenId, f32)> = match scratch.drawn {
        Drawn::Certain => vec![(id, 0.0)],
        Drawn::Candidates => {
            let weighed = scratch.candidates.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
            weighed.map(|(candidate, &weight)| (candidate.id, of(weight))).collect()
        }
        Drawn::Vocabulary => {
            let own = (id, of(weights[id as usize]));
            candidates::top(weights, count, &mut scratch.candidates);
            let likeliest = scratch.candidates.iter().filter(|candidate| candidate.logit > 0.0 && candidate.id != id);
            likeliest.map(|candidate| (candidate.id, of(candidate.logit))).chain([own]).collect()
        }
    };
    chances.sort_unstable_by(|(id, chance), (other, others)| others.total_cmp(chance).then(id.cmp(other)));
    let logprob = chances.iter().find(|(of, _)| *of == id).map_or(f32::NEG_INFINITY, |(_, chance)| *chance);
    chances.truncate(count);
    TokenLogprob { id, logprob, top: chances }
}
