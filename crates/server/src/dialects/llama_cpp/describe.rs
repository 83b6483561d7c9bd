//! What is said of llama.cpp's paths: their fields and their answers.

use serde_json::json;

use super::{infill, parse};
use crate::description::Shape::{Any, Boolean, Either, List, ListOf, Map, Named, Number, Object, OrNull, Text, Whole};
use crate::description::{Answer, Body, Component, Errors, Field, Operation, Shape, field};
use crate::dialects::headers::FOR_ANSWERS;
use crate::dialects::request::chat::PROMPT_FIELDS;
use crate::dialects::request::describe::{CHAT, COMPLETIONS, GENERATION, SHARED};
use crate::dialects::request::known_fields::{self, Endpoint};

const COUNT: Shape = Whole(Some(0), None);

/// Texts, tokens, or both in one list.
const PROMPT: Shape = Either(&[
    Text,
    ListOf(&Either(&[Text, COUNT]), 1, 1 << 20),
    ListOf(&ListOf(&Either(&[Text, COUNT]), 1, 1 << 20), 1, 256),
    Object(&[field("prompt_string", Text, "").needed()]),
]);

const OWN: &[Field] = &[
    field("prompt", PROMPT, "One or several prompts of texts, tokens, or both.").needed(),
    field("n_probs", Whole(Some(0), Some(100)), "Log-probabilities, with so many alternatives."),
    field("return_tokens", Boolean, "Whether a whole answer has the ids of its tokens."),
    field(
        "response_fields",
        ListOf(&Text, 0, 64),
        "The members that are wanted, paths with `/` between names; none are all.",
    ),
    field("post_sampling_probs", Boolean, "Whether these are probabilities behind the samplers."),
];

const INFILL: &[Field] = &[
    field("prompt", Text, "What goes on with `input_prefix`."),
    field("input_prefix", Text, "What stands before the gap.").needed(),
    field("input_suffix", Text, "What stands behind it.").needed(),
    field(
        "input_extra",
        ListOf(&Object(&[field("text", Text, "").needed(), field("filename", OrNull(&Text), "")]), 0, 256),
        "Other files.",
    ),
];

const TOKENIZE: &[Field] = &[
    field("content", Text, "The text, where llama.cpp's answer is wanted."),
    field("prompt", Text, "The text, where vLLM's answer is wanted."),
    field("add_special", Boolean, "With `content`: whether it begins as the model's texts do."),
    field("parse_special", Boolean, "With `content`: whether control tokens in it are such."),
    field("with_pieces", Boolean, "With `content`: whether the answer has the tokens' texts."),
    field("add_special_tokens", Boolean, "With `prompt`: whether it begins as the model's texts do."),
    field("return_token_strs", Boolean, "With `prompt` or `messages`: whether the answer has the tokens' texts."),
];

const DETOKENIZE: &[Field] = &[field("tokens", List(&COUNT), "Their ids.").needed()];

const ALTERNATIVE: Shape = Object(&[
    field("id", COUNT, "").needed(),
    field("token", Text, "").needed(),
    field("bytes", List(&COUNT), "").needed(),
    field("logprob", Number(None, Some(0.0)), ""),
    field("prob", Number(Some(0.0), Some(1.0)), ""),
]);

const PROBABILITY: Shape = Object(&[
    field("id", COUNT, "").needed(),
    field("token", Text, "").needed(),
    field("bytes", List(&COUNT), "").needed(),
    field("logprob", Number(None, Some(0.0)), "The model's own."),
    field("prob", Number(Some(0.0), Some(1.0)), "Behind the samplers, if that is wanted."),
    field("top_logprobs", List(&ALTERNATIVE), "The likeliest ones."),
    field("top_probs", List(&ALTERNATIVE), "The same behind the samplers, as far as they had a chance."),
]);

/// None of its members must be there: `response_fields` picks some.
const COMPLETION: Shape = Object(&[
    field("index", COUNT, "Which prompt."),
    field("content", Text, ""),
    field("tokens", List(&COUNT), ""),
    field("id_slot", Whole(None, None), ""),
    field("stop", Boolean, "Whether it is complete."),
    field("model", Text, ""),
    field("tokens_predicted", COUNT, ""),
    field("tokens_evaluated", COUNT, ""),
    field("generation_settings", Map(&Any), "How it was generated."),
    field("prompt", Text, ""),
    field("has_new_line", Boolean, ""),
    field("truncated", Boolean, ""),
    field("stop_type", Shape::Words(&["none", "eos", "limit", "word"]), ""),
    field("stopping_word", Text, ""),
    field("tokens_cached", COUNT, ""),
    field("timings", Named("Timings"), ""),
    field("prompt_progress", Named("PromptProgress"), "While the prompt is computed, if it is wanted."),
    field("completion_probabilities", List(&PROBABILITY), "If `n_probs` is more than 0."),
]);

const TOKENS: Shape = Either(&[
    Object(&[field(
        "tokens",
        List(&Either(&[
            COUNT,
            Object(&[field("id", COUNT, "").needed(), field("piece", Either(&[Text, List(&COUNT)]), "").needed()]),
        ])),
        "",
    )
    .needed()]),
    Object(&[
        field("count", COUNT, "").needed(),
        field("max_model_len", COUNT, "").needed(),
        field("tokens", List(&COUNT), "").needed(),
        field("token_strs", OrNull(&List(&Text)), "").needed(),
    ]),
]);

/// Parts of the document that belong to these answers.
pub(super) const COMPONENTS: &[Component] = &[
    ("LlamaCompletion", COMPLETION),
    ("LlamaCompletions", Either(&[Named("LlamaCompletion"), List(&Named("LlamaCompletion"))])),
    ("Tokens", TOKENS),
];

/// A body of one of the two completions, with fields of its own.
fn generating(own: &'static [&'static str], table: &'static [Field], example: serde_json::Value) -> Body {
    let known = known_fields::names(Endpoint::Completions);
    let others = known.read.into_iter().filter(|name| !own.contains(name) && !parse::UNREAD.contains(name));
    let names = own.iter().copied().chain(others);
    let tables: Vec<_> = [table, OWN, COMPLETIONS].into_iter().chain(SHARED.iter().copied()).collect();
    Body::reads(names, &tables, example)
        .refuses(known.refused.into_iter().filter(|name| !own.contains(name)))
        .ignores(known.harmless.into_iter().chain(parse::UNREAD.iter().copied()))
}

/// Of completions.
pub(super) fn completion() -> Operation {
    let example = json!({"prompt": "The chemical formula of water is", "n_predict": 4, "temperature": 0});
    let answers = [Answer::Json(Named("LlamaCompletions")), Answer::Events(Named("LlamaCompletion"))];
    Operation::new("Goes on with texts", Errors::Computed, answers).with(FOR_ANSWERS).body(generating(
        parse::OWN,
        OWN,
        example,
    ))
}

/// Of gaps.
pub(super) fn infill() -> Operation {
    let example = json!({"input_prefix": "def f(", "input_suffix": "):", "n_predict": 4});
    let answers = [Answer::Json(Named("LlamaCompletions")), Answer::Events(Named("LlamaCompletion"))];
    Operation::new("Fills a gap, if the model has learnt that", Errors::Computed, answers)
        .with(FOR_ANSWERS)
        .body(generating(infill::OWN, INFILL, example))
}

/// From a text to tokens.
pub(super) fn tokenize() -> Operation {
    let names = TOKENIZE.iter().map(|field| field.name).chain(PROMPT_FIELDS.iter().copied());
    let body = Body::reads(names, &[TOKENIZE, NOT_NEEDED, CHAT, GENERATION], json!({"content": "Hello"}))
        .wants_one_of(&["content", "prompt", "messages"]);
    Operation::new("The tokens of a text", Errors::Body, [Answer::Json(Named("Tokens"))]).body(body)
}

/// The messages, where something else may stand in their place.
const NOT_NEEDED: &[Field] = &[field("messages", ListOf(&Named("Message"), 1, 16_384), "A chat, for its prompt.")];

/// From tokens to their text.
pub(super) fn detokenize() -> Operation {
    let body = Body::reads(["tokens", "model"], &[DETOKENIZE, GENERATION], json!({"tokens": [1, 2]}));
    const ANSWER: Answer =
        Answer::Json(Object(&[field("content", Text, "").needed(), field("prompt", Text, "").needed()]));
    Operation::new("The text of tokens", Errors::Body, [ANSWER]).body(body)
}

/// The prompt of a chat.
pub(super) fn apply_template() -> Operation {
    let example = json!({"messages": [{"role": "user", "content": "Hello"}]});
    let body = Body::reads(PROMPT_FIELDS.iter().copied(), &[CHAT, GENERATION], example);
    const ANSWER: Answer = Answer::Json(Object(&[field("prompt", Text, "").needed()]));
    Operation::new("The prompt that messages make", Errors::Body, [ANSWER]).body(body)
}

/// What a client cannot see of a tokenizer.
pub(super) fn tokenizer_info() -> Operation {
    const ANSWER: Answer = Answer::Json(Object(&[
        field("tokenizer_class", Text, "").needed(),
        field("vocab_size", COUNT, "").needed(),
        field("model_max_length", COUNT, "").needed(),
        field("bos_token", OrNull(&Text), "").needed(),
        field("eos_token", OrNull(&Text), "").needed(),
        field("pad_token", OrNull(&Text), "").needed(),
        field("add_bos_token", Boolean, "").needed(),
        field("chat_template", OrNull(&Text), "").needed(),
    ]));
    Operation::new("What the default model's tokenizer is like", Errors::Keyed, [ANSWER])
}

/// What the server is like.
pub(super) fn props() -> Operation {
    const ANSWER: Answer = Answer::Json(Object(&[
        field(
            "default_generation_settings",
            Object(&[field("n_ctx", COUNT, "").needed(), field("params", Map(&Any), "").needed()]),
            "",
        )
        .needed(),
        field("total_slots", COUNT, "").needed(),
        field("model_alias", Text, "").needed(),
        field("model_path", Text, "").needed(),
        field("modalities", Map(&Boolean), "").needed(),
        field("chat_template", Text, "").needed(),
        field("bos_token", Text, "").needed(),
        field("eos_token", Text, "").needed(),
        field("build_info", Text, "").needed(),
        field("is_sleeping", Boolean, "").needed(),
    ]));
    Operation::new("What the default model is like", Errors::Keyed, [ANSWER])
}

/// Room for sequences.
pub(super) fn slots() -> Operation {
    const ANSWER: Answer = Answer::Json(List(&Object(&[
        field("id", COUNT, "").needed(),
        field("n_ctx", COUNT, "").needed(),
        field("speculative", Boolean, "").needed(),
        field("is_processing", Boolean, "").needed(),
    ])));
    Operation::new("Room for sequences, and how much of it is taken", Errors::Optional, [ANSWER])
}
