//! Why a vocabulary was refused, or a text could not be encoded.

use crate::gguf::GgufError;
use crate::likeness::suggestion;

/// Why a vocabulary was refused, or a text could not be encoded: the key, the place in it, the value, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The metadata could not be read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A kind of tokenizer that is not built in.
    #[error(
        "tokenizer.ggml.model is '{found}', which is not supported; supported: {supported}; choose a model with one of these tokenizers"
    )]
    Model {
        /// The name in the file.
        found: String,
        /// The names that are.
        supported: String,
    },
    /// A way to split text into words that is not built in.
    #[error(
        "tokenizer.ggml.pre is '{found}', which is not supported{}; supported: {supported}; \
         tokens would come out wrong, so the model is refused: choose another, or convert it again if the name is a mistake",
        suggestion(*.nearest)
    )]
    PreTokenizer {
        /// The name in the file.
        found: String,
        /// The name that is most like it.
        nearest: Option<&'static str>,
        /// The names that are.
        supported: String,
    },
    /// An array that has another number of entries than the vocabulary.
    #[error(
        "{key} has {found} entries, but tokenizer.ggml.tokens has {expected}; the file is damaged or was written by a broken converter: convert it again"
    )]
    Length {
        /// The array.
        key: &'static str,
        /// Its entries.
        found: usize,
        /// The entries that it needs at least.
        expected: usize,
    },
    /// An entry of an array that makes no sense.
    #[error(
        "{key}[{index}] is {value}: {problem}; the file is damaged or was written by a broken converter: convert it again"
    )]
    Entry {
        /// The array.
        key: &'static str,
        /// Which entry.
        index: usize,
        /// The entry, shortened if it is long.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A map of characters that cannot be read.
    #[error(
        "tokenizer.ggml.precompiled_charsmap is no map of characters: {problem}; the file is damaged or was written by a broken converter: convert it again"
    )]
    CharacterMap {
        /// What is wrong with it.
        problem: String,
    },
    /// A vocabulary without tokens.
    #[error("tokenizer.ggml.tokens is empty; the file was written by a broken converter: convert the model again")]
    Empty,
    /// A text that is longer than positions can count.
    #[error("the text has {bytes} bytes; a text may have up to {limit}: split it")]
    TextTooLong {
        /// Its size.
        bytes: usize,
        /// The largest that is taken.
        limit: usize,
    },
    /// A character for which the vocabulary has neither a token, nor its bytes, nor an unknown token.
    #[error("the vocabulary cannot express {character:?} (U+{:04X}), and it names no unknown token; remove the character or choose another model", *character as u32)]
    NotExpressible {
        /// The character.
        character: char,
    },
}

/// The error for what stands at `at` in a text.
pub(super) fn not_expressible(text: &str, at: usize) -> TokenizerError {
    let start = (0..=at.min(text.len())).rfind(|&at| text.is_char_boundary(at)).unwrap_or(0);
    TokenizerError::NotExpressible { character: text[start..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER) }
}

impl TokenizerError {
    pub(super) fn entry(key: &'static str, index: usize, value: &str, problem: impl Into<String>) -> Self {
        let mut shown: String = value.chars().take(40).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        TokenizerError::Entry { key, index, value: format!("{shown:?}"), problem: problem.into() }
    }
}
