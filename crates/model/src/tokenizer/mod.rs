//! Text to token ids and back, from the vocabulary in the GGUF file.
//!
//! Two kinds of vocabulary are read: byte-level BPE (`gpt2`: GPT-2, Llama 3, Qwen, SmolLM) and SentencePiece (`llama`:
//! Llama 2, Mistral, Gemma). The ids are those that llama.cpp gives for the same file, with one difference: where
//! special tokens overlap in a text, the leftmost counts here and the longest there.
//!
//! A text goes through three steps: special tokens are cut out (`special`), the rest is split into words
//! (`pre_tokenizer`, byte-level BPE only), and each word is merged from its bytes (`bpe`) or characters
//! (`sentencepiece`). All of them take time that is linear in the text, or nearly so, whatever the text is.

mod bpe;
mod byte_level;
mod end_tokens;
mod error;
mod keys;
mod markup;
mod metadata;
mod pre_tokenizer;
mod sentencepiece;
mod special;
mod stream;
mod texts;
mod vocabulary;

pub use error::TokenizerError;
pub use stream::TextStream;
pub use vocabulary::Vocabulary;

use std::ops::Range;

use self::bpe::Bpe;
use self::markup::Reading;
use self::pre_tokenizer::PreTokenizer;
use self::sentencepiece::SentencePiece;
use self::special::{Literals, Part};
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
    add_bos: bool,
    add_eos: bool,
    /// A space goes before the text, and after each special token in it.
    add_space: bool,
    /// Control, unknown and user-defined tokens.
    special: Literals,
    encoder: Encoder,
    warnings: Vec<String>,
}

#[derive(Debug)]
enum Encoder {
    Bpe(PreTokenizer, Bpe),
    SentencePiece(SentencePiece),
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
        if bos == Bos::AsModel && self.add_eos {
            ids.extend(self.eos);
        }
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
        if bos == Bos::AsModel && self.add_bos && !self.begins_with_bos(&reading) {
            ids.extend(self.bos);
        }
        let counts = |id, place: &Range<usize>| reading.counts(id, place);
        match &self.encoder {
            Encoder::Bpe(words, bpe) => {
                let mut scratch = bpe::Scratch::default();
                self.special.split(text, counts, |part| {
                    match part {
                        Part::Token(id) => ids.push(id),
                        Part::Text(text) => {
                            words.split(text, &mut |word| bpe.encode(word.as_bytes(), &mut scratch, &mut ids));
                        }
                    }
                    Ok::<_, TokenizerError>(())
                })?;
            }
            Encoder::SentencePiece(pieces) => {
                let mut after_token = true;
                self.special.split(text, counts, |part| {
                    match part {
                        Part::Token(id) => {
                            ids.push(id);
                            after_token = true;
                        }
                        Part::Text(text) => {
                            let prefix = if self.add_space && after_token { " " } else { "" };
                            let escaped = [prefix, text].concat().replace(' ', "\u{2581}");
                            pieces.encode(&escaped, &mut ids)?;
                            after_token = false;
                        }
                    }
                    Ok::<_, TokenizerError>(())
                })?;
            }
        }
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
    /// The space that a SentencePiece vocabulary puts before a text is taken away again.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect();
        let bytes = if self.add_space { bytes.strip_prefix(b" ").unwrap_or(&bytes) } else { &bytes };
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

    /// The token that ends a text, if the model has one.
    pub fn eos(&self) -> Option<TokenId> {
        self.eos
    }

    /// Does [`Tokenizer::encode`] put a space before a text?
    fn adds_space(&self) -> bool {
        self.add_space
    }
}
