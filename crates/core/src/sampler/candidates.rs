//! The tokens that a draw may choose from, cut down by the filters.

use parkade_model::TokenId;

use super::softmax::exp;

/// A token and its logit, scaled so that the likeliest token has 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: TokenId,
    pub(super) logit: f32,
}

impl Candidate {
    /// Likeliest first, the lower id first among equals.
    fn order(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
        b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
    }
}

/// The `count` largest of the logits, likeliest first. One pass with a rising threshold instead of a sort of the whole vocabulary.
pub(super) fn top(logits: &[f32], count: usize, out: &mut Vec<Candidate>) {
    out.clear();
    if count == 0 {
        return;
    }
    let limit = (2 * count).max(count + 256);
    let mut threshold = f32::NEG_INFINITY;
    for (id, &logit) in logits.iter().enumerate() {
        // Equal to the threshold is not enough: the ids that were kept are lower.
        if logit > threshold {
            out.push(Candidate { id: id as TokenId, logit });
            if out.len() == limit {
                out.select_nth_unstable_by(count - 1, Candidate::order);
                out.truncate(count);
                threshold = out[count - 1].logit;
            }
        }
    }
    out.sort_unstable_by(Candidate::order);
    out.truncate(count);
}

/// All tokens whose scaled logit is at least `least`, by id.
pub(super) fn at_least(logits: &[f32], largest: f32, scale: f32, least: f32, out: &mut Vec<Candidate>) {
    out.clear();
    let scaled = logits.iter().map(|&logit| (logit - largest) * scale);
    out.extend(
        scaled
            .enumerate()
            .filter(|&(_, logit)| logit >= least)
            .map(|(id, logit)| Candidate { id: id as TokenId, logit }),
    );
}

/// Keeps the `count` likeliest candidates, in the order in which they are; 0 keeps all.
pub(super) fn keep_top_k(candidates: &mut Vec<Candidate>, count: usize) {
    if count == 0 || count >= candidates.len() {
        return;
    }
    let mut ranked = candidates.clone();
    let (_, &mut last, _) = ranked.select_nth_unstable_by(count - 1, Candidate::order);
    candidates.retain(|candidate| Candidate::order(candidate, &last).is_le());
}

/// XTC: of the candidates with at least `threshold` of the probability all are left out but the least likely one.
pub(super) fn leave_out_top_choices(candidates: &mut Vec<Candidate>, threshold: f32) {
    let least = f64::from(threshold) * weight_of(candidates);
    let is_top = |candidate: &Candidate| f64::from(exp(candidate.logit)) >= least && exp(candidate.logit) > 0.0;
    let stays = candidates.iter().copied().filter(is_top).max_by(Candidate::order);
    candidates.retain(|candidate| !is_top(candidate) || Some(*candidate) == stays);
}

/// Keeps the smallest number of likeliest candidates whose weights `e^logit` have at least `share` of `total`. False, and nothing is
/// changed, if all of them together do not have so much.
pub(super) fn keep_top_p(candidates: &mut Vec<Candidate>, share: f32, total: f64, ranking: &mut Vec<Ranked>) -> bool {
    keep_best(candidates, f64::from(share) * total, |candidate| -f64::from(candidate.logit), ranking)
}

/// Keeps the candidates with at least `share` of the likeliest one's probability.
pub(super) fn keep_min_p(candidates: &mut Vec<Candidate>, share: f32) {
    let likeliest = candidates.iter().map(|candidate| candidate.logit).fold(f32::NEG_INFINITY, f32::max);
    let least = likeliest + share.ln();
    candidates.retain(|candidate| candidate.logit >= least);
}

/// Keeps the candidates whose surprise is nearest to the expected one, until they have `share` of the probability.
pub(super) fn keep_typical(candidates: &mut Vec<Candidate>, share: f32, ranking: &mut Vec<Ranked>) {
    let total = weight_of(candidates);
    let surprise = |candidate: &Candidate| total.ln() - f64::from(candidate.logit);
    // What has no weight counts for nothing, however surprising it would be: 0 times infinity is no number.
    let possible = candidates.iter().filter(|candidate| exp(candidate.logit) > 0.0);
    let expected: f64 = possible.map(|candidate| f64::from(exp(candidate.logit)) / total * surprise(candidate)).sum();
    keep_best(candidates, f64::from(share) * total, |candidate| (surprise(candidate) - expected).abs(), ranking);
}

/// The sum of the weights.
pub(super) fn weight_of(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|candidate| f64::from(exp(candidate.logit))).sum()
}

/// A candidate's place in some order, and its weight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked {
    key: f64,
    id: TokenId,
    /// In units of 2^-44, so that sums are exact in whatever order they are made.
    weight: u64,
}

impl Ranked {
    fn order(a: &Ranked, b: &Ranked) -> std::cmp::Ordering {
        a.key.total_cmp(&b.key).then(a.id.cmp(&b.id))
    }
}

/// Keeps the smallest number of candidates, lowest key first, whose weights have at least the sum `wanted`; the order of those that stay
/// does not change. False, and nothing is changed, if there is not so much.
fn keep_best(
    candidates: &mut Vec<Candidate>,
    wanted: f64,
    key: impl Fn(&Candidate) -> f64,
    ranking: &mut Vec<Ranked>,
) -> bool {
    const UNIT: f64 = (1u64 << 44) as f64;
    ranking.clear();
    ranking.extend(candidates.iter().map(|candidate| Ranked {
        key: key(candidate),
        id: candidate.id,
        weight: (f64::from(exp(candidate.logit)) * UNIT) as u64,
    }));
    let Some(last) = crossing(ranking, (wanted * UNIT) as u64) else { return false };
    candidates.retain(|candidate| {
        let ranked = Ranked { key: key(candidate), id: candidate.id, weight: 0 };
        Ranked::order(&ranked, &last).is_le()
    });
    true
}

/// The one with which the sum of the weights, in order, reaches `wanted`; found in linear time by halving, without a sort.
fn crossing(mut ranking: &mut [Ranked], mut wanted: u64) -> Option<Ranked> {
    while ranking.len() > 1 {
        let middle = (ranking.len() - 1) / 2;
        ranking.select_nth_unstable_by(middle, Ranked::order);
        let (lower, upper) = ranking.split_at_mut(middle + 1);
        let sum: u64 = lower.iter().map(|ranked| ranked.weight).sum();
        if sum >= wanted {
            ranking = lower;
        } else {
            wanted -= sum;
            ranking = upper;
        }
    }
    ranking.first().copied().filter(|last| last.weight >= wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(probabilities: &[f32]) -> Vec<Candidate> {
        let largest = probabilities.iter().copied().fold(0.0, f32::max);
        probabilities
            .iter()
            .enumerate()
            .map(|(id, p)| Candidate { id: id as TokenId, logit: (p / largest).ln() })
            .collect()
    }

    fn ids(candidates: &[Candidate]) -> Vec<TokenId> {
        candidates.iter().map(|candidate| candidate.id).collect()
    }

    #[test]
    fn top_p_keeps_the_token_that_crosses_the_share() {
        let mut candidates = list(&[0.15, 0.5, 0.05, 0.3]);
        assert!(keep_top_p(&mut candidates, 0.7, 2.0, &mut Vec::new()));
        assert_eq!(ids(&candidates), [1, 3]);
        assert!(!keep_top_p(&mut candidates, 0.9, 2.0, &mut Vec::new()), "two of four do not have 0.9 of the whole");
        assert_eq!(ids(&candidates), [1, 3]);
    }

    #[test]
    fn min_p_is_relative_to_the_likeliest() {
        let mut candidates = list(&[0.15, 0.5, 0.05, 0.3]);
        keep_min_p(&mut candidates, 0.25);
        assert_eq!(ids(&candidates), [0, 1, 3]);
        keep_min_p(&mut candidates, 1.0);
        assert_eq!(ids(&candidates), [1]);
    }

    #[test]
    fn typical_sampling_leaves_out_what_is_too_likely() {
        // Surprises: 0.51 once, 2.71 six times; expected 1.39. The six are farther from it (1.32) than the likely one (0.88).
        let mut candidates = list(&[0.6, 0.0667, 0.0667, 0.0667, 0.0667, 0.0667, 0.0667]);
        keep_typical(&mut candidates, 0.5, &mut Vec::new());
        assert_eq!(ids(&candidates), [0]);
        // Surprises: 1.2 once, 2.0 five times, expected 1.76: the five are nearer, and four of them are enough.
        let mut candidates = list(&[0.3, 0.14, 0.14, 0.14, 0.14, 0.14]);
        keep_typical(&mut candidates, 0.5, &mut Vec::new());
        assert_eq!(ids(&candidates), [1, 2, 3, 4]);
    }

    #[test]
    fn the_top_choices_are_left_out_but_the_least_likely_of_them() {
        let after = |threshold| {
            let mut candidates = list(&[0.15, 0.5, 0.05, 0.3]);
            leave_out_top_choices(&mut candidates, threshold);
            ids(&candidates)
        };
        assert_eq!(after(0.1), [0, 2], "three have a tenth");
        assert_eq!(after(0.2), [0, 2, 3]);
        assert_eq!(after(0.4), [0, 1, 2, 3], "one alone stays");
        assert_eq!(after(0.0), [2]);
    }

    #[test]
    fn the_top_k_stay_in_their_order() {
        for (count, kept) in [(0, vec![0, 1, 2, 3]), (1, vec![1]), (3, vec![0, 1, 3]), (9, vec![0, 1, 2, 3])] {
            let mut candidates = list(&[0.15, 0.5, 0.05, 0.3]);
            keep_top_k(&mut candidates, count);
            assert_eq!(ids(&candidates), kept);
        }
    }

    #[test]
    fn the_crossing_is_where_a_sorted_sum_crosses() {
        let ranking = |weights: &[u64]| -> Vec<Ranked> {
            let keys = weights.iter().enumerate().map(|(at, &weight)| (at * 7 % weights.len(), weight));
            keys.map(|(key, weight)| Ranked { key: key as f64, id: key as TokenId, weight }).collect()
        };
        let weights: Vec<u64> = (0..100).map(|at| at * at % 11).collect();
        let mut sorted = ranking(&weights);
        sorted.sort_by(Ranked::order);
        let total: u64 = weights.iter().sum();
        for wanted in 1..=total {
            let mut sum = 0;
            let slow = sorted.iter().find(|ranked| {
                sum += ranked.weight;
                sum >= wanted
            });
            let found = crossing(&mut ranking(&weights), wanted);
            assert_eq!(found.map(|ranked| ranked.id), slow.map(|ranked| ranked.id), "{wanted}");
        }
        assert!(crossing(&mut ranking(&weights), total + 1).is_none());
    }

    proptest! {
        #[test]
        fn the_top_is_what_a_full_sort_gives(logits in prop::collection::vec((-20i8..20).prop_map(f32::from), 1..2000), count in 1usize..700) {
            let mut all: Vec<Candidate> = logits.iter().enumerate().map(|(id, &logit)| Candidate { id: id as TokenId, logit }).collect();
            all.sort_by(Candidate::order);
            all.truncate(count);
            let mut found = Vec::new();
            top(&logits, count, &mut found);
            prop_assert_eq!(found, all);
        }
    }
}
