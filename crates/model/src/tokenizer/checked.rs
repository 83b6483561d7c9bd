//! The tokens of a vocabulary, checked: nothing in them is believed before this.

use std::collections::HashMap;

use super::end_tokens::{Named, Names};
use super::escaped;
use super::keys::{SCORES, TOKENS, TYPES};
use super::kind::{Kind, byte_name};
use super::sentencepiece::SPACE;
use super::special::Literals;
use super::texts::Texts;
use super::vocabulary::Vocabulary;
use super::{TokenizerError, byte_level, dna, markup};
use crate::TokenId;

/// How the texts of tokens are written in a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// A character for each byte.
    ByteLevel,
    /// As they are, but for `▁`, which is a space.
    SpaceMarks,
    /// As the first, but for the mark behind letters of DNA.
    Dna,
    /// With backslashes.
    Escaped,
}

/// Checked tokens, before an encoder is made of them.
pub(super) struct Checked<'a> {
    pub(super) tokens: &'a [String],
    pub(super) kinds: Vec<Kind>,
    pub(super) ids: HashMap<&'a str, TokenId>,
    names: Names,
}

impl<'a> Checked<'a> {
    pub(super) fn new(vocabulary: &Vocabulary<'a>) -> Result<Self, TokenizerError> {
        let tokens = vocabulary.tokens;
        if tokens.is_empty() {
            return Err(TokenizerError::Empty);
        }
        // Ids are 32 bits wide, and 0xFFFFFFFF is kept free.
        if tokens.len() >= u32::MAX as usize {
            return Err(TokenizerError::Length { key: TOKENS, found: tokens.len(), expected: u32::MAX as usize - 1 });
        }
        for (key, found) in [(TYPES, vocabulary.types.map(<[_]>::len)), (SCORES, vocabulary.scores.map(<[_]>::len))] {
            if let Some(found) = found.filter(|&found| found < tokens.len()) {
                return Err(TokenizerError::Length { key, found, expected: tokens.len() });
            }
        }
        let mut ids = HashMap::with_capacity(tokens.len());
        for (index, text) in tokens.iter().enumerate() {
            // Some converters leave holes in the vocabulary; a token without text is never written and never found.
            if text.is_empty() {
                continue;
            }
            if let Some(first) = ids.insert(text.as_str(), index as TokenId) {
                let problem = format!("it occurs a second time, first at {first}");
                return Err(TokenizerError::entry(TOKENS, index, text, problem));
            }
        }
        let names = Names::new(|name| ids.contains_key(name));
        let kinds = tokens.iter().enumerate().map(|(index, text)| {
            let kind = vocabulary.types.map_or(1, |types| types[index]);
            Kind::of(names.read(text), kind, index, text)
        });
        let kinds = kinds.collect::<Result<_, _>>()?;
        Ok(Self { tokens, kinds, ids, names })
    }

    /// Of each token, whether an answer is over after it: by its name, or because it is one of `named`.
    pub(super) fn ends(&self, named: impl Iterator<Item = TokenId>) -> Vec<bool> {
        let mut ends: Vec<bool> = self.tokens.iter().map(|text| self.names.read(text) == Some(Named::End)).collect();
        named.for_each(|id| ends[id as usize] = true);
        ends
    }

    pub(super) fn kind(&self, id: TokenId) -> Kind {
        self.kinds[id as usize]
    }

    /// The tokens of a kind that stand for text, with their texts. Holes in the vocabulary are left out.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'a str, TokenId)> {
        let tokens =
            self.tokens.iter().zip(0..).filter(|(text, id)| self.kind(*id).is_made_of_text() && !text.is_empty());
        tokens.map(|(text, id)| (text.as_str(), id))
    }

    /// The tokens that are named after bytes, `<0x00>` to `<0xFF>`.
    pub(super) fn byte_tokens(&self) -> [Option<TokenId>; 256] {
        let mut bytes = [None; 256];
        for (text, id) in self.tokens.iter().zip(0..) {
            if let Some(byte) = byte_name(text) {
                bytes[usize::from(byte)].get_or_insert(id);
            }
        }
        bytes
    }

    /// The tokens that are found as they are written.
    pub(super) fn literals(&self) -> Literals {
        let tokens = self.tokens.iter().zip(0..).filter(|&(_, id)| self.kind(id).is_literal());
        Literals::new(tokens.map(|(text, id)| (id, text.as_str())))
    }

    /// Which tokens frame text. A token that ends an answer or begins a text does, whatever kind the file calls it.
    pub(super) fn markup(&self, templates: &[&str], ends: &[bool], bos: Option<TokenId>) -> Vec<bool> {
        let tokens = self.tokens.iter().zip(&self.kinds).zip(ends).zip(0..);
        let is_markup = |(((text, kind), &ends), id): (((&String, &Kind), &bool), TokenId)| match kind {
            Kind::Control | Kind::Unknown => true,
            Kind::UserDefined => {
                let message = self.names.read(text) == Some(Named::Message);
                message || ends || bos == Some(id) || markup::is_written_by(templates, text)
            }
            Kind::Normal | Kind::Unused | Kind::Byte(_) => false,
        };
        tokens.map(is_markup).collect()
    }

    /// The bytes that each token stands for in a text.
    pub(super) fn bytes(&self, spelling: Spelling) -> Texts {
        let mut buffer = Vec::new();
        let mut bytes = Texts::default();
        for (text, &kind) in self.tokens.iter().zip(&self.kinds) {
            buffer.clear();
            match kind {
                Kind::Normal => spelling.decode(text, &mut buffer),
                Kind::UserDefined => buffer.extend_from_slice(text.as_bytes()),
                Kind::Byte(byte) => buffer.push(byte),
                Kind::Control | Kind::Unknown | Kind::Unused => {}
            }
            bytes.push(&buffer);
        }
        bytes
    }
}

impl Spelling {
    /// Appends the bytes that a token's text stands for.
    fn decode(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Spelling::ByteLevel => byte_level::decode(text, out),
            Spelling::Dna => byte_level::decode(text.strip_suffix(dna::MARK).unwrap_or(text), out),
            Spelling::SpaceMarks => out.extend_from_slice(text.replace(SPACE, " ").as_bytes()),
            Spelling::Escaped => escaped::decode(text, out),
        }
    }
}
