//! What a chat asks for.

use serde_json::{Map, Value};

use super::functions::Tools;
use super::thinking::Thinking;
use crate::generate::WantedFormat;

/// A chat as its body says it.
pub(crate) struct Conversation {
    /// The messages as templates have them: objects with `role`, `content`, `tool_calls` and so on.
    pub messages: Value,
    pub tools: Tools,
    pub documents: Option<Value>,
    pub thinking: Thinking,
    /// Further variables of the template.
    pub variables: Map<String, Value>,
    /// Whether the prompt ends with the beginning of the assistant's answer.
    pub add_generation_prompt: bool,
    /// Whether the answer goes on with the last message instead of following it.
    pub continues_last: bool,
    /// What the answer may be.
    pub format: Option<WantedFormat>,
    /// The field that the messages came in.
    pub param: &'static str,
}
