//! White space that goes with a control token: `<|user|>` and the line end after it are one token in Phi 3.
//!
//! The files do not say so. As in llama.cpp, the models are known by their names.

use super::checked::Checked;
use super::vocabulary::Vocabulary;
use crate::TokenId;

/// What stands in a text and is not the space of letters: C's `isspace`.
const SPACE: [char; 6] = [' ', '\t', '\n', '\u{b}', '\u{c}', '\r'];

/// The tokens that take the white space beside them.
#[derive(Debug, Default)]
pub(super) struct Stripping {
    before: Vec<TokenId>,
    after: Vec<TokenId>,
}

impl Stripping {
    pub(super) fn of(vocabulary: &Vocabulary<'_>, checked: &Checked<'_>) -> Stripping {
        let name = vocabulary.name.unwrap_or_default().to_lowercase();
        let [pre, architecture] = [vocabulary.pre, vocabulary.architecture].map(Option::unwrap_or_default);
        let before = |token: &str| Stripping {
            before: checked.ids.get(token).copied().into_iter().collect(),
            ..Stripping::default()
        };
        if ["jina-v2-de", "jina-v2-es", "jina-v2-code"].contains(&pre)
            || ["nomic-bert-moe", "jina-bert-v3"].contains(&architecture)
        {
            before("<mask>")
        } else if name.contains("phi-3") || name.contains("phi3") {
            let plain = ["<unk>", "<s>", "<|endoftext|>"];
            let tokens = checked.tokens.iter().zip(0..);
            let after = tokens.filter(|(text, id)| checked.kind(*id).is_literal() && !plain.contains(&text.as_str()));
            Stripping { before: Vec::new(), after: after.map(|(_, id)| id).collect() }
        } else if name.contains("modern-bert") {
            before("[MASK]")
        } else {
            Stripping::default()
        }
    }

    /// What is left of a text between two tokens.
    pub(super) fn strip<'t>(&self, before: Option<TokenId>, text: &'t str, after: Option<TokenId>) -> &'t str {
        let takes = |tokens: &[TokenId], token: Option<TokenId>| token.is_some_and(|token| tokens.contains(&token));
        let text = if takes(&self.after, before) { text.trim_start_matches(SPACE) } else { text };
        if takes(&self.before, after) { text.trim_end_matches(SPACE) } else { text }
    }
}
