//! `POST /v1/chat/completions`: from the body to a request for the engine.

use std::sync::Arc;

use axum::http::StatusCode;
use parkade_core::TaskKind;
use parkade_model::Prompt;
use parkade_model::chat_template::{ChatInput, ChatTemplate, TemplateError};
use serde_json::{Map, Value};

use crate::access::Identity;
use crate::dialects::fields::{Fields, describe};
use crate::dialects::openai::encode::Chat;
use crate::dialects::openai::parse::calls;
use crate::dialects::openai::parse::generation::{self, Generation, refuse_hopeless, untokenisable};
use crate::dialects::openai::parse::known_fields::{self, Endpoint};
use crate::dialects::openai::parse::messages;
use crate::generate::{AppState, Deadlines, IgnoredFields, ModelEntry, Operation, Task};
use crate::http::{ApiError, Retry, quote};

/// The field that a chat's prompt comes from.
const PROMPT_FIELD: &str = "messages";

/// The most alternatives to a token that OpenAI's API gives.
const MAX_TOP_LOGPROBS: usize = 20;

/// Names in a template's scope that `chat_template_kwargs` may not take.
const RESERVED: &[&str] = &["messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"];

impl Operation for Chat {
    /// None: a template is a program from a file that somebody made, and never runs on an async thread.
    const INLINE_BYTES: usize = 0;

    fn read(state: &AppState, body: &Value, identity: &Identity, deadlines: Deadlines) -> Result<Task, ApiError> {
        let fields = Fields::top(body)?;
        let model = state.model_for(TaskKind::Generate, generation::model_name(&fields)?)?;
        let mut ignored = IgnoredFields::default();
        known_fields::check(&fields, Endpoint::Chat, &mut ignored)?;
        if let Some(template) = &model.template {
            known_fields::check_members(&fields, template, &mut ignored)?;
        }
        let ignored = ignored.settle(state.config().strict)?;
        let generation = Generation::read(&fields, &model)?;
        let max_tokens = generation::max_tokens(&fields, 1)?;
        let logprobs = logprobs(&fields)?;
        let messages = messages::read(&fields, state.config().max_json_values)?;
        let prompt = render(&fields, &messages, &model)?;
        refuse_hopeless(&model, prompt.text(), PROMPT_FIELD)?;
        let tokens = model.tokenizer.encode_prompt(&prompt);
        let tokens = tokens.map_err(|error| untokenisable(PROMPT_FIELD, &error))?;
        let form = generation.form(("chatcmpl", "chat.completion"), &model, identity, logprobs.is_some());
        let mut request = generation.request(form.head.id.clone(), tokens, max_tokens, identity, deadlines);
        request.logprobs = logprobs;
        let encoder = Arc::new(Chat { form, n: generation.n });
        let (requests, stream, format) = (vec![request], generation.stream, generation.format);
        Ok(Task { model, requests, prompt_field: PROMPT_FIELD, stream, ignored, encoder, format })
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

/// Renders the messages to the prompt.
fn render(fields: &Fields<'_>, messages: &Value, model: &ModelEntry) -> Result<Prompt, ApiError> {
    let tools = tools(fields)?;
    let documents = fields.list("documents")?.map(|documents| Value::Array(documents.clone()));
    let add_generation_prompt = fields.boolean("add_generation_prompt")?.unwrap_or(true);
    let extra = match fields.object("chat_template_kwargs")? {
        Some(extra) => extra.clone(),
        None => Map::new(),
    };
    if let Some(name) = RESERVED.iter().find(|name| extra.contains_key(**name)) {
        return Err(ApiError::invalid_value(
            "chat_template_kwargs",
            format!("chat_template_kwargs has the member '{name}'; send it as a field of the body"),
        ));
    }
    let template = model.template.as_ref().ok_or_else(|| {
        ApiError::invalid_value(
            "model",
            format!(
                "the model {} has no chat template; use /v1/completions, or serve it with --chat-template NAME|FILE",
                quote(&model.name)
            ),
        )
    })?;
    refuse_what_would_vanish(template, tools.as_ref(), documents.as_ref())?;
    refuse_messages_that_would_vanish(template, fields, tools.is_some(), messages)?;
    template
        .render(&ChatInput {
            messages,
            tools: tools.as_ref(),
            documents: documents.as_ref(),
            add_generation_prompt,
            extra: &extra,
        })
        .map_err(|error| unrenderable(&error, messages))
}

/// The error for messages that the template does not take, or for a template that fails on any.
fn unrenderable(error: &TemplateError, messages: &Value) -> ApiError {
    if error.is_about_messages(messages.to_string().len()) {
        return ApiError::invalid_value(PROMPT_FIELD, error.to_string());
    }
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "chat_template_failed",
        format!("{error}; the operator must serve another template or model"),
        Retry::Never,
    )
}

/// The error for a field that would not reach the model, which would answer as if it had not been sent.
fn vanishes<T>(field: &str, what: &str, instead: &str) -> Result<T, ApiError> {
    let message = format!("{field} would not reach the model: its chat template does not use {what}; {instead}");
    Err(ApiError::unsupported(field, message))
}

/// Refuses tools and documents that the model's template would leave out of the prompt.
fn refuse_what_would_vanish(
    template: &ChatTemplate,
    tools: Option<&Value>,
    documents: Option<&Value>,
) -> Result<(), ApiError> {
    // Without a template for such a request rendering fails, and says so.
    let Ok(uses) = template.uses(tools.is_some()) else {
        return Ok(());
    };
    if tools.is_some() && !uses.tools {
        return vanishes("tools", "tools", "leave tools out, or load a model whose template has them");
    }
    if !uses.documents && documents.and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        return vanishes("documents", "documents", "put their text into a message");
    }
    Ok(())
}

/// Refuses calls and results of tools that the model's template would leave out of the prompt, as they were sent.
fn refuse_messages_that_would_vanish(
    template: &ChatTemplate,
    fields: &Fields<'_>,
    with_tools: bool,
    messages: &Value,
) -> Result<(), ApiError> {
    let Ok(uses) = template.uses(with_tools) else {
        return Ok(());
    };
    let sent = fields.list("messages")?.into_iter().flatten();
    for (i, (sent, message)) in sent.zip(messages.as_array().into_iter().flatten()).enumerate() {
        let sent = Fields::at(sent, format!("messages[{i}]"))?;
        if let Some(field) = calls::sent_as(&sent)?.filter(|_| !uses.tool_calls) {
            return vanishes(
                &sent.name(field),
                "tools or their calls",
                "put the call into content, or load a model whose template has tools",
            );
        }
        if !uses.tool_results && message["role"] == "tool" {
            return vanishes(
                &sent.name("role"),
                "messages of tools",
                "send the result as the user, or load a model whose template has tools",
            );
        }
    }
    Ok(())
}

/// The tools that the model is told of: those in `tools`, unless `tool_choice` is `none`.
fn tools(fields: &Fields<'_>) -> Result<Option<Value>, ApiError> {
    let list = fields.list("tools")?;
    for (i, tool) in list.into_iter().flatten().enumerate() {
        let tool = Fields::at(tool, format!("tools[{i}]"))?;
        tool.word("type", &[("function", ())])?.ok_or_else(|| ApiError::missing(&tool.name("type"), "\"function\""))?;
        let function = tool.get("function").ok_or_else(|| ApiError::missing(&tool.name("function"), "an object"))?;
        let function = Fields::at(function, tool.name("function"))?;
        function.string("name")?.ok_or_else(|| ApiError::missing(&function.name("name"), "the function's name"))?;
    }
    let tools = list.filter(|list| !list.is_empty()).map(|list| Value::Array(list.clone()));
    let many = fields.boolean("parallel_tool_calls")?.unwrap_or(true);
    match fields.get("tool_choice") {
        Some(Value::String(choice)) if choice == "none" => Ok(None),
        _ if tools.is_some() && !many => Err(ApiError::unsupported(
            "parallel_tool_calls",
            "parallel_tool_calls is false, which is not supported (taken: true); the number of calls cannot be limited \
             here: leave it out",
        )),
        None => Ok(tools),
        Some(Value::String(choice)) if choice == "auto" => Ok(tools),
        Some(other) => Err(ApiError::unsupported(
            "tool_choice",
            format!("tool_choice is {}; allowed: 'auto', 'none' (a call cannot be forced here)", describe(other)),
        )),
    }
}
