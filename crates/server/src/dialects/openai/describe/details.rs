//! Parts of answers.

use crate::description::Shape::{Any, Either, List, Map, Named, Number, Object, OrNull, Text, Whole};
use crate::description::{Shape, field};

pub(super) const COUNT: Shape = Whole(Some(0), None);

/// At most 0, and finite.
const LOGPROB: Shape = Number(Some(-9999.0), Some(0.0));

const SECONDS: Shape = Number(Some(0.0), None);

/// What was used.
pub(super) const USAGE: Shape = Object(&[
    field("prompt_tokens", COUNT, "").needed(),
    field("completion_tokens", COUNT, "").needed(),
    field("total_tokens", COUNT, "").needed(),
    field("prompt_tokens_details", Object(&[field("cached_tokens", COUNT, "From the prefix cache.").needed()]), "")
        .needed(),
    field("completion_tokens_details", Object(&[field("reasoning_tokens", COUNT, "").needed()]), "Of chats."),
]);

/// How much of a prompt is computed.
pub(super) const PROGRESS: Shape = Object(&[
    field("total", COUNT, "Tokens of the prompt.").needed(),
    field("cache", COUNT, "Of these, the ones from the prefix cache.").needed(),
    field("processed", COUNT, "How many are there, those from the cache included.").needed(),
    field("time_ms", COUNT, "How long it took.").needed(),
]);

/// How long it took, in milliseconds.
pub(super) const TIMINGS: Shape = Object(&[
    field("cache_n", COUNT, "Tokens of the prompt that were not computed again.").needed(),
    field("prompt_n", COUNT, "Those that were.").needed(),
    field("prompt_ms", SECONDS, "").needed(),
    field("prompt_per_token_ms", SECONDS, "").needed(),
    field("prompt_per_second", SECONDS, "").needed(),
    field("predicted_n", COUNT, "").needed(),
    field("predicted_ms", SECONDS, "").needed(),
    field("predicted_per_token_ms", SECONDS, "").needed(),
    field("predicted_per_second", SECONDS, "").needed(),
]);

const ALTERNATIVE: Shape = Object(&[
    field("token", Text, "").needed(),
    field("logprob", LOGPROB, "").needed(),
    field("bytes", List(&Whole(Some(0), Some(255))), "").needed(),
]);

/// Log-probabilities of a chat's answer.
pub(super) const CHAT_LOGPROBS: Shape = Object(&[
    field(
        "content",
        List(&Object(&[
            field("token", Text, "").needed(),
            field("logprob", LOGPROB, "").needed(),
            field("bytes", List(&Whole(Some(0), Some(255))), "").needed(),
            field("top_logprobs", List(&ALTERNATIVE), "").needed(),
        ])),
        "",
    )
    .needed(),
    field("refusal", OrNull(&Any), ""),
]);

/// Log-probabilities of a text's tokens: lists of equal length.
pub(super) const TEXT_LOGPROBS: Shape = Object(&[
    field("tokens", List(&Text), "").needed(),
    field("token_logprobs", List(&OrNull(&LOGPROB)), "").needed(),
    field("top_logprobs", List(&OrNull(&Map(&LOGPROB))), "").needed(),
    field("text_offset", List(&COUNT), "In characters.").needed(),
]);

/// For each token of a prompt the likeliest ones and itself, by their ids.
pub(super) const PROMPT_LOGPROBS: Shape = List(&OrNull(&Map(&Object(&[
    field("logprob", LOGPROB, "").needed(),
    field("rank", OrNull(&Whole(Some(1), None)), "").needed(),
    field("decoded_token", Text, "").needed(),
]))));

/// A call of a function.
pub(super) const CALLS: Shape = List(&Object(&[
    field("id", Text, "").needed(),
    field("type", Text, "`function`").needed(),
    field("function", Object(&[field("name", Text, "").needed(), field("arguments", Text, "JSON.").needed()]), "")
        .needed(),
]));

/// Pieces of calls.
pub(super) const CALL_PIECES: Shape = List(&Object(&[
    field("index", COUNT, "Which call.").needed(),
    field("id", Text, "Once, at first."),
    field("type", Text, "`function`"),
    field("function", Object(&[field("name", Text, "Once, at first."), field("arguments", Text, "").needed()]), "")
        .needed(),
]));

/// Why an answer ended.
pub(super) const FINISH: Shape = OrNull(&Text);

/// What had been named and ended the answer.
pub(super) const STOP_REASON: Shape = Either(&[Text, COUNT]);

/// Ids of tokens.
pub(super) const TOKENS: Shape = List(&COUNT);

/// How prompts scored.
pub(super) const PROMPTS: Shape = Named("PromptLogprobs");
