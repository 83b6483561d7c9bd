//! `POST /v1/chat/completions`: from the body to a request for the engine.

use std::sync::Arc;

use parkade_calls::Style;
use parkade_core::TaskKind;
use parkade_model::chat_template::{ChatTemplate, Member};
use serde_json::{Map, Value};

use crate::dialects::chat::{Conversation, Prepared, Thinking, Tools, call_style};
use crate::dialects::fields::Fields;
use crate::dialects::openai::encode::Chat;
use crate::dialects::openai::parse::generation::{self, Generation};
use crate::dialects::openai::parse::known_fields::{self, Endpoint};
use crate::dialects::openai::parse::{messages, thinking, tools};
use crate::generate::{AppState, Call, IgnoredFields, ModelEntry, Operation, Task, WantedFormat};
use crate::http::ApiError;

/// The field that a chat's prompt comes from.
const PROMPT_FIELD: &str = "messages";

/// The most alternatives to a token that OpenAI's API gives.
const MAX_TOP_LOGPROBS: usize = 20;

/// The fields of which a prompt is made.
pub(in crate::dialects) const PROMPT_FIELDS: &[&str] = &[
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

impl Operation for Chat {
    /// None: a template is a program from a file that somebody made, and never runs on an async thread.
    const INLINE_BYTES: usize = 0;

    fn read(state: &AppState, body: &Value, call: &Call<'_>) -> Result<Task, ApiError> {
        let fields = Fields::top(body)?;
        let model = state.model_for(TaskKind::Generate, generation::model_name(&fields)?)?;
        let mut ignored = IgnoredFields::default();
        known_fields::check(&fields, Endpoint::Chat, &mut ignored)?;
        let mut generation = Generation::read(&fields, &model)?;
        generation.refuse_ranking()?;
        let max_tokens = generation::max_tokens(&fields, 1)?;
        let logprobs = logprobs(&fields)?;
        let thinking = thinking::read(&fields)?;
        let tools = tools::read(&fields)?;
        if let Some(template) = &model.template {
            let in_words = is_in_words(&model, &tools);
            known_fields::check_members(&fields, template, in_words, &mut ignored)?;
            tell_unread(&fields, &thinking, template, &tools, &mut ignored);
        }
        let ignored = ignored.settle(state.config().strict)?;
        let messages = messages::read(&fields, state.config().max_json_values)?;
        let chat = conversation(&fields, &model, messages, tools, thinking, generation.format.take())?;
        let prepared = chat.prepare(&model)?;
        generation.spell_control |= prepared.spell_control;
        let mut form = generation.form(("chatcmpl", "chat.completion"), &model, call, logprobs.is_some());
        let id = form.head.id.clone();
        let mut request = generation.request(id, prepared.tokens, max_tokens, call);
        request.logprobs = logprobs;
        form.details.note_prompts(std::slice::from_ref(&request));
        let names_reasoning = fields.get("reasoning").is_some() || fields.get("include_reasoning").is_some();
        let encoder = Arc::new(Chat { form, n: generation.n, reading: prepared.form, names_reasoning });
        let (requests, stream, format) = (vec![request], generation.stream, prepared.format);
        Ok(Task { model, requests, prompt_field: PROMPT_FIELD, stream, ignored, encoder, format })
    }
}

/// The prompt of the messages in a body, as a chat with the same fields would have it.
pub(in crate::dialects) fn prompt(
    fields: &Fields<'_>,
    state: &AppState,
    model: &ModelEntry,
) -> Result<Prepared, ApiError> {
    let messages = messages::read(fields, state.config().max_json_values)?;
    conversation(fields, model, messages, tools::read(fields)?, thinking::read(fields)?, None)?.prepare(model)
}

/// What the body says, as one conversation.
fn conversation(
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
fn is_in_words(model: &ModelEntry, tools: &Tools) -> bool {
    let with_tools = !tools.is_empty();
    let uses = model.template.as_ref().and_then(|template| template.uses(with_tools).ok());
    let lacks = uses.is_some_and(|uses| !uses.tool_calls || !uses.tool_results);
    lacks || (with_tools && call_style(model, with_tools) == Style::Generic)
}

/// Tells of what is asked about thoughts of a model whose template knows nothing of it.
fn tell_unread(
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
    Ok(asked || (by_member && is_assistants))
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

fn logprobs(fields: &Fields<'_>) -> Result<Option<usize>, ApiError> {
    let wanted = fields.boolean("logprobs")?.unwrap_or(false);
    let top = fields.integer("top_logprobs", 0..=MAX_TOP_LOGPROBS)?;
    match (wanted, top) {
        (true, top) => Ok(Some(top.unwrap_or(0))),
        (false, None | Some(0)) => Ok(None),
        (false, Some(top)) => Err(ApiError::invalid_value(
            "top_logprobs",
            format!("top_logprobs is {top}, but logprobs is not true; set \"logprobs\": true"),
        )),
    }
}
