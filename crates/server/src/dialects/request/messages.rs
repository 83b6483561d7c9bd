//! A chat's messages: checked field by field, so that an error names its place.
//!
//! What a programmer writes (system and user messages) is held to OpenAI's rules. What a model, a tool or an agent wrote
//! earlier is a matter of fact: nobody can mend it, and a 400 would come back in every later turn. So it is taken as it is,
//! as long as it can be understood at all.
//!
//! What differs between templates (content as a string or as parts, arguments as objects or as JSON) is the template's
//! own affair. Members that nobody here knows are passed on: a template may know them, and what it does not know is
//! [reported](super::known_fields).

use serde_json::{Value, json};

use crate::dialects::fields::{Fields, describe, wrong_type};
use crate::dialects::request::calls::{Calls, without_nulls};
use crate::http::{ApiError, quote};

/// The most messages in a chat.
const MAX_MESSAGES: usize = 16_384;

/// The longest name of a role, in characters.
const MAX_ROLE_CHARS: usize = 64;

/// Reads `messages`. The arguments of tool calls are JSON inside of strings, which the body's own limit does not see:
/// together they may have `max_values` values.
pub(crate) fn read(fields: &Fields<'_>, max_values: usize) -> Result<Value, ApiError> {
    let list = fields.list("messages")?;
    let list = list.ok_or_else(|| ApiError::missing("messages", "a list of messages"))?;
    if list.is_empty() || list.len() > MAX_MESSAGES {
        return Err(ApiError::invalid_value(
            "messages",
            format!("messages has {} entries; allowed: 1 to {MAX_MESSAGES}", list.len()),
        ));
    }
    let mut calls = Calls::new(max_values);
    let messages =
        list.iter().enumerate().map(|(i, message)| read_message(message, format!("messages[{i}]"), &mut calls));
    Ok(Value::Array(messages.collect::<Result<_, _>>()?))
}

fn read_message(message: &Value, path: String, calls: &mut Calls) -> Result<Value, ApiError> {
    let fields = Fields::at(message, path)?;
    let role = role(&fields)?;
    fields.string("name")?;
    refuse_unsupported(&fields)?;
    let made = calls.made(&fields, role)?;
    let Content { text, thoughts } = content(&fields, role, made.is_some())?;

    let mut read = without_nulls(message);
    for replaced in ["content", "tool_calls", "function_call"] {
        read.remove(replaced);
    }
    read.insert("role".into(), role.into());
    read.extend(text.map(|text| ("content".into(), text)));
    read.extend(made.map(|calls| ("tool_calls".into(), calls)));
    if !thoughts.is_empty() {
        read.entry("reasoning_content").or_insert_with(|| thoughts.join("\n").into());
    }
    if role == "tool" {
        calls.answered(&fields, &mut read)?;
    }
    Ok(Value::Object(read))
}

/// The role under its usual name. Roles that nobody here knows are the template's to judge.
fn role<'a>(fields: &Fields<'a>) -> Result<&'a str, ApiError> {
    const EXPECTED: &str = "system, user, assistant or tool, or another role that the model's template knows";
    let role = fields.string("role")?.ok_or_else(|| ApiError::missing(&fields.name("role"), EXPECTED))?;
    if role.is_empty() || role.chars().nth(MAX_ROLE_CHARS).is_some() || role.chars().any(char::is_control) {
        return Err(ApiError::invalid_value(
            fields.name("role"),
            format!(
                "{} is {}; allowed: {EXPECTED}, in 1 to {MAX_ROLE_CHARS} characters",
                fields.name("role"),
                quote(role)
            ),
        ));
    }
    Ok(match role {
        // OpenAI's newer name for the same; templates know the older one.
        "developer" => "system",
        // And its older name for the same; templates know the newer one.
        "function" => "tool",
        role => role,
    })
}

/// What other servers read in a message and what would change the answer; the rest is the template's.
const UNSUPPORTED: &[(&str, &str)] =
    &[("audio", "send text in content"), ("images", "the models here read text only: leave it out")];

fn refuse_unsupported(fields: &Fields<'_>) -> Result<(), ApiError> {
    for (name, instead) in UNSUPPORTED {
        let Some(value) = fields.get(name).filter(|value| **value != Value::Bool(false) && **value != json!([])) else {
            continue;
        };
        let path = fields.name(name);
        let message = format!("{path} is {}, which is not supported; {instead}", describe(value));
        return Err(ApiError::unsupported(path, message));
    }
    Ok(())
}

/// What a message says.
#[derive(Default)]
struct Content<'a> {
    /// A string or a list of text parts; `None` if an assistant only called.
    text: Option<Value>,
    /// What the assistant thought, where that came as parts.
    thoughts: Vec<&'a str>,
}

fn content<'a>(fields: &Fields<'a>, role: &str, called: bool) -> Result<Content<'a>, ApiError> {
    let by_programmer = matches!(role, "system" | "user");
    let path = fields.name("content");
    match fields.get("content") {
        None if by_programmer => Err(ApiError::missing(&path, "a string or a list of text parts")),
        // An assistant that refused said that; one that called tools need not have said anything.
        None if role == "assistant" => {
            let refusal = fields.string("refusal")?;
            let text = refusal.or(if called { None } else { Some("") });
            Ok(Content { text: text.map(Value::from), thoughts: Vec::new() })
        }
        None => Ok(Content { text: Some("".into()), thoughts: Vec::new() }),
        Some(text @ Value::String(_)) => Ok(Content { text: Some(text.clone()), thoughts: Vec::new() }),
        Some(Value::Array(parts)) => read_parts(parts, &path, by_programmer),
        Some(other) => Err(wrong_type(path, other, "a string or a list of text parts")),
    }
}

/// One part of a message's content.
enum Part<'a> {
    Text(&'a str),
    Thought(&'a str),
    Nothing,
}

fn read_parts<'a>(parts: &'a [Value], path: &str, by_programmer: bool) -> Result<Content<'a>, ApiError> {
    let mut texts = Vec::with_capacity(parts.len());
    let mut thoughts = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        match read_part(part, format!("{path}[{i}]"), by_programmer)? {
            Part::Text(text) => texts.push(json!({"type": "text", "text": text})),
            Part::Thought(thought) => thoughts.push(thought),
            Part::Nothing => {}
        }
    }
    Ok(Content { text: Some(Value::Array(texts)), thoughts })
}

fn read_part(part: &Value, path: String, by_programmer: bool) -> Result<Part<'_>, ApiError> {
    match part {
        Value::String(text) => return Ok(Part::Text(text)),
        Value::Null if !by_programmer => return Ok(Part::Nothing),
        _ => {}
    }
    let fields = Fields::at(part, path)?;
    let kind = match fields.string("type")? {
        Some(kind) => kind,
        None if fields.get("text").is_some() => "text",
        None => return Err(ApiError::missing(&fields.name("type"), "\"text\"")),
    };
    match kind {
        "text" | "input_text" | "output_text" | "refusal" => {
            let member = if kind == "refusal" { "refusal" } else { "text" };
            match fields.string(member)? {
                Some(text) => Ok(Part::Text(text)),
                None if by_programmer => Err(ApiError::missing(&fields.name(member), "a string")),
                None => Ok(Part::Nothing),
            }
        }
        "thinking" | "reasoning" if !by_programmer => {
            let thought = fields.get("thinking").or(fields.get("text")).and_then(Value::as_str);
            Ok(thought.map_or(Part::Nothing, Part::Thought))
        }
        other => Err(ApiError::unsupported(
            fields.name("type"),
            format!(
                "{} is {}, which is not supported; the models here read text only: send parts of type 'text'",
                fields.name("type"),
                quote(other)
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(messages: Value) -> Result<Value, ApiError> {
        let body = json!({ "messages": messages });
        read(&Fields::top(&body).expect("an object"), 100)
    }

    fn read_one(message: Value) -> Result<Value, ApiError> {
        read_all(json!([message])).map(|messages| messages[0].clone())
    }

    #[test]
    fn parts_of_all_kinds_are_text_parts() {
        let message = read_one(json!({"role": "user", "content": [
            {"type": "text", "text": "one"}, {"type": "input_text", "text": "two", "annotations": []},
            "three", {"text": "four"},
        ]}));
        let parts: Vec<Value> =
            ["one", "two", "three", "four"].iter().map(|text| json!({"type": "text", "text": text})).collect();
        assert_eq!(message, Ok(json!({"role": "user", "content": parts})));
    }

    #[test]
    fn an_image_is_refused_by_its_place() {
        let error = read_one(json!({"role": "user", "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "data:"}},
        ]}))
        .expect_err("an image");
        assert_eq!(error.param(), Some("messages[0].content[1].type"));
        assert_eq!(error.code(), "unsupported_parameter");
    }

    #[test]
    fn an_assistant_that_only_called_need_not_say_anything() {
        let message =
            read_one(json!({"role": "assistant", "content": null, "refusal": null, "audio": null, "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ]}))
            .expect("valid");
        assert_eq!(message.get("content"), None);
        assert_eq!(message.get("refusal"), None);
        assert_eq!(message["tool_calls"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn what_a_machine_left_empty_is_an_empty_text() {
        for message in [
            json!({"role": "assistant"}),
            json!({"role": "assistant", "content": null}),
            json!({"role": "assistant", "content": null, "tool_calls": []}),
            json!({"role": "assistant", "content": null, "tool_calls": null, "function_call": null}),
            json!({"role": "tool", "content": null}),
            json!({"role": "tool"}),
            json!({"role": "function", "name": "f", "content": null}),
            json!({"role": "critic", "content": null}),
        ] {
            let read = read_one(message.clone());
            let read = read.unwrap_or_else(|error| panic!("{message}: {error}"));
            assert_eq!((&read["content"], read.get("tool_calls")), (&json!(""), None), "{message}");
        }
        let read = read_one(json!({"role": "tool", "content": [null, {"type": "text", "text": null}, "a"]}));
        assert_eq!(read.expect("valid")["content"], json!([{"type": "text", "text": "a"}]));
        for role in ["user", "system", "developer"] {
            let error = read_one(json!({"role": role, "content": null})).expect_err(role);
            assert_eq!(error.param(), Some("messages[0].content"));
        }
    }

    #[test]
    fn roles_are_those_that_templates_know_or_the_templates_own_affair() {
        for (sent, read) in [
            ("developer", "system"),
            ("function", "tool"),
            ("user", "user"),
            ("ipython", "ipython"),
            ("wizard", "wizard"),
        ] {
            assert_eq!(read_one(json!({"role": sent, "content": "a"})).expect("valid")["role"], read);
        }
        for role in ["", "two\nlines", &"r".repeat(65)] {
            let error = read_one(json!({"role": role, "content": "a"})).expect_err(role);
            assert_eq!(error.param(), Some("messages[0].role"));
        }
    }

    #[test]
    fn unknown_members_are_passed_on() {
        let message = json!({"role": "assistant", "content": "a", "reasoning_content": "b", "x": {"y": [1]}});
        assert_eq!(read_one(message.clone()), Ok(message));
    }

    #[test]
    fn thoughts_among_the_parts_are_told_apart_from_what_was_said() {
        let message = read_one(json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"},
        ]}));
        let message = message.expect("valid");
        assert_eq!(message["reasoning_content"], "hm");
        assert_eq!(message["content"], json!([{"type": "text", "text": "yes"}]));
    }

    #[test]
    fn a_refusal_is_what_the_assistant_said() {
        let message = read_one(json!({"role": "assistant", "refusal": "no"})).expect("valid");
        assert_eq!(message["content"], "no");
    }
}
