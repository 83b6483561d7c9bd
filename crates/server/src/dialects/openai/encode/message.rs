//! An assistant's message, whole and in pieces.

use serde::Serialize;

use crate::dialects::chat::Answered;

/// A whole message.
#[derive(Serialize)]
pub(super) struct Message {
    role: &'static str,
    /// `null` if the model only called.
    content: Option<String>,
    refusal: Option<()>,
    /// DeepSeek's, vLLM's and llama.cpp's field.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    /// OpenRouter's name for the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
}

#[derive(Serialize)]
struct ToolCall {
    id: String,
    r#type: &'static str,
    function: Function,
}

#[derive(Serialize)]
struct Function {
    name: String,
    arguments: String,
}

impl Message {
    /// A message of what was answered; `id` names its calls.
    pub fn new(answered: &Answered, names_reasoning: bool, id: impl Fn(usize) -> String) -> Self {
        let call = |(index, call): (usize, &crate::dialects::chat::Call)| ToolCall {
            id: id(index),
            r#type: "function",
            function: Function { name: call.name.clone(), arguments: call.arguments.clone() },
        };
        let tool_calls: Vec<_> = answered.calls().enumerate().map(call).collect();
        let text = answered.text();
        let thoughts = Some(answered.thoughts()).filter(|thoughts| !thoughts.is_empty());
        Self {
            role: "assistant",
            content: (!text.is_empty() || tool_calls.is_empty()).then_some(text),
            refusal: None,
            reasoning: thoughts.clone().filter(|_| names_reasoning),
            reasoning_content: thoughts,
            tool_calls,
        }
    }
}

/// A piece of a message.
#[derive(Default, Serialize)]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// `Some(None)` is written as `null`: there is no text yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<[CallDelta<'a>; 1]>,
}

impl<'a> Delta<'a> {
    /// Who speaks; it comes first.
    pub fn opening() -> Self {
        Self { role: Some("assistant"), content: Some(None), ..Self::default() }
    }

    /// More of the text.
    pub fn text(text: &'a str) -> Self {
        Self { content: Some(Some(text)), ..Self::default() }
    }
}

/// A piece of a call: its name comes once and at first.
#[derive(Serialize)]
pub(super) struct CallDelta<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: FunctionDelta<'a>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl<'a> CallDelta<'a> {
    /// The beginning of a call.
    pub fn begin(index: usize, id: String, name: &'a str) -> Self {
        let function = FunctionDelta { name: Some(name), arguments: "" };
        Self { index, id: Some(id), r#type: Some("function"), function }
    }

    /// More of its arguments.
    pub fn more(index: usize, arguments: &'a str) -> Self {
        Self { index, id: None, r#type: None, function: FunctionDelta { name: None, arguments } }
    }
}
