//! Every field of a body that this server knows, and what becomes of it.
//!
//! The API is an open set: OpenAI's fields, those of llama.cpp, vLLM, SGLang, TGI, mistral.rs, Ollama, LM Studio and
//! text-generation-webui. A field that changes the answer elsewhere is read or refused here, since an answer that looks
//! right and is not helps nobody; a value that asks for what this server does anyway passes. What is not in the table is
//! [ignored and reported](super::ignored).

mod table;

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use crate::errors::ApiError;
use crate::openai::fields::{Fields, describe};
use table::{KNOWN, NESTED};

/// An endpoint that has a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
}

/// Where a row of the table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Both,
    Chat,
    Completions,
}

impl Place {
    fn holds_at(self, endpoint: Endpoint) -> bool {
        match self {
            Self::Both => true,
            Self::Chat => endpoint == Endpoint::Chat,
            Self::Completions => endpoint == Endpoint::Completions,
        }
    }
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy)]
enum Treatment {
    /// Its reader knows its values.
    Read,
    /// No value of it changes an answer of this server.
    Harmless,
    /// Refused, unless its value asks for nothing.
    Refused { nothing: &'static [Nothing], instead: &'static str },
}

/// A value that asks for nothing, which is what this server does anyway. `null` always is one.
#[derive(Debug, Clone, Copy)]
enum Nothing {
    False,
    True,
    Number(f64),
    AtMost(f64),
    EmptyText,
    EmptyList,
    EmptyObject,
    Word(&'static str),
    /// A list with no other word in it.
    OnlyWord(&'static str),
    /// An object with this `type`.
    TypeIs(&'static str),
}

impl Nothing {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::False => value == &Value::Bool(false),
            Self::True => value == &Value::Bool(true),
            Self::Number(number) => value.as_f64() == Some(number),
            Self::AtMost(most) => value.as_f64().is_some_and(|number| number <= most),
            Self::EmptyText => value == "",
            Self::EmptyList => value.as_array().is_some_and(Vec::is_empty),
            Self::EmptyObject => value.as_object().is_some_and(serde_json::Map::is_empty),
            Self::Word(word) => value == word,
            Self::OnlyWord(word) => value.as_array().is_some_and(|list| list.iter().all(|item| item == word)),
            Self::TypeIs(word) => value.get("type").is_some_and(|kind| kind == word),
        }
    }
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::False => f.write_str("false"),
            Self::True => f.write_str("true"),
            Self::Number(number) => write!(f, "{number}"),
            Self::AtMost(most) => write!(f, "{most} or less"),
            Self::EmptyText => f.write_str("an empty string"),
            Self::EmptyList => f.write_str("an empty list"),
            Self::EmptyObject => f.write_str("an empty object"),
            Self::Word(word) => write!(f, "'{word}'"),
            Self::OnlyWord(word) => write!(f, "['{word}']"),
            Self::TypeIs(word) => write!(f, "an object of type '{word}'"),
        }
    }
}

/// Fields that are treated alike.
#[derive(Debug)]
struct Row {
    place: Place,
    names: &'static [&'static str],
    treatment: Treatment,
}

const fn read(place: Place, names: &'static [&'static str]) -> Row {
    Row { place, names, treatment: Treatment::Read }
}

const fn harmless(place: Place, names: &'static [&'static str]) -> Row {
    Row { place, names, treatment: Treatment::Harmless }
}

const fn refused(
    place: Place,
    names: &'static [&'static str],
    nothing: &'static [Nothing],
    instead: &'static str,
) -> Row {
    Row { place, names, treatment: Treatment::Refused { nothing, instead } }
}

type Treatments = HashMap<&'static str, Treatment>;

/// The table by name, for a chat and for a completion.
static BY_NAME: LazyLock<[Treatments; 2]> =
    LazyLock::new(|| [by_name(KNOWN, Endpoint::Chat), by_name(KNOWN, Endpoint::Completions)]);

fn by_name(rows: &[Row], endpoint: Endpoint) -> Treatments {
    let rows = rows.iter().filter(|row| row.place.holds_at(endpoint));
    rows.flat_map(|row| row.names.iter().map(|name| (*name, row.treatment))).collect()
}

/// Refuses what `endpoint` cannot honour, and gives the names of the fields that are not known.
///
/// # Errors
/// Names the first field that is refused, with its value and what to do instead.
pub(crate) fn check(fields: &Fields<'_>, endpoint: Endpoint) -> Result<Vec<String>, ApiError> {
    let mut unknown = Vec::new();
    let known = match endpoint {
        Endpoint::Chat => &BY_NAME[0],
        Endpoint::Completions => &BY_NAME[1],
    };
    check_members(fields, known, &mut unknown)?;
    for (name, rows) in NESTED {
        if let Some(object) = fields.get(name).filter(|value| value.is_object()) {
            check_members(&Fields::at(object, (*name).to_owned())?, &by_name(rows, endpoint), &mut unknown)?;
        }
    }
    // A strict tool's calls have the form that was described: that would be constrained output.
    let tools = fields.get("tools").and_then(Value::as_array);
    if tools.is_some_and(|tools| tools.iter().any(|tool| tool.pointer("/function/strict") == Some(&Value::Bool(true))))
    {
        unknown.push("tools[].function.strict".to_owned());
    }
    Ok(unknown)
}

fn check_members(fields: &Fields<'_>, known: &Treatments, unknown: &mut Vec<String>) -> Result<(), ApiError> {
    for (name, value) in fields.members() {
        match known.get(name) {
            Some(Treatment::Read | Treatment::Harmless) => {}
            Some(Treatment::Refused { nothing, .. }) if nothing.iter().any(|nothing| nothing.is(value)) => {}
            Some(Treatment::Refused { nothing, instead }) => {
                return Err(unsupported(&fields.name(name), value, nothing, instead));
            }
            None => unknown.push(fields.name(name)),
        }
    }
    Ok(())
}

fn unsupported(name: &str, value: &Value, nothing: &[Nothing], instead: &str) -> ApiError {
    let taken: Vec<String> = nothing.iter().map(Nothing::to_string).collect();
    let taken = if taken.is_empty() { String::new() } else { format!(" (taken: {})", taken.join(", ")) };
    ApiError::unsupported(name, format!("{name} is {}, which is not supported{taken}; {instead}", describe(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ENDPOINTS: [Endpoint; 2] = [Endpoint::Chat, Endpoint::Completions];

    fn check_body(body: &Value, endpoint: Endpoint) -> Result<Vec<String>, ApiError> {
        check(&Fields::top(body).expect("an object"), endpoint)
    }

    #[test]
    fn each_unsupported_field_is_refused_by_name_with_a_remedy() {
        for endpoint in ENDPOINTS {
            for row in KNOWN.iter().filter(|row| row.place.holds_at(endpoint)) {
                let Treatment::Refused { instead, .. } = row.treatment else { continue };
                for name in row.names {
                    let error = check_body(&json!({ *name: {"type": "something"} }), endpoint).expect_err(name);
                    assert_eq!((error.param(), error.code()), (Some(*name), Some("unsupported_parameter")));
                    assert!(error.message().contains(instead), "{}", error.message());
                }
            }
        }
    }

    #[test]
    fn no_field_has_two_treatments() {
        for endpoint in ENDPOINTS {
            let rows = KNOWN.iter().filter(|row| row.place.holds_at(endpoint));
            let mut names: Vec<_> = rows.flat_map(|row| row.names).collect();
            names.sort_unstable();
            for pair in names.windows(2) {
                assert_ne!(pair[0], pair[1], "{endpoint:?}");
            }
        }
    }

    #[test]
    fn what_peers_are_known_to_heed_is_not_ignored() {
        for (name, value) in [
            ("repeat_last_n", json!(64)),
            ("truncate_prompt_tokens", json!(10)),
            ("skip_special_tokens", json!(false)),
            ("n_probs", json!(5)),
            ("samplers", json!(["top_k"])),
            ("t_max_predict_ms", json!(100)),
            ("reasoning_effort", json!("low")),
            ("json_schema", json!({})),
            ("guided_json", json!({})),
            ("min_tokens", json!(3)),
            ("dry_multiplier", json!(0.8)),
            ("length_penalty", json!(2)),
            ("verbosity", json!("low")),
            ("thinking", json!({"type": "enabled"})),
            ("options", json!({"num_ctx": 100})),
            ("response_fields", json!(["content"])),
            ("lora", json!([{"id": 0, "scale": 1}])),
        ] {
            for endpoint in ENDPOINTS {
                let error = check_body(&json!({ name: value }), endpoint).expect_err(name);
                assert_eq!(error.param(), Some(name));
            }
        }
        for (endpoint, value) in [(Endpoint::Chat, true), (Endpoint::Completions, false)] {
            let error = check_body(&json!({ "add_special_tokens": value }), endpoint).expect_err("special tokens");
            assert_eq!(error.param(), Some("add_special_tokens"));
        }
    }

    #[test]
    fn values_that_ask_for_nothing_pass() {
        let body = json!({
            "response_format": {"type": "text"}, "stop_token_ids": [], "min_tokens": 0, "use_beam_search": false,
            "mirostat": 0, "top_n_sigma": -1.0, "grammar": "", "skip_special_tokens": true, "repeat_last_n": -1,
            "length_penalty": 1.0, "early_stopping": false, "n_probs": 0, "t_max_predict_ms": -1, "min_keep": 0,
            "detokenize": true, "lora": [], "dry_multiplier": 0.0, "dry_base": 1.75, "xtc_threshold": 0.1,
            "reasoning_effort": "none", "verbosity": "medium", "cache_prompt": false, "n_keep": 5, "id_slot": 2,
            "store": true, "metadata": {"a": "b"}, "prediction": {"type": "content", "content": "a"},
            "stream_options": {"include_usage": true, "include_obfuscation": false, "continuous_usage_stats": false},
        });
        for endpoint in ENDPOINTS {
            assert_eq!(check_body(&body, endpoint), Ok(Vec::new()));
        }
        let chat = json!({"modalities": ["text"], "function_call": "none", "audio": null, "echo": false});
        assert_eq!(check_body(&chat, Endpoint::Chat), Ok(Vec::new()));
        let completion = json!({"suffix": "", "raw": true, "add_special_tokens": true, "top_logprobs": 0, "tools": []});
        assert_eq!(check_body(&completion, Endpoint::Completions), Ok(Vec::new()));
    }

    #[test]
    fn unknown_fields_are_named_wherever_they_stand() {
        let body = json!({
            "temprature": 1, "nothing": null, "stream_options": {"foo": 1}, "response_format": {"type": "text", "schema": {}},
            "tools": [{"type": "function", "function": {"name": "f", "strict": true}}],
        });
        let mut unknown = check_body(&body, Endpoint::Chat).expect("nothing is refused");
        unknown.sort_unstable();
        assert_eq!(unknown, ["response_format.schema", "stream_options.foo", "temprature", "tools[].function.strict"]);
        let usage = json!({"stream_options": {"continuous_usage_stats": true}});
        let error = check_body(&usage, Endpoint::Chat).expect_err("a member that is refused");
        assert_eq!(error.param(), Some("stream_options.continuous_usage_stats"));
    }
}
