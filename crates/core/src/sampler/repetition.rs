//! DRY, "don't repeat yourself": what would go on with a repetition is less likely, the more so the longer that is.
//!
//! As in p-e-w's proposal to text-generation-webui (pull request 5677), and in llama.cpp: an earlier occurrence of the text's last tokens counts
//! as far back as both agree, and the token that came after it is the one that is penalised.

use std::collections::HashMap;

use parkade_model::TokenId;

use crate::sampling::Dry;

/// Memory that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Repetitions {
    /// The text from its end.
    reversed: Vec<TokenId>,
    /// How far the text's end agrees with what ends at each place.
    agreement: Vec<usize>,
    /// The longest repetition that each token would go on with.
    longest: HashMap<TokenId, usize>,
}

impl Repetitions {
    /// Takes from the logits what repetitions cost after `text`. It takes time in proportion to the text.
    pub(super) fn penalise(&mut self, dry: &Dry, text: &[TokenId], logits: &mut [f32]) {
        let seen = dry.window.unwrap_or(usize::MAX).min(text.len());
        let text = &text[text.len() - seen..];
        let breaks = |id: &TokenId| dry.breakers.binary_search(id).is_ok();
        // No repetition begins before the last breaker.
        let reach = text.iter().rev().take_while(|id| !breaks(id)).count();
        if reach < dry.allowed_length {
            return;
        }
        self.reversed.clear();
        self.reversed.extend(text.iter().rev());
        self.agree();
        self.longest.clear();
        for (place, &agreement) in self.agreement.iter().enumerate().skip(1) {
            let length = agreement.min(reach);
            let next = self.reversed[place - 1];
            // What would be penalised by itself is a breaker: it ends a repetition and goes on with none.
            if length >= dry.allowed_length && !breaks(&next) {
                let longest = self.longest.entry(next).or_default();
                *longest = length.max(*longest);
            }
        }
        for (&id, &length) in &self.longest {
            let power = i32::try_from(length - dry.allowed_length).unwrap_or(i32::MAX);
            let penalty = dry.multiplier * dry.base.powi(power);
            logits[id as usize] -= penalty.min(MOST);
        }
    }

    /// `agreement[k]`: how many tokens the reversed text has in common with itself from `k` on (the Z-function, Gusfield 1997).
    fn agree(&mut self) {
        let (text, agreement) = (&self.reversed, &mut self.agreement);
        agreement.clear();
        agreement.resize(text.len(), 0);
        let (mut from, mut to) = (0, 0);
        for at in 1..text.len() {
            let known = if at < to { agreement[at - from].min(to - at) } else { 0 };
            let more = text[known..].iter().zip(&text[at + known..]).take_while(|(a, b)| a == b).count();
            agreement[at] = known + more;
            if at + agreement[at] > to {
                (from, to) = (at, at + agreement[at]);
            }
        }
    }
}

/// The most that is taken from a logit: more than any model's logits are apart, and far from infinite.
const MOST: f32 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn penalties(dry: &Dry, text: &[TokenId]) -> Vec<f32> {
        let mut logits = vec![0.0; 10];
        Repetitions::default().penalise(dry, text, &mut logits);
        logits.iter().map(|logit| -logit).collect()
    }

    #[test]
    fn what_would_repeat_more_costs_more() {
        let dry = Dry { multiplier: 1.0, base: 2.0, ..Dry::default() };
        // 1 2 3 came before: after 1 2 comes 3, for a repetition of two tokens; 1 has never come after them.
        assert_eq!(penalties(&dry, &[1, 2, 3, 4, 1, 2])[3], 1.0);
        assert_eq!(penalties(&dry, &[1, 2, 3, 4, 5, 1, 2, 3])[4], 2.0);
        assert_eq!(penalties(&dry, &[1, 2, 3, 4, 2]), [0.0; 10], "one token is no repetition");
        let loop_of_ones = penalties(&dry, &[1; 9]);
        assert_eq!((loop_of_ones[1], loop_of_ones[2]), (64.0, 0.0), "eight tokens came before the last one");
    }

    #[test]
    fn no_repetition_goes_across_a_breaker_or_out_of_the_window() {
        let dry = Dry { multiplier: 1.0, base: 2.0, breakers: [2].into(), ..Dry::default() };
        assert_eq!(penalties(&dry, &[1, 2, 3, 4, 1, 2, 3]), [0.0; 10], "one token is left after the breaker");
        assert_eq!(penalties(&dry, &[5, 6, 2, 1, 5, 6]), [0.0; 10], "a breaker may always come");
        let dry = Dry { multiplier: 1.0, window: Some(4), ..Dry::default() };
        assert_eq!(penalties(&dry, &[1, 2, 3, 1, 2]), [0.0; 10]);
        assert_eq!(penalties(&Dry { window: Some(5), ..dry }, &[1, 2, 3, 1, 2])[3], 1.0);
    }

    #[test]
    fn a_long_repetition_costs_much_and_not_infinitely_much() {
        let dry = Dry { multiplier: 100.0, base: 10.0, ..Dry::default() };
        assert_eq!(penalties(&dry, &[3; 5000])[3], MOST);
    }

    proptest! {
        #[test]
        fn the_longest_repetition_is_what_a_search_finds(text in prop::collection::vec(0u32..4, 0..60), allowed_length in 1usize..4, breaker in 0u32..6) {
            let dry = Dry { multiplier: 1.0, base: 1.5, allowed_length, breakers: [breaker].into(), ..Dry::default() };
            let reach = text.iter().rev().take_while(|&&id| id != breaker).count();
            let mut expected = vec![0.0f32; 10];
            for at in 1..text.len() {
                let agree = (0..at.min(reach)).take_while(|&back| text[at - 1 - back] == text[text.len() - 1 - back]).count();
                if agree >= allowed_length && text[at] != breaker {
                    let penalty = 1.5f32.powi((agree - allowed_length) as i32);
                    let entry = &mut expected[text[at] as usize];
                    *entry = entry.max(penalty);
                }
            }
            prop_assert_eq!(penalties(&dry, &text), expected);
        }
    }
}
