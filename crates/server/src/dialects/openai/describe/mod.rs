//! What is said of OpenAI's paths: their fields and their answers.
//!
//! | file | subject |
//! | --- | --- |
//! | `texts.rs` | fields of embeddings and rankings |
//! | `answers.rs` | answers |
//! | `details.rs` | parts of answers |

mod answers;
mod details;
mod texts;

use serde_json::json;

use super::parse::{Embeddings, Rerank};
use crate::description::{Answer, Body, Component, Errors, Operation, Shape, field};
use crate::dialects::headers::FOR_ANSWERS;
use crate::dialects::request::Endpoint;
use crate::dialects::request::chat::PROMPT_FIELDS;
use crate::dialects::request::describe::{CHAT, COMPLETIONS, GENERATION, MESSAGE, SHARED, TOOL};
use crate::dialects::request::known_fields;

/// Parts of the document that belong to these answers.
pub(super) const COMPONENTS: &[Component] = &[
    ("Error", answers::ERROR),
    ("Usage", details::USAGE),
    ("Timings", details::TIMINGS),
    ("PromptProgress", details::PROGRESS),
    ("Message", MESSAGE),
    ("Tool", TOOL),
    ("ChatLogprobs", details::CHAT_LOGPROBS),
    ("TextLogprobs", details::TEXT_LOGPROBS),
    ("PromptLogprobs", details::PROMPT_LOGPROBS),
    ("ChatCompletion", answers::CHAT),
    ("ChatCompletionChunk", answers::CHAT_CHUNK),
    ("Completion", answers::COMPLETION),
    ("Embeddings", answers::EMBEDDINGS),
    ("Ranking", answers::RANKING),
];

/// Of chats.
pub(super) fn chat() -> Operation {
    let known = known_fields::names(Endpoint::Chat);
    let messages = json!([{"role": "user", "content": "What is the chemical formula of water?"}]);
    let example = json!({"messages": messages, "temperature": 0, "max_tokens": 16});
    let tables: Vec<_> = [CHAT].into_iter().chain(SHARED.iter().copied()).collect();
    let body = Body::reads(known.read, &tables, example).refuses(known.refused).ignores(known.harmless);
    let answers = [Answer::Json(Shape::Named("ChatCompletion")), Answer::Events(Shape::Named("ChatCompletionChunk"))];
    Operation::new("Answers the messages of a chat", Errors::Computed, answers).with(FOR_ANSWERS).body(body)
}

/// Of counts.
pub(super) fn chat_tokens() -> Operation {
    let example = json!({"messages": [{"role": "user", "content": "Hello"}]});
    let body = Body::reads(PROMPT_FIELDS.iter().copied(), &[CHAT, GENERATION], example);
    const ANSWER: Answer = Answer::Json(Shape::Object(&[
        field("object", Shape::Words(&["response.input_tokens"]), "").needed(),
        field("input_tokens", details::COUNT, "").needed(),
    ]));
    Operation::new("Counts the tokens of a chat's prompt", Errors::Body, [ANSWER]).body(body)
}

/// Of text completions.
pub(super) fn completions() -> Operation {
    let known = known_fields::names(Endpoint::Completions);
    let example = json!({"prompt": "The chemical formula of water is", "temperature": 0, "max_tokens": 4});
    let tables: Vec<_> = [COMPLETIONS].into_iter().chain(SHARED.iter().copied()).collect();
    let body = Body::reads(known.read, &tables, example).refuses(known.refused).ignores(known.harmless);
    let answers = [Answer::Json(Shape::Named("Completion")), Answer::Events(Shape::Named("Completion"))];
    Operation::new("Goes on with texts", Errors::Computed, answers).with(FOR_ANSWERS).body(body)
}

/// Of embeddings.
pub(super) fn embeddings() -> Operation {
    let example = json!({"input": ["Water is wet."]});
    let body = Body::reads(Embeddings::fields(), &[texts::EMBEDDINGS, texts::TEXTS, GENERATION], example);
    let answers = [Answer::Json(Shape::Named("Embeddings"))];
    Operation::new("Embeds texts", Errors::Computed, answers).with(FOR_ANSWERS).body(body)
}

/// Of rankings.
pub(super) fn rerank() -> Operation {
    let example = json!({"query": "What is wet?", "documents": ["Water is wet.", "Sand is dry."]});
    let body = Body::reads(Rerank::fields(), &[texts::RERANK, texts::TEXTS, GENERATION], example)
        .wants_one_of(&["documents", "texts"]);
    let answers = [Answer::Json(Shape::Named("Ranking"))];
    Operation::new("Ranks documents by how well they match a query", Errors::Computed, answers)
        .with(FOR_ANSWERS)
        .body(body)
}
