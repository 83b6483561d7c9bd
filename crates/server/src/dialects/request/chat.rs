//! A chat as OpenAI's bodies say it, and llama.cpp's: messages, tools, thoughts, and what the template is told.

use parkade_calls::Style;
use parkade_model::chat_template::{ChatTemplate, Member};
use serde_json::{Map, Value};

use super::{messages, thinking, tools};
use crate::dialects::chat::{Conversation, Prepared, Thinking, Tools, call_style};
use crate::dialects::fields::Fields;
use crate::generate::{AppState, IgnoredFields, ModelEntry, WantedFormat};
use crate::http::ApiError;

/// The field that a chat's prompt comes from.
pub(crate) const PROMPT_FIELD: &str = "messages";

/// The fields of which a prompt is made.
pub(crate) const PROMPT_FIELDS: &[&str] = &[
    "model",
    "messages",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "documents",
    "chat_template_kwargs",
    "add_generation_prompt",
    "continue_final_message",
    "reasoning_effort",
    "reasoning",
    "thinking",
    "enable_thinking",
    "think",
    "thinking_budget",
    "thinking_budget_tokens",
    "thinking_token_budget",
    "reasoning_budget",
    "reasoning_budget_tokens",
    "include_reasoning",
    "stream_reasoning",
    "separate_reasoning",
    "reasoning_in_content",
    "reasoning_format",
];

/// Names in a template's scope that `chat_template_kwargs` may not take.
const RESERVED: &[&str] = &["messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"];

/// Members of the last message that ask for the rest of it, as Mistral, DeepSeek, Moonshot and Qwen have them.
const CONTINUES: [&str; 2] = ["prefix", "partial"];

/// The prompt of the messages in a body, as a chat with the same fields would have it.
pub(crate) fn prompt(fields: &Fields<'_>, state: &AppState, model: &ModelEntry) -> Result<Prepared, ApiError> {
    let messages = messages::read(fields, state.config().max_json_values)?;
    conversation(fields, model, messages, tools::read(fields)?, thinking::read(fields)?, None)?.prepare(model)
}

/// What the body says, as one conversation.
pub(crate) fn conversation(
    fields: &Fields<'_>,
    model: &ModelEntry,
    messages: Value,
    tools: Tools,
    thinking: Thinking,
    format: Option<WantedFormat>,
) -> Result<Conversation, ApiError> {
    let continues_last = continues_last(fields, model, &messages)?;
    Ok(Conversation {
        messages,
        tools,
        documents: fields.list("documents")?.map(|documents| Value::Array(documents.clone())),
        thinking,
        variables: variables(fields)?,
        add_generation_prompt: fields.boolean("add_generation_prompt")?.unwrap_or(!continues_last),
        continues_last,
        format,
        param: PROMPT_FIELD,
    })
}

/// Whether tools, or calls and results, are put into words, since the template has none.
pub(crate) fn is_in_words(model: &ModelEntry, tools: &Tools) -> bool {
    let with_tools = !tools.is_empty();
    let uses = model.template.as_ref().and_then(|template| template.uses(with_tools).ok());
    let lacks = uses.is_some_and(|uses| !uses.tool_calls || !uses.tool_results);
    lacks || (with_tools && call_style(model, with_tools) == Style::Generic)
}

/// Tells of what is asked about thoughts of a model whose template knows nothing of it.
pub(crate) fn tell_unread(
    fields: &Fields<'_>,
    thinking: &Thinking,
    template: &ChatTemplate,
    tools: &Tools,
    ignored: &mut IgnoredFields,
) {
    if thinking.tell_any(Some(template), tools) {
        return;
    }
    for name in ["reasoning_effort", "reasoning", "thinking", "enable_thinking", "think"] {
        // To one that cannot think it is nothing new that it is not to.
        if fields.get(name).is_some() && thinking.wanted != Some(false) {
            ignored.add(|| fields.name(name));
        }
    }
}

/// vLLM's `continue_final_message`, and the same as a member of the last message.
fn continues_last(fields: &Fields<'_>, model: &ModelEntry, messages: &Value) -> Result<bool, ApiError> {
    const FIELD: &str = "continue_final_message";
    let last = messages.as_array().and_then(|list| list.last()).unwrap_or(&Value::Null);
    let is_assistants = last["role"] == "assistant";
    let asked = fields.boolean(FIELD)?.unwrap_or(false);
    if asked && !is_assistants {
        let message =
            format!("{FIELD} is true, but the last message is not the assistant's; end messages with its beginning");
        return Err(ApiError::invalid_value(FIELD, message));
    }
    if asked && fields.boolean("add_generation_prompt")? == Some(true) {
        let message =
            format!("{FIELD} and add_generation_prompt are both true; an answer goes on, or begins: send one of them");
        return Err(ApiError::invalid_value(FIELD, message));
    }
    // Templates that know the member see to it themselves.
    let knows = |name| model.template.as_ref().is_some_and(|it| it.reads_member(false, Member::Message, name));
    let by_member = CONTINUES.iter().any(|name| last[*name] == Value::Bool(true) && !knows(name));
    Ok(asked || (by_member && is_assistants) || (is_assistants && prefills(fields, model, messages)?))
}

/// Whether the operator wants the last message to be the beginning of the answer, and the request says nothing else.
fn prefills(fields: &Fields<'_>, model: &ModelEntry, messages: &Value) -> Result<bool, ApiError> {
    let says_otherwise =
        fields.get("continue_final_message").is_some() || fields.boolean("add_generation_prompt")? == Some(true);
    if !model.defaults.prefill || says_otherwise {
        return Ok(false);
    }
    let others = messages.as_array().map_or(&[][..], Vec::as_slice).iter().rev().skip(1);
    if others.clone().next().is_some_and(|before| before["role"] == "assistant") {
        let message = "messages ends with two of the assistant's, and the answer goes on with one; join them, or send \
                       continue_final_message: false";
        return Err(ApiError::invalid_value("messages", message));
    }
    Ok(others.len() > 0)
}

fn variables(fields: &Fields<'_>) -> Result<Map<String, Value>, ApiError> {
    let variables = fields.object("chat_template_kwargs")?.cloned().unwrap_or_default();
    match RESERVED.iter().find(|name| variables.contains_key(**name)) {
        Some(name) => Err(ApiError::invalid_value(
            "chat_template_kwargs",
            format!("chat_template_kwargs has the member '{name}'; send it as a field of the body"),
        )),
        None => Ok(variables),
    }
}
