//! The tokens that a model which fills gaps in code knows them by.
//!
//! A GGUF file may name them; else they are found by the names that models give them, as in llama.cpp.

use super::keys::in_vocabulary;
use super::vocabulary::Vocabulary;
use crate::TokenId;

/// Names of the token before what stands before the gap.
pub(super) const PREFIXES: &[&str] = &[
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<｜fim▁begin｜>",
    "<|code_prefix|>",
    "<|prefix|>",
    "<PRE>",
    "▁<PRE>",
];

/// Names of the token before what stands behind the gap.
pub(super) const SUFFIXES: &[&str] = &[
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<｜fim▁hole｜>",
    "<|code_suffix|>",
    "<|suffix|>",
    "<SUF>",
    "▁<SUF>",
];

/// Names of the token that the filling comes after.
pub(super) const MIDDLES: &[&str] = &[
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<｜fim▁end｜>",
    "<|code_middle|>",
    "<|middle|>",
    "<MID>",
    "▁<MID>",
];

/// Names of the token before a repository's name.
const REPOSITORIES: &[&str] = &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"];

/// Names of the token before a file's name.
const FILES: &[&str] = &["<|file_sep|>"];

/// What each of them is called: in the file's metadata, the usual key first, and in the vocabulary.
const ROLES: [(&[&str], &[&str]); 5] = [
    (&["tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"], PREFIXES),
    (&["tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id"], SUFFIXES),
    (&["tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id"], MIDDLES),
    (&["tokenizer.ggml.fim_rep_token_id"], REPOSITORIES),
    (&["tokenizer.ggml.fim_sep_token_id"], FILES),
];

/// The keys that may name them.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    ROLES.iter().flat_map(|(keys, _)| keys.iter().copied())
}

/// The tokens around a gap in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillIn {
    /// Before what stands before the gap.
    pub prefix: TokenId,
    /// Before what stands behind it.
    pub suffix: TokenId,
    /// The filling comes after this one.
    pub middle: TokenId,
    /// Before the name of the repository, if the model knows of those.
    pub repository: Option<TokenId>,
    /// Before the name of a file, if the model knows of those.
    pub file: Option<TokenId>,
}

impl FillIn {
    /// Those of a vocabulary; `None` if it lacks one of the three that are needed.
    pub(super) fn of(vocabulary: &Vocabulary<'_>, warnings: &mut Vec<String>) -> Option<FillIn> {
        let mut found: [Option<TokenId>; 5] = [None; 5];
        for (id, text) in vocabulary.tokens.iter().enumerate() {
            let names = ROLES.iter().position(|(_, names)| names.contains(&text.as_str()));
            if let (Some(role), Ok(id)) = (names, TokenId::try_from(id)) {
                found[role].get_or_insert(id);
            }
        }
        for ((keys, _), found) in ROLES.iter().zip(&mut found) {
            let named = keys.iter().find_map(|key| vocabulary.fill_in.iter().find(|(of, _)| of == key));
            if let Some(&(key, id)) = named {
                *found = in_vocabulary(key, id, vocabulary.tokens.len(), warnings).or(*found);
            }
        }
        let [prefix, suffix, middle, repository, file] = found;
        Some(FillIn { prefix: prefix?, suffix: suffix?, middle: middle?, repository, file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tokens: &[&str], fill_in: Vec<(&'static str, u32)>) -> (Option<FillIn>, usize) {
        let tokens: Vec<String> = tokens.iter().map(|&token| token.to_owned()).collect();
        let mut warnings = Vec::new();
        let vocabulary = Vocabulary { tokens: &tokens, fill_in, ..Vocabulary::default() };
        (FillIn::of(&vocabulary, &mut warnings), warnings.len())
    }

    #[test]
    fn the_tokens_are_found_by_their_names_or_by_the_file() {
        let tokens = ["a", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<reponame>"];
        let by_name = FillIn { prefix: 1, suffix: 2, middle: 3, repository: Some(4), file: None };
        assert_eq!(found(&tokens, Vec::new()), (Some(by_name), 0));
        let keys = vec![("tokenizer.ggml.fim_pre_token_id", 0), ("tokenizer.ggml.middle_token_id", 9)];
        assert_eq!(found(&tokens, keys), (Some(FillIn { prefix: 0, ..by_name }), 1), "9 is no token");
        assert_eq!(found(&tokens[..3], Vec::new()).0, None);
    }
}
