//! Text to token ids and back, from the vocabulary in the GGUF file.
//!
//! Five kinds of vocabulary are read: BPE of bytes or characters (`gpt2`: GPT-2, Llama 3, Qwen, SmolLM; `hybriddna`;
//! `gemma4`; `whitespace`), SentencePiece's BPE (`llama`: Llama 2, Mistral, Gemma) and Unigram (`t5`: XLM-RoBERTa), WordPiece
//! (`bert`), and RWKV's (`rwkv`). The ids are those that llama.cpp gives for the same file, with these differences: where special tokens overlap
//! in a text, the leftmost counts here and the longest there; and WordPiece makes words as Hugging Face's tokenizers do.
//!
//! A text goes through three steps: special tokens are cut out (`special`), the rest is split into words
//! (`pre_tokenizer`, BPE only; `word_piece`), and each word is made of its bytes, characters or pieces (`bpe`,
//! `sentencepiece`, `unigram`, `word_piece`, `longest`). All of them take time that is linear in the text, or nearly so,
//! whatever the text and the vocabulary are.

mod assemble;
mod bpe;
mod byte_level;
mod character_map;
mod checked;
mod dna;
mod encoder;
mod end_tokens;
mod error;
mod escaped;
mod fill_in;
mod keys;
mod kind;
mod longest;
mod markup;
mod metadata;
mod pre_tokenizer;
mod scheme;
mod sentencepiece;
mod special;
mod stream;
mod strip;
mod texts;
mod trie;
mod unigram;
mod vocabulary;
mod word_piece;

pub use error::TokenizerError;
pub use fill_in::FillIn;
pub use stream::TextStream;
pub use vocabulary::Vocabulary;

use std::ops::Range;

use self::assemble::Frame;
use self::encoder::Encoder;
use self::error::not_expressible;
use self::markup::Reading;
use self::special::{Literals, Part};
use self::strip::Stripping;
use self::texts::Texts;
use crate::{Prompt, TokenId};

/// The longest text that is encoded, in bytes: positions have 32 bits, and SentencePiece writes a space in three bytes.
const MAX_TEXT_BYTES: usize = 1 << 30;

/// What the text of a control token, or of other markup, means when it stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialTokens {
    /// The token: for completions, whose text is a template's work.
    Parse,
    /// Its letters: for text that users wrote and that must not be able to end their turn. Tokens of the kind
    /// "user-defined" are ordinary vocabulary and are found all the same, unless the model's chat template writes them.
    AsText,
}

/// Whether a text begins with the BOS token (and ends with EOS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bos {
    /// As the model's file says: `add_bos_token` and `add_eos_token`, or what is usual for its kind. A text that
    /// begins with BOS already gets no second one.
    AsModel,
    /// No BOS, and no EOS.
    Never,
}

/// A model's vocabulary.
#[derive(Debug)]
pub struct Tokenizer {
    /// The vocabulary's own spelling of each token.
    texts: Texts,
    /// What each token stands for in a text.
    bytes: Texts,
    control: Vec<bool>,
    markup: Vec<bool>,
    ends: Vec<bool>,
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    fill_in: Option<FillIn>,
    frame: Frame,
    /// The first token of a text begins with a space that is not in the text.
    leading_space: bool,
    /// Control, unknown and user-defined tokens.
    special: Literals,
    stripping: Stripping,
    encoder: Encoder,
    warnings: Vec<String>,
}

impl Tokenizer {
    /// The tokens of a text.
    ///
    /// Bytes that a byte-level vocabulary lacks are left out, as llama.cpp does (SmolLM2 lacks a few control characters).
    ///
    /// # Errors
    /// If the text is longer than 1 GiB, or has a character that the vocabulary cannot express in any way.
    pub fn encode(&self, text: &str, special: SpecialTokens, bos: Bos) -> Result<Vec<TokenId>, TokenizerError> {
        let whole = 0..text.len();
        let given = match special {
            SpecialTokens::Parse => &[][..],
            SpecialTokens::AsText => std::slice::from_ref(&whole),
        };
        let mut ids = self.encode_given(text, given, bos)?;
        ids.extend(self.frame.after.filter(|_| bos == Bos::AsModel));
        Ok(ids)
    }

    /// The tokens of a text that goes on another one: without BOS and without the space that some vocabularies put before a text. `None` if the
    /// vocabulary cannot express it, or makes other tokens of a text's beginning than of what is in its midst.
    pub fn encode_further(&self, text: &str) -> Option<Vec<TokenId>> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 2);
        let is_encoded = text.len() <= MAX_TEXT_BYTES && self.encoder.encode_further(text, &mut ids);
        is_encoded.then_some(ids)
    }

    /// The tokens of two texts that are judged together, as a reranker's query and document are: what the model's file
    /// puts before, between and after them, and the texts with their special tokens as text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_pair(&self, first: &str, second: &str) -> Result<Vec<TokenId>, TokenizerError> {
        let Frame { before, after, between } = self.frame;
        let mut ids: Vec<TokenId> = before.into_iter().collect();
        ids.extend(self.encode(first, SpecialTokens::AsText, Bos::Never)?);
        ids.extend(after.into_iter().chain(between));
        ids.extend(self.encode(second, SpecialTokens::AsText, Bos::Never)?);
        ids.extend(after);
        Ok(ids)
    }

    /// The tokens of a prompt that a chat template wrote: markup is found where the template wrote all of it, and what came with
    /// the request is text, whatever it spells. BOS is put first if the model wants it and the template did not write it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<TokenId>, TokenizerError> {
        self.encode_given(prompt.text(), prompt.given(), Bos::AsModel)
    }

    /// The tokens of a text of which `given` came with a request.
    fn encode_given(&self, text: &str, given: &[Range<usize>], bos: Bos) -> Result<Vec<TokenId>, TokenizerError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TokenizerError::TextTooLong { bytes: text.len(), limit: MAX_TEXT_BYTES });
        }
        let reading = Reading { tokenizer: self, text, given };
        let mut ids = Vec::with_capacity(text.len() / 4 + 2);
        if bos == Bos::AsModel && !self.begins_with_bos(&reading) {
            ids.extend(self.frame.before);
        }
        let counts = |id, place: &Range<usize>| reading.counts(id, place);
        let mut scratch = bpe::Scratch::default();
        // What white space a token takes is known once the token after it is.
        let (mut last, mut waiting) = (None, "");
        let mut encode = |last, text, next, ids: &mut Vec<TokenId>| match self.stripping.strip(last, text, next) {
            "" => Ok(()),
            text => self.encoder.encode(text, &mut scratch, ids),
        };
        self.special.split(text, counts, |part| {
            match part {
                Part::Text(text) => waiting = text,
                Part::Token(id) => {
                    encode(last, std::mem::take(&mut waiting), Some(id), &mut ids)?;
                    ids.push(id);
                    last = Some(id);
                }
            }
            Ok::<_, TokenizerError>(())
        })?;
        encode(last, waiting, None, &mut ids)?;
        Ok(ids)
    }

    /// Whether a text spells BOS at its start, and means it.
    fn begins_with_bos(&self, reading: &Reading<'_>) -> bool {
        let counts = |id, place: &Range<usize>| reading.is_templates(place) && reading.counts(id, place);
        let first = self.special.longest_at(reading.text.as_bytes(), 0, counts);
        first.is_some_and(|(_, id)| Some(id) == self.bos)
    }

    /// The text of tokens. Control tokens have none, and bytes that are no UTF-8 become U+FFFD.
    ///
    /// The space that a vocabulary puts before a text is taken away again.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect();
        let bytes = if self.leading_space { bytes.strip_prefix(b" ").unwrap_or(&bytes) } else { &bytes };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// What a token stands for in a text: any bytes, perhaps part of a character. Empty for control tokens, for unused
    /// ones, and for ids outside of the vocabulary.
    pub fn token_bytes(&self, id: TokenId) -> &[u8] {
        self.bytes.get(id as usize)
    }

    /// A token as the vocabulary spells it (`Ġthe`, `▁the`, `<|im_end|>`); empty for ids outside of it.
    pub fn token_text(&self, id: TokenId) -> &str {
        std::str::from_utf8(self.texts.get(id as usize)).unwrap_or_default()
    }

    /// What a token is written as where control tokens are shown, as in a prompt that is echoed: as [`Tokenizer::token_bytes`], but
    /// control tokens have their own text (`<|im_end|>`).
    pub fn written_bytes(&self, id: TokenId) -> &[u8] {
        match self.token_bytes(id) {
            [] => self.texts.get(id as usize),
            bytes => bytes,
        }
    }

    /// Is an answer over after this token?
    pub fn is_end(&self, id: TokenId) -> bool {
        self.ends.get(id as usize).copied().unwrap_or(false)
    }

    /// Is this a control token, which has no text of its own?
    pub fn is_control(&self, id: TokenId) -> bool {
        self.control.get(id as usize).copied().unwrap_or(false)
    }

    /// Does this token frame text instead of being a part of it? A template may write it, a request may not.
    pub fn is_markup(&self, id: TokenId) -> bool {
        self.markup.get(id as usize).copied().unwrap_or(false)
    }

    /// The control token, or the token that frames text, which is spelled so.
    pub fn special_token(&self, text: &str) -> Option<TokenId> {
        let spelled = |&(spelling, id): &(&str, TokenId)| {
            spelling == text && (self.is_control(id) || self.is_markup(id) || self.token_bytes(id).is_empty())
        };
        self.special.iter().find(spelled).map(|(_, id)| id)
    }

    /// Makes markup of the user-defined tokens that a chat template writes which is not in the model's file.
    pub fn add_markup(&mut self, template: &str) {
        for (text, id) in self.special.iter() {
            self.markup[id as usize] |= markup::is_written_by(&[template], text);
        }
    }

    /// What was wrong with the metadata of special tokens and chat templates, without need to refuse the model: the key, the value,
    /// and what was made of it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The number of tokens.
    pub fn vocab_size(&self) -> usize {
        self.texts.len()
    }

    /// The token that begins a text, if the model has one.
    pub fn bos(&self) -> Option<TokenId> {
        self.bos
    }

    /// The tokens around a gap in a text, if the model has learnt to fill one.
    pub fn fill_in(&self) -> Option<FillIn> {
        self.fill_in
    }

    /// Whether a text that is encoded [as the model's file says](Bos::AsModel) begins with BOS.
    pub fn adds_bos(&self) -> bool {
        self.frame.before.is_some()
    }

    /// The token that ends a text, if the model has one.
    pub fn eos(&self) -> Option<TokenId> {
        self.eos
    }
}
