//! Messages and their blocks, as chat templates have them.

use serde_json::{Map, Value, json};

use crate::dialects::fields::{Fields, wrong_type};
use crate::http::{ApiError, quote};

const MESSAGES: &str = "messages";

/// The most messages in a chat.
const MOST: usize = 16_384;

/// Blocks of content that this server cannot read, and what to do instead.
const UNREADABLE: &[(&str, &str)] = &[
    ("image", "the models here read text only: leave it out"),
    ("document", "put its text into a text block"),
    ("container_upload", "put its text into a text block"),
    ("search_result", "put its text into a text block"),
];

/// The messages of a body in the form that chat templates know, the system's first.
pub(super) fn read(fields: &Fields<'_>, system: Option<String>) -> Result<Value, ApiError> {
    let list = fields.list(MESSAGES)?.ok_or_else(|| ApiError::missing(MESSAGES, "a list of messages"))?;
    if list.is_empty() || list.len() > MOST {
        let message = format!("{MESSAGES} has {} entries; allowed: 1 to {MOST}", list.len());
        return Err(ApiError::invalid_value(MESSAGES, message));
    }
    let mut read: Vec<Value> = Vec::with_capacity(list.len() + 1);
    read.extend(system.map(|text| json!({"role": "system", "content": text})));
    for (i, message) in list.iter().enumerate() {
        read_message(&Fields::at(message, format!("{MESSAGES}[{i}]"))?, &mut read)?;
    }
    Ok(Value::Array(read))
}

fn read_message(message: &Fields<'_>, read: &mut Vec<Value>) -> Result<(), ApiError> {
    let roles = [("user", Role::User), ("assistant", Role::Assistant), ("system", Role::System)];
    let role = message.word("role", &roles)?;
    let role = role.ok_or_else(|| ApiError::missing(&message.name("role"), "user or assistant"))?;
    let path = message.name("content");
    let blocks = match message.get("content") {
        None => return Err(ApiError::missing(&path, "a string or a list of blocks")),
        Some(Value::String(text)) => {
            read.push(json!({"role": role.name(), "content": text}));
            return Ok(());
        }
        Some(Value::Array(blocks)) => blocks,
        Some(other) => return Err(wrong_type(path, other, "a string or a list of blocks")),
    };
    let mut said = Said::default();
    for (i, block) in blocks.iter().enumerate() {
        said.add(&Fields::at(block, format!("{path}[{i}]"))?, role, read)?;
    }
    said.write(role, read);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    Assistant,
    System,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
        }
    }
}

/// What the blocks of one message say together.
#[derive(Default)]
struct Said<'a> {
    texts: Vec<&'a str>,
    thoughts: Vec<&'a str>,
    calls: Vec<Value>,
    had_results: bool,
}

impl<'a> Said<'a> {
    fn add(&mut self, block: &Fields<'a>, role: Role, read: &mut Vec<Value>) -> Result<(), ApiError> {
        let kind = kind(block)?;
        let by_assistant = role == Role::Assistant;
        match kind {
            "text" => self.texts.push(text(block, "text")?),
            "thinking" if by_assistant => self.thoughts.push(text(block, "thinking")?),
            // Another provider's secret.
            "redacted_thinking" if by_assistant => {}
            "tool_use" if by_assistant => self.calls.push(call(block)?),
            "tool_result" if role == Role::User => {
                self.had_results = true;
                read.push(result(block)?);
            }
            _ => return Err(unreadable(block, kind, role)),
        }
        Ok(())
    }

    fn write(self, role: Role, read: &mut Vec<Value>) {
        // Results alone are messages of their own.
        if self.had_results && self.texts.is_empty() {
            return;
        }
        let mut message = Map::new();
        message.insert("role".into(), role.name().into());
        message.insert("content".into(), self.texts.join("\n").into());
        if !self.thoughts.is_empty() {
            message.insert("reasoning_content".into(), self.thoughts.join("\n").into());
        }
        if !self.calls.is_empty() {
            message.insert("tool_calls".into(), self.calls.into());
        }
        read.push(message.into());
    }
}

fn kind<'a>(block: &Fields<'a>) -> Result<&'a str, ApiError> {
    block.string("type")?.ok_or_else(|| ApiError::missing(&block.name("type"), "the kind of block, such as \"text\""))
}

fn text<'a>(block: &Fields<'a>, member: &str) -> Result<&'a str, ApiError> {
    block.string(member)?.ok_or_else(|| ApiError::missing(&block.name(member), "a string"))
}

/// The text of a block that must be text.
pub(super) fn block_text<'a>(block: &'a Value, path: &str) -> Result<&'a str, ApiError> {
    let fields = Fields::at(block, path.to_owned())?;
    match kind(&fields)? {
        "text" => text(&fields, "text"),
        other => Err(unreadable(&fields, other, Role::System)),
    }
}

fn unreadable(block: &Fields<'_>, kind: &str, role: Role) -> ApiError {
    let path = block.name("type");
    if let Some((_, instead)) = UNREADABLE.iter().find(|(name, _)| *name == kind) {
        return ApiError::unsupported(path.clone(), format!("{path} is '{kind}', which is not supported; {instead}"));
    }
    let allowed = match role {
        Role::User => "text, tool_result",
        Role::Assistant => "text, thinking, redacted_thinking, tool_use",
        Role::System => "text",
    };
    ApiError::invalid_value(path.clone(), format!("{path} is {}; allowed here: {allowed}", quote(kind)))
}

/// An assistant's call as templates have it.
fn call(block: &Fields<'_>) -> Result<Value, ApiError> {
    let (id, name) = (text(block, "id")?, text(block, "name")?);
    let input = block.object("input")?.cloned().unwrap_or_default();
    let arguments = Value::Object(input).to_string();
    Ok(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}))
}

/// What a function gave back as templates have it.
fn result(block: &Fields<'_>) -> Result<Value, ApiError> {
    let id = text(block, "tool_use_id")?;
    let path = block.name("content");
    let said = match block.get("content") {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => {
            let texts = blocks.iter().enumerate().map(|(i, block)| block_text(block, &format!("{path}[{i}]")));
            texts.collect::<Result<Vec<_>, _>>()?.join("\n")
        }
        Some(other) => return Err(wrong_type(path, other, "a string or a list of text blocks")),
    };
    Ok(json!({"role": "tool", "tool_call_id": id, "content": said}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(value: Value) -> Result<Value, ApiError> {
        let body = json!({ "messages": value });
        read(&Fields::top(&body).expect("an object"), None)
    }

    #[test]
    fn blocks_become_messages_of_templates() {
        let read = messages(json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "two"}], "is_error": true},
                {"type": "text", "text": "Go on."},
            ]},
        ]));
        let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        let expected = json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "I look.", "reasoning_content": "hm",
             "tool_calls": [call("t1", "f", "{\"a\":1}"), call("t2", "g", "{}")]},
            {"role": "tool", "tool_call_id": "t1", "content": "one"},
            {"role": "tool", "tool_call_id": "t2", "content": "two"},
            {"role": "user", "content": "Go on."},
        ]);
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (message, param) in [
            (json!({"content": "a"}), "messages[0].role"),
            (json!({"role": "tool", "content": "a"}), "messages[0].role"),
            (json!({"role": "user"}), "messages[0].content"),
            (json!({"role": "user", "content": 5}), "messages[0].content"),
            (json!({"role": "user", "content": ["a"]}), "messages[0].content[0]"),
            (json!({"role": "user", "content": [{"text": "a"}]}), "messages[0].content[0].type"),
            (json!({"role": "user", "content": [{"type": "image", "source": {}}]}), "messages[0].content[0].type"),
            (json!({"role": "user", "content": [{"type": "tool_use"}]}), "messages[0].content[0].type"),
            (json!({"role": "assistant", "content": [{"type": "tool_result"}]}), "messages[0].content[0].type"),
            (json!({"role": "user", "content": [{"type": "tool_result"}]}), "messages[0].content[0].tool_use_id"),
            (
                json!({"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": 5}]}),
                "messages[0].content[0].input",
            ),
        ] {
            assert_eq!(messages(json!([message])).expect_err("unreadable").param(), Some(param), "{message}");
        }
        assert_eq!(messages(json!([])).expect_err("none").param(), Some("messages"));
    }
}
