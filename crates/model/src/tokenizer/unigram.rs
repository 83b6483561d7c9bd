//! SentencePiece's Unigram: of all ways to spell a text in pieces the one with the greatest sum of scores (Kudo 2018).
//!
//! The best way to each place is found from the best ways to the places before it. A character that is no piece of its own
//! may be unknown, at a price; neighbours that are unknown are one token.

use super::character_map::CharacterMap;
use super::sentencepiece::SPACE;
use super::trie::Trie;
use super::{MAX_TEXT_BYTES, TokenizerError, not_expressible};
use crate::TokenId;

/// What an unknown character scores below the worst piece.
const UNKNOWN_PENALTY: f32 = 10.0;

/// A vocabulary of scored pieces.
#[derive(Debug)]
pub(super) struct Unigram {
    pub(super) pieces: Trie,
    /// Of each token, the logarithm of its probability; finite.
    pub(super) scores: Vec<f32>,
    /// The worst score of a piece.
    pub(super) worst: f32,
    pub(super) unknown: Option<TokenId>,
    pub(super) map: Option<CharacterMap>,
    /// A space goes before the text.
    pub(super) add_space: bool,
    /// Of a run of spaces one stays, and none at the end.
    pub(super) merge_spaces: bool,
}

/// The best way to a place in the text.
#[derive(Debug, Clone, Copy)]
struct Way {
    score: f64,
    /// Where the last token begins.
    start: u32,
    /// `None` if it is unknown.
    token: Option<TokenId>,
}

impl Unigram {
    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<TokenId>) -> Result<(), TokenizerError> {
        let text = self.normalise(text)?;
        let ways = self.ways(&text);
        let first = out.len();
        let mut at = text.len();
        let mut unknown_follows = false;
        while at > 0 {
            let way = ways[at];
            let token = match way.token {
                Some(token) => Some(token),
                None => Some(self.unknown.ok_or_else(|| not_expressible(&text, way.start as usize))?)
                    .filter(|_| !unknown_follows),
            };
            out.extend(token);
            unknown_follows = way.token.is_none();
            at = way.start as usize;
        }
        out[first..].reverse();
        Ok(())
    }

    /// The best way to each place; those inside of characters have none.
    fn ways(&self, text: &str) -> Vec<Way> {
        let nowhere = Way { score: f64::NEG_INFINITY, start: 0, token: None };
        let mut ways = vec![nowhere; text.len() + 1];
        ways[0].score = 0.0;
        let unknown = f64::from(self.worst - UNKNOWN_PENALTY);
        for (start, c) in text.char_indices() {
            let before = ways[start].score;
            let mut improve = |len: usize, score: f64, token| {
                let way = &mut ways[start + len];
                if before + score > way.score {
                    *way = Way { score: before + score, start: start as u32, token };
                }
            };
            let mut is_piece = false;
            for (len, token) in self.pieces.prefixes(&text.as_bytes()[start..]) {
                is_piece |= len == c.len_utf8();
                improve(len, self.scores[token as usize].into(), Some(token));
            }
            if !is_piece {
                improve(c.len_utf8(), unknown, None);
            }
        }
        ways
    }

    /// The text as the pieces spell it: characters replaced, spaces as [`SPACE`], as many as there should be.
    fn normalise(&self, text: &str) -> Result<String, TokenizerError> {
        let mut normal = String::with_capacity(text.len() + text.len() / 4 + SPACE.len_utf8());
        let mut in_word = false;
        let mut space_added = false;
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let itself = (c.len_utf8(), &text[at..at + c.len_utf8()]);
            let (len, replaced) = self.map.as_ref().and_then(|map| map.replace(&text[at..])).unwrap_or(itself);
            for c in replaced.chars() {
                if c == ' ' {
                    in_word = false;
                    if !self.merge_spaces {
                        normal.push(SPACE);
                    }
                    continue;
                }
                if !in_word && (self.merge_spaces || self.add_space && !space_added) {
                    normal.push(SPACE);
                    space_added = true;
                }
                in_word = true;
                normal.push(c);
            }
            if normal.len() > MAX_TEXT_BYTES {
                return Err(TokenizerError::TextTooLong { bytes: normal.len(), limit: MAX_TEXT_BYTES });
            }
            at += len;
        }
        Ok(normal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unigram(pieces: &[(&str, f32)], unknown: Option<TokenId>) -> Unigram {
        let texts = pieces.iter().zip(0..).map(|((text, _), id)| (text.as_bytes().to_vec(), id));
        Unigram {
            pieces: Trie::new(texts.collect()),
            scores: pieces.iter().map(|(_, score)| *score).collect(),
            worst: pieces.iter().map(|(_, score)| *score).fold(0.0, f32::min),
            unknown,
            map: None,
            add_space: true,
            merge_spaces: true,
        }
    }

    fn encode(unigram: &Unigram, text: &str) -> Vec<TokenId> {
        let mut out = Vec::new();
        unigram.encode(text, &mut out).unwrap();
        out
    }

    #[test]
    fn the_greatest_sum_wins_and_not_the_longest_piece() {
        let pieces = [("▁", -3.0), ("a", -2.0), ("b", -2.0), ("ab", -5.0), ("▁a", -2.5), ("▁ab", -4.5)];
        let unigram = unigram(&pieces, Some(9));
        assert_eq!(encode(&unigram, "a"), [4]);
        assert_eq!(encode(&unigram, "ab"), [5], "of equal sums the one that was found first");
        assert_eq!(encode(&unigram, "ba"), [0, 2, 1]);
        assert_eq!(encode(&unigram, "").len(), 0);
    }

    #[test]
    fn neighbours_that_are_unknown_are_one_token() {
        let pieces = [("▁", -1.0), ("a", -2.0)];
        assert_eq!(encode(&unigram(&pieces, Some(9)), "日本aé"), [0, 9, 1, 9]);
        let error = unigram(&pieces, None).encode("aé", &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("'é'"), "{error}");
    }

    #[test]
    fn spaces_are_merged_or_kept_as_the_vocabulary_wants() {
        let mut unigram = unigram(&[("▁", -1.0), ("a", -1.0)], Some(9));
        let normal = |unigram: &Unigram| unigram.normalise("  a  a ").unwrap();
        assert_eq!(normal(&unigram), "▁a▁a");
        unigram.add_space = false;
        assert_eq!(normal(&unigram), "▁a▁a");
        unigram.merge_spaces = false;
        assert_eq!(normal(&unigram), "▁▁a▁▁a▁");
        unigram.add_space = true;
        assert_eq!(normal(&unigram), "▁▁▁a▁▁a▁");
    }
}
