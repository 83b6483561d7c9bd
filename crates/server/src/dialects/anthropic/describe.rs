//! What is said of Anthropic's paths: their fields and their answers.

use serde_json::json;

use super::parse::{HARMLESS, OF_PROMPT, READ, REFUSED};
use crate::description::Shape::{
    Any, Boolean, Either, List, ListOf, Map, Named, Object, OrNull, ShortText, Text, Whole, Words,
};
use crate::description::{Answer, Body, Component, Errors, Field, Operation, Shape, field};
use crate::dialects::headers::FOR_ANSWERS;
use crate::dialects::request::describe::{GENERATION, SAMPLING};

const TEXT_BLOCK: Shape = Object(&[field("type", Words(&["text"]), "").needed(), field("text", Text, "").needed()]);

const BLOCK: Shape = Object(&[
    field("type", Words(&["text", "thinking", "redacted_thinking", "tool_use", "tool_result"]), "").needed(),
    field("text", Text, "Of `text`."),
    field("thinking", Text, "Of `thinking`."),
    field("id", Text, "Of `tool_use`."),
    field("name", Text, "Of `tool_use`: the function."),
    field("input", Map(&Any), "Of `tool_use`: its arguments."),
    field("tool_use_id", Text, "Of `tool_result`: which call it answers."),
    field("content", Either(&[Text, List(&TEXT_BLOCK)]), "Of `tool_result`."),
]);

const MESSAGE: Shape = Object(&[
    field("role", Words(&["user", "assistant", "system"]), "").needed(),
    field("content", Either(&[Text, List(&BLOCK)]), "").needed(),
]);

const TOOL: Shape = Object(&[
    field("type", OrNull(&Words(&["custom"])), ""),
    field("name", Text, "").needed(),
    field("description", OrNull(&Text), ""),
    field("input_schema", Map(&Any), "A JSON schema.").needed(),
    field("strict", OrNull(&Boolean), "Whether arguments are held to the schema."),
]);

const TOOL_CHOICE: Shape = Object(&[
    field("type", Words(&["auto", "any", "tool", "none"]), "").needed(),
    field("name", Text, "Of `tool`."),
    field("disable_parallel_tool_use", Boolean, ""),
]);

const FORMAT: Shape = Object(&[
    field("type", Words(&["json_schema"]), "").needed(),
    field("schema", Map(&Any), "A JSON schema.").needed(),
]);

const FIELDS: &[Field] = &[
    field("messages", ListOf(&MESSAGE, 1, 16_384), "The chat so far.").needed(),
    field("system", Either(&[Text, List(&TEXT_BLOCK)]), "What the programmer says."),
    field("max_tokens", Whole(Some(1), None), "The most tokens of the answer.").needed(),
    field("stop_sequences", ListOf(&ShortText(4096), 0, 16), "Texts at which the answer ends."),
    field("tools", List(&TOOL), "Functions that may be called."),
    field("tool_choice", TOOL_CHOICE, "Whether and which functions are called."),
    field(
        "thinking",
        Object(&[
            field("type", Words(&["enabled", "disabled", "adaptive", "auto"]), ""),
            field("budget_tokens", Whole(Some(1), None), "The most tokens of thought."),
        ]),
        "Whether and how much the model thinks.",
    ),
    field("metadata", Object(&[field("user_id", OrNull(&Text), "On whose account, where there are no keys.")]), ""),
    field("service_tier", Words(&["standard_only", "auto", "default", "flex", "priority"]), "The class."),
    field(
        "output_config",
        Object(&[
            field("effort", Words(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]), ""),
            field("format", FORMAT, "What the answer may be."),
        ]),
        "How much the model thinks, and what the answer may be.",
    ),
    field("output_format", FORMAT, "The older place for `output_config.format`."),
];

const COUNT: Shape = Whole(Some(0), None);

const USAGE: Shape = Object(&[
    field("input_tokens", COUNT, "Without those from the prefix cache.").needed(),
    field("cache_creation_input_tokens", COUNT, "").needed(),
    field("cache_read_input_tokens", COUNT, "").needed(),
    field("output_tokens", COUNT, "").needed(),
]);

const CONTENT: Shape = Object(&[
    field("type", Words(&["text", "thinking", "tool_use"]), "").needed(),
    field("text", Text, ""),
    field("thinking", Text, ""),
    field("signature", Text, ""),
    field("id", Text, ""),
    field("name", Text, ""),
    field("input", Map(&Any), ""),
]);

const ANSWER: Shape = Object(&[
    field("id", Text, "").needed(),
    field("type", Words(&["message"]), "").needed(),
    field("role", Words(&["assistant"]), "").needed(),
    field("model", Text, "").needed(),
    field("content", List(&CONTENT), "").needed(),
    field("stop_reason", OrNull(&Words(&["end_turn", "max_tokens", "stop_sequence", "tool_use"])), "").needed(),
    field("stop_sequence", OrNull(&Text), "").needed(),
    field("usage", USAGE, "").needed(),
]);

const DELTA: Shape = Object(&[
    field("type", Words(&["text_delta", "thinking_delta", "input_json_delta"]), "Of a block's."),
    field("text", Text, ""),
    field("thinking", Text, ""),
    field("partial_json", Text, ""),
    field("stop_reason", OrNull(&Text), "Of the message's."),
    field("stop_sequence", OrNull(&Text), "Of the message's."),
]);

const EVENT: Shape = Object(&[
    field(
        "type",
        Words(&[
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
            "error",
        ]),
        "",
    )
    .needed(),
    field("message", Named("AnthropicMessage"), "At the start."),
    field("index", COUNT, "Which block."),
    field("content_block", CONTENT, "At its start."),
    field("delta", DELTA, ""),
    field("usage", USAGE, "At the end."),
    field("error", Map(&Any), "As in the envelope of errors."),
]);

const ERROR: Shape = Object(&[
    field("type", Words(&["error"]), "").needed(),
    field(
        "error",
        Object(&[
            field("type", Text, "").needed(),
            field("message", Text, "What is wrong, and what is allowed.").needed(),
            field("param", OrNull(&Text), "The field that is at fault.").needed(),
            field("code", Text, "The reason, for programs.").needed(),
        ]),
        "",
    )
    .needed(),
]);

/// Parts of the document that belong to these answers.
pub(super) const COMPONENTS: &[Component] =
    &[("AnthropicError", ERROR), ("AnthropicMessage", ANSWER), ("AnthropicEvent", EVENT)];

/// Of messages.
pub(super) fn messages() -> Operation {
    let names = READ.iter().copied().chain(SAMPLING.iter().map(|field| field.name));
    let example = json!({
        "max_tokens": 16,
        "messages": [{"role": "user", "content": "What is the chemical formula of water?"}],
        "temperature": 0,
    });
    let body = Body::reads(names, &[FIELDS, SAMPLING, GENERATION], example)
        .refuses(REFUSED.iter().copied())
        .ignores(HARMLESS.iter().copied());
    let answers = [Answer::Json(Shape::Named("AnthropicMessage")), Answer::Events(Shape::Named("AnthropicEvent"))];
    Operation::new("Answers the messages of a chat", Errors::Computed, answers).with(FOR_ANSWERS).body(body)
}

/// Of counts.
pub(super) fn count_tokens() -> Operation {
    let example = json!({"messages": [{"role": "user", "content": "Hello"}]});
    let others = READ.iter().filter(|name| !OF_PROMPT.contains(name)).chain(HARMLESS).copied();
    let body = Body::reads(OF_PROMPT.iter().copied(), &[FIELDS, GENERATION], example)
        .refuses(REFUSED.iter().copied())
        .ignores(others.chain(SAMPLING.iter().map(|field| field.name)));
    const ANSWER: Answer = Answer::Json(Object(&[field("input_tokens", COUNT, "").needed()]));
    Operation::new("Counts the tokens of a prompt", Errors::Body, [ANSWER]).body(body)
}
