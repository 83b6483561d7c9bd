//! Which tokens are markup, and where a text may spell them.
//!
//! Markup frames text: it says where a turn, a call or a thought begins and ends. Control tokens are markup, and so are
//! those tokens of the kind "user-defined" which the model's chat template itself writes, such as `<think>` and
//! `</tool_response>`: a tool's result that spells one must not end the block. Other user-defined tokens (runs of line
//! ends, tags of HTML) are ordinary vocabulary.

use std::ops::Range;

use super::Tokenizer;
use crate::TokenId;

/// Does the text of a user-defined token look like markup? It has a name between signs: `<think>`, `[INST]`, `◁think▷`.
///
/// A template's source also contains line ends and words that are tokens, without writing them as markup.
fn is_delimited(token: &str) -> bool {
    let sign = |c: Option<char>| c.is_some_and(|c| !c.is_alphanumeric() && !c.is_whitespace());
    let mut chars = token.chars();
    sign(chars.next()) && sign(chars.next_back()) && chars.any(char::is_alphabetic)
}

/// Is a user-defined token one that one of these chat templates writes?
pub(super) fn is_written_by(templates: &[&str], token: &str) -> bool {
    is_delimited(token) && templates.iter().any(|template| template.contains(token))
}

/// A text in which some places came with a request: these may spell markup without meaning it.
pub(super) struct Reading<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) text: &'a str,
    /// Ascending, and not overlapping.
    pub(super) given: &'a [Range<usize>],
}

impl Reading<'_> {
    /// Whether the text of token `id` that stands at `place` is that token.
    ///
    /// Markup counts if the template wrote all of it. Ordinary tokens count anywhere, unless one that is partly the
    /// request's would hide the beginning of markup that the template wrote.
    pub(super) fn counts(&self, id: TokenId, place: &Range<usize>) -> bool {
        let given = self.given_in(place);
        if given.is_empty() {
            return true;
        }
        if self.tokenizer.is_markup(id) {
            return false;
        }
        let whole = matches!(given, [one] if one.start <= place.start && place.end <= one.end);
        whole || !(place.start + 1..place.end).any(|at| self.markup_begins(at))
    }

    /// Whether `place` has been written by the template alone.
    pub(super) fn is_templates(&self, place: &Range<usize>) -> bool {
        self.given_in(place).is_empty()
    }

    /// The given ranges that share bytes with `place`.
    fn given_in(&self, place: &Range<usize>) -> &[Range<usize>] {
        let first = self.given.partition_point(|range| range.end <= place.start);
        let count = self.given[first..].partition_point(|range| range.start < place.end);
        &self.given[first..first + count]
    }

    /// Whether markup that the template wrote begins at `at`.
    fn markup_begins(&self, at: usize) -> bool {
        let counts = |id, place: &Range<usize>| self.tokenizer.is_markup(id) && self.is_templates(place);
        self.tokenizer.special.longest_at(self.text.as_bytes(), at, counts).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_writes_names_between_signs() {
        let templates = ["{{ '<think>\n\n' }}{%- if tools %}[TOOLS]", "◁think▷ a user <b>"];
        for token in ["<think>", "[TOOLS]", "◁think▷", "<b>"] {
            assert!(is_written_by(&templates, token), "{token}");
        }
        for token in ["</think>", "\n", "\n\n", "{{", " ", "user", "think", "a", "", "'", "%}"] {
            assert!(!is_written_by(&templates, token), "{token:?}");
        }
    }
}
