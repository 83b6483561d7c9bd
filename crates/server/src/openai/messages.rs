//! A chat's messages: checked, and brought into the form that templates expect.
//!
//! Templates see `content` as one string and tool calls with their arguments as objects. Members that nobody here
//! knows are passed on: a template may know them.

use serde_json::{Map, Value};

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

/// Between the text parts of one message, as llama.cpp and vLLM join them.
const PART_SEPARATOR: &str = "\n";

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
    let name = fields.string("name")?;
    let refusal = fields.string("refusal")?;
    let tool_calls = read_tool_calls(&fields, role, values_left)?;
    let content = match fields.get("content") {
        Some(content) => Some(read_content(content, &fields.name("content"))?),
        // An assistant that only called tools, or refused, said nothing else.
        None if tool_calls.is_some() || (role == "assistant" && refusal.is_some()) => {
            Some(refusal.unwrap_or_default().to_owned())
        }
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
    read.insert("content".into(), content.into());
    if let Some(calls) = tool_calls {
        read.insert("tool_calls".into(), calls);
    }
    // `null` means absent here; templates test whether a member is defined.
    if name.is_none() {
        read.remove("name");
    }
    for member in ["tool_calls", "refusal", "audio", "function_call"] {
        if read.get(member).is_some_and(Value::is_null) {
            read.remove(member);
        }
    }
    Ok(Value::Object(read))
}

/// `content` as one string.
fn read_content(content: &Value, path: &str) -> Result<String, ApiError> {
    match content {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => {
            let parts = parts.iter().enumerate().map(|(i, part)| read_part(part, format!("{path}[{i}]")));
            let parts: Vec<&str> = parts.collect::<Result<_, _>>()?;
            Ok(parts.join(PART_SEPARATOR))
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

/// `tool_calls` with the arguments as objects, as templates print them.
fn read_tool_calls(fields: &Fields<'_>, role: &str, values_left: &mut usize) -> Result<Option<Value>, ApiError> {
    let Some(calls) = fields.list("tool_calls")? else {
        return Ok(None);
    };
    let path = fields.name("tool_calls");
    if role != "assistant" {
        return Err(ApiError::invalid_value(
            path,
            format!("tool_calls stands in a message of the role {role}; only the assistant calls"),
        ));
    }
    let mut read = |(i, call): (usize, &Value)| {
        let fields = Fields::at(call, format!("{path}[{i}]"))?;
        let function =
            fields.get("function").ok_or_else(|| ApiError::missing(&fields.name("function"), "an object"))?;
        let function_fields = Fields::at(function, fields.name("function"))?;
        if function_fields.string("name")?.is_none() {
            return Err(ApiError::missing(&function_fields.name("name"), "the function's name"));
        }
        let arguments = read_arguments(&function_fields, values_left)?;
        let mut call = call.clone();
        call["function"]["arguments"] = arguments;
        Ok(call)
    };
    let calls = calls.iter().enumerate().map(&mut read);
    Ok(Some(Value::Array(calls.collect::<Result<_, _>>()?)))
}

/// A function's arguments: an object, or JSON in a string as OpenAI sends it.
fn read_arguments(function: &Fields<'_>, values_left: &mut usize) -> Result<Value, ApiError> {
    let path = || function.name("arguments");
    match function.get("arguments") {
        None => Ok(Value::Object(Map::new())),
        Some(Value::String(json)) if json.trim().is_empty() => Ok(Value::Object(Map::new())),
        Some(Value::String(json)) => {
            let values = body::count_values(json.as_bytes());
            *values_left = values_left
                .checked_sub(values)
                .ok_or_else(|| ApiError::invalid_value(path(), "the tool calls hold too many JSON values"))?;
            serde_json::from_str(json).map_err(|error| {
                let message = format!("{} is {}, which is not JSON: {error}", path(), quote(json));
                ApiError::invalid_value(path(), message)
            })
        }
        Some(object @ Value::Object(_)) => Ok(object.clone()),
        Some(other) => Err(wrong_type(path(), other, "a string that holds JSON")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_one(message: Value) -> Result<Value, ApiError> {
        let body = json!({ "messages": [message] });
        let fields = Fields::top(&body).expect("an object");
        read(&fields, 100).map(|messages| messages[0].clone())
    }

    #[test]
    fn text_parts_become_one_string() {
        let message = read_one(json!({"role": "user", "content": [
            {"type": "text", "text": "one"}, {"type": "text", "text": "two"},
        ]}));
        assert_eq!(message, Ok(json!({"role": "user", "content": "one\ntwo"})));
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
    fn tool_calls_reach_the_template_with_their_arguments_as_objects() {
        let message = read_one(json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{\"a\": 1}"}},
        ]}))
        .expect("valid");
        assert_eq!(message["tool_calls"][0]["function"]["arguments"], json!({"a": 1}));
        assert_eq!(message["content"], "");
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
    fn unknown_members_are_passed_on_and_nulls_are_not() {
        let message =
            read_one(json!({"role": "assistant", "content": "a", "reasoning_content": "b", "tool_calls": null}));
        assert_eq!(message, Ok(json!({"role": "assistant", "content": "a", "reasoning_content": "b"})));
    }
}
