//! Where tokens stand in the text that is sent back: in the repeated prompt, and in the answer after it.
//!
//! Positions count characters, as OpenAI's do. A token that is a part of a character stands where the character does.

use parkade_model::TokenId;
use parkade_model::tokenizer::{TextStream, Tokenizer};

/// How far a token is looked for behind bytes that the vocabulary lacks.
const LOOKAHEAD: usize = 64;

/// A prompt that the answer begins with.
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    pub text: String,
    pub tokens: Vec<TokenId>,
    /// Where each token begins in the text, in characters.
    pub offsets: Vec<usize>,
}

impl Echo {
    /// A prompt that was sent as text, and comes back as it was. What the tokenizer put around it is not in the text.
    pub fn of_text(tokenizer: &Tokenizer, text: &str, tokens: Vec<TokenId>) -> Self {
        let bytes = text.as_bytes();
        let (mut at, mut counted, mut characters) = (0, 0, 0);
        let offsets = tokens.iter().map(|&id| {
            let (start, length) = find(&bytes[at..], spelling(tokenizer, id));
            let start = at + start;
            at = start + length;
            characters += bytes[counted..start].iter().filter(|byte| !continues(**byte)).count();
            counted = start;
            characters - usize::from(!text.is_char_boundary(start))
        });
        Self { offsets: offsets.collect(), text: text.to_owned(), tokens }
    }

    /// A prompt that was sent as token ids. Control tokens are spelled out: the client has sent them, and they have a place.
    pub fn of_tokens(tokenizer: &Tokenizer, tokens: Vec<TokenId>) -> Self {
        let mut text = String::new();
        let mut stream = TextStream::at_start();
        let mut characters = 0;
        let mut offsets = Vec::with_capacity(tokens.len());
        for &id in &tokens {
            let before = text.len();
            if tokenizer.token_bytes(id).is_empty() {
                // A character that a control token cuts is never completed.
                text += &stream.finish();
                offsets.push(characters + text[before..].chars().count());
                text += tokenizer.token_text(id);
            } else {
                offsets.push(characters + torn(&stream, tokenizer.token_bytes(id)));
                text += &stream.push(tokenizer, id);
            }
            characters += text[before..].chars().count();
        }
        text += &stream.finish();
        Self { text, tokens, offsets }
    }

    /// The text's length in characters.
    pub fn characters(&self) -> usize {
        self.text.chars().count()
    }
}

/// Where a token's bytes are at the head of `rest`, and how many of them are there.
fn find(rest: &[u8], token: &[u8]) -> (usize, usize) {
    if rest.starts_with(token) {
        return (0, token.len());
    }
    // SentencePiece puts a space before a text, which was not sent.
    if let Some(token) = token.strip_prefix(b" ").filter(|token| rest.starts_with(token)) {
        return (0, token.len());
    }
    // Bytes that the vocabulary lacks belong to no token.
    let near = &rest[..rest.len().min(LOOKAHEAD + token.len())];
    match near.windows(token.len().max(1)).position(|window| window == token) {
        Some(skipped) => (skipped, token.len()),
        // BOS or EOS, which the tokenizer put there.
        None => (0, 0),
    }
}

/// The tokens of an answer, one by one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Positions {
    stream: TextStream,
    characters: usize,
    /// Whether tokens without a text of their own are spelled.
    spells: bool,
}

impl Positions {
    /// For an answer that follows so many characters; `spells` says whether control tokens are spelled in it.
    pub fn after(characters: usize, spells: bool) -> Self {
        Self { stream: TextStream::new(), characters, spells }
    }

    /// Where the next token begins.
    pub fn next(&mut self, tokenizer: &Tokenizer, id: TokenId) -> usize {
        if self.spells && tokenizer.token_bytes(id).is_empty() {
            let begins = self.characters + self.stream.finish().chars().count();
            self.characters = begins + tokenizer.token_text(id).chars().count();
            return begins;
        }
        let begins = self.characters + torn(&self.stream, tokenizer.token_bytes(id));
        self.characters += self.stream.push(tokenizer, id).chars().count();
        begins
    }
}

/// One for a character that was begun and that this token does not go on with: it becomes a U+FFFD before it.
fn torn(stream: &TextStream, token: &[u8]) -> usize {
    let begun = !stream.clone().finish().is_empty();
    usize::from(begun && token.first().is_some_and(|byte| !continues(*byte)))
}

/// Whether a byte of UTF-8 is one after the first of its character.
fn continues(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The bytes that a token adds to a text; for control tokens their name.
pub(crate) fn spelling(tokenizer: &Tokenizer, id: TokenId) -> &[u8] {
    match tokenizer.token_bytes(id) {
        [] => tokenizer.token_text(id).as_bytes(),
        bytes => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parkade_model::tokenizer::{Bos, SpecialTokens, Vocabulary};

    /// A byte-level vocabulary: BOS, single letters, and a smiley in two halves.
    fn letters() -> Tokenizer {
        // The halves F0 9F and 99 82 as byte-level BPE spells them.
        let tokens = ["<|bos|>", "a", "b", "\u{120}", "\u{f0}\u{141}", "\u{13b}\u{124}"].map(str::to_owned);
        Tokenizer::from_vocabulary(&Vocabulary {
            model: "gpt2",
            pre: Some("default"),
            tokens: &tokens,
            types: Some(&[3, 1, 1, 1, 1, 1]),
            merges: Some(&[]),
            bos: Some(0),
            add_bos: Some(true),
            ..Vocabulary::default()
        })
        .expect("a vocabulary")
    }

    #[test]
    fn control_tokens_that_were_sent_are_spelled_and_have_a_place() {
        let echo = Echo::of_tokens(&letters(), vec![0, 0, 1, 0, 2]);
        assert_eq!(echo.text, "<|bos|><|bos|>a<|bos|>b");
        assert_eq!(echo.offsets, [0, 7, 14, 15, 22]);
    }

    #[test]
    fn parts_of_a_character_stand_where_it_does() {
        let tokenizer = letters();
        let echo = Echo::of_tokens(&tokenizer, vec![1, 4, 5, 2]);
        assert_eq!((echo.text.as_str(), echo.offsets), ("a🙂b", vec![0, 1, 1, 2]));
        // A half that is not completed becomes one U+FFFD.
        let torn = Echo::of_tokens(&tokenizer, vec![1, 4, 2, 4, 0]);
        assert_eq!((torn.text.as_str(), torn.offsets), ("a\u{fffd}b\u{fffd}<|bos|>", vec![0, 1, 2, 3, 4]));
        let mut positions = Positions::after(10, false);
        let offsets: Vec<usize> = [1, 4, 5, 0, 4, 2].map(|id| positions.next(&tokenizer, id)).to_vec();
        assert_eq!(offsets, [10, 11, 11, 12, 12, 13], "in an answer control tokens have no text");
        let mut positions = Positions::after(10, true);
        let offsets: Vec<usize> = [1, 0, 4, 0, 2].map(|id| positions.next(&tokenizer, id)).to_vec();
        assert_eq!(offsets, [10, 11, 18, 19, 26], "unless they are spelled");
    }

    #[test]
    fn a_text_comes_back_as_it_was_and_its_tokens_are_found_in_it() {
        let tokenizer = letters();
        let tokens = |text: &str| tokenizer.encode(text, SpecialTokens::Parse, Bos::AsModel).expect("tokens");
        for (text, offsets) in [
            ("ab", vec![0, 0, 1]),
            ("a b", vec![0, 0, 1, 2]),
            ("<|bos|>a", vec![0, 7]),
            // The vocabulary has no x: it belongs to no token.
            ("axxb", vec![0, 0, 3]),
            ("", vec![0]),
        ] {
            let echo = Echo::of_text(&tokenizer, text, tokens(text));
            assert_eq!((echo.text.as_str(), &echo.offsets), (text, &offsets), "{:?}", echo.tokens);
        }
        let split = Echo::of_text(&tokenizer, "a🙂b", vec![0, 1, 4, 5, 2]);
        assert_eq!(split.offsets, [0, 0, 1, 1, 2]);
        let foreign = Echo::of_text(&tokenizer, "ab", vec![2, 2, 1]);
        assert!(foreign.offsets.iter().all(|offset| *offset <= 2), "{:?}", foreign.offsets);
    }
}
