//! Metadata keys of a tokenizer, and what their values must be.

pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(super) const TYPES: &str = "tokenizer.ggml.token_type";
pub(super) const SCORES: &str = "tokenizer.ggml.scores";
pub(super) const MERGES: &str = "tokenizer.ggml.merges";
pub(super) const BOS: &str = "tokenizer.ggml.bos_token_id";
pub(super) const EOS: &str = "tokenizer.ggml.eos_token_id";
pub(super) const UNKNOWN: &str = "tokenizer.ggml.unknown_token_id";
pub(super) const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
pub(super) const ADD_EOS: &str = "tokenizer.ggml.add_eos_token";
pub(super) const ADD_SEPARATOR: &str = "tokenizer.ggml.add_sep_token";
pub(super) const CLASS: &str = "tokenizer.ggml.cls_token_id";
/// Files spell it in both ways; the first is the usual one.
pub(super) const SEPARATORS: [&str; 2] = ["tokenizer.ggml.seperator_token_id", "tokenizer.ggml.separator_token_id"];
pub(super) const CHARACTER_MAP: &str = "tokenizer.ggml.precompiled_charsmap";

/// The token of a key, unless it is outside of the vocabulary.
pub(super) fn in_vocabulary(key: &str, id: u32, tokens: usize, warnings: &mut Vec<String>) -> Option<u32> {
    if (id as usize) < tokens {
        return Some(id);
    }
    let last = tokens.saturating_sub(1);
    warnings
        .push(format!("{key} is {id}, but the vocabulary has ids 0 to {last}; it counts as missing: correct the key"));
    None
}
