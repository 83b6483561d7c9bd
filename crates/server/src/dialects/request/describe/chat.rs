//! Fields of chats, and what their messages are.

use super::sampling::LIMIT;
use crate::description::Shape::{Any, Boolean, Either, List, ListOf, Map, Named, Object, Text, Whole, Words};
use crate::description::{Field, Shape, field};

const PART: Shape =
    Either(&[Text, Object(&[field("type", Text, "`text`, or another kind that is text."), field("text", Text, "")])]);

/// A message of a chat.
pub(crate) const MESSAGE: Shape = Object(&[
    field("role", Shape::ShortText(64), "`system`, `user`, `assistant`, `tool`, or one that the template knows.")
        .needed(),
    field("content", Shape::OrNull(&Either(&[Text, List(&PART)])), "What it says."),
    field("name", Shape::OrNull(&Text), "Who says it, or which function gave it back."),
    field("tool_calls", Shape::OrNull(&List(&CALL)), "What the assistant called."),
    field("tool_call_id", Shape::OrNull(&Text), "Which call it answers."),
    field("reasoning_content", Shape::OrNull(&Text), "What the assistant thought."),
    field("prefix", Shape::OrNull(&Boolean), "Whether the answer goes on with it."),
    field("partial", Shape::OrNull(&Boolean), "Whether the answer goes on with it."),
]);

const CALL: Shape = Object(&[
    field("id", Shape::OrNull(&Text), ""),
    field(
        "function",
        Object(&[field("name", Text, "").needed(), field("arguments", Either(&[Text, Map(&Any)]), "")]),
        "",
    )
    .needed(),
]);

/// A function that may be called.
pub(crate) const TOOL: Shape = Object(&[
    field("type", Words(&["function"]), "").needed(),
    field(
        "function",
        Object(&[
            field("name", Text, "").needed(),
            field("description", Shape::OrNull(&Text), ""),
            field("parameters", Shape::OrNull(&Map(&Any)), "A JSON schema."),
            field("strict", Shape::OrNull(&Boolean), "Whether arguments are held to the schema."),
        ]),
        "",
    )
    .needed(),
]);

const TOOL_CHOICE: Shape = Either(&[
    Words(&["auto", "none", "required", "any"]),
    Object(&[
        field("type", Words(&["function", "allowed_tools"]), ""),
        field("name", Text, "The function's name."),
        field("function", Object(&[field("name", Text, "").needed()]), "The same in an envelope."),
        field("allowed_tools", Map(&Any), "Some of the tools, with a `mode`."),
        field("mode", Words(&["auto", "required"]), ""),
        field("tools", List(&Map(&Any)), ""),
    ]),
]);

const EFFORT: Shape = Words(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]);

const REASONING: &[Field] = &[
    field("effort", EFFORT, "How much."),
    field("enabled", Boolean, "Whether at all."),
    field("exclude", Boolean, "Whether thoughts are left out of the answer."),
    field("max_tokens", LIMIT, "The most tokens of thought."),
];

/// `reasoning` where only an object is read.
pub(crate) const RESPONSE_REASONING: Shape = Object(REASONING);

const THINKING: Shape = Object(&[
    field("type", Words(&["enabled", "disabled", "adaptive", "auto"]), ""),
    field("budget_tokens", LIMIT, "The most tokens of thought."),
]);

const BUDGET: &str = "The most tokens of thought; 0 is none, -1 no limit.";

/// The fields of a chat that others do not have.
pub(crate) const CHAT: &[Field] = &[
    field("messages", ListOf(&Named("Message"), 1, 16_384), "The chat so far.").needed(),
    field("tools", List(&Named("Tool")), "Functions that may be called."),
    field("tool_choice", TOOL_CHOICE, "Whether and which functions are called."),
    field("parallel_tool_calls", Boolean, "Whether several may be called at once."),
    field("documents", List(&Map(&Any)), "Documents for the template."),
    field("logprobs", Boolean, "Whether the answer has log-probabilities."),
    field("top_logprobs", Whole(Some(0), Some(20)), "With so many alternatives to each token."),
    field("verbose", Boolean, "Whether a whole answer has the prompt, in `__verbose`."),
    field("chat_template_kwargs", Map(&Any), "Variables of the template."),
    field("add_generation_prompt", Boolean, "Whether the template begins the answer."),
    field("continue_final_message", Boolean, "Whether the answer goes on with the last message."),
    field("reasoning_effort", EFFORT, "How much the model thinks."),
    field("reasoning", Either(&[Boolean, RESPONSE_REASONING]), "OpenRouter's: how much the model thinks."),
    field("thinking", Either(&[Boolean, THINKING]), "Anthropic's: whether and how much the model thinks."),
    field("enable_thinking", Boolean, "Whether the model thinks."),
    field("think", Either(&[Boolean, Words(&["low", "medium", "high"])]), "Ollama's: whether the model thinks."),
    field("thinking_budget", LIMIT, BUDGET),
    field("thinking_budget_tokens", LIMIT, BUDGET),
    field("thinking_token_budget", LIMIT, BUDGET),
    field("reasoning_budget", LIMIT, BUDGET),
    field("reasoning_budget_tokens", LIMIT, BUDGET),
    field("include_reasoning", Boolean, "Whether thoughts are sent."),
    field("stream_reasoning", Boolean, "Whether thoughts are sent."),
    field("separate_reasoning", Boolean, "Whether thoughts are apart from the text."),
    field("reasoning_in_content", Boolean, "Whether thoughts are a part of the text."),
    field(
        "reasoning_format",
        Words(&["none", "auto", "deepseek", "deepseek-legacy", "parsed", "raw"]),
        "Whether thoughts are apart from the text.",
    ),
];
