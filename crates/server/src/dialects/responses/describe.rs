//! What is said of the paths of OpenAI's Responses, and of their fields.

use serde_json::json;

use super::options::INCLUDABLE;
use super::parse::{HARMLESS, OF_PROMPT, READ, REFUSED};
use crate::description::Shape::{Any, Boolean, Either, List, ListOf, Map, Named, Object, OrNull, Text, Whole, Words};
use crate::description::{Answer, Body, Errors, Field, Operation, Parameter, Place, Shape, field};
use crate::dialects::headers::FOR_ANSWERS;
use crate::dialects::request::describe::{CHAT, GENERATION, RESPONSE_REASONING, SAMPLING};

const PART: Shape = Object(&[
    field("type", Words(&["input_text", "output_text", "text", "refusal"]), "").needed(),
    field("text", Text, ""),
    field("refusal", Text, ""),
]);

const TEXT: Shape = Either(&[Text, List(&PART)]);

const ITEM: Shape = Object(&[
    field(
        "type",
        Words(&["message", "function_call", "function_call_output", "reasoning", "item_reference"]),
        "A message, if it is not there.",
    ),
    field("role", Words(&["user", "assistant", "system", "developer"]), "Of a message."),
    field("content", OrNull(&TEXT), "Of a message, or of thoughts."),
    field("summary", List(&Map(&Any)), "Of thoughts."),
    field("id", Text, "Of a reference: the item of an earlier answer."),
    field("call_id", Text, "Of a call, and of what it gave back."),
    field("name", Text, "Of a call: the function."),
    field("arguments", Text, "Of a call: JSON."),
    field("output", TEXT, "What a function gave back."),
]);

const TOOL: Shape = Object(&[
    field("type", Words(&["function"]), "").needed(),
    field("name", Text, "").needed(),
    field("description", OrNull(&Text), ""),
    field("parameters", OrNull(&Map(&Any)), "A JSON schema."),
    field("strict", OrNull(&Boolean), "Whether arguments are held to the schema."),
]);

const FORMAT: Shape = Object(&[
    field("type", Words(&["text", "json_object", "json_schema"]), "").needed(),
    field("name", Text, ""),
    field("schema", Either(&[Map(&Any), Boolean]), "A JSON schema."),
    field("strict", Boolean, "Whether what cannot be enforced to the letter is refused."),
]);

const FIELDS: &[Field] = &[
    field("input", Either(&[Text, ListOf(&ITEM, 0, 16_384)]), "A text, or a list of items."),
    field("instructions", Text, "What the programmer says, for this answer."),
    field("max_output_tokens", Whole(Some(-1), None), "The most tokens of the answer; -1 is no limit."),
    field("tools", List(&TOOL), "Functions that may be called."),
    field("reasoning", RESPONSE_REASONING, "How much the model thinks."),
    field("text", Object(&[field("format", FORMAT, "")]), "What the answer may be."),
    field("metadata", Map(&Text), "Up to 16 texts, which the answer repeats."),
    field("store", Boolean, "Whether the answer is kept."),
    field("previous_response_id", Text, "The answer that this one follows."),
    field("background", Boolean, "Whether it is computed whether or not somebody reads it."),
    field("truncation", Words(&["disabled"]), "Nothing is cut."),
    field(
        "include",
        List(&Words(INCLUDABLE)),
        "What else is wanted; thoughts are always sent, the others are never there.",
    ),
    field(
        "stream_options",
        Object(&[
            field("include_obfuscation", Boolean, "Events are not padded."),
            field("include_usage", Boolean, "The last event always tells the usage."),
        ]),
        "What a stream says besides.",
    ),
];

/// A body that is answered.
pub(super) fn create() -> Operation {
    let names = READ.iter().copied().chain(SAMPLING.iter().map(|field| field.name));
    let example = json!({"input": "What is the chemical formula of water?", "max_output_tokens": 16, "temperature": 0});
    let body = Body::reads(names, &[FIELDS, CHAT, SAMPLING, GENERATION], example)
        .refuses(REFUSED.iter().copied())
        .ignores(HARMLESS.iter().copied());
    let answers = [Answer::Json(Named("Response")), Answer::Events(Named("ResponseEvent"))];
    Operation::new("Answers an input", Errors::Computed, answers).with(FOR_ANSWERS).body(body)
}

/// A body whose tokens are counted.
pub(super) fn input_tokens() -> Operation {
    let others = READ.iter().filter(|name| !OF_PROMPT.contains(name)).chain(HARMLESS).copied();
    let body = Body::reads(OF_PROMPT.iter().copied(), &[FIELDS, CHAT, GENERATION], json!({"input": "Hello"}))
        .refuses(REFUSED.iter().copied())
        .ignores(others.chain(SAMPLING.iter().map(|field| field.name)));
    const ANSWER: Answer = Answer::Json(Object(&[
        field("object", Words(&["response.input_tokens"]), "").needed(),
        field("input_tokens", Whole(Some(0), None), "").needed(),
    ]));
    Operation::new("Counts the tokens of a prompt", Errors::Body, [ANSWER]).body(body)
}

const ID: Parameter = Parameter { place: Place::Path, name: "id", shape: Text, about: "The `id` of the answer." };

const fn query(name: &'static str, shape: Shape, about: &'static str) -> Parameter {
    Parameter { place: Place::Query, name, shape, about }
}

/// An answer that is kept.
pub(super) fn retrieve() -> Operation {
    let answers = [Answer::Json(Named("Response")), Answer::Events(Named("ResponseEvent"))];
    Operation::new("An answer that is kept", Errors::Named, answers).with(&[
        ID,
        query("stream", Boolean, "Whether its events are wanted, of one in the background."),
        query("starting_after", Whole(Some(0), None), "The number of the last event that was read."),
    ])
}

/// Forgetting one.
pub(super) fn delete() -> Operation {
    const ANSWER: Answer = Answer::Json(Object(&[
        field("id", Text, "").needed(),
        field("object", Words(&["response"]), "").needed(),
        field("deleted", Boolean, "").needed(),
    ]));
    Operation::new("Forgets an answer, and ends it if it runs", Errors::Named, [ANSWER]).with(&[ID])
}

/// Ending one.
pub(super) fn cancel() -> Operation {
    Operation::new("Ends an answer in the background", Errors::Named, [Answer::Json(Named("Response"))]).with(&[ID])
}

/// What it was asked.
pub(super) fn input_items() -> Operation {
    const ANSWER: Answer = Answer::Json(Object(&[
        field("object", Words(&["list"]), "").needed(),
        field("data", List(&Map(&Any)), "As they were sent.").needed(),
        field("first_id", OrNull(&Text), "").needed(),
        field("last_id", OrNull(&Text), "").needed(),
        field("has_more", Boolean, "").needed(),
    ]));
    Operation::new("The input of an answer", Errors::Named, [ANSWER]).with(&[
        ID,
        query("limit", Whole(Some(1), Some(100)), "How many items."),
        query("order", Words(&["asc", "desc"]), "Newest first, if it is not there."),
        query("after", Text, "The `id` of the item before the first one."),
    ])
}
