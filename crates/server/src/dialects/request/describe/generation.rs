//! Fields that both completions read alike.

use parkade_core::Request;

use super::sampling::{LIMIT, TIERS};
use crate::description::Shape::{Boolean, Either, ListOf, Object, ShortText, Text, Whole};
use crate::description::{Field, Shape, field};

const STOP: Shape = ShortText(Request::MAX_STOP_BYTES);

const STREAM_OPTIONS: &[Field] = &[
    field("include_usage", Boolean, "Whether a stream ends with a chunk that tells the usage."),
    field("continuous_usage_stats", Boolean, "Whether each chunk tells what was used so far."),
];

/// All of them.
pub(crate) const GENERATION: &[Field] = &[
    field("model", Text, "Which model; `default`, or nothing, is the first one that does what is asked."),
    field("stream", Boolean, "Whether the answer comes as a stream of events."),
    field("stream_options", Object(STREAM_OPTIONS), "What a stream says besides."),
    field("n", Whole(Some(1), Some(Request::MAX_N as i64)), "How many answers to each prompt."),
    field("best_of", Whole(Some(1), Some(Request::MAX_N as i64)), "Of how many answers the best `n` are given."),
    field("user", Text, "On whose account, where there are no keys: up to 256 bytes."),
    field("service_tier", TIERS, "The class: `flex` is low, `priority` high."),
    field("priority", Whole(Some(i64::MIN), Some(i64::MAX)), "The order among one's own requests: lower goes first."),
    field("cache_salt", ShortText(256), "Only requests with the same share computed prompts."),
    field("supersedes", ShortText(128), "The key of an earlier request of the same sender, whose place this takes."),
    field("max_tokens", LIMIT, "The most tokens of an answer; -1 is no limit."),
    field("max_completion_tokens", LIMIT, "OpenAI's newer name for `max_tokens`."),
    field("n_predict", LIMIT, "llama.cpp's name for `max_tokens`."),
    field("min_tokens", Whole(Some(0), None), "The fewest tokens of an answer, unless nothing else could come."),
    field("min_new_tokens", Whole(Some(0), None), "Another name for `min_tokens`."),
    field("stop", Either(&[STOP, ListOf(&STOP, 0, 16)]), "Texts at which the answer ends."),
    field(
        "stop_token_ids",
        ListOf(&Whole(Some(0), None), 0, Request::MAX_STOP_TOKENS),
        "Tokens at which the answer ends.",
    ),
    field("include_stop_str_in_output", Boolean, "Whether what ended an answer is a part of it."),
    field("no_stop_trim", Boolean, "SGLang's name for `include_stop_str_in_output`."),
    field("ignore_eos", Boolean, "Whether the model's own end is no end."),
    field("skip_special_tokens", Boolean, "Whether control tokens are left out of the text."),
    field("return_token_ids", Boolean, "Whether answers have the ids of their tokens."),
    field("prompt_logprobs", Whole(Some(0), Some(20)), "Log-probabilities of the prompt, with so many alternatives."),
    field("timings_per_token", Boolean, "Whether each chunk tells how fast it goes."),
    field("return_progress", Boolean, "Whether a stream tells how much of the prompt is computed."),
];
