//! SentencePiece's byte-pair encoding: characters are merged into the piece with the highest score until none is left.
//!
//! Unlike [`super::bpe`] there is no list of merges: any two neighbours merge whose joined text is in the vocabulary.
//! Of equal scores the leftmost is merged first. What is still no piece of the vocabulary is spelled in bytes.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::{TokenizerError, not_expressible};
use crate::TokenId;

/// The character that stands for a space in pieces: `▁`.
pub(super) const SPACE: char = '\u{2581}';

/// A vocabulary of scored pieces.
#[derive(Debug)]
pub(super) struct SentencePiece {
    pieces: HashMap<Box<str>, (TokenId, f32)>,
    /// The tokens `<0x00>` to `<0xFF>`; a vocabulary may lack them.
    bytes: Box<[Option<TokenId>; 256]>,
    unknown: Option<TokenId>,
    longest: usize,
}

/// Part of the text, from one position on; parts are a linked list over characters. Empty once it was absorbed.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: u32,
    len: u32,
    previous: u32,
    next: u32,
}

const END: u32 = u32::MAX;

/// Two neighbours whose joined text is a piece; their joined length tells whether they are still there.
#[derive(Debug, PartialEq)]
struct Candidate {
    score: f32,
    left: u32,
    len: u32,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    /// The greatest has the highest score, then the leftmost place.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl SentencePiece {
    pub(super) fn new(
        pieces: HashMap<Box<str>, (TokenId, f32)>,
        bytes: [Option<TokenId>; 256],
        unknown: Option<TokenId>,
    ) -> Self {
        let longest = pieces.keys().map(|piece| piece.len()).max().unwrap_or(0);
        Self { pieces, bytes: Box::new(bytes), unknown, longest }
    }

    /// Appends the tokens of `text`, in which spaces are written as [`SPACE`] already.
    ///
    /// `text` is shorter than 2^32 bytes; the tokenizer checks the whole text.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<TokenId>) -> Result<(), TokenizerError> {
        let mut parts: Vec<Part> = text
            .char_indices()
            .zip(0u32..)
            .map(|((start, c), index)| Part {
                start: start as u32,
                len: c.len_utf8() as u32,
                previous: index.wrapping_sub(1),
                next: index + 1,
            })
            .collect();
        if let Some(last) = parts.last_mut() {
            last.next = END;
        }
        let mut heap = BinaryHeap::new();
        for left in 0..parts.len().saturating_sub(1) {
            self.offer(text, &parts, left as u32, &mut heap);
        }
        while let Some(Candidate { left, len, .. }) = heap.pop() {
            let part = parts[left as usize];
            let Some(other) = parts.get(part.next as usize).copied() else { continue };
            if part.len == 0 || part.len + other.len != len {
                continue; // one of them has been merged since
            }
            parts[part.next as usize].len = 0;
            parts[left as usize] = Part { len, next: other.next, ..part };
            if other.next != END {
                parts[other.next as usize].previous = left;
                self.offer(text, &parts, left, &mut heap);
            }
            if left != 0 {
                self.offer(text, &parts, part.previous, &mut heap);
            }
        }
        let mut at = 0;
        while let Some(part) = parts.get(at as usize) {
            self.emit(&text[part.start as usize..][..part.len as usize], out)?;
            at = part.next;
        }
        Ok(())
    }

    /// Puts `left` and its neighbour on the heap if they make a piece.
    fn offer(&self, text: &str, parts: &[Part], left: u32, heap: &mut BinaryHeap<Candidate>) {
        let part = parts[left as usize];
        let len = part.len + parts[part.next as usize].len;
        if len as usize > self.longest {
            return;
        }
        if let Some(&(_, score)) = self.pieces.get(&text[part.start as usize..][..len as usize]) {
            heap.push(Candidate { score, left, len });
        }
    }

    /// Appends one part: its token, or its bytes, or the unknown token.
    fn emit(&self, part: &str, out: &mut Vec<TokenId>) -> Result<(), TokenizerError> {
        if let Some(&(token, _)) = self.pieces.get(part) {
            out.push(token);
            return Ok(());
        }
        let before = out.len();
        out.extend(part.bytes().map_while(|byte| self.bytes[usize::from(byte)]));
        if out.len() - before == part.len() {
            return Ok(());
        }
        out.truncate(before);
        let unknown = self.unknown.ok_or_else(|| not_expressible(part, 0))?;
        out.push(unknown);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(pieces: &[(&str, f32)], unknown: Option<TokenId>) -> SentencePiece {
        let pieces = pieces.iter().zip(1..).map(|(&(t, score), id)| (t.into(), (id, score))).collect();
        let bytes = std::array::from_fn(|b| (b >= 0x80).then_some(1000 + b as u32));
        SentencePiece::new(pieces, bytes, unknown)
    }

    fn encode(encoder: &SentencePiece, text: &str) -> Vec<TokenId> {
        let mut out = Vec::new();
        encoder.encode(text, &mut out).unwrap();
        out
    }

    #[test]
    fn the_highest_score_merges_first_and_the_leftmost_of_equals() {
        let e = encoder(&[("a", 0.), ("b", 0.), ("c", 0.), ("ab", -2.), ("bc", -1.), ("aa", -3.), ("abc", -9.)], None);
        assert_eq!(encode(&e, "abc"), [7], "bc first, then a + bc");
        assert_eq!(encode(&e, "aaa"), [6, 1]);
        assert_eq!(encode(&e, "abb"), [4, 2]);
        assert_eq!(encode(&e, "").len(), 0);
    }

    #[test]
    fn characters_outside_of_the_vocabulary_become_bytes_or_the_unknown_token() {
        let e = encoder(&[("a", 0.)], Some(0));
        assert_eq!(encode(&e, "aéa"), [1, 1000 + 0xC3, 1000 + 0xA9, 1]);
        assert_eq!(encode(&e, "a?a"), [1, 0, 1], "no byte token below 0x80 here");
        let strict = encoder(&[("a", 0.)], None);
        let error = strict.encode("a?", &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("'?' (U+003F)"), "{error}");
    }

    #[test]
    fn scores_that_are_not_numbers_do_no_harm() {
        let e = encoder(&[("a", f32::NAN), ("aa", f32::NAN), ("aaa", f32::INFINITY)], None);
        assert_eq!(encode(&e, "aaaa"), [2, 2]);
    }
}
