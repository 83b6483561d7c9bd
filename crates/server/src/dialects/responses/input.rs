//! Items of input, as chat templates have them.

use serde_json::{Value, json};

use crate::dialects::fields::{Fields, describe, wrong_type};
use crate::http::{ApiError, quote};

pub(super) const INPUT: &str = "input";

/// The most items in one request.
const MOST: usize = 16_384;

/// What a body asks: its items with names, and the messages that they are.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Input {
    /// As they can be asked for later.
    pub items: Vec<Value>,
    /// As templates have them.
    pub messages: Vec<Value>,
}

/// Reads `input`: a text, or a list of items. `kept` finds the item of an earlier answer by its id; `id` names the item of this number.
pub(super) fn read(
    fields: &Fields<'_>,
    kept: &dyn Fn(&str) -> Option<Value>,
    id: &dyn Fn(usize) -> String,
) -> Result<Input, ApiError> {
    let mut input = Input::default();
    match fields.get(INPUT) {
        None => {}
        Some(Value::String(text)) => {
            input.messages.push(json!({"role": "user", "content": text}));
            let content = json!([{"type": "input_text", "text": text}]);
            input.items.push(
                json!({"type": "message", "id": id(0), "role": "user", "status": "completed", "content": content}),
            );
        }
        Some(Value::Array(items)) if items.len() > MOST => {
            let message = format!("{INPUT} has {} items; allowed: up to {MOST}", items.len());
            return Err(ApiError::invalid_value(INPUT, message));
        }
        Some(Value::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                let path = format!("{INPUT}[{i}]");
                let found = referred(item, &path, kept)?;
                let item = found.as_ref().unwrap_or(item);
                add(&Fields::at(item, path)?, &mut input.messages)?;
                let mut item = item.clone();
                if let Some(members) = item.as_object_mut() {
                    members.entry("type").or_insert_with(|| "message".into());
                    members.entry("id").or_insert_with(|| id(i).into());
                }
                input.items.push(item);
            }
        }
        Some(other) => return Err(wrong_type(INPUT.to_owned(), other, "a string or a list of items")),
    }
    Ok(input)
}

/// The item that another one stands for.
fn referred(item: &Value, path: &str, kept: &dyn Fn(&str) -> Option<Value>) -> Result<Option<Value>, ApiError> {
    if item["type"] != "item_reference" {
        return Ok(None);
    }
    let fields = Fields::at(item, path.to_owned())?;
    let id = fields.string("id")?.ok_or_else(|| ApiError::missing(&fields.name("id"), "the id of an item"))?;
    let unknown = || {
        let message = format!("{} is {}, which is not kept here; send the item itself", fields.name("id"), quote(id));
        ApiError::invalid_value(fields.name("id"), message)
    };
    kept(id).map(Some).ok_or_else(unknown)
}

/// Adds an item to the messages. What an assistant did in one turn is one message: its thoughts, its words and its calls.
fn add(item: &Fields<'_>, messages: &mut Vec<Value>) -> Result<(), ApiError> {
    match item.string("type")?.unwrap_or("message") {
        "message" => add_message(item, messages),
        "function_call" => {
            let call = call(item)?;
            let message = assistant(messages);
            match message.get_mut("tool_calls").and_then(Value::as_array_mut) {
                Some(calls) => calls.push(call),
                None => message["tool_calls"] = json!([call]),
            }
            Ok(())
        }
        "function_call_output" => {
            let id = required(item, "call_id")?;
            let output = content(item, "output", &["input_text", "output_text", "text"])?;
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": output}));
            Ok(())
        }
        "reasoning" => add_thoughts(item, messages),
        other => {
            let path = item.name("type");
            let message = format!(
                "{path} is {}; allowed: message, function_call, function_call_output, reasoning, item_reference",
                quote(other)
            );
            Err(ApiError::invalid_value(path, message))
        }
    }
}

fn add_message(item: &Fields<'_>, messages: &mut Vec<Value>) -> Result<(), ApiError> {
    let roles = [("user", "user"), ("assistant", "assistant"), ("system", "system"), ("developer", "system")];
    let role = item.word("role", &roles)?;
    let role = role.ok_or_else(|| ApiError::missing(&item.name("role"), "user, assistant, system or developer"))?;
    let said = content(item, "content", &["input_text", "output_text", "text", "refusal"])?;
    let after_thoughts = role == "assistant"
        && messages.last().is_some_and(|last| {
            last["content"].is_null() && last["role"] == "assistant" && last.get("tool_calls").is_none()
        });
    match messages.last_mut().filter(|_| after_thoughts) {
        Some(last) => last["content"] = said.into(),
        None => messages.push(json!({"role": role, "content": said})),
    }
    Ok(())
}

/// The assistant's message that is being put together: the last one, or a new one.
fn assistant(messages: &mut Vec<Value>) -> &mut Value {
    if messages.last().is_none_or(|last| last["role"] != "assistant") {
        messages.push(json!({"role": "assistant", "content": null}));
    }
    let last = messages.len() - 1;
    &mut messages[last]
}

fn add_thoughts(item: &Fields<'_>, messages: &mut Vec<Value>) -> Result<(), ApiError> {
    let mut thoughts = Vec::new();
    for member in ["content", "summary"] {
        if !thoughts.is_empty() {
            break;
        }
        for (i, part) in item.list(member)?.into_iter().flatten().enumerate() {
            let part = Fields::at(part, format!("{}[{i}]", item.name(member)))?;
            thoughts.extend(part.string("text")?.map(str::to_owned));
        }
    }
    // Other providers' thoughts may be secret.
    if !thoughts.is_empty() {
        messages.push(json!({"role": "assistant", "content": null, "reasoning_content": thoughts.join("\n")}));
    }
    Ok(())
}

fn required<'a>(item: &Fields<'a>, member: &str) -> Result<&'a str, ApiError> {
    item.string(member)?.ok_or_else(|| ApiError::missing(&item.name(member), "a string"))
}

fn call(item: &Fields<'_>) -> Result<Value, ApiError> {
    let (id, name) = (required(item, "call_id")?, required(item, "name")?);
    let arguments = item.string("arguments")?.filter(|text| !text.trim().is_empty()).unwrap_or("{}");
    Ok(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}))
}

/// The text of a content: a string, or parts of these kinds.
fn content(item: &Fields<'_>, member: &str, kinds: &[&str]) -> Result<String, ApiError> {
    let path = item.name(member);
    let parts = match item.get(member) {
        None => return Err(ApiError::missing(&path, "a string or a list of parts")),
        Some(Value::String(text)) => return Ok(text.clone()),
        Some(Value::Array(parts)) => parts,
        Some(other) => return Err(wrong_type(path, other, "a string or a list of parts")),
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (i, part) in parts.iter().enumerate() {
        let part = Fields::at(part, format!("{path}[{i}]"))?;
        let kind = required(&part, "type")?;
        if !kinds.contains(&kind) {
            let path = part.name("type");
            let message =
                format!("{path} is {}; allowed: {} (the models here read text only)", quote(kind), kinds.join(", "));
            return Err(ApiError::unsupported(path, message));
        }
        texts.push(required(&part, if kind == "refusal" { "refusal" } else { "text" })?);
    }
    Ok(texts.join("\n"))
}

/// Members of messages that are no text are empty ones, as templates want it.
pub(super) fn completed(messages: Vec<Value>) -> Vec<Value> {
    let complete = |mut message: Value| {
        let calls = message.get("tool_calls").is_some();
        if let Some(members) = message.as_object_mut().filter(|members| members["content"].is_null() && !calls) {
            members.insert("content".into(), "".into());
        } else if let Some(members) = message.as_object_mut().filter(|members| members["content"].is_null()) {
            members.remove("content");
        }
        message
    };
    messages.into_iter().map(complete).collect()
}

/// Refuses what is neither asked anew nor before.
pub(super) fn refuse_nothing(messages: &[Value], fields: &Fields<'_>) -> Result<(), ApiError> {
    if !messages.is_empty() {
        return Ok(());
    }
    match fields.get(INPUT) {
        None => Err(ApiError::missing(INPUT, "a string or a list of items")),
        Some(input) => {
            let message = format!("{INPUT} is {}; send at least one item", describe(input));
            Err(ApiError::invalid_value(INPUT, message))
        }
    }
}

/// The messages that items of output are, for the answer that follows them.
pub(super) fn of_output(items: &[Value]) -> Vec<Value> {
    let mut messages = Vec::new();
    for item in items {
        if let Ok(fields) = Fields::at(item, "output".to_owned()) {
            // What this server has written it can read.
            let _ = add(&fields, &mut messages);
        }
    }
    completed(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(value: Value) -> Result<Input, ApiError> {
        let body = json!({ "input": value });
        let kept = |id: &str| {
            (id == "msg_1").then(|| json!({"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "kept"}]}))
        };
        let mut read = read(&Fields::top(&body).expect("an object"), &kept, &|i| format!("item_{i}"))?;
        read.messages = completed(read.messages);
        Ok(read)
    }

    fn messages(value: Value) -> Value {
        input(value).expect("valid").messages.into()
    }

    #[test]
    fn a_text_is_a_message_of_the_user() {
        let read = input(json!("hi")).expect("valid");
        assert_eq!(read.messages, [json!({"role": "user", "content": "hi"})]);
        assert_eq!((&read.items[0]["id"], &read.items[0]["content"][0]["text"]), (&json!("item_0"), &json!("hi")));
    }

    #[test]
    fn one_turn_of_the_assistant_is_one_message() {
        let read = messages(json!([
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{\"a\":1}"},
            {"type": "function_call", "call_id": "2", "name": "g", "arguments": ""},
            {"type": "function_call_output", "call_id": "1", "output": "one"},
            {"type": "function_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "two"}]},
        ]));
        let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        let expected = json!([
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "a\nb"},
            {"role": "assistant", "content": "I look.", "reasoning_content": "hm",
             "tool_calls": [call("1", "f", "{\"a\":1}"), call("2", "g", "{}")]},
            {"role": "tool", "tool_call_id": "1", "content": "one"},
            {"role": "tool", "tool_call_id": "2", "content": "two"},
        ]);
        assert_eq!(read, expected);
    }

    #[test]
    fn an_item_of_an_earlier_answer_is_found() {
        assert_eq!(
            messages(json!([{"type": "item_reference", "id": "msg_1"}])),
            json!([{"role": "assistant", "content": "kept"}])
        );
        let error = input(json!([{"type": "item_reference", "id": "msg_2"}])).expect_err("unknown");
        assert_eq!(error.param(), Some("input[0].id"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (item, param) in [
            (json!("a"), "input[0]"),
            (json!({"content": "a"}), "input[0].role"),
            (json!({"role": "user"}), "input[0].content"),
            (json!({"role": "user", "content": [{"type": "input_image"}]}), "input[0].content[0].type"),
            (json!({"type": "web_search_call"}), "input[0].type"),
            (json!({"type": "function_call", "name": "f"}), "input[0].call_id"),
            (json!({"type": "function_call_output", "call_id": "1"}), "input[0].output"),
        ] {
            assert_eq!(input(json!([item])).expect_err("unreadable").param(), Some(param), "{item}");
        }
        assert_eq!(input(json!(5)).expect_err("a number").param(), Some("input"));
    }
}
