//! A chat's messages: checked field by field, so that an error names its place.
//!
//! What differs between templates (content as a string or as parts, arguments as objects or as JSON) is the template's
//! own affair. Members that nobody here knows are passed on: a template may know them.

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::body;
use crate::errors::ApiError;
use crate::openai::fields::{Fields, describe, quote, wrong_type};

/// The roles of OpenAI's API.
const ROLES: &[(&str, &str)] = &[
    ("system", "system"),
    // OpenAI's newer name for the same; templates know the older one.
    ("developer", "system"),
    ("user", "user"),
    ("assistant", "assistant"),
    ("tool", "tool"),
    ("function", "function"),
];

/// The most messages in a chat.
const MAX_MESSAGES: usize = 16_384;

/// Reads `messages`. The arguments of tool calls are JSON inside of strings, which the body's own limit does not see:
/// together they may have `max_values` values.
pub(crate) fn read(fields: &Fields<'_>, max_values: usize) -> Result<Value, ApiError> {
    let mut values_left = max_values;
    let list = fields.list("messages")?;
    let list = list.ok_or_else(|| ApiError::missing("messages", "a list of messages"))?;
    if list.is_empty() || list.len() > MAX_MESSAGES {
        return Err(ApiError::invalid_value(
            "messages",
            format!("messages has {} entries; allowed: 1 to {MAX_MESSAGES}", list.len()),
        ));
    }
    let messages =
        list.iter().enumerate().map(|(i, message)| read_message(message, format!("messages[{i}]"), &mut values_left));
    Ok(Value::Array(messages.collect::<Result<_, _>>()?))
}

fn read_message(message: &Value, path: String, values_left: &mut usize) -> Result<Value, ApiError> {
    let fields = Fields::at(message, path.clone())?;
    let role = fields.word("role", ROLES)?.ok_or_else(|| {
        let names: Vec<_> = ROLES.iter().map(|(name, _)| *name).collect();
        ApiError::missing(&fields.name("role"), &names.join(", "))
    })?;
    fields.string("name")?;
    let refusal = fields.string("refusal")?;
    let called = check_tool_calls(&fields, role, values_left)?;
    let content = match fields.get("content") {
        Some(content) => Some(read_content(content, &fields.name("content"))?),
        // An assistant that refused said that; one that called tools need not have said anything.
        None if role == "assistant" && refusal.is_some() => refusal.map(Value::from),
        None if called => None,
        None => {
            return Err(ApiError::missing(&fields.name("content"), "a string or a list of text parts"));
        }
    };
    for unsupported in ["audio", "function_call"] {
        if let Some(value) = fields.get(unsupported) {
            return Err(ApiError::unsupported(
                fields.name(unsupported),
                format!(
                    "{} is {}, which is not supported; send text in content, and calls in tool_calls",
                    fields.name(unsupported),
                    describe(value)
                ),
            ));
        }
    }
    let mut read = message.as_object().cloned().unwrap_or_else(Map::new);
    read.insert("role".into(), role.into());
    if let Some(content) = content {
        read.insert("content".into(), content);
    }
    // Clients send nothing at all as the arguments of a function that has none.
    for call in read.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        let arguments = call.pointer_mut("/function/arguments");
        if let Some(blank) = arguments.filter(|json| json.as_str().is_some_and(|json| json.trim().is_empty())) {
            *blank = "{}".into();
        }
    }
    Ok(Value::Object(read))
}

/// `content` as a string, or as a list of parts of type `text`.
fn read_content(content: &Value, path: &str) -> Result<Value, ApiError> {
    match content {
        Value::String(_) => Ok(content.clone()),
        Value::Array(parts) => {
            let parts = parts.iter().enumerate().map(|(i, part)| {
                let text = read_part(part, format!("{path}[{i}]"))?;
                Ok(json!({"type": "text", "text": text}))
            });
            Ok(Value::Array(parts.collect::<Result<_, ApiError>>()?))
        }
        other => Err(wrong_type(path.to_owned(), other, "a string or a list of text parts")),
    }
}

fn read_part(part: &Value, path: String) -> Result<&str, ApiError> {
    let fields = Fields::at(part, path)?;
    let kind = fields.string("type")?.ok_or_else(|| ApiError::missing(&fields.name("type"), "\"text\""))?;
    let text = match kind {
        "text" | "input_text" | "output_text" => "text",
        "refusal" => "refusal",
        other => {
            return Err(ApiError::unsupported(
                fields.name("type"),
                format!(
                    "{} is {}, which is not supported; the models here read text only: send parts of type 'text'",
                    fields.name("type"),
                    quote(other)
                ),
            ));
        }
    };
    fields.string(text)?.ok_or_else(|| ApiError::missing(&fields.name(text), "a string"))
}

/// Checks `tool_calls`, and whether they are there.
fn check_tool_calls(fields: &Fields<'_>, role: &str, values_left: &mut usize) -> Result<bool, ApiError> {
    let Some(calls) = fields.list("tool_calls")? else {
        return Ok(false);
    };
    let path = fields.name("tool_calls");
    if role != "assistant" {
        return Err(ApiError::invalid_value(
            path,
            format!("tool_calls stands in a message of the role {role}; only the assistant calls"),
        ));
    }
    for (i, call) in calls.iter().enumerate() {
        let call = Fields::at(call, format!("{path}[{i}]"))?;
        let function = call.get("function").ok_or_else(|| ApiError::missing(&call.name("function"), "an object"))?;
        let function = Fields::at(function, call.name("function"))?;
        if function.string("name")?.is_none() {
            return Err(ApiError::missing(&function.name("name"), "the function's name"));
        }
        check_arguments(&function, values_left)?;
    }
    Ok(true)
}

/// Checks a function's arguments: an object, or JSON in a string as OpenAI sends it.
fn check_arguments(function: &Fields<'_>, values_left: &mut usize) -> Result<(), ApiError> {
    let path = || function.name("arguments");
    match function.get("arguments") {
        None | Some(Value::Object(_)) => Ok(()),
        Some(Value::String(json)) if json.trim().is_empty() => Ok(()),
        Some(Value::String(json)) => {
            let values = body::count_values(json.as_bytes());
            *values_left = values_left
                .checked_sub(values)
                .ok_or_else(|| ApiError::invalid_value(path(), "the tool calls hold too many JSON values"))?;
            serde_json::from_str(json).map(|_: IgnoredAny| ()).map_err(|error| {
                let message = format!("{} is {}, which is not JSON: {error}", path(), quote(json));
                ApiError::invalid_value(path(), message)
            })
        }
        Some(other) => Err(wrong_type(path(), other, "a string that holds JSON")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(message: Value) -> Result<Value, ApiError> {
        let body = json!({ "messages": [message] });
        let fields = Fields::top(&body).expect("an object");
        read(&fields, 100).map(|messages| messages[0].clone())
    }

    #[test]
    fn parts_of_newer_kinds_are_text_parts() {
        let message = read_one(json!({"role": "user", "content": [
            {"type": "text", "text": "one"}, {"type": "input_text", "text": "two", "annotations": []},
        ]}));
        let parts = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
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
        assert_eq!(error.code(), Some("unsupported_parameter"));
    }

    #[test]
    fn an_assistant_that_only_called_need_not_say_anything() {
        let call = |arguments: &str| {
            read_one(json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "now", "arguments": arguments}},
            ]}))
            .expect("valid")["tool_calls"][0]["function"]["arguments"]
                .clone()
        };
        assert_eq!(call("{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(call(""), "{}");
    }

    #[test]
    fn arguments_with_too_many_values_are_refused() {
        let arguments = format!("[{}1]", "1,".repeat(200));
        let error = read_one(json!({"role": "assistant", "tool_calls": [
            {"function": {"name": "add", "arguments": arguments}},
        ]}))
        .expect_err("too many");
        let param = "messages[0].tool_calls[0].function.arguments";
        assert_eq!(error.param(), Some(param));
    }

    #[test]
    fn the_developer_is_the_system() {
        let message = read_one(json!({"role": "developer", "content": "be brief"}));
        assert_eq!(message, Ok(json!({"role": "system", "content": "be brief"})));
    }

    #[test]
    fn unknown_members_are_passed_on() {
        let message = json!({"role": "assistant", "content": "a", "reasoning_content": "b"});
        assert_eq!(read_one(message.clone()), Ok(message));
    }

    #[test]
    fn a_refusal_is_what_the_assistant_said() {
        let message = read_one(json!({"role": "assistant", "refusal": "no"})).expect("valid");
        assert_eq!(message["content"], "no");
    }
}
