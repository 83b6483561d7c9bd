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

/// Puts the likeliest first.
pub(super) fn sort(candidates: &mut [Candidate]) {
    candidates.sort_unstable_by(Candidate::order);
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
    sort(out);
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

/// Keeps the smallest number of likeliest candidates that have at least `share` of `total`. They must be sorted. False if they do not
/// have so much.
pub(super) fn keep_top_p(candidates: &mut Vec<Candidate>, share: f32, total: f64) -> bool {
    let wanted = f64::from(share) * total;
    let mut sum = 0.0;
    for place in 0..candidates.len() {
        sum += f64::from(exp(candidates[place].logit));
        if sum >= wanted {
            candidates.truncate(place + 1);
            return true;
        }
    }
    false
}

/// Keeps the candidates with at least `share` of the likeliest one's probability. They must be sorted.
pub(super) fn keep_min_p(candidates: &mut Vec<Candidate>, share: f32) {
    if let Some(first) = candidates.first() {
        let least = first.logit + share.ln();
        candidates.truncate(candidates.partition_point(|candidate| candidate.logit >= least).max(1));
    }
}

/// Keeps the candidates whose surprise is nearest to the expected one, until they have `share` of the probability, and sorts them.
pub(super) fn keep_typical(candidates: &mut Vec<Candidate>, share: f32) {
    let total: f64 = candidates.iter().map(|candidate| f64::from(exp(candidate.logit))).sum();
    let surprise = |candidate: &Candidate| total.ln() - f64::from(candidate.logit);
    let expected: f64 =
        candidates.iter().map(|candidate| f64::from(exp(candidate.logit)) / total * surprise(candidate)).sum();
    let distance = |candidate: &Candidate| (surprise(candidate) - expected).abs();
    candidates.sort_unstable_by(|a, b| distance(a).total_cmp(&distance(b)).then_with(|| Candidate::order(a, b)));
    keep_top_p(candidates, share, total);
    sort(candidates);
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
        let mut candidates = list(&[0.5, 0.3, 0.15, 0.05]);
        assert!(keep_top_p(&mut candidates, 0.7, 2.0));
        assert_eq!(ids(&candidates), [0, 1]);
        assert!(!keep_top_p(&mut candidates, 0.9, 2.0), "two of four do not have 0.9 of the whole");
        assert_eq!(ids(&candidates), [0, 1]);
    }

    #[test]
    fn min_p_is_relative_to_the_likeliest() {
        let mut candidates = list(&[0.5, 0.3, 0.15, 0.05]);
        keep_min_p(&mut candidates, 0.25);
        assert_eq!(ids(&candidates), [0, 1, 2]);
        keep_min_p(&mut candidates, 1.0);
        assert_eq!(ids(&candidates), [0]);
    }

    #[test]
    fn typical_sampling_leaves_out_what_is_too_likely() {
        // Surprises: 0.51 once, 2.71 six times; expected 1.39. The six are farther from it (1.32) than the likely one (0.88).
        let mut candidates = list(&[0.6, 0.0667, 0.0667, 0.0667, 0.0667, 0.0667, 0.0667]);
        keep_typical(&mut candidates, 0.5);
        assert_eq!(ids(&candidates), [0]);
        // Surprises: 1.2 once, 2.0 five times, expected 1.76: the five are nearer.
        let mut candidates = list(&[0.3, 0.14, 0.14, 0.14, 0.14, 0.14]);
        keep_typical(&mut candidates, 0.5);
        assert_eq!(ids(&candidates), [1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn the_top_is_what_a_full_sort_gives(logits in prop::collection::vec((-20i8..20).prop_map(f32::from), 1..2000), count in 1usize..700) {
            let mut all: Vec<Candidate> = logits.iter().enumerate().map(|(id, &logit)| Candidate { id: id as TokenId, logit }).collect();
            sort(&mut all);
            all.truncate(count);
            let mut found = Vec::new();
            top(&logits, count, &mut found);
            prop_assert_eq!(found, all);
        }
    }
}
