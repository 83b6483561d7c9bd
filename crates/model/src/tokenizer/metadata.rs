//! The tokenizer's part of a model file's metadata.
//!
//! What the vocabulary is made of must be right. The ids of special tokens and the flags beside them are hints, which converters
//! often get wrong: one that makes no sense counts as missing, with a warning.

use std::collections::HashSet;

use super::end_tokens::END_KEYS;
use super::fill_in;
use super::keys::{
    ADD_BOS, ADD_EOS, ADD_SEPARATOR, BOS, CHARACTER_MAP, CLASS, MERGES, SCORES, SEPARATORS, TOKENS, TYPES, UNKNOWN,
    in_vocabulary,
};
use super::scheme::Scheme;
use super::{Tokenizer, TokenizerError, Vocabulary};
use crate::chat_template::sources::sources;
use crate::gguf::{Gguf, or_missing};

/// Keys of tokens for which there is no use here. They are checked, because they come from the same converter.
const UNUSED_KEYS: &[&str] = &["tokenizer.ggml.padding_token_id", "tokenizer.ggml.mask_token_id"];

impl Tokenizer {
    /// Reads the tokenizer from a model file's metadata.
    ///
    /// # Errors
    /// If the metadata is of an unsupported kind, or what is needed of it makes no sense; the error names the key, the place and the value.
    pub fn from_gguf(gguf: &Gguf) -> Result<Tokenizer, TokenizerError> {
        let model = gguf.require_str("tokenizer.ggml.model")?;
        let scheme = Scheme::by_name(model);
        // What the other kinds of vocabulary are made of is nothing to this one.
        let is = |schemes: &[Scheme]| scheme.is_some_and(|scheme| schemes.contains(&scheme));
        let types = gguf.get_int_array(TYPES)?;
        let tokens = gguf.require_str_array(TOKENS)?;
        let mut hints = Hints { gguf, warnings: Vec::new() };
        let sources = sources(gguf, &mut hints.warnings);
        let ends = END_KEYS.iter().filter_map(|&key| Some((key, hints.token(key)?))).collect();
        let fill_in = fill_in::keys().filter_map(|key| Some((key, hints.token(key)?))).collect();
        let map = if is(&[Scheme::Unigram]) { gguf.get_bytes(CHARACTER_MAP)? } else { None };
        let scored = is(&[Scheme::SentencePiece, Scheme::Unigram]);
        let vocabulary = Vocabulary {
            model,
            pre: if is(&[Scheme::Bpe]) { gguf.get_str("tokenizer.ggml.pre")? } else { None },
            tokens,
            types: types.as_deref(),
            scores: if scored { gguf.get_f32_array(SCORES)? } else { None },
            merges: if is(&[Scheme::Bpe]) { gguf.get_str_array(MERGES)? } else { None },
            bos: hints.token(BOS),
            ends,
            fill_in,
            unknown: hints.token(UNKNOWN),
            add_bos: hints.flag(ADD_BOS),
            add_eos: hints.flag(ADD_EOS),
            class: hints.token(CLASS),
            separator: SEPARATORS.into_iter().find_map(|key| Some((key, hints.token(key)?))),
            add_separator: hints.flag(ADD_SEPARATOR),
            add_space_prefix: hints.flag("tokenizer.ggml.add_space_prefix"),
            remove_extra_whitespaces: hints.flag("tokenizer.ggml.remove_extra_whitespaces"),
            character_map: map.as_deref(),
            lower_case: hints.flag("tokenizer.ggml.normalizer.lowercase"),
            strip_accents: hints.flag("tokenizer.ggml.normalizer.strip_accents"),
            name: gguf.get_str("general.name").ok().flatten(),
            architecture: gguf.get_str("general.architecture").ok().flatten(),
            templates: sources.into_iter().map(|(_, source)| source).collect(),
        };
        for key in UNUSED_KEYS {
            if let Some(id) = hints.token(key) {
                in_vocabulary(key, id, tokens.len(), &mut hints.warnings);
            }
        }
        let mut tokenizer = Tokenizer::from_vocabulary(&vocabulary)?;
        tokenizer.warnings.append(&mut hints.warnings);
        // Two parts of the tokenizer may read one key.
        let mut told = HashSet::new();
        tokenizer.warnings.retain(|warning| told.insert(warning.clone()));
        Ok(tokenizer)
    }
}

/// Reads what a model can do without.
struct Hints<'a> {
    gguf: &'a Gguf,
    warnings: Vec<String>,
}

impl Hints<'_> {
    fn token(&mut self, key: &str) -> Option<u32> {
        or_missing(self.gguf.get_u32(key), &mut self.warnings)
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        or_missing(self.gguf.get_bool(key), &mut self.warnings)
    }
}
