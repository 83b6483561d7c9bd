//! Tokens that must not come next: what would end an answer too soon, and what would complete a bad word.
//!
//! A ban yields where nothing else could come: an answer goes on whatever its bans are.

use std::sync::Arc;

use parkade_model::TokenId;

use super::softmax;

/// What ends an answer, and how long it must be before it may.
#[derive(Clone, Debug, Default)]
pub(super) struct LeastLength {
    pub(super) tokens: usize,
    pub(super) ends: Arc<[TokenId]>,
}

/// The tokens that must not come after so many tokens of an answer, as often as they are named.
pub(super) fn banned<'a>(
    answer: &'a [TokenId],
    length: usize,
    least: &'a LeastLength,
    bad_words: &'a [Vec<TokenId>],
) -> impl Iterator<Item = TokenId> + 'a {
    let ends = if length < least.tokens { &least.ends[..] } else { &[] };
    let completes = |word: &'a Vec<TokenId>| {
        let (last, before) = word.split_last()?;
        answer.ends_with(before).then_some(*last)
    };
    ends.iter().copied().chain(bad_words.iter().filter_map(completes))
}

/// Takes the tokens away, unless nothing would be left. `taken` is memory that is used again and again.
pub(super) fn ban(logits: &mut [f32], tokens: impl Iterator<Item = TokenId>, taken: &mut Vec<(TokenId, f32)>) {
    taken.clear();
    for id in tokens {
        let logit = &mut logits[id as usize];
        taken.push((id, std::mem::replace(logit, f32::NEG_INFINITY)));
    }
    if !taken.is_empty() && softmax::largest(logits).is_none() {
        // What was named twice is given back as it was at first.
        taken.iter().rev().for_each(|&(id, logit)| logits[id as usize] = logit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_word_is_banned_where_its_last_token_would_complete_it() {
        let words = [vec![3], vec![1, 2], vec![5, 1, 4]];
        let banned = |answer: &[TokenId]| -> Vec<TokenId> {
            banned(answer, answer.len(), &LeastLength::default(), &words).collect()
        };
        assert_eq!(banned(&[]), [3]);
        assert_eq!(banned(&[1]), [3, 2]);
        assert_eq!(banned(&[5, 1]), [3, 2, 4]);
        assert_eq!(banned(&[1, 5]), [3]);
    }

    #[test]
    fn a_ban_yields_where_nothing_else_could_come() {
        let mut logits = [1.0, f32::NEG_INFINITY, 2.0];
        ban(&mut logits, [2].into_iter(), &mut Vec::new());
        assert_eq!(logits, [1.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
        let mut logits = [1.0, f32::NEG_INFINITY, 2.0];
        ban(&mut logits, [2, 0, 2].into_iter(), &mut Vec::new());
        assert_eq!(logits, [1.0, f32::NEG_INFINITY, 2.0]);
    }
}
