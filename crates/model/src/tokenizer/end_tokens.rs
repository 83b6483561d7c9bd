//! Which tokens end an answer.
//!
//! A GGUF file names its end token and perhaps the end of a turn, but many files name only one where the model uses both.
//! So the tokens with names that are known to end an answer count too, as in llama.cpp.

/// Names of tokens that end a turn, a message or a text.
const ENDS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
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
    "<｜end▁of▁sentence｜>",
];

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

/// Names of the other tokens that frame a gap in code.
const FILL_IN_MARKS: &[&str] = &[
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<｜fim▁begin｜>",
    "<PRE>",
    "▁<PRE>",
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<｜fim▁hole｜>",
    "<SUF>",
    "▁<SUF>",
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<｜fim▁end｜>",
    "<MID>",
    "▁<MID>",
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

/// Does a token with this text end an answer?
pub(super) fn is_end_name(text: &str) -> bool {
    ENDS.contains(&text) || FILL_IN_ENDS.contains(&text)
}

/// Is a token with this text a control token, even if the file calls it an ordinary one?
pub(super) fn is_control_name(text: &str) -> bool {
    is_end_name(text) || FILL_IN_MARKS.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_end_an_answer_and_ordinary_text_does_not() {
        assert!(is_end_name("<|im_end|>") && is_end_name("<end_of_turn>") && is_end_name("<reponame>"));
        assert!(!is_end_name("<|im_start|>") && !is_end_name("") && !is_end_name("end"));
        assert!(is_control_name("<fim_prefix>") && is_control_name("</s>") && !is_control_name("<PRE"));
    }
}
