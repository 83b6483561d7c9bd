//! Byte-pair encoding: a word begins as its bytes, or its characters, and the pair with the lowest rank is merged until none is left.
//!
//! Of equal pairs the leftmost is merged first. A heap of candidates keeps this at O(n log n) for a word of n bytes,
//! so one endless word is as cheap as many short ones.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::TokenId;

/// What a pair becomes, and how early.
#[derive(Debug, Clone, Copy)]
struct Merge {
    rank: u32,
    token: TokenId,
}

/// The merges of a vocabulary.
#[derive(Debug)]
pub(super) struct Bpe {
    /// The tokens of single characters, where words begin as characters. Those without one begin as bytes.
    characters: HashMap<char, TokenId>,
    /// The token of each byte; a vocabulary may lack some.
    bytes: Box<[Option<TokenId>; 256]>,
    merges: HashMap<(TokenId, TokenId), Merge>,
    /// Words that are one token whatever the merges say (Llama 3's `ignore_merges`, Gemma 4's line ends).
    words: HashMap<Box<[u8]>, TokenId>,
}

/// One piece of the word: a token, or a byte without one. Pieces are a linked list over positions.
#[derive(Debug, Clone, Copy)]
struct Piece {
    token: Option<TokenId>,
    previous: u32,
    next: u32,
}

const END: u32 = u32::MAX;

/// A pair that can be merged: by rank, then leftmost. The tokens tell whether the pair is still there.
type Candidate = Reverse<(u32, u32, TokenId, TokenId)>;

/// Memory that is used again for each word.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pieces: Vec<Piece>,
    heap: BinaryHeap<Candidate>,
}

impl Bpe {
    pub(super) fn new(
        characters: HashMap<char, TokenId>,
        bytes: [Option<TokenId>; 256],
        words: HashMap<Box<[u8]>, TokenId>,
    ) -> Self {
        Self { characters, bytes: Box::new(bytes), merges: HashMap::new(), words }
    }

    /// Adds a merge after all that were added before. If the pair is known already, its first rank stays.
    pub(super) fn add_merge(&mut self, left: TokenId, right: TokenId, token: TokenId) {
        let rank = self.merges.len() as u32;
        self.merges.entry((left, right)).or_insert(Merge { rank, token });
    }

    /// Appends the tokens of one word. Bytes that the vocabulary lacks are left out, as llama.cpp does.
    ///
    /// `word` is shorter than 2^32 bytes; the tokenizer checks the whole text.
    pub(super) fn encode(&self, word: &str, scratch: &mut Scratch, out: &mut Vec<TokenId>) {
        if let Some(&token) = self.words.get(word.as_bytes()) {
            out.push(token);
            return;
        }
        let Scratch { pieces, heap } = scratch;
        pieces.clear();
        self.begin(word, pieces);
        heap.clear();
        for left in 0..(pieces.len() as u32).saturating_sub(1) {
            self.offer(pieces, left, left + 1, heap);
        }
        while let Some(Reverse((_, at, left, right))) = heap.pop() {
            let piece = pieces[at as usize];
            let Some(other) = pieces.get(piece.next as usize).copied() else { continue };
            if piece.token != Some(left) || other.token != Some(right) {
                continue; // one of them has been merged since
            }
            let Some(merge) = self.merges.get(&(left, right)) else { continue };
            // The absorbed piece keeps no token, so that candidates which begin there are seen to be stale.
            pieces[piece.next as usize].token = None;
            pieces[at as usize] = Piece { token: Some(merge.token), next: other.next, ..piece };
            if other.next != END {
                pieces[other.next as usize].previous = at;
                self.offer(pieces, at, other.next, heap);
            }
            if at != 0 {
                self.offer(pieces, piece.previous, at, heap);
            }
        }
        let mut at = 0;
        while let Some(piece) = pieces.get(at as usize) {
            out.extend(piece.token);
            at = piece.next;
        }
    }

    /// The pieces that a word begins as.
    fn begin(&self, word: &str, pieces: &mut Vec<Piece>) {
        let piece = |token, at: u32| Piece { token, previous: at.wrapping_sub(1), next: at + 1 };
        if self.characters.is_empty() {
            pieces.extend(word.bytes().zip(0u32..).map(|(byte, at)| piece(self.bytes[usize::from(byte)], at)));
        } else {
            for c in word.chars() {
                if let Some(&token) = self.characters.get(&c) {
                    pieces.push(piece(Some(token), pieces.len() as u32));
                    continue;
                }
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    pieces.push(piece(self.bytes[usize::from(byte)], pieces.len() as u32));
                }
            }
        }
        if let Some(last) = pieces.last_mut() {
            last.next = END;
        }
    }

    /// Puts a pair on the heap if it can be merged.
    fn offer(&self, pieces: &[Piece], left: u32, right: u32, heap: &mut BinaryHeap<Candidate>) {
        if let (Some(a), Some(b)) = (pieces[left as usize].token, pieces[right as usize].token)
            && let Some(merge) = self.merges.get(&(a, b))
        {
            heap.push(Reverse((merge.rank, left, a, b)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens 0 to 25 are the letters a to z.
    fn letters(merges: &[(TokenId, TokenId, TokenId)]) -> Bpe {
        let bytes = std::array::from_fn(|b| (b as u8).is_ascii_lowercase().then(|| b as u32 - 97));
        let mut bpe = Bpe::new(HashMap::new(), bytes, HashMap::new());
        for &(left, right, token) in merges {
            bpe.add_merge(left, right, token);
        }
        bpe
    }

    fn encode(bpe: &Bpe, word: &str) -> Vec<TokenId> {
        let mut out = Vec::new();
        bpe.encode(word, &mut Scratch::default(), &mut out);
        out
    }

    #[test]
    fn the_lowest_rank_merges_first_and_the_leftmost_of_equals() {
        let bpe = letters(&[(1, 2, 100), (0, 1, 101), (0, 0, 102), (101, 2, 103)]);
        assert_eq!(encode(&bpe, "abc"), [0, 100]);
        assert_eq!(encode(&bpe, "aaa"), [102, 0]);
        assert_eq!(encode(&bpe, "ab"), [101]);
        assert_eq!(encode(&bpe, "").len(), 0);
    }

    #[test]
    fn the_first_rank_of_a_repeated_merge_counts() {
        let bpe = letters(&[(0, 1, 100), (1, 2, 101), (0, 1, 102)]);
        assert_eq!(encode(&bpe, "abc"), [100, 2]);
    }

    #[test]
    fn a_byte_without_a_token_is_left_out_and_separates_its_neighbours() {
        let bpe = letters(&[(0, 1, 100)]);
        assert_eq!(encode(&bpe, "a!b"), [0, 1]);
        assert_eq!(encode(&bpe, "!ab!"), [100]);
        assert_eq!(encode(&bpe, "!").len(), 0);
    }

    #[test]
    fn a_word_of_characters_begins_as_them_and_spells_the_others_in_bytes() {
        let bytes = std::array::from_fn(|b| Some(1000 + b as u32));
        let mut bpe = Bpe::new(HashMap::from([('a', 1), ('é', 2)]), bytes, HashMap::from([(Box::from(&b"aa"[..]), 9)]));
        bpe.add_merge(1, 2, 3);
        assert_eq!(encode(&bpe, "aéxé"), [3, 1000 + 0x78, 2]);
        assert_eq!(encode(&bpe, "日"), [1000 + 0xE6, 1000 + 0x97, 1000 + 0xA5]);
        assert_eq!(encode(&bpe, "aa"), [9]);
    }
}
