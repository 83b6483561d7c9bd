//! What is said of the answers of OpenAI's Responses, and of their events.

use crate::description::Shape::{Any, Boolean, List, Map, Named, Number, Object, OrNull, Text, Whole, Words};
use crate::description::{Component, Shape, field};

const COUNT: Shape = Whole(Some(0), None);

const PART: Shape = Object(&[
    field("type", Words(&["output_text", "reasoning_text"]), "").needed(),
    field("text", Text, "").needed(),
    field("annotations", List(&Any), ""),
    field("logprobs", List(&Any), ""),
]);

const ITEM: Shape = Object(&[
    field("type", Words(&["message", "reasoning", "function_call"]), "").needed(),
    field("id", Text, "").needed(),
    field("status", Words(&["in_progress", "completed", "incomplete"]), "").needed(),
    field("role", Words(&["assistant"]), "Of a message."),
    field("content", List(&PART), "Of a message, and of thoughts."),
    field("summary", List(&Any), "Of thoughts."),
    field("call_id", Text, "Of a call."),
    field("name", Text, "Of a call: the function."),
    field("arguments", Text, "Of a call: JSON."),
]);

const USAGE: Shape = Object(&[
    field("input_tokens", COUNT, "").needed(),
    field("input_tokens_details", Object(&[field("cached_tokens", COUNT, "").needed()]), "").needed(),
    field("output_tokens", COUNT, "").needed(),
    field("output_tokens_details", Object(&[field("reasoning_tokens", COUNT, "").needed()]), "").needed(),
    field("total_tokens", COUNT, "").needed(),
]);

const STATUS: Shape = Words(&["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]);

/// What of a response is its request's is repeated as it was sent.
const RESPONSE: Shape = Object(&[
    field("id", Text, "").needed(),
    field("object", Words(&["response"]), "").needed(),
    field("created_at", COUNT, "In seconds since 1970.").needed(),
    field("status", STATUS, "").needed(),
    field("error", OrNull(&Object(&[field("code", Text, "").needed(), field("message", Text, "").needed()])), "")
        .needed(),
    field("incomplete_details", OrNull(&Object(&[field("reason", Text, "").needed()])), "").needed(),
    field("service_tier", Text, "The tier that was served.").needed(),
    field("output", List(&ITEM), "").needed(),
    field("usage", OrNull(&USAGE), "").needed(),
    field("background", Boolean, "").needed(),
    field("instructions", OrNull(&Text), "").needed(),
    field("max_output_tokens", OrNull(&Number(None, None)), "").needed(),
    field("max_tool_calls", Any, "").needed(),
    field("metadata", Map(&Text), "").needed(),
    field("model", Text, "").needed(),
    field("parallel_tool_calls", Boolean, "").needed(),
    field("previous_response_id", OrNull(&Text), "").needed(),
    field("reasoning", Object(&[field("effort", OrNull(&Text), ""), field("summary", Any, "")]), "").needed(),
    field("safety_identifier", Any, "").needed(),
    field("prompt_cache_key", Any, "").needed(),
    field("store", Boolean, "").needed(),
    field("temperature", Number(None, None), "").needed(),
    field("text", Map(&Any), "").needed(),
    field("tool_choice", Any, "").needed(),
    field("tools", List(&Any), "").needed(),
    field("top_logprobs", Any, "").needed(),
    field("top_p", Number(None, None), "").needed(),
    field("truncation", Text, "").needed(),
    field("user", OrNull(&Text), "").needed(),
]);

const EVENT: Shape = Object(&[
    field("type", Text, "`response.created` and so on.").needed(),
    field("sequence_number", COUNT, "From 0, without gaps.").needed(),
    field("response", Named("Response"), "At the beginning and the end."),
    field("timings", Named("Timings"), "How fast it goes, if that is wanted."),
    field("prompt_progress", Named("PromptProgress"), "How much of the prompt is computed, if that is wanted."),
    field("item_id", Text, ""),
    field("output_index", COUNT, "Which item."),
    field("content_index", COUNT, "Which part of it."),
    field("item", ITEM, ""),
    field("part", PART, ""),
    field("delta", Text, ""),
    field("text", Text, ""),
    field("logprobs", List(&Any), ""),
    field("name", Text, ""),
    field("arguments", Text, ""),
    field("code", OrNull(&Text), "Of an error."),
    field("message", Text, "Of an error."),
    field("param", OrNull(&Text), "Of an error."),
]);

/// Parts of the document that belong to these answers.
pub(super) const COMPONENTS: &[Component] = &[("Response", RESPONSE), ("ResponseEvent", EVENT)];
