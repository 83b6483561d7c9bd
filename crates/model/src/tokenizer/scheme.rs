//! The ways from text to tokens, by `tokenizer.ggml.model`.

use crate::TokenId;

/// How a vocabulary makes tokens of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Merges of bytes in the order of a list; words first.
    Bpe,
    /// Merges of characters by score.
    SentencePiece,
    /// The pieces with the greatest sum of scores.
    Unigram,
    /// The longest pieces of each word, lower-cased.
    WordPiece,
    /// The longest token, again and again.
    Longest,
}

/// The names in files.
const NAMES: &[(&str, Scheme, &str)] = &[
    ("gpt2", Scheme::Bpe, "byte-level BPE"),
    ("hybriddna", Scheme::Bpe, "byte-level BPE and DNA"),
    ("gemma4", Scheme::Bpe, "BPE of characters"),
    ("whitespace", Scheme::Bpe, "BPE of the characters of words"),
    ("llama", Scheme::SentencePiece, "SentencePiece"),
    ("t5", Scheme::Unigram, "Unigram"),
    ("bert", Scheme::WordPiece, "WordPiece"),
    ("rwkv", Scheme::Longest, "RWKV"),
];

/// Ids of tokens that a file of this scheme may leave unnamed, as llama.cpp has them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usual {
    pub(super) bos: Option<TokenId>,
    pub(super) eos: Option<TokenId>,
    pub(super) unknown: Option<TokenId>,
}

impl Scheme {
    pub(super) fn by_name(name: &str) -> Option<Scheme> {
        NAMES.iter().find(|(known, ..)| *known == name).map(|&(_, scheme, _)| scheme)
    }

    /// All names, for error messages.
    pub(super) fn names() -> String {
        NAMES.iter().map(|(name, _, what)| format!("{name} ({what})")).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn usual(self) -> Usual {
        let ids = |bos, eos, unknown| Usual { bos, eos, unknown };
        match self {
            // Llama's vocabularies begin with <unk>, <s>, </s>; old files do not name them.
            Scheme::SentencePiece => ids(Some(1), Some(2), Some(0)),
            Scheme::Unigram => ids(None, Some(1), Some(2)),
            Scheme::WordPiece => ids(Some(101), Some(102), Some(100)),
            Scheme::Bpe | Scheme::Longest => Usual::default(),
        }
    }
}
