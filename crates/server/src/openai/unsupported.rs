//! Fields of OpenAI's, vLLM's and llama.cpp's APIs that change the answer and that this server does not have.
//!
//! Ignoring them would give an answer that looks right and is not, so they are refused with what to do instead. A
//! value that asks for nothing (`false`, `0`, an empty list) passes. Fields that nobody here knows are ignored, as
//! other servers do: clients send many that do not matter.

use serde_json::Value;

use crate::errors::ApiError;
use crate::openai::fields::{Fields, describe};

/// A field that is refused, unless its value asks for nothing.
struct Unsupported {
    field: &'static str,
    asks_for_nothing: fn(&Value) -> bool,
    instead: &'static str,
}

const fn field(field: &'static str, asks_for_nothing: fn(&Value) -> bool, instead: &'static str) -> Unsupported {
    Unsupported { field, asks_for_nothing, instead }
}

/// `false`, `0`, an empty string, list or object: the field was sent, but asks for nothing.
fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn text_only(value: &Value) -> bool {
    empty(value) || value.as_array().is_some_and(|list| list.iter().all(|item| item == "text"))
}

fn plain_text_format(value: &Value) -> bool {
    empty(value) || value.get("type").is_some_and(|kind| kind == "text")
}

/// Samplers whose neutral value is zero or below.
fn not_positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number <= 0.0)
}

const NO_GRAMMAR: &str = "output cannot be constrained here; describe the format in the prompt";
const TEXT_ONLY: &str = "this server reads and writes text only; leave it out";
const NOT_A_SAMPLER: &str = "this sampler is not implemented; use temperature, top_k, top_p, min_p or typical_p";

/// Refused by both endpoints.
const EVERYWHERE: &[Unsupported] = &[
    field("response_format", plain_text_format, NO_GRAMMAR),
    field("structured_outputs", empty, NO_GRAMMAR),
    field("guided_json", empty, NO_GRAMMAR),
    field("guided_regex", empty, NO_GRAMMAR),
    field("guided_choice", empty, NO_GRAMMAR),
    field("guided_grammar", empty, NO_GRAMMAR),
    field("json_schema", empty, NO_GRAMMAR),
    field("grammar", empty, NO_GRAMMAR),
    field("stop_token_ids", empty, "use stop with the token's text"),
    field("allowed_token_ids", empty, "use logit_bias"),
    field("bad_words", empty, "use logit_bias"),
    field("min_tokens", empty, "use ignore_eos with max_tokens, or leave it out"),
    field("include_stop_str_in_output", empty, "append the stop string yourself"),
    field("use_beam_search", empty, "use n with a temperature"),
    field("prompt_embeds", empty, "send text or token ids"),
    field("mirostat", not_positive, NOT_A_SAMPLER),
    field("dynatemp_range", not_positive, NOT_A_SAMPLER),
    field("dry_multiplier", not_positive, NOT_A_SAMPLER),
    field("xtc_probability", not_positive, NOT_A_SAMPLER),
    field("top_n_sigma", not_positive, NOT_A_SAMPLER),
];

/// Refused by `/v1/chat/completions`.
const CHAT: &[Unsupported] = &[
    field("audio", empty, TEXT_ONLY),
    field("modalities", text_only, "only [\"text\"] is possible"),
    field("functions", empty, "use tools"),
    field("function_call", |value| value == "none" || value == "auto" || empty(value), "use tool_choice"),
    field("web_search_options", |value| value.is_null(), "put what was found into the messages"),
    field("prompt_logprobs", |value| value.is_null(), "use /v1/completions with echo and logprobs"),
    field("continue_final_message", empty, "use /v1/completions with the rendered prompt"),
    field("chat_template", empty, "the model's own template is used; chat_template_kwargs reach it"),
];

/// Refused by `/v1/completions`.
const COMPLETIONS: &[Unsupported] = &[
    field("suffix", empty, "the model cannot fill in the middle; put all text into prompt"),
    field("prompt_logprobs", |value| value.is_null(), "use echo with logprobs"),
];

fn refuse(fields: &Fields<'_>, table: &[Unsupported]) -> Result<(), ApiError> {
    for unsupported in table {
        let Some(value) = fields.get(unsupported.field) else {
            continue;
        };
        if !(unsupported.asks_for_nothing)(value) {
            return Err(ApiError::unsupported(
                unsupported.field,
                format!(
                    "{} is {}, which is not supported; {}",
                    unsupported.field,
                    describe(value),
                    unsupported.instead
                ),
            ));
        }
    }
    Ok(())
}

/// Refuses what `/v1/chat/completions` cannot honour.
pub(crate) fn refuse_in_chat(fields: &Fields<'_>) -> Result<(), ApiError> {
    refuse(fields, EVERYWHERE)?;
    refuse(fields, CHAT)
}

/// Refuses what `/v1/completions` cannot honour.
pub(crate) fn refuse_in_completions(fields: &Fields<'_>) -> Result<(), ApiError> {
    refuse(fields, EVERYWHERE)?;
    refuse(fields, COMPLETIONS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_unsupported_field_is_refused_by_name_with_a_remedy() {
        for unsupported in EVERYWHERE.iter().chain(CHAT) {
            let body = json!({ unsupported.field: {"type": "something"} });
            let fields = Fields::top(&body).expect("an object");
            let error = refuse_in_chat(&fields).expect_err(unsupported.field);
            assert_eq!(error.param(), Some(unsupported.field));
            assert!(error.message().contains(unsupported.instead));
        }
    }

    #[test]
    fn values_that_ask_for_nothing_pass() {
        let body = json!({
            "response_format": {"type": "text"}, "stop_token_ids": [], "min_tokens": 0, "use_beam_search": false,
            "mirostat": 0, "top_n_sigma": -1.0, "modalities": ["text"], "function_call": "none", "suffix": "",
            "grammar": "", "audio": null,
        });
        let fields = Fields::top(&body).expect("an object");
        assert_eq!(refuse_in_chat(&fields), Ok(()));
        assert_eq!(refuse_in_completions(&fields), Ok(()));
    }

    #[test]
    fn unknown_fields_pass() {
        let body = json!({"cache_prompt": true, "store": true, "metadata": {"a": "b"}});
        let fields = Fields::top(&body).expect("an object");
        assert_eq!(refuse_in_chat(&fields), Ok(()));
    }
}
