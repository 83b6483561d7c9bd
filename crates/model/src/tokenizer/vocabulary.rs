//! The vocabulary as a GGUF file has it.

/// A tokenizer's part of a GGUF file's metadata, unchecked. Absent keys are `None`.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary<'a> {
    /// `tokenizer.ggml.model`: `gpt2`, `hybriddna`, `gemma4`, `whitespace`, `llama`, `t5`, `bert` or `rwkv`.
    pub model: &'a str,
    /// `tokenizer.ggml.pre`: how text is split into words; for `gpt2` and `hybriddna` only.
    pub pre: Option<&'a str>,
    /// `tokenizer.ggml.tokens`: the text of each token.
    pub tokens: &'a [String],
    /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub types: Option<&'a [i64]>,
    /// `tokenizer.ggml.scores`: the higher, the earlier a piece is merged or the likelier it is; for `llama` and `t5` only.
    pub scores: Option<&'a [f32]>,
    /// `tokenizer.ggml.merges`: pairs with a space between, in the order of their ranks; for those of BPE only.
    pub merges: Option<&'a [String]>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id` and the keys of other tokens that end an answer.
    pub ends: Vec<(&'static str, u32)>,
    /// `tokenizer.ggml.fim_pre_token_id` and the other keys of tokens around gaps in code.
    pub fill_in: Vec<(&'static str, u32)>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unknown: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.cls_token_id`, which begins a text where there is no BOS.
    pub class: Option<u32>,
    /// `tokenizer.ggml.seperator_token_id`, or with its spelling corrected.
    pub separator: Option<(&'static str, u32)>,
    /// `tokenizer.ggml.add_sep_token`: whether a separator goes between two texts, after the EOS of the first.
    pub add_separator: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.ggml.remove_extra_whitespaces`; for `t5` only.
    pub remove_extra_whitespaces: Option<bool>,
    /// `tokenizer.ggml.precompiled_charsmap`: what characters are replaced by; for `t5` only.
    pub character_map: Option<&'a [u8]>,
    /// `tokenizer.ggml.normalizer.lowercase`; for `bert` and `whitespace` only.
    pub lower_case: Option<bool>,
    /// `tokenizer.ggml.normalizer.strip_accents`; for `bert` only, and as `lower_case` if it is missing.
    pub strip_accents: Option<bool>,
    /// `general.name`: what white space goes with the control tokens of some models is known by their name alone.
    pub name: Option<&'a str>,
    /// `general.architecture`, for the same.
    pub architecture: Option<&'a str>,
    /// The sources of the model's chat templates. Tokens of the kind "user-defined" that they write are markup.
    pub templates: Vec<&'a str>,
}
