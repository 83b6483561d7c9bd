//! BERT's WordPiece: a text becomes plain words, and each word the longest pieces that it begins with.
//!
//! Words are as Hugging Face's tokenizers have them: control characters go, accents and case go if the model has none,
//! Chinese characters and punctuation marks are words of their own. A GGUF file writes the first piece of a word with `▁`
//! before it and the others plainly; one that keeps BERT's own `##` before the others is read as well.

use icu_normalizer::DecomposingNormalizer;
use regex::Regex;

use super::sentencepiece::SPACE;
use super::trie::Trie;
use super::{TokenizerError, not_expressible};
use crate::TokenId;

/// Characters of a word; a longer one is unknown.
const LONGEST_WORD: usize = 100;
/// What BERT's own vocabularies write before a piece that does not begin a word.
pub(super) const CONTINUED: &str = "##";

/// Characters that are no text.
const NO_TEXT: &str = r"[\x00\u{FFFD}[\p{Cc}\p{Cf}\p{Co}--[\t\n\r]]]+";
const ACCENTS: &str = r"\p{Mn}+";
/// Words: a Chinese character (the ranges are those of Hugging Face), a punctuation mark, or what lies between them.
const WORDS: &str = concat!(
    r"[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}",
    r"\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}]|[\p{P}[:punct:]]|[^\s\p{P}[:punct:]\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}",
    r"\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}]+"
);

/// A vocabulary of pieces.
#[derive(Debug)]
pub(super) struct WordPiece {
    pieces: Trie,
    unknown: Option<TokenId>,
    lower_case: bool,
    strip_accents: bool,
    no_text: Regex,
    accents: Regex,
    words: Regex,
}

impl WordPiece {
    /// The pieces are written with [`SPACE`] before those that begin a word.
    pub(super) fn new(pieces: Trie, unknown: Option<TokenId>, lower_case: bool, strip_accents: bool) -> Self {
        let compile = |pattern| Regex::new(pattern).expect("the patterns are constants, and tests compile them");
        let [no_text, accents, words] = [NO_TEXT, ACCENTS, WORDS].map(compile);
        Self { pieces, unknown, lower_case, strip_accents, no_text, accents, words }
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<TokenId>) -> Result<(), TokenizerError> {
        let mut text = self.no_text.replace_all(text, "");
        if self.strip_accents && !text.is_ascii() {
            let decomposed = DecomposingNormalizer::new_nfd().normalize(&text).into_owned();
            text = self.accents.replace_all(&decomposed, "").into_owned().into();
        }
        if self.lower_case {
            // A character at a time: the whole would have sigmas of two kinds.
            text = text.chars().flat_map(char::to_lowercase).collect::<String>().into();
        }
        let mut marked = String::new();
        for word in self.words.find_iter(&text) {
            marked.clear();
            marked.push(SPACE);
            marked.push_str(word.as_str());
            let before = out.len();
            if !self.encode_word(&marked, out) {
                out.truncate(before);
                out.push(self.unknown.ok_or_else(|| not_expressible(&text, word.start()))?);
            }
        }
        Ok(())
    }

    /// Whether pieces make the whole word; they are appended.
    fn encode_word(&self, marked: &str, out: &mut Vec<TokenId>) -> bool {
        if marked.chars().count() > LONGEST_WORD + 1 {
            return false;
        }
        let mut rest = marked.as_bytes();
        while !rest.is_empty() {
            let Some((len, token)) = self.pieces.prefixes(rest).last() else { return false };
            out.push(token);
            rest = &rest[len..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: &[&str] = &["▁the", "▁th", "e", "se", "▁.", "▁c", "af", "▁中", "▁$", "▁é", "▁ᄀ", "ᅡ", "▁ς", "▁σ"];

    fn word_piece(lower_case: bool, strip_accents: bool) -> WordPiece {
        let pieces = PIECES.iter().zip(1..).map(|(text, id)| (text.as_bytes().to_vec(), id)).collect();
        WordPiece::new(Trie::new(pieces), Some(0), lower_case, strip_accents)
    }

    fn encode(word_piece: &WordPiece, text: &str) -> Vec<TokenId> {
        let mut out = Vec::new();
        word_piece.encode(text, &mut out).unwrap();
        out
    }

    #[test]
    fn the_longest_piece_comes_first_and_a_word_is_known_as_a_whole_or_not_at_all() {
        let bert = word_piece(true, true);
        assert_eq!(encode(&bert, "the these thx The"), [1, 1, 4, 0, 1]);
        assert_eq!(encode(&bert, "se").len(), 1, "it does not begin a word");
        assert_eq!(encode(&bert, "").len(), 0);
        let strict = WordPiece { unknown: None, ..word_piece(true, true) };
        assert!(strict.encode("the x", &mut Vec::new()).unwrap_err().to_string().contains("'x'"));
    }

    #[test]
    fn marks_and_chinese_characters_are_words_and_space_is_none() {
        let bert = word_piece(true, true);
        assert_eq!(encode(&bert, "the.中the$..\u{2028}\t\u{a0}the"), [1, 5, 8, 1, 9, 5, 5, 1]);
        assert_eq!(encode(&bert, "t\u{200d}h\0e\u{b}\u{fffd}"), [1], "what is no text goes");
    }

    #[test]
    fn accents_and_case_go_if_the_model_has_none() {
        assert_eq!(encode(&word_piece(true, true), "CAFÉ"), [6, 7, 3]);
        assert_eq!(encode(&word_piece(true, false), "É"), [10]);
        assert_eq!(encode(&word_piece(false, false), "É é"), [0, 10]);
        assert_eq!(encode(&word_piece(true, true), "가"), [11, 12], "Hangul is decomposed");
        assert_eq!(encode(&word_piece(true, true), "Σ"), [14]);
    }

    #[test]
    fn a_word_of_more_than_a_hundred_characters_is_unknown() {
        let bert = word_piece(true, true);
        assert_eq!(encode(&bert, &format!("th{}", "e".repeat(98))).len(), 98);
        assert_eq!(encode(&bert, &format!("th{}", "e".repeat(99))), [0]);
    }
}
