//! Items of output.

use serde_json::{Value, json};

use crate::dialects::chat::{Answered, Part, part_id};

/// How far an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    /// The answer was cut in it.
    Incomplete,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

/// The name of the item with this number.
pub(super) fn id(response: &str, part: &Part, index: usize) -> String {
    let prefix = match part {
        Part::Thoughts(_) => "rs_",
        Part::Text(_) => "msg_",
        Part::Call(_) => "fc_",
    };
    part_id(prefix, response, (0, index), 32)
}

/// The name by which a call is answered.
pub(super) fn call_id(response: &str, index: usize) -> String {
    part_id("call_", response, (0, index), 24)
}

/// A part of text as content.
pub(super) fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// A part of thoughts as content.
pub(super) fn reasoning_text(text: &str) -> Value {
    json!({"type": "reasoning_text", "text": text})
}

/// An item; while it is in progress, without what it will hold.
pub(super) fn item(response: &str, part: &Part, index: usize, status: Status) -> Value {
    let (id, begun) = (id(response, part, index), status != Status::InProgress);
    let content = |part: Value| if begun { json!([part]) } else { json!([]) };
    match part {
        Part::Thoughts(text) => json!({
            "id": id, "type": "reasoning", "summary": [], "content": content(reasoning_text(text)), "status": status.name(),
        }),
        Part::Text(text) => json!({
            "id": id, "type": "message", "role": "assistant", "content": content(output_text(text)), "status": status.name(),
        }),
        Part::Call(call) => json!({
            "id": id, "type": "function_call", "call_id": call_id(response, index), "name": call.name,
            "arguments": if begun { call.arguments.as_str() } else { "" }, "status": status.name(),
        }),
    }
}

/// All items of an answer; the last one is incomplete if the answer was cut.
pub(super) fn of(response: &str, answered: &Answered, cut: bool) -> Vec<Value> {
    let last = answered.parts.len().saturating_sub(1);
    let status = |index| if cut && index == last { Status::Incomplete } else { Status::Completed };
    let parts = answered.parts.iter().enumerate();
    parts.map(|(index, part)| item(response, part, index, status(index))).collect()
}
