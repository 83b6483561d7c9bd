//! Which tokens belong to the text that is sent back, for their log-probabilities.
//!
//! Log-probabilities cover exactly the text that they come with. A token is sent with the text in which it begins. What a
//! stop string took out of the answer takes its tokens along; one that begins before the stop string stays, with all of
//! its own text, since a part of it was sent.

use std::borrow::Borrow;

use parkade_core::TokenLogprob;
use parkade_model::tokenizer::Tokenizer;

use super::echo::Positions;

/// The tokens of an answer whose text has not been sent yet. `T` is a [`TokenLogprob`], or a reference to one.
#[derive(Debug, Clone)]
pub(crate) struct Unsent<T> {
    /// With the places in the text where they begin.
    tokens: Vec<(usize, T)>,
    positions: Positions,
    /// Characters that were sent.
    sent: usize,
}

impl<T> Default for Unsent<T> {
    fn default() -> Self {
        Self { tokens: Vec::new(), positions: Positions::default(), sent: 0 }
    }
}

impl<T: Borrow<TokenLogprob>> Unsent<T> {
    /// For an answer that follows so many characters; `spells` says whether control tokens are spelled in it.
    pub fn after(characters: usize, spells: bool) -> Self {
        Self { tokens: Vec::new(), positions: Positions::after(characters, spells), sent: characters }
    }

    /// Takes the next token of the answer.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: T) {
        let begins = self.positions.next(tokenizer, token.borrow().id);
        self.tokens.push((begins, token));
    }

    /// The tokens that begin in the next piece of text, and where.
    pub fn release(&mut self, text: &str) -> Vec<(usize, T)> {
        self.sent += text.chars().count();
        let covered = self.tokens.partition_point(|(begins, _)| *begins < self.sent);
        self.tokens.drain(..covered).collect()
    }

    /// The tokens that belong to the last piece of text, which may be empty. If a stop string ended the answer, those that
    /// begin behind the text are left out; if not, they have no text (an end of text that was ignored), and stand at its end.
    pub fn finish(mut self, text: &str, stopped: bool) -> impl Iterator<Item = (usize, T)> {
        let mut covered = self.release(text);
        if !stopped {
            covered.append(&mut self.tokens);
        }
        let end = self.sent;
        covered.into_iter().map(move |(begins, token)| (begins.min(end), token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parkade_model::tokenizer::Vocabulary;

    /// Tokens 0 to 3 are `<|end|>`, `a`, `b` and `ab`.
    fn tokenizer() -> Tokenizer {
        let tokens = ["<|end|>", "a", "b", "ab"].map(str::to_owned);
        Tokenizer::from_vocabulary(&Vocabulary {
            model: "gpt2",
            pre: Some("default"),
            tokens: &tokens,
            types: Some(&[3, 1, 1, 1]),
            merges: Some(&[]),
            ..Vocabulary::default()
        })
        .expect("a vocabulary")
    }

    fn unsent(after: usize, ids: &[u32]) -> Unsent<TokenLogprob> {
        let tokenizer = tokenizer();
        let mut unsent = Unsent::after(after, false);
        ids.iter().for_each(|&id| unsent.push(&tokenizer, TokenLogprob { id, logprob: 0.0, top: Vec::new() }));
        unsent
    }

    fn shown(tokens: impl IntoIterator<Item = (usize, TokenLogprob)>) -> Vec<(usize, u32)> {
        tokens.into_iter().map(|(begins, token)| (begins, token.id)).collect()
    }

    #[test]
    fn tokens_are_sent_with_the_text_that_they_begin_in() {
        let mut held = unsent(0, &[1, 3, 2]);
        assert_eq!(shown(held.release("a")), [(0, 1)], "the next may become a stop string");
        assert_eq!(shown(held.release("a")), [(1, 3)], "its other half is sent later");
        assert_eq!(shown(held.release("b")), []);
        assert_eq!(shown(held.finish("b", false)), [(3, 2)]);
    }

    #[test]
    fn what_a_stop_string_took_takes_its_tokens_along() {
        // The text is "aab" and ends where it reads "a", "ab" or "b".
        for (kept, tokens) in [("", vec![]), ("a", vec![(5, 1)]), ("aa", vec![(5, 1), (6, 3)])] {
            assert_eq!(shown(unsent(5, &[1, 3, 0]).finish(kept, true)), tokens, "{kept:?}");
        }
    }

    #[test]
    fn tokens_without_text_stand_at_the_end_of_a_text_that_nothing_was_taken_from() {
        assert_eq!(shown(unsent(5, &[1, 0, 0]).finish("a", false)), [(5, 1), (6, 0), (6, 0)]);
    }
}
