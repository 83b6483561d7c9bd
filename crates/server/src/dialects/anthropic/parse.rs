//! From a body of `POST /v1/messages` to a request for the engine.

use std::sync::Arc;

use parkade_core::{Class, Format, TaskKind};
use serde_json::Value;
use uuid::Uuid;

use super::encode::Messages;
use super::{messages, system, tools};
use crate::access::{Identity, is_user};
use crate::dialects::chat::{Conversation, Thinking};
use crate::dialects::fields::{Fields, wrong_type};
use crate::dialects::request::generation::{Generation, MAX_STOPS, cache_salt};
use crate::dialects::request::sampling;
use crate::dialects::request::service_tier;
use crate::dialects::request::thinking::{anthropic as read_thinking, open_router as read_effort};
use crate::generate::{AppState, Deadlines, IgnoredFields, ModelEntry, Operation, Task, WantedFormat};
use crate::http::{ApiError, quote};

const PROMPT_FIELD: &str = "messages";

/// Fields that are read, beside those of the sampler.
pub(super) const READ: &[&str] = &[
    "model",
    "messages",
    "system",
    "max_tokens",
    "stop_sequences",
    "stream",
    "tools",
    "tool_choice",
    "thinking",
    "metadata",
    "service_tier",
    "output_config",
    "output_format",
    // This server's own, as in its other APIs.
    "priority",
    "cache_salt",
    "supersedes",
];

/// Those of them of which a prompt is made.
pub(super) const OF_PROMPT: &[&str] =
    &["model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"];

/// Fields that change no answer: where caches begin is found without marks.
pub(super) const HARMLESS: &[&str] = &["cache_control", "betas", "inference_geo", "context_management", "speed"];

impl Operation for Messages {
    /// None: a template is a program from a file that somebody made, and never runs on an async thread.
    const INLINE_BYTES: usize = 0;

    fn read(state: &AppState, body: &Value, identity: &Identity, deadlines: Deadlines) -> Result<Task, ApiError> {
        let fields = Fields::top(body)?;
        let (model, mut chat, mut ignored) = read_chat(state, &fields)?;
        let max_tokens = fields.limit("max_tokens", 1)?;
        let max_tokens = max_tokens.ok_or_else(|| ApiError::missing("max_tokens", "the most tokens of the answer"))?;
        let generation = generation(&fields, &model)?;
        chat.format = format(&fields)?;
        if !chat.thinking.tell_any(model.template.as_deref(), &chat.tools) && chat.thinking.wanted == Some(true) {
            ignored.add(|| "thinking".to_owned());
        }
        let ignored = ignored.settle(state.config().strict)?;
        let prepared = chat.prepare(&model)?;
        let id = format!("msg_{}", Uuid::new_v4().simple());
        let input_tokens = prepared.tokens.len();
        let mut request = generation.request(id.clone(), prepared.tokens, Some(max_tokens), identity, deadlines);
        request.spell_control |= prepared.spell_control;
        let encoder = Arc::new(Messages { id, model: model.name.clone(), reading: prepared.form, input_tokens });
        let (requests, stream, format) = (vec![request], generation.stream, prepared.format);
        Ok(Task { model, requests, prompt_field: PROMPT_FIELD, stream, ignored, encoder, format })
    }
}

/// What a body says to the model, and what of it nobody reads.
pub(super) fn read_chat(
    state: &AppState,
    fields: &Fields<'_>,
) -> Result<(Arc<ModelEntry>, Conversation, IgnoredFields), ApiError> {
    let model = state.model_for(TaskKind::Generate, fields.string("model")?)?;
    let mut ignored = IgnoredFields::default();
    for (name, value) in fields.members() {
        refuse_foreign(name, value)?;
        if !READ.contains(&name) && !HARMLESS.contains(&name) && !sampling::reads(name) {
            ignored.add(|| name.to_owned());
        }
    }
    let messages = messages::read(fields, system::read(fields)?)?;
    // The answer goes on with what the assistant has said last.
    let continues_last = messages
        .as_array()
        .and_then(|list| list.last())
        .is_some_and(|last| last["role"] == "assistant" && last.get("tool_calls").is_none() && last["content"] != "");
    let chat = Conversation {
        messages,
        tools: tools::read(fields)?,
        documents: None,
        thinking: thinking(fields)?,
        variables: serde_json::Map::new(),
        add_generation_prompt: true,
        continues_last,
        format: None,
        param: PROMPT_FIELD,
    };
    Ok((model, chat, ignored))
}

/// Fields of what would be done, or is kept, by Anthropic's own servers.
pub(super) const REFUSED: &[&str] = &["mcp_servers", "container"];

/// Refuses these, unless they ask for nothing.
fn refuse_foreign(name: &str, value: &Value) -> Result<(), ApiError> {
    let is_empty = value.as_array().is_some_and(Vec::is_empty);
    match name {
        name if REFUSED.contains(&name) && !is_empty => {
            let message = format!("{name} is not supported: this server runs no tools of its own; send tools");
            Err(ApiError::unsupported(name, message))
        }
        // It brings the newest message only: an answer to that alone would be to another question.
        "thread" if value.get("type").and_then(Value::as_str) == Some("continue") => {
            let message = "thread cannot be continued: no messages are kept here; send all of them in messages";
            Err(ApiError::unsupported(name, message.to_owned()))
        }
        _ => Ok(()),
    }
}

fn thinking(fields: &Fields<'_>) -> Result<Thinking, ApiError> {
    let mut thinking = Thinking::default();
    if let Some(value) = fields.get("thinking") {
        read_thinking(&Fields::at(value, "thinking".to_owned())?, &mut thinking)?;
    }
    if let Some(value) = fields.get("output_config") {
        read_effort(&Fields::at(value, "output_config".to_owned())?, &mut thinking)?;
    }
    Ok(thinking)
}

/// `output_config.format`, or `output_format` as it was called first: a JSON schema.
fn format(fields: &Fields<'_>) -> Result<Option<WantedFormat>, ApiError> {
    let config = fields.get("output_config").map(|value| Fields::at(value, "output_config".to_owned())).transpose()?;
    let inner = config.as_ref().and_then(|config| Some((config.name("format"), config.get("format")?)));
    let Some((path, value)) = inner.or_else(|| Some(("output_format".to_owned(), fields.get("output_format")?))) else {
        return Ok(None);
    };
    let format = Fields::at(value, path)?;
    let kind = format.string("type")?;
    if kind != Some("json_schema") {
        let path = format.name("type");
        let message = format!("{path} is {}; allowed: json_schema", kind.map_or("not there".to_owned(), quote));
        return Err(ApiError::invalid_value(path, message));
    }
    let param = format.name("schema");
    let schema = format.object("schema")?.ok_or_else(|| ApiError::missing(&param, "a JSON schema"))?;
    Ok(Some(WantedFormat::new(Format::JsonSchema { schema: Value::Object(schema.clone()), strict: true }, param)))
}

fn generation(fields: &Fields<'_>, model: &ModelEntry) -> Result<Generation, ApiError> {
    Ok(Generation {
        sampling: sampling::read(fields, model)?,
        stop: stop_sequences(fields)?,
        n: 1,
        stream: fields.boolean("stream")?.unwrap_or(false),
        user: user(fields)?,
        cache_salt: cache_salt(fields)?,
        class: class(fields)?,
        rank: fields.integer("priority", i64::MIN..=i64::MAX)?.unwrap_or(0),
        ..Generation::default()
    })
}

fn stop_sequences(fields: &Fields<'_>) -> Result<Vec<String>, ApiError> {
    const FIELD: &str = "stop_sequences";
    let list = fields.list(FIELD)?.map(Vec::as_slice).unwrap_or_default();
    if list.len() > MAX_STOPS {
        let message = format!("{FIELD} has {} strings; allowed: at most {MAX_STOPS}", list.len());
        return Err(ApiError::invalid_value(FIELD, message));
    }
    let read = |(i, value): (usize, &Value)| {
        let path = format!("{FIELD}[{i}]");
        let text = value.as_str().ok_or_else(|| wrong_type(path.clone(), value, "a string"))?;
        let most = parkade_core::Request::MAX_STOP_BYTES;
        if text.is_empty() || text.len() > most {
            let message = format!("{path} has {} bytes; allowed: 1 to {most}", text.len());
            return Err(ApiError::invalid_value(path, message));
        }
        Ok(text.to_owned())
    };
    list.iter().enumerate().map(read).collect()
}

/// `metadata.user_id`: whom the sender serves.
fn user(fields: &Fields<'_>) -> Result<Option<String>, ApiError> {
    let Some(metadata) = fields.get("metadata") else { return Ok(None) };
    let metadata = Fields::at(metadata, "metadata".to_owned())?;
    let user = metadata.string("user_id")?.filter(|user| !user.is_empty());
    match user {
        Some(user) if !is_user(user) => {
            let path = metadata.name("user_id");
            let message = format!("{path} is {}; allowed: at most 256 bytes without control characters", quote(user));
            Err(ApiError::invalid_value(path, message))
        }
        user => Ok(user.map(str::to_owned)),
    }
}

/// `service_tier`: Anthropic's words, and those of this server's other APIs.
fn class(fields: &Fields<'_>) -> Result<Option<Class>, ApiError> {
    let mut words = vec![("standard_only", None)];
    words.extend_from_slice(service_tier::WORDS);
    Ok(fields.word("service_tier", &words)?.flatten())
}
