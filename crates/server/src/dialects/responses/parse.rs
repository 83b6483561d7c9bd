//! From a body of `POST /v1/responses` to a request for the engine.

use std::sync::{Arc, OnceLock};

use parkade_core::{Format, TaskKind};
use serde_json::Value;
use uuid::Uuid;

use super::input::{self, INPUT};
use super::keep::{Keeper, unknown};
use super::response::Responses;
use super::{options, settings, tools};
use crate::access::Identity;
use crate::dialects::chat::{Conversation, Thinking, part_id};
use crate::dialects::fields::{Fields, wrong_type};
use crate::dialects::request::generation::{Generation, cache_salt, progress, user};
use crate::dialects::request::sampling;
use crate::dialects::request::service_tier;
use crate::dialects::request::thinking::open_router as read_reasoning;
use crate::generate::{AppState, Deadlines, IgnoredFields, ModelEntry, Operation, Task, WantedFormat, unix_seconds};
use crate::http::{ApiError, quote};

/// Fields that are read, beside those of the sampler.
pub(super) const READ: &[&str] = &[
    "model",
    "input",
    "instructions",
    "max_output_tokens",
    "stream",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "text",
    "metadata",
    "service_tier",
    "store",
    "previous_response_id",
    "background",
    "truncation",
    "user",
    "chat_template_kwargs",
    "include",
    "stream_options",
    // llama.cpp's.
    "timings_per_token",
    "return_progress",
    // This server's own, as in its other APIs.
    "priority",
    "cache_salt",
    "supersedes",
];

/// Those of them of which a prompt is made.
pub(super) const OF_PROMPT: &[&str] = &[
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "previous_response_id",
    "truncation",
    "chat_template_kwargs",
];

/// Fields that are refused, unless they ask for nothing.
pub(super) const REFUSED: &[&str] = &["conversation", "prompt", "context_management", "top_logprobs", "stop"];

/// Fields that change no answer here.
pub(super) const HARMLESS: &[&str] = &[
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    // How many of a provider's own tools it calls.
    "max_tool_calls",
    "client_metadata",
];

impl Operation for Responses {
    /// None: a template is a program from a file that somebody made, and never runs on an async thread.
    const INLINE_BYTES: usize = 0;

    fn read(state: &AppState, body: &Value, identity: &Identity, deadlines: Deadlines) -> Result<Task, ApiError> {
        let fields = Fields::top(body)?;
        let id = format!("resp_{}", Uuid::new_v4().simple());
        let (model, mut asked, mut ignored) = read_chat(state, &fields, identity, &id)?;
        options::check(&fields, &mut ignored)?;
        let store = fields.boolean("store")?.unwrap_or(true);
        let background = background(&fields, store)?;
        let max_tokens = fields.limit("max_output_tokens", 1)?.or(model.defaults.max_tokens);
        let generation = generation(&fields, &model)?;
        asked.conversation.format = format(&fields)?;
        let chat = &asked.conversation;
        if chat.thinking.effort.is_some() && !chat.thinking.tell_any(model.template.as_deref(), &chat.tools) {
            ignored.add(|| "reasoning.effort".to_owned());
        }
        let ignored = ignored.settle(state.config().strict)?;
        let class = identity.class(generation.class);
        let prepared = asked.conversation.prepare(&model)?;
        let mut request = generation.request(id.clone(), prepared.tokens, max_tokens, identity, deadlines);
        request.spell_control |= prepared.spell_control;
        let keeper = store.then(|| Keeper {
            store: Arc::clone(state.kept()),
            owner: identity.owner().map(str::to_owned),
            items: asked.items,
            messages: asked.messages,
            events: OnceLock::new(),
        });
        let encoder = Arc::new(Responses {
            id,
            created: unix_seconds(),
            service_tier: service_tier::served(class, model.engine.has_classes()),
            settings: settings::read(&fields, &model.name)?,
            reading: prepared.form,
            background,
            timings: fields.boolean("timings_per_token")?.unwrap_or(false),
            keeper,
        });
        let (requests, stream, format) = (vec![request], generation.stream, prepared.format);
        Ok(Task { model, requests, prompt_field: INPUT, stream, ignored, encoder, format })
    }
}

/// What a body asks.
pub(super) struct Asked {
    pub conversation: Conversation,
    /// Its items of input.
    items: Vec<Value>,
    /// What came before, and its own input: without instructions, which hold for one answer.
    messages: Vec<Value>,
}

/// What a body says to the model, and what of it nobody reads.
pub(super) fn read_chat(
    state: &AppState,
    fields: &Fields<'_>,
    identity: &Identity,
    id: &str,
) -> Result<(Arc<ModelEntry>, Asked, IgnoredFields), ApiError> {
    let model = state.model_for(TaskKind::Generate, fields.string("model")?)?;
    let mut ignored = IgnoredFields::default();
    for (name, value) in fields.members() {
        refuse_foreign(name, value)?;
        if !READ.contains(&name) && !HARMLESS.contains(&name) && !REFUSED.contains(&name) && !sampling::reads(name) {
            ignored.add(|| name.to_owned());
        }
    }
    let previous = fields.string("previous_response_id")?;
    let before = previous.map(|id| earlier(state, id, identity)).transpose()?;
    let kept = |id: &str| find_item(before.as_ref(), id);
    let name = |index| part_id("item_", id, (1, index), 32);
    let input = input::read(fields, &kept, &name)?;
    let mut messages = before.map(|before| before.messages.as_array().cloned().unwrap_or_default()).unwrap_or_default();
    messages.extend(input::completed(input.messages));
    input::refuse_nothing(&messages, fields)?;
    let instructions = fields.string("instructions")?.filter(|text| !text.is_empty());
    let instructed = instructions.map(|text| serde_json::json!({"role": "system", "content": text}));
    let conversation = Conversation {
        messages: instructed.into_iter().chain(messages.iter().cloned()).collect(),
        tools: tools::read(fields)?,
        documents: None,
        thinking: thinking(fields)?,
        variables: fields.object("chat_template_kwargs")?.cloned().unwrap_or_default(),
        add_generation_prompt: true,
        continues_last: false,
        format: None,
        param: INPUT,
    };
    Ok((model, Asked { conversation, items: input.items, messages }, ignored))
}

/// The answer that this one follows.
fn earlier(state: &AppState, id: &str, identity: &Identity) -> Result<Arc<crate::generate::Kept>, ApiError> {
    const FIELD: &str = "previous_response_id";
    let kept = state
        .kept()
        .get(id, identity.owner())
        .ok_or_else(|| ApiError::bad_request("previous_response_not_found", unknown(id).message()).with_param(FIELD))?;
    if kept.job.is_some() {
        let message = format!("{FIELD} is {}, whose answer is not complete yet; wait for its end", quote(id));
        return Err(ApiError::invalid_value(FIELD, message));
    }
    Ok(kept)
}

/// An item of the answer before this one, by its id.
fn find_item(before: Option<&Arc<crate::generate::Kept>>, id: &str) -> Option<Value> {
    let before = before?;
    let lists = [&before.body["output"], &before.items];
    lists.into_iter().filter_map(Value::as_array).flatten().find(|item| item["id"] == id).cloned()
}

/// Refuses what would be done by OpenAI's own servers, and what would be another answer.
fn refuse_foreign(name: &str, value: &Value) -> Result<(), ApiError> {
    let instead = match name {
        "conversation" => "use previous_response_id",
        "prompt" => "send what the prompt says in instructions and input",
        "context_management" if value.as_array().is_none_or(|list| !list.is_empty()) => {
            "shorten the input before it is sent"
        }
        "truncation" if value != "disabled" => "shorten the input before it is sent; taken: disabled",
        "top_logprobs" if value.as_u64() != Some(0) => "use /v1/chat/completions",
        "stop" => "use /v1/chat/completions",
        _ => return Ok(()),
    };
    Err(ApiError::unsupported(name, format!("{name} is not supported here; {instead}")))
}

fn background(fields: &Fields<'_>, store: bool) -> Result<bool, ApiError> {
    let background = fields.boolean("background")?.unwrap_or(false);
    if background && !store {
        let message =
            "background is true and store is false; an answer in the background must be kept: leave store out";
        return Err(ApiError::invalid_value("background", message));
    }
    Ok(background)
}

fn thinking(fields: &Fields<'_>) -> Result<Thinking, ApiError> {
    let mut thinking = Thinking::default();
    if let Some(value) = fields.get("reasoning") {
        read_reasoning(&Fields::at(value, "reasoning".to_owned())?, &mut thinking)?;
    }
    Ok(thinking)
}

/// `text.format`.
fn format(fields: &Fields<'_>) -> Result<Option<WantedFormat>, ApiError> {
    let Some(text) = fields.get("text") else { return Ok(None) };
    let text = Fields::at(text, "text".to_owned())?;
    let Some(format) = text.get("format") else { return Ok(None) };
    let format = Fields::at(format, text.name("format"))?;
    let kinds = [("text", 0), ("json_object", 1), ("json_schema", 2)];
    match format.word("type", &kinds)? {
        None => Err(ApiError::missing(&format.name("type"), "text, json_object or json_schema")),
        Some(0) => Ok(None),
        Some(1) => Ok(Some(WantedFormat::new(Format::JsonObject, text.name("format")))),
        Some(_) => {
            let param = format.name("schema");
            let schema = match format.get("schema") {
                None => return Err(ApiError::missing(&param, "a JSON schema")),
                Some(schema @ (Value::Object(_) | Value::Bool(_))) => schema.clone(),
                Some(other) => return Err(wrong_type(param, other, "a JSON schema")),
            };
            let strict = format.boolean("strict")?.unwrap_or(false);
            Ok(Some(WantedFormat::new(Format::JsonSchema { schema, strict }, param)))
        }
    }
}

fn generation(fields: &Fields<'_>, model: &ModelEntry) -> Result<Generation, ApiError> {
    let stream = fields.boolean("stream")?.unwrap_or(false);
    Ok(Generation {
        sampling: sampling::read(fields, model)?,
        n: 1,
        stream,
        progress: progress(fields, stream)?,
        user: user(fields)?,
        cache_salt: cache_salt(fields)?,
        class: fields.word("service_tier", service_tier::WORDS)?.flatten(),
        rank: fields.integer("priority", i64::MIN..=i64::MAX)?.unwrap_or(0),
        ..Generation::default()
    })
}
