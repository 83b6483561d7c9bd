//! The encoders of all schemes as one, made of a checked vocabulary.

use std::collections::HashMap;

use super::bpe::{self, Bpe};
use super::character_map::CharacterMap;
use super::checked::Checked;
use super::dna::Dna;
use super::keys::{MERGES, SCORES, TOKENS};
use super::kind::Kind;
use super::longest::Longest;
use super::pre_tokenizer::{Letters, PreTokenizer, Rules};
use super::scheme::Scheme;
use super::sentencepiece::{SPACE, SentencePiece};
use super::trie::{self, Trie};
use super::unigram::Unigram;
use super::vocabulary::Vocabulary;
use super::word_piece::{CONTINUED, WordPiece};
use super::{TokenizerError, byte_level, escaped};
use crate::TokenId;

/// Makes tokens of text.
#[derive(Debug)]
pub(super) enum Encoder {
    Bpe { words: PreTokenizer, bpe: Bpe, letters: Letters, lower_case: bool, dna: Option<Dna> },
    SentencePiece { pieces: SentencePiece, add_space: bool },
    Unigram(Unigram),
    WordPiece(WordPiece),
    Longest(Longest),
}

impl Encoder {
    pub(super) fn new(
        scheme: Scheme,
        rules: Option<Rules>,
        vocabulary: &Vocabulary<'_>,
        checked: &Checked<'_>,
        unknown: Option<TokenId>,
    ) -> Result<Encoder, TokenizerError> {
        let add_space = vocabulary.add_space_prefix.unwrap_or(true);
        Ok(match (scheme, rules) {
            (Scheme::Bpe, Some(rules)) => Encoder::Bpe {
                words: PreTokenizer::new(rules),
                bpe: checked.bpe(vocabulary.merges, rules)?,
                letters: rules.letters,
                lower_case: vocabulary.lower_case.unwrap_or(false),
                dna: if vocabulary.model == "hybriddna" { Dna::new(checked.texts()) } else { None },
            },
            (Scheme::Bpe | Scheme::SentencePiece, _) => {
                Encoder::SentencePiece { pieces: checked.sentencepiece(vocabulary.scores, unknown)?, add_space }
            }
            (Scheme::Unigram, _) => Encoder::Unigram(checked.unigram(vocabulary, unknown, add_space)?),
            (Scheme::WordPiece, _) => {
                let lower_case = vocabulary.lower_case.unwrap_or(true);
                let strip_accents = vocabulary.strip_accents.unwrap_or(lower_case);
                Encoder::WordPiece(WordPiece::new(checked.word_pieces()?, unknown, lower_case, strip_accents))
            }
            (Scheme::Longest, _) => Encoder::Longest(Longest::new(checked.byte_strings()?, unknown)),
        })
    }

    /// Appends the tokens of a text between special tokens.
    pub(super) fn encode(
        &self,
        text: &str,
        scratch: &mut bpe::Scratch,
        out: &mut Vec<TokenId>,
    ) -> Result<(), TokenizerError> {
        match self {
            Encoder::Bpe { words, bpe, letters: Letters::Bytes, dna, .. } => {
                let mut plain = |text: &str, out: &mut Vec<TokenId>| {
                    words.split(text, &mut |word| bpe.encode(word, scratch, out));
                };
                match dna {
                    None => plain(text, out),
                    Some(dna) => dna.encode(text, out, plain),
                }
                Ok(())
            }
            Encoder::Bpe { bpe, letters: Letters::Words, lower_case, .. } => {
                for word in text.split_whitespace() {
                    let lower =
                        lower_case.then(|| word.chars().filter_map(|c| c.to_lowercase().next()).collect::<String>());
                    bpe.encode(lower.as_deref().unwrap_or(word), scratch, out);
                }
                Ok(())
            }
            Encoder::Bpe { words, bpe, letters: Letters::Characters { .. }, .. } => {
                let marked = text.replace(' ', "\u{2581}");
                words.split(&marked, &mut |word| bpe.encode(word, scratch, out));
                Ok(())
            }
            Encoder::SentencePiece { pieces, add_space } => {
                let prefix = if *add_space { " " } else { "" };
                pieces.encode(&[prefix, text].concat().replace(' ', "\u{2581}"), out)
            }
            Encoder::Unigram(unigram) => unigram.encode(text, out),
            Encoder::WordPiece(pieces) => pieces.encode(text, out),
            Encoder::Longest(tokens) => tokens.encode(text, out),
        }
    }
}

impl Encoder {
    /// Appends the tokens of a text that goes on another one, if there is a way to know them.
    pub(super) fn encode_further(&self, text: &str, out: &mut Vec<TokenId>) -> bool {
        match self {
            Encoder::SentencePiece { pieces, .. } => pieces.encode(&text.replace(' ', "\u{2581}"), out).is_ok(),
            Encoder::Bpe { .. } | Encoder::Longest(_) => self.encode(text, &mut bpe::Scratch::default(), out).is_ok(),
            Encoder::Unigram(_) | Encoder::WordPiece(_) => false,
        }
    }
}

impl Checked<'_> {
    fn bpe(&self, merges: Option<&[String]>, rules: Rules) -> Result<Bpe, TokenizerError> {
        let (mut characters, mut words) = (HashMap::new(), HashMap::new());
        let mut bytes = self.byte_tokens();
        match rules.letters {
            Letters::Bytes => {
                bytes = std::array::from_fn(|byte| {
                    let mut buffer = [0; 4];
                    let text: &str = byte_level::char_of(byte as u8).encode_utf8(&mut buffer);
                    self.ids.get(text).copied().filter(|&id| self.kind(id).is_made_of_text())
                });
            }
            Letters::Words | Letters::Characters { .. } => {
                let whole_lines = rules.letters == Letters::Characters { whole_lines: true };
                for (text, id) in self.texts() {
                    let mut chars = text.chars();
                    if let (Some(c), None) = (chars.next(), chars.next()) {
                        characters.insert(c, id);
                    } else if whole_lines && text.chars().all(|c| c == '\n') {
                        words.insert(text.as_bytes().into(), id);
                    }
                }
            }
        }
        if rules.ignore_merges {
            for (text, id) in self.texts().filter(|&(_, id)| self.kind(id) == Kind::Normal) {
                let mut word = Vec::with_capacity(text.len());
                byte_level::decode(text, &mut word);
                words.insert(word.into_boxed_slice(), id);
            }
        }
        let mut bpe = Bpe::new(characters, bytes, words);
        let merges = merges.ok_or_else(|| crate::gguf::GgufError::MissingKey { key: MERGES.to_owned() })?;
        for (index, merge) in merges.iter().enumerate() {
            let bad = |problem: &str| TokenizerError::entry(MERGES, index, merge, problem);
            let space = merge.char_indices().skip(1).find(|&(_, c)| c == ' ').map(|(at, _)| at);
            let (left, right) =
                space.map(|at| (&merge[..at], &merge[at + 1..])).ok_or_else(|| bad("it is no pair of tokens"))?;
            let token = |text: &str, problem| self.ids.get(text).copied().ok_or_else(|| bad(problem));
            let left_id = token(left, "the first of the pair is not in the vocabulary")?;
            let right_id = token(right, "the second of the pair is not in the vocabulary")?;
            let joined = token(&[left, right].concat(), "the pair joined is not in the vocabulary")?;
            bpe.add_merge(left_id, right_id, joined);
        }
        Ok(bpe)
    }

    fn sentencepiece(&self, scores: Option<&[f32]>, unknown: Option<TokenId>) -> Result<SentencePiece, TokenizerError> {
        let mut pieces = HashMap::with_capacity(self.ids.len());
        for (text, id) in self.texts() {
            let score = scores.map_or(0.0, |scores| scores[id as usize]);
            if score.is_nan() {
                let problem = format!("the score of {text:.40?} is not a number");
                return Err(TokenizerError::entry(SCORES, id as usize, "NaN", problem));
            }
            pieces.insert(text.into(), (id, score));
        }
        Ok(SentencePiece::new(pieces, self.byte_tokens(), unknown))
    }

    fn unigram(
        &self,
        vocabulary: &Vocabulary<'_>,
        unknown: Option<TokenId>,
        add_space: bool,
    ) -> Result<Unigram, TokenizerError> {
        let scores = vocabulary.scores.ok_or_else(|| crate::gguf::GgufError::MissingKey { key: SCORES.to_owned() })?;
        let mut scores = scores.to_vec();
        let mut worst = f32::INFINITY;
        for (text, id) in self.texts() {
            let score = &mut scores[id as usize];
            if !score.is_finite() {
                let problem = format!("the score of {text:.40?} is not a finite number");
                return Err(TokenizerError::entry(SCORES, id as usize, &score.to_string(), problem));
            }
            match self.kind(id) {
                Kind::Normal => worst = worst.min(*score),
                // What the model's makers added is taken wherever it stands.
                Kind::UserDefined => *score = 0.0,
                _ => {}
            }
        }
        let map = vocabulary.character_map.map(CharacterMap::new).transpose();
        Ok(Unigram {
            pieces: trie(self.texts().map(|(text, id)| (text.as_bytes().to_vec(), id)))?,
            scores,
            worst: if worst.is_finite() { worst } else { 0.0 },
            unknown,
            map: map.map_err(|problem| TokenizerError::CharacterMap { problem })?,
            add_space,
            merge_spaces: vocabulary.remove_extra_whitespaces.unwrap_or(false),
        })
    }

    fn word_pieces(&self) -> Result<Trie, TokenizerError> {
        let original = !self.texts().any(|(text, _)| text.starts_with(SPACE));
        trie(self.texts().map(|(text, id)| match text.strip_prefix(CONTINUED) {
            Some(continued) if original => (continued.as_bytes().to_vec(), id),
            None if original => (format!("{SPACE}{text}").into_bytes(), id),
            _ => (text.as_bytes().to_vec(), id),
        }))
    }

    fn byte_strings(&self) -> Result<Trie, TokenizerError> {
        trie(self.texts().map(|(text, id)| {
            let mut bytes = Vec::with_capacity(text.len());
            escaped::decode(text, &mut bytes);
            (bytes, id)
        }))
    }
}

/// A trie of texts that are not too long for it.
fn trie(texts: impl Iterator<Item = (Vec<u8>, TokenId)>) -> Result<Trie, TokenizerError> {
    let texts: Vec<_> = texts.collect();
    if let Some((text, id)) = texts.iter().find(|(text, _)| text.len() > trie::LONGEST) {
        let problem = format!("it has {} bytes, and up to {} are taken", text.len(), trie::LONGEST);
        return Err(TokenizerError::entry(TOKENS, *id as usize, &String::from_utf8_lossy(text), problem));
    }
    if texts.iter().map(|(text, _)| text.len()).sum::<usize>() >= u32::MAX as usize {
        return Err(TokenizerError::Length { key: TOKENS, found: texts.len(), expected: 1 << 20 });
    }
    Ok(Trie::new(texts))
}
