//! Messages of the API in the shape that templates expect.
//!
//! Templates are written for Hugging Face's conventions, and differ in four points, which [`super::dialect`] finds out:
//! whether content is a string or a list of parts, whether it may be null, whether the arguments of a tool call are an
//! object or JSON in a string, and whether there are system messages.

use serde_json::{Map, Value, json};

use super::TemplateError;

/// What a template expects of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Content is a list of `{"type": "text", "text": ...}`; otherwise it is a string.
    pub(super) content_parts: bool,
    /// The content of an assistant's message may be null; otherwise it is then an empty string.
    pub(super) null_content: bool,
    /// The arguments of a tool call are an object; otherwise they are a string of JSON.
    pub(super) object_arguments: bool,
    /// Where they are an object, any text may stand for them as well.
    pub(super) text_arguments: bool,
    /// There are no system messages: what they say goes before what the user says.
    pub(super) fold_system: bool,
}

/// The messages of a request as the template expects them. Keys that are null are left out, as if never sent.
pub(super) fn shape(messages: &Value, dialect: Dialect) -> Result<Vec<Value>, TemplateError> {
    let list = messages.as_array().ok_or_else(|| bad("messages", "must be an array of messages"))?;
    list.iter().enumerate().map(|(index, message)| shape_message(index, message, dialect)).collect()
}

fn bad(path: impl Into<String>, problem: impl Into<String>) -> TemplateError {
    TemplateError::Messages { path: path.into(), problem: problem.into() }
}

fn shape_message(index: usize, message: &Value, dialect: Dialect) -> Result<Value, TemplateError> {
    let path = format!("messages[{index}]");
    let message = message.as_object().ok_or_else(|| bad(&path, "must be an object with a role and content"))?;
    let assistant = message.get("role").is_some_and(|role| role == "assistant");
    let mut shaped = Map::new();
    for (key, value) in message {
        match (key.as_str(), value) {
            ("content", content) => {
                shaped.insert(key.clone(), shape_content(&path, content, assistant, dialect)?);
            }
            (_, Value::Null) => {}
            ("tool_calls", Value::Array(calls)) if calls.is_empty() => {}
            ("tool_calls", Value::Array(calls)) => {
                let calls = calls.iter().map(|call| shape_call(call, dialect)).collect();
                shaped.insert(key.clone(), Value::Array(calls));
            }
            (_, value) => {
                shaped.insert(key.clone(), value.clone());
            }
        }
    }
    if !shaped.contains_key("content") {
        shaped.insert("content".to_owned(), shape_content(&path, &Value::Null, assistant, dialect)?);
    }
    Ok(Value::Object(shaped))
}

fn shape_content(path: &str, content: &Value, assistant: bool, dialect: Dialect) -> Result<Value, TemplateError> {
    let text = match content {
        Value::Null if assistant && dialect.null_content => return Ok(Value::Null),
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> =
                parts.iter().enumerate().map(|(part, value)| text_of(path, part, value)).collect::<Result<_, _>>()?;
            if dialect.content_parts {
                return Ok(texts.iter().map(|text| json!({"type": "text", "text": text})).collect());
            }
            texts.join("\n")
        }
        _ => return Err(bad(format!("{path}.content"), "must be a string, an array of text parts, or null")),
    };
    Ok(if dialect.content_parts { json!([{"type": "text", "text": text}]) } else { Value::String(text) })
}

/// The text of one content part.
fn text_of<'v>(path: &str, part: usize, value: &'v Value) -> Result<&'v str, TemplateError> {
    let path = format!("{path}.content[{part}]");
    if let Value::String(text) = value {
        return Ok(text);
    }
    match value.get("type").and_then(Value::as_str) {
        Some("text") | None => match value.get("text") {
            Some(Value::String(text)) => Ok(text),
            _ => Err(bad(format!("{path}.text"), "must be a string")),
        },
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            Err(bad(format!("{path}.type"), format!("is '{other}'; only 'text' is supported: send text")))
        }
    }
}

fn shape_call(call: &Value, dialect: Dialect) -> Value {
    let mut call = call.clone();
    if let Some(arguments) = call.pointer_mut("/function/arguments") {
        let shaped = match &*arguments {
            // Models do not always write JSON, and their history is rendered all the same.
            Value::String(text) if dialect.object_arguments => serde_json::from_str::<Value>(text)
                .ok()
                .filter(Value::is_object)
                .or_else(|| (!dialect.text_arguments).then(|| json!({ "arguments": text }))),
            Value::Object(_) if !dialect.object_arguments => Some(Value::String(arguments.to_string())),
            _ => None,
        };
        if let Some(shaped) = shaped {
            *arguments = shaped;
        }
    }
    call
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRINGS: Dialect = Dialect {
        content_parts: false,
        null_content: false,
        object_arguments: true,
        text_arguments: true,
        fold_system: false,
    };

    fn one(message: Value, dialect: Dialect) -> Value {
        shape(&json!([message]), dialect).unwrap().remove(0)
    }

    #[test]
    fn content_becomes_what_the_template_reads() {
        let parts = json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]});
        let string = json!({"role": "user", "content": "a\nb"});
        assert_eq!(one(parts.clone(), STRINGS), string);
        let lists = Dialect { content_parts: true, ..STRINGS };
        assert_eq!(one(parts.clone(), lists), parts);
        assert_eq!(
            one(json!({"role": "user", "content": "a"}), lists)["content"],
            json!([{"type": "text", "text": "a"}])
        );
        let nulls = Dialect { null_content: true, ..STRINGS };
        let call = json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": []});
        assert_eq!(one(call.clone(), nulls), json!({"role": "assistant", "content": null}));
        assert_eq!(one(call, STRINGS), json!({"role": "assistant", "content": ""}));
        assert_eq!(one(json!({"role": "assistant"}), nulls)["content"], Value::Null);
        assert_eq!(one(json!({"role": "user", "content": null}), nulls)["content"], "");
    }

    #[test]
    fn arguments_of_calls_become_what_the_template_reads() {
        let call = |arguments: Value| json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]});
        let arguments =
            |value: Value, dialect| one(call(value), dialect)["tool_calls"][0]["function"]["arguments"].clone();
        let texts = Dialect { object_arguments: false, ..STRINGS };
        assert_eq!(arguments(json!("{\"b\": 1, \"a\": 2}"), STRINGS), json!({"b": 1, "a": 2}));
        let objects = Dialect { text_arguments: false, ..STRINGS };
        for text in ["not json", "{\"a\": 2, \"b\"", "[1]", ""] {
            assert_eq!(arguments(json!(text), STRINGS), json!(text));
            assert_eq!(arguments(json!(text), objects), json!({ "arguments": text }));
            assert_eq!(arguments(json!(text), texts), json!(text));
        }
        assert_eq!(arguments(json!({"b": 1}), texts), json!("{\"b\":1}"));
        assert_eq!(arguments(json!("{}"), texts), json!("{}"));
    }

    #[test]
    fn messages_of_a_wrong_shape_are_named() {
        let problem = |messages: Value| shape(&messages, STRINGS).unwrap_err().to_string();
        assert_eq!(problem(json!("hi")), "messages must be an array of messages");
        assert!(problem(json!([{"role": "user", "content": "a"}, 3])).starts_with("messages[1] must be an object"));
        assert!(problem(json!([{"content": {"a": 1}}])).starts_with("messages[0].content must be a string"));
        let image = json!([{"content": ["a", {"type": "image_url", "image_url": {"url": "x"}}]}]);
        assert!(problem(image).starts_with("messages[0].content[1].type is 'image_url'"));
        assert!(problem(json!([{"content": [{"type": "text"}]}])).starts_with("messages[0].content[0].text must be"));
    }
}
