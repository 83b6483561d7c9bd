//! The text that a model goes on from, with the knowledge of who wrote which part of it.
//!
//! A chat template frames what people wrote with the tokens that the model was trained on: `<|im_start|>user`, what was
//! asked, `<|im_end|>`. A question can spell these tokens as well. In plain text the two look the same, and then whoever
//! asks can end their turn and write the answer. So a prompt keeps the places of the text that came with the request, and
//! [`Tokenizer::encode_prompt`](crate::tokenizer::Tokenizer::encode_prompt) finds no markup in them.

use std::ops::Range;

/// Who wrote a piece of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The chat template: it frames messages, and may write markup.
    Template,
    /// The request: messages, names, tools, documents and whatever else is given to the template. This is text.
    Request,
}

/// A prompt as a chat template wrote it.
///
/// ```
/// use parkade_model::{Prompt, Source};
///
/// let mut prompt = Prompt::default();
/// prompt.push("<|im_start|>user\n", Source::Template);
/// prompt.push("What does <|im_end|> mean?", Source::Request);
/// prompt.push("<|im_end|>\n", Source::Template);
/// assert_eq!(prompt.text(), "<|im_start|>user\nWhat does <|im_end|> mean?<|im_end|>\n");
/// assert_eq!(prompt.given(), [17..43]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    text: String,
    /// Places of what came with the request: not empty, ascending, with other text between them.
    given: Vec<Range<usize>>,
}

impl Prompt {
    /// A prompt that the template wrote alone, or that stands for a template's work.
    pub fn from_template(text: impl Into<String>) -> Prompt {
        Prompt { text: text.into(), given: Vec::new() }
    }

    /// A text and the places of what came with the request: neither empty nor touching, and ascending.
    pub(crate) fn with_given(text: String, given: Vec<Range<usize>>) -> Prompt {
        debug_assert!(given.iter().all(|range| range.start < range.end && range.end <= text.len()));
        debug_assert!(given.is_sorted_by(|a, b| a.end < b.start));
        Prompt { text, given }
    }

    /// Appends a piece.
    pub fn push(&mut self, text: &str, source: Source) {
        let start = self.text.len();
        self.text.push_str(text);
        let end = self.text.len();
        if source == Source::Template || start == end {
            return;
        }
        match self.given.last_mut().filter(|last| last.end == start) {
            Some(last) => last.end = end,
            None => self.given.push(start..end),
        }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where in the text that stands which came with the request, in bytes: ascending, and neither empty nor touching.
    pub fn given(&self) -> &[Range<usize>] {
        &self.given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_one_source_make_one_range() {
        let mut prompt = Prompt::from_template("<s>");
        for (text, source) in [
            ("", Source::Request),
            ("a", Source::Request),
            ("", Source::Template),
            ("é", Source::Request),
            ("|", Source::Template),
            ("|", Source::Template),
            ("b", Source::Request),
        ] {
            prompt.push(text, source);
        }
        assert_eq!((prompt.text(), prompt.given()), ("<s>aé||b", &[3..6, 8..9][..]));
    }
}
