//! `POST /v1/chat/completions`: from the body to a request for the engine.

use std::sync::Arc;

use parkade_core::Request;
use parkade_model::Prompt;
use parkade_model::chat_template::ChatInput;
use parkade_model::tokenizer::TokenizerError;
use serde_json::{Map, Value};

use crate::errors::{ApiError, PromptLength};
use crate::identity::{Identity, ServiceTier};
use crate::openai::deadlines::Deadlines;
use crate::openai::fields::{Fields, describe, quote};
use crate::openai::generation::{self, Generation};
use crate::openai::types::Head;
use crate::openai::{messages, unsupported};
use crate::state::{AppState, ModelEntry};

/// The field that a chat's prompt comes from.
pub(crate) const PROMPT_FIELD: &str = "messages";

/// The most alternatives to a token that OpenAI's API gives.
const MAX_TOP_LOGPROBS: i64 = 20;

/// Names in a template's scope that `chat_template_kwargs` may not take.
const RESERVED: &[&str] = &["messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"];

/// A chat, ready for the engine.
pub(crate) struct Chat {
    pub model: Arc<ModelEntry>,
    pub head: Head,
    pub request: Request,
    pub stream: bool,
    pub include_usage: bool,
}

/// Reads, renders and tokenises. It takes time in proportion to the prompt: not for an async thread.
pub(crate) fn prepare(
    state: &AppState,
    body: &Value,
    identity: &Identity,
    deadlines: Deadlines,
) -> Result<Chat, ApiError> {
    let fields = Fields::top(body)?;
    let model = state.model(generation::model_name(&fields)?)?;
    unsupported::refuse_in_chat(&fields)?;
    let generation = Generation::read(&fields, model.config.vocab)?;
    let max_tokens = generation::max_tokens(&fields, 1)?;
    let logprobs = logprobs(&fields)?;
    let messages = messages::read(&fields, state.config().max_json_values)?;
    let prompt = render(&fields, &messages, &model)?;
    refuse_hopeless(&model, prompt.text(), PROMPT_FIELD)?;
    let tokens = model.tokenizer.encode_prompt(&prompt);
    let tokens = tokens.map_err(|error| untokenisable(PROMPT_FIELD, &error))?;
    let tier = ServiceTier::served(identity.class(generation.tier), model.engine.has_classes());
    let head = Head::new("chatcmpl", "chat.completion", &model, tier);
    let mut request = generation.request(head.id.clone(), tokens, max_tokens, identity, deadlines);
    request.logprobs = logprobs;
    Ok(Chat { model, head, request, stream: generation.stream, include_usage: generation.include_usage })
}

fn logprobs(fields: &Fields<'_>) -> Result<Option<usize>, ApiError> {
    let wanted = fields.boolean("logprobs")?.unwrap_or(false);
    let top = fields.integer("top_logprobs", 0..=MAX_TOP_LOGPROBS)?;
    match (wanted, top) {
        (true, top) => Ok(Some(top.unwrap_or(0) as usize)),
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
            format!("the model {} has no chat template; use /v1/completions", quote(&model.name)),
        )
    })?;
    template
        .render(&ChatInput {
            messages,
            tools: tools.as_ref(),
            documents: documents.as_ref(),
            add_generation_prompt,
            extra: &extra,
        })
        .map_err(|error| {
            ApiError::invalid_value(PROMPT_FIELD, format!("the model's chat template refused the messages: {error}"))
        })
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
    match fields.get("tool_choice") {
        None => Ok(tools),
        Some(Value::String(choice)) if choice == "auto" => Ok(tools),
        Some(Value::String(choice)) if choice == "none" => Ok(None),
        Some(other) => Err(ApiError::unsupported(
            "tool_choice",
            format!(
                "tool_choice is {}; allowed: 'auto', 'none' (a call cannot be forced: output cannot be constrained here)",
                describe(other)
            ),
        )),
    }
}

/// Refuses a text that is longer than the context in any tokenisation, unread: tokens take more memory than text.
pub(crate) fn refuse_hopeless(model: &ModelEntry, text: &str, param: &'static str) -> Result<(), ApiError> {
    let context = model.config.context_length;
    let fewest = text.len() / model.longest_token;
    if fewest <= context {
        return Ok(());
    }
    Err(ApiError::context_length(param, context, PromptLength::AtLeast(fewest)))
}

/// The error for a text that the tokenizer cannot express.
pub(crate) fn untokenisable(param: &'static str, error: &TokenizerError) -> ApiError {
    ApiError::invalid_value(param, format!("the prompt cannot be tokenised: {error}"))
}
