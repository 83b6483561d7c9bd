//! Which tokens end an answer.
//!
//! A GGUF file names its end token and perhaps the end of a turn, but many files name only one where the model uses both.
//! So the tokens with names that are known to end an answer count too, as in llama.cpp.

use super::fill_in::{MIDDLES, PREFIXES, SUFFIXES};

/// Names of tokens that end a turn, a message or a text.
const ENDS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    MESSAGE_END,
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    TOOL_RESPONSE,
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Begins a tool's result in Gemma 4's turns, whose `</s>` is a tag of HTML.
const TOOL_RESPONSE: &str = "<|tool_response>";

/// Names of the tokens that frame messages where one answer has several (gpt-oss). They are shown, so that whoever reads the
/// answer can tell its messages apart.
const MESSAGE_MARKS: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];
/// Ends a message of these.
const MESSAGE_END: &str = "<|end|>";

/// Names of tokens that pad or separate when a gap in code is filled in: after one of them the filling is over.
const FILL_IN_ENDS: &[&str] = &[
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// Metadata keys that name a token after which an answer is over.
pub(super) const END_KEYS: &[&str] = &[
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",
    "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id",
    "tokenizer.ggml.fim_sep_token_id",
];

/// What a token is by its name, whatever the file calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// A control token after which an answer is over.
    End,
    /// Another control token.
    Control,
    /// A token of several messages in an answer; it is shown.
    Message,
    /// Text.
    Text,
}

/// What the names of a vocabulary's tokens mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// Answers have several messages.
    messages: bool,
    /// `</s>` is text.
    html: bool,
}

impl Names {
    /// Of a vocabulary, by the names that it `has`.
    pub(super) fn new(has: impl Fn(&str) -> bool) -> Names {
        let call = has("<|call|>");
        let messages = call && has("<|return|>") || (call || has("<|calls|>")) && has("<|flush|>");
        Names { messages, html: has(TOOL_RESPONSE) }
    }

    /// What the name of a token says, if anything.
    pub(super) fn read(self, text: &str) -> Option<Named> {
        match text {
            MESSAGE_END if self.messages => Some(Named::Message),
            "</s>" if self.html => Some(Named::Text),
            _ if MESSAGE_MARKS.contains(&text) => Some(Named::Message),
            _ if ENDS.contains(&text) || FILL_IN_ENDS.contains(&text) => Some(Named::End),
            _ if [PREFIXES, SUFFIXES, MIDDLES].iter().any(|names| names.contains(&text)) => Some(Named::Control),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_end_an_answer_and_ordinary_text_does_not() {
        let names = Names::new(|_| false);
        for end in ["<|im_end|>", "<end_of_turn>", "<reponame>", "</s>", "<|end|>"] {
            assert_eq!(names.read(end), Some(Named::End), "{end}");
        }
        assert_eq!(names.read("<fim_prefix>"), Some(Named::Control));
        assert_eq!(names.read("<|channel|>"), Some(Named::Message));
        assert!(["<|im_start|>", "", "end", "<PRE"].iter().all(|text| names.read(text).is_none()));
    }

    #[test]
    fn the_end_of_a_message_does_not_end_an_answer_of_several() {
        let harmony = Names::new(|name| ["<|return|>", "<|call|>", "<|end|>"].contains(&name));
        assert_eq!((harmony.read("<|end|>"), harmony.read("<|return|>")), (Some(Named::Message), Some(Named::End)));
        let gemma = Names::new(|name| name == "<|tool_response>");
        assert_eq!((gemma.read("</s>"), gemma.read("<turn|>")), (Some(Named::Text), Some(Named::End)));
    }
}
