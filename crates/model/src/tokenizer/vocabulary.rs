//! The vocabulary as a GGUF file has it, and its check: nothing in it is believed before this.

use std::collections::HashMap;

use super::bpe::Bpe;
use super::end_tokens::{is_control_name, is_end_name};
use super::keys::{ADD_BOS, ADD_EOS, BOS, EOS, MERGES, SCORES, SENTENCEPIECE, TOKENS, TYPES, UNKNOWN, in_vocabulary};
use super::pre_tokenizer::{PreTokenizer, Rules};
use super::sentencepiece::{SPACE, SentencePiece};
use super::special::Literals;
use super::texts::Texts;
use super::{Encoder, Tokenizer, TokenizerError, byte_level, markup};
use crate::TokenId;

/// A tokenizer's part of a GGUF file's metadata, unchecked. Absent keys are `None`.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary<'a> {
    /// `tokenizer.ggml.model`: `gpt2` or `llama`.
    pub model: &'a str,
    /// `tokenizer.ggml.pre`: how text is split into words; for `gpt2` only.
    pub pre: Option<&'a str>,
    /// `tokenizer.ggml.tokens`: the text of each token.
    pub tokens: &'a [String],
    /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub types: Option<&'a [i64]>,
    /// `tokenizer.ggml.scores`: the higher, the earlier a piece is merged; for `llama` only.
    pub scores: Option<&'a [f32]>,
    /// `tokenizer.ggml.merges`: pairs with a space between, in the order of their ranks; for `gpt2` only.
    pub merges: Option<&'a [String]>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id` and the keys of other tokens that end an answer.
    pub ends: Vec<(&'static str, u32)>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unknown: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub add_space_prefix: Option<bool>,
    /// The sources of the model's chat templates. Tokens of the kind "user-defined" that they write are markup.
    pub templates: Vec<&'a str>,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte(u8),
}

/// Checked tokens, before an encoder is made of them.
struct Checked<'a> {
    tokens: &'a [String],
    kinds: Vec<Kind>,
    ids: HashMap<&'a str, TokenId>,
}

impl Tokenizer {
    /// Makes a tokenizer of a vocabulary. Ids of special tokens that are outside of it, and flags that ask for a token which is not named,
    /// count as missing: see [`Tokenizer::warnings`].
    ///
    /// # Errors
    /// As [`Tokenizer::from_gguf`].
    pub fn from_vocabulary(vocabulary: &Vocabulary<'_>) -> Result<Tokenizer, TokenizerError> {
        let checked = Checked::new(vocabulary)?;
        let mut warnings = Vec::new();
        let Special { bos, eos, unknown, ends } = Special::of(vocabulary, &mut warnings);
        let sentencepiece = vocabulary.is_sentencepiece();
        let (encoder, bos_by_default) = if sentencepiece {
            (Encoder::SentencePiece(checked.sentencepiece(vocabulary.scores, unknown)?), true)
        } else {
            let rules = rules(vocabulary.pre, &mut warnings)?;
            let bpe = checked.bpe(vocabulary.merges, rules.ignore_merges)?;
            (Encoder::Bpe(PreTokenizer::new(rules), bpe), rules.add_bos)
        };
        let mut flag = |set: Option<bool>, default: bool, token: Option<TokenId>, flag, key| {
            if set == Some(true) && token.is_none() {
                warnings.push(format!("{flag} is true, but {key} names no token; it counts as false"));
            }
            set.unwrap_or(default) && token.is_some()
        };
        Ok(Tokenizer {
            add_bos: flag(vocabulary.add_bos, bos_by_default, bos, ADD_BOS, BOS),
            add_eos: flag(vocabulary.add_eos, false, eos, ADD_EOS, EOS),
            add_space: sentencepiece && vocabulary.add_space_prefix.unwrap_or(true),
            special: checked.literals(|kind| matches!(kind, Kind::Control | Kind::Unknown | Kind::UserDefined)),
            markup: checked.markup(&vocabulary.templates, &ends, bos),
            control: checked.kinds.iter().map(|&kind| kind == Kind::Control).collect(),
            bytes: checked.bytes(sentencepiece),
            texts: vocabulary.tokens.iter().map(|text| text.as_bytes()).collect(),
            ends,
            bos,
            eos,
            encoder,
            warnings,
        })
    }
}

impl Vocabulary<'_> {
    fn is_sentencepiece(&self) -> bool {
        self.model == SENTENCEPIECE
    }
}

/// The tokens that mean something by themselves.
struct Special {
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    unknown: Option<TokenId>,
    /// Of each token, whether it ends an answer.
    ends: Vec<bool>,
}

impl Special {
    fn of(vocabulary: &Vocabulary<'_>, warnings: &mut Vec<String>) -> Special {
        let tokens = vocabulary.tokens.len();
        let mut named = |key, id: Option<u32>| id.and_then(|id| in_vocabulary(key, id, tokens, warnings));
        let ends_named: Vec<_> =
            vocabulary.ends.iter().filter_map(|&(key, id)| Some((key, named(key, Some(id))?))).collect();
        let (bos, unknown) = (named(BOS, vocabulary.bos), named(UNKNOWN, vocabulary.unknown));
        let eos = ends_named.iter().find(|(key, _)| *key == EOS).map(|&(_, id)| id);
        // Llama's vocabularies begin with <unk>, <s>, </s>; old files do not name them.
        let or_llama = |id: Option<u32>, default: u32| {
            id.or((vocabulary.is_sentencepiece() && (default as usize) < tokens).then_some(default))
        };
        let (bos, eos, unknown) = (or_llama(bos, 1), or_llama(eos, 2), or_llama(unknown, 0));
        let mut ends: Vec<bool> = vocabulary.tokens.iter().map(|text| is_end_name(text)).collect();
        for id in ends_named.into_iter().map(|(_, id)| id).chain(eos) {
            ends[id as usize] = true;
        }
        Special { bos, eos, unknown, ends }
    }
}

/// The rules of `tokenizer.ggml.pre`.
fn rules(pre: Option<&str>, warnings: &mut Vec<String>) -> Result<Rules, TokenizerError> {
    let name = pre.unwrap_or_else(|| {
        warnings.push(
            "tokenizer.ggml.pre is missing, so text is split into words by the rules of 'default'; \
             answers may be worse than the model can give: convert the model again with a current converter"
                .to_owned(),
        );
        "default"
    });
    Rules::by_name(name)
        .ok_or_else(|| TokenizerError::PreTokenizer { found: name.to_owned(), supported: Rules::names() })
}

impl<'a> Checked<'a> {
    fn new(vocabulary: &Vocabulary<'a>) -> Result<Self, TokenizerError> {
        if !matches!(vocabulary.model, "gpt2" | "llama") {
            return Err(TokenizerError::Model {
                found: vocabulary.model.chars().take(40).collect(),
                supported: "gpt2 (byte-level BPE), llama (SentencePiece)",
            });
        }
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
        let kinds = tokens.iter().enumerate().map(|(index, text)| {
            let kind = vocabulary.types.map_or(1, |types| types[index]);
            kind_of(kind, index, text)
        });
        let kinds = kinds.collect::<Result<_, _>>()?;
        Ok(Self { tokens, kinds, ids })
    }

    fn normal(&self, id: TokenId) -> bool {
        matches!(self.kinds[id as usize], Kind::Normal | Kind::UserDefined | Kind::Unused)
    }

    fn bpe(&self, merges: Option<&[String]>, ignore_merges: bool) -> Result<Bpe, TokenizerError> {
        let bytes = std::array::from_fn(|byte| {
            let mut buffer = [0; 4];
            let text: &str = byte_level::char_of(byte as u8).encode_utf8(&mut buffer);
            self.ids.get(text).copied().filter(|&id| self.normal(id))
        });
        let mut words = HashMap::new();
        if ignore_merges {
            for (text, id) in self.tokens.iter().zip(0..).filter(|&(_, id)| self.kinds[id as usize] == Kind::Normal) {
                let mut word = Vec::with_capacity(text.len());
                byte_level::decode(text, &mut word);
                words.insert(word.into_boxed_slice(), id);
            }
        }
        let mut bpe = Bpe::new(bytes, words);
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
        let mut bytes = [None; 256];
        for (text, id) in self.tokens.iter().zip(0..) {
            if let Some(byte) = byte_name(text) {
                bytes[usize::from(byte)].get_or_insert(id);
            }
            if self.normal(id) && !text.is_empty() {
                let score = scores.map_or(0.0, |scores| scores[id as usize]);
                if score.is_nan() {
                    let problem = format!("the score of {text:.40?} is not a number");
                    return Err(TokenizerError::entry(SCORES, id as usize, "NaN", problem));
                }
                pieces.insert(text.as_str().into(), (id, score));
            }
        }
        Ok(SentencePiece::new(pieces, bytes, unknown))
    }

    fn literals(&self, wanted: impl Fn(Kind) -> bool) -> Literals {
        let tokens = self.tokens.iter().zip(0..).filter(|&(_, id)| wanted(self.kinds[id as usize]));
        Literals::new(tokens.map(|(text, id)| (id, text.as_str())))
    }

    /// Which tokens frame text. A token that ends an answer or begins a text does, whatever kind the file calls it.
    fn markup(&self, templates: &[&str], ends: &[bool], bos: Option<TokenId>) -> Vec<bool> {
        let tokens = self.tokens.iter().zip(&self.kinds).zip(ends).zip(0..);
        let is_markup = |(((text, kind), &ends), id): (((&String, &Kind), &bool), TokenId)| match kind {
            Kind::Control | Kind::Unknown => true,
            Kind::UserDefined => ends || bos == Some(id) || markup::is_written_by(templates, text),
            Kind::Normal | Kind::Unused | Kind::Byte(_) => false,
        };
        tokens.map(is_markup).collect()
    }

    /// The bytes that each token stands for in a text.
    fn bytes(&self, sentencepiece: bool) -> Texts {
        let mut buffer = Vec::new();
        let mut bytes = Texts::default();
        for (text, &kind) in self.tokens.iter().zip(&self.kinds) {
            buffer.clear();
            match kind {
                Kind::Normal if sentencepiece => {
                    buffer.extend_from_slice(text.replace(SPACE, " ").as_bytes());
                }
                Kind::Normal => byte_level::decode(text, &mut buffer),
                Kind::UserDefined => buffer.extend_from_slice(text.as_bytes()),
                Kind::Byte(byte) => buffer.push(byte),
                Kind::Control | Kind::Unknown | Kind::Unused => {}
            }
            bytes.push(&buffer);
        }
        bytes
    }
}

/// The kind of a token, by its number in the file and by its name.
fn kind_of(number: i64, index: usize, text: &str) -> Result<Kind, TokenizerError> {
    if is_control_name(text) {
        return Ok(Kind::Control);
    }
    match number {
        1 => Ok(Kind::Normal),
        2 => Ok(Kind::Unknown),
        3 => Ok(Kind::Control),
        4 => Ok(Kind::UserDefined),
        // 0 is "undefined": llama.cpp shows no text for it either.
        0 | 5 => Ok(Kind::Unused),
        6 => byte_name(text).map(Kind::Byte).ok_or_else(|| {
            TokenizerError::entry(TOKENS, index, text, "its type is byte (6), so it should be named <0x00> to <0xFF>")
        }),
        other => {
            let problem = "token types go from 0 to 6";
            Err(TokenizerError::entry(TYPES, index, &other.to_string(), problem))
        }
    }
}

/// The byte of a token named `<0x00>` to `<0xFF>`.
fn byte_name(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}
