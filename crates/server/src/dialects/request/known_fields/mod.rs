//! Every field of a body that this server knows, and what becomes of it.
//!
//! The API is an open set: OpenAI's fields, those of llama.cpp, vLLM, SGLang, TGI, mistral.rs, Ollama, LM Studio, TabbyAPI,
//! KoboldCpp, OpenRouter and text-generation-webui. A field that changes the answer elsewhere is read or refused here, since
//! an answer that looks right and is not helps nobody; a value that asks for what this server does anyway passes, and so does a
//! field that only adjusts another one which is not at work. What is not in the tables is [ignored and reported](crate::generate::IgnoredFields).

mod members;
mod nothing;
mod table;

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use crate::dialects::fields::{Fields, describe};
use crate::generate::IgnoredFields;
use crate::http::ApiError;
pub(crate) use members::check as check_members;
use nothing::Nothing;
use table::{KNOWN, NESTED};

/// An endpoint of OpenAI's API that has a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
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
    /// Refused, unless its value asks for nothing, or it adjusts fields of which none is at work.
    Refused { adjusts: Option<Adjusts>, nothing: &'static [Nothing], instead: &'static str },
    /// The chat template's affair: ignored if that does not read it, unless its value asks for nothing.
    Passed { nothing: &'static [Nothing] },
}

/// The fields that another one adjusts, with the values that leave them idle.
type Adjusts = &'static [(&'static [&'static str], &'static [Nothing])];

/// Whether none of the fields is at work.
fn are_idle(adjusted: Adjusts, fields: &Fields<'_>) -> bool {
    adjusted.iter().all(|(names, idle)| {
        names.iter().all(|name| fields.get(name).is_none_or(|value| idle.iter().any(|nothing| nothing.is(value))))
    })
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
    Row { place, names, treatment: Treatment::Refused { adjusts: None, nothing, instead } }
}

/// Refused while one of the fields that it adjusts is at work.
const fn adjusts(
    fields: Adjusts,
    place: Place,
    names: &'static [&'static str],
    nothing: &'static [Nothing],
    instead: &'static str,
) -> Row {
    Row { place, names, treatment: Treatment::Refused { adjusts: Some(fields), nothing, instead } }
}

type Treatments = HashMap<&'static str, Treatment>;

/// The table by name, for a chat and for a completion.
static BY_NAME: LazyLock<[Treatments; 2]> = LazyLock::new(|| {
    [Endpoint::Chat, Endpoint::Completions].map(|endpoint| by_name(KNOWN.iter().copied().flatten(), endpoint))
});

fn by_name<'a>(rows: impl IntoIterator<Item = &'a Row>, endpoint: Endpoint) -> Treatments {
    let rows = rows.into_iter().filter(|row| row.place.holds_at(endpoint));
    rows.flat_map(|row| row.names.iter().map(|name| (*name, row.treatment))).collect()
}

/// The names in the table, by what becomes of them.
pub(crate) struct Names {
    pub read: Vec<&'static str>,
    pub harmless: Vec<&'static str>,
    pub refused: Vec<&'static str>,
}

/// The names of the fields that are known at an endpoint, in the order of the table.
pub(crate) fn names(endpoint: Endpoint) -> Names {
    let mut names = Names { read: Vec::new(), harmless: Vec::new(), refused: Vec::new() };
    for row in KNOWN.iter().copied().flatten().filter(|row| row.place.holds_at(endpoint)) {
        let of_kind = match row.treatment {
            Treatment::Read => &mut names.read,
            Treatment::Harmless | Treatment::Passed { .. } => &mut names.harmless,
            Treatment::Refused { .. } => &mut names.refused,
        };
        of_kind.extend(row.names);
    }
    names
}

/// Refuses what `endpoint` cannot honour, and collects the fields that are not known.
///
/// # Errors
/// Names the first field that is refused, with its value and what to do instead.
pub(crate) fn check(fields: &Fields<'_>, endpoint: Endpoint, ignored: &mut IgnoredFields) -> Result<(), ApiError> {
    check_others(fields, endpoint, &[], ignored)
}

/// As [`check`], for a dialect that reads some fields by itself, or under other names.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_others(
    fields: &Fields<'_>,
    endpoint: Endpoint,
    own: &[&str],
    ignored: &mut IgnoredFields,
) -> Result<(), ApiError> {
    let known = match endpoint {
        Endpoint::Chat => &BY_NAME[0],
        Endpoint::Completions => &BY_NAME[1],
    };
    let unread = |_: &str| false;
    let others = |name: &str| !own.contains(&name);
    check_members_of(fields, known, others, unread, ignored)?;
    for (name, rows) in NESTED {
        if let Some(object) = fields.get(name).filter(|value| value.is_object()) {
            let nested = Fields::at(object, (*name).to_owned())?;
            check_object(&nested, &by_name(*rows, endpoint), unread, ignored)?;
        }
    }
    Ok(())
}

/// Treats the members of one object; `reads` says which names the chat template can read there.
fn check_object(
    fields: &Fields<'_>,
    known: &Treatments,
    reads: impl Fn(&str) -> bool,
    ignored: &mut IgnoredFields,
) -> Result<(), ApiError> {
    check_members_of(fields, known, |_| true, reads, ignored)
}

/// Treats those members of an object that `counts` picks.
fn check_members_of(
    fields: &Fields<'_>,
    known: &Treatments,
    counts: impl Fn(&str) -> bool,
    reads: impl Fn(&str) -> bool,
    ignored: &mut IgnoredFields,
) -> Result<(), ApiError> {
    for (name, value) in fields.members().filter(|(name, _)| counts(name)) {
        let is_nothing = |values: &[Nothing]| values.iter().any(|nothing| nothing.is(value));
        match known.get(name) {
            Some(Treatment::Read | Treatment::Harmless) => {}
            Some(Treatment::Refused { nothing, .. } | Treatment::Passed { nothing }) if is_nothing(nothing) => {}
            Some(Treatment::Refused { adjusts: Some(adjusted), .. }) if are_idle(adjusted, fields) => {}
            Some(Treatment::Refused { nothing, instead, .. }) => {
                return Err(unsupported(&fields.name(name), value, nothing, instead));
            }
            Some(Treatment::Passed { .. }) | None if reads(name) => {}
            Some(Treatment::Passed { .. }) | None => ignored.add(|| fields.name(name)),
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

    /// The names of the fields that are ignored, with commas between.
    fn check_body(body: &Value, endpoint: Endpoint) -> Result<String, ApiError> {
        let mut ignored = IgnoredFields::default();
        check(&Fields::top(body).expect("an object"), endpoint, &mut ignored)?;
        Ok(ignored.header().expect("a header").to_str().expect("text").to_owned())
    }

    fn rows(endpoint: Endpoint) -> impl Iterator<Item = &'static Row> {
        KNOWN.iter().copied().flatten().filter(move |row| row.place.holds_at(endpoint))
    }

    /// Everything is at work that other fields adjust.
    fn busy(members: Value) -> Value {
        let mut body = json!({"repeat_penalty": 1.1, "dry_multiplier": 1, "top_k": 5, "stop": "x", "logprobs": true});
        body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        body
    }

    #[test]
    fn each_unsupported_field_is_refused_by_name_with_a_remedy() {
        for endpoint in ENDPOINTS {
            for row in rows(endpoint) {
                let Treatment::Refused { instead, .. } = row.treatment else { continue };
                for name in row.names {
                    let error = check_body(&busy(json!({ *name: {"type": "something"} })), endpoint).expect_err(name);
                    assert_eq!((error.param(), error.code()), (Some(*name), "unsupported_parameter"));
                    assert!(error.message().contains(instead), "{}", error.message());
                }
            }
        }
    }

    #[test]
    fn no_field_has_two_treatments() {
        for endpoint in ENDPOINTS {
            let mut names: Vec<_> = rows(endpoint).flat_map(|row| row.names).collect();
            names.sort_unstable();
            for pair in names.windows(2) {
                assert_ne!(pair[0], pair[1], "{endpoint:?}");
            }
        }
    }

    #[test]
    fn what_peers_are_known_to_heed_is_not_ignored() {
        for (name, value) in [
            ("repetition_penalty_range", json!(64)),
            ("truncate_prompt_tokens", json!(10)),
            ("n_probs", json!(5)),
            ("samplers", json!(["top_k"])),
            ("t_max_predict_ms", json!(100)),
            ("structural_tag", json!("{}")),
            ("min_length", json!(3)),
            ("mirostat", json!(2)),
            ("dry_range", json!(8)),
            ("eos_token_id", json!(2)),
            ("exponential_decay_length_penalty", json!([5, 1.5])),
            ("sampling_params", json!({"temperature": 1})),
            ("return_full_text", json!(true)),
            ("instructions", json!("be brief")),
            ("system", json!("be brief")),
            ("input_prefix", json!("a")),
            ("lora_adapter", json!("a")),
            ("num_ctx", json!(100)),
            ("num_predict", json!(5)),
            ("max_temp", json!(2)),
            ("preset", json!("creative")),
            ("format", json!("json")),
            ("images", json!(["QUJD"])),
            ("previous_response_id", json!("r1")),
            ("extra_body", json!({"top_k": 5})),
            ("verbosity", json!("low")),
            ("options", json!({"num_ctx": 100})),
            ("response_fields", json!(["content"])),
            ("lora", json!([{"id": 0, "scale": 1}])),
        ] {
            for endpoint in ENDPOINTS {
                let error = check_body(&busy(json!({ name: value })), endpoint).expect_err(name);
                assert_eq!(error.param(), Some(name));
            }
        }
        for (name, value) in [
            ("template", json!("{{ 1 }}")),
            ("raw", json!(true)),
            ("suffix", json!("b")),
            ("context", json!([1, 2])),
            ("character", json!("Ada")),
            ("mode", json!("chat")),
            ("instruction_template", json!("Alpaca")),
            ("assistant_prefill", json!("Sure")),
            ("continue_", json!(true)),
            ("prompt", json!("a")),
        ] {
            let error = check_body(&json!({ name: value }), Endpoint::Chat).expect_err(name);
            assert_eq!(error.param(), Some(name));
        }
        for (name, value) in [
            ("reasoning_effort", json!("low")),
            ("thinking", json!({"type": "enabled"})),
            ("thinking_budget", json!(50)),
            ("enable_thinking", json!(true)),
        ] {
            let error = check_body(&json!({ name: value }), Endpoint::Completions).expect_err(name);
            assert_eq!(error.param(), Some(name));
            assert_eq!(check_body(&json!({ name: value }), Endpoint::Chat), Ok(String::new()));
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
            "mirostat": 0, "top_n_sigma": -1.0, "tfs_z": 1.0, "grammar": "", "preset": "", "skip_special_tokens": true, "repeat_last_n": -1,
            "length_penalty": 1.0, "early_stopping": false, "n_probs": 0, "t_max_predict_ms": -1, "min_keep": 0,
            "detokenize": true, "lora": [], "dry_multiplier": 0.0, "dry_base": 1.75, "xtc_threshold": 0.1,
            "reasoning_effort": "none", "verbosity": "medium", "cache_prompt": false, "n_keep": 5, "id_slot": 2,
            "store": true, "metadata": {"a": "b"}, "prediction": {"type": "content", "content": "a"},
            "stream_options": {"include_usage": true, "include_obfuscation": false, "continuous_usage_stats": false},
        });
        for endpoint in ENDPOINTS {
            assert_eq!(check_body(&body, endpoint), Ok(String::new()));
        }
        let chat = json!({"modalities": ["text"], "function_call": "none", "audio": null, "echo": false});
        assert_eq!(check_body(&chat, Endpoint::Chat), Ok(String::new()));
        let completion = json!({"suffix": "", "raw": true, "add_special_tokens": true, "top_logprobs": 0, "tools": []});
        assert_eq!(check_body(&completion, Endpoint::Completions), Ok(String::new()));
    }

    #[test]
    fn what_adjusts_something_else_is_taken_while_that_is_not_at_work() {
        for endpoint in ENDPOINTS {
            for row in rows(endpoint) {
                let Treatment::Refused { adjusts: Some(adjusted), .. } = row.treatment else { continue };
                for name in row.names {
                    let idle = adjusted.iter().flat_map(|(names, _)| *names).map(|name| (*name, Value::Null));
                    let mut body: serde_json::Map<String, Value> =
                        idle.map(|(name, value)| (name.to_owned(), value)).collect();
                    body.insert((*name).to_owned(), json!(64));
                    assert_eq!(check_body(&Value::Object(body), endpoint), Ok(String::new()), "{name}");
                }
            }
        }
        let neutral = json!({
            "repeat_penalty": 1.0, "presence_penalty": 0, "frequency_penalty": 0.0, "penalty_range": 64, "penalize_nl": false,
            "top_k": 0, "top_p": 1, "min_p": 0, "typical_p": 1.0, "min_keep": 5, "temperature_last": true,
            "stop": [], "trim_stop": false, "logprobs": false, "post_sampling_probs": true,
            "dry_multiplier": 0, "dry_base": 2, "dry_penalty_last_n": -1, "mirostat": 0, "mirostat_tau": 3,
            "xtc_probability": 0, "xtc_threshold": 0.3, "guidance_scale": 1, "negative_prompt": "x", "tfs_z": 1,
            "stream_options": {"chunk_include_usage": true}, "use_beam_search": false, "length_penalty": 2,
        });
        for endpoint in ENDPOINTS {
            assert_eq!(check_body(&neutral, endpoint), Ok(String::new()));
        }
    }

    #[test]
    fn unknown_fields_are_named_wherever_they_stand() {
        let body = json!({
            "temprature": 1, "nothing": null, "stream_options": {"foo": 1}, "response_format": {"type": "text", "sort": {}},
        });
        let unknown = check_body(&body, Endpoint::Chat).expect("nothing is refused");
        let mut unknown: Vec<_> = unknown.split(", ").collect();
        unknown.sort_unstable();
        assert_eq!(unknown, ["response_format.sort", "stream_options.foo", "temprature"]);
        let usage = json!({"stream_options": {"include_usage": true, "chunk_include_usage": true}});
        let error = check_body(&usage, Endpoint::Chat).expect_err("a member that is refused");
        assert_eq!(error.param(), Some("stream_options.chunk_include_usage"));
    }
}
