//! Fields of text completions.

use crate::description::Shape::{Boolean, Either, ListOf, Text, Whole};
use crate::description::{Field, Shape, field};

const TOKENS: Shape = ListOf(&Whole(Some(0), None), 1, 1 << 20);

/// One or several texts, or the same as token ids.
const PROMPT: Shape = Either(&[Text, ListOf(&Text, 1, 256), TOKENS, ListOf(&TOKENS, 1, 256)]);

/// The fields of a text completion that others do not have.
pub(crate) const COMPLETIONS: &[Field] = &[
    field("prompt", PROMPT, "One or several texts to go on with, or their tokens.").needed(),
    field("echo", Boolean, "Whether the answer begins with the prompt."),
    field("suffix", Text, "What stands behind the answer, for models that fill gaps."),
    field("logprobs", Either(&[Boolean, Whole(Some(0), Some(20))]), "Log-probabilities, with so many alternatives."),
];
