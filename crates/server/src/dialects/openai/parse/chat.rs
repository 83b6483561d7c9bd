//! `POST /v1/chat/completions`: from the body to a request for the engine.

use std::sync::Arc;

use parkade_core::TaskKind;
use serde_json::Value;

use crate::access::Identity;
use crate::dialects::chat::Prepared;
use crate::dialects::fields::Fields;
use crate::dialects::openai::encode::{Chat, Form};
use crate::dialects::request::chat::{PROMPT_FIELD, conversation, is_in_words, tell_unread};
use crate::dialects::request::generation::{self, Generation};
use crate::dialects::request::known_fields::{self, Endpoint};
use crate::dialects::request::tokens::written;
use crate::dialects::request::{messages, thinking, tools};
use crate::generate::{AppState, Deadlines, IgnoredFields, ModelEntry, Operation, Task};
use crate::http::ApiError;

/// The most alternatives to a token that OpenAI's API gives.
const MAX_TOP_LOGPROBS: usize = 20;

impl Operation for Chat {
    /// None: a template is a program from a file that somebody made, and never runs on an async thread.
    const INLINE_BYTES: usize = 0;

    fn read(state: &AppState, body: &Value, identity: &Identity, deadlines: Deadlines) -> Result<Task, ApiError> {
        Self::read_with_encoder(state, body, identity, deadlines).map(|(task, _)| task)
    }
}

impl Chat {
    /// As [`Operation::read`], with the task's encoder beside it.
    pub fn read_with_encoder(
        state: &AppState,
        body: &Value,
        identity: &Identity,
        deadlines: Deadlines,
    ) -> Result<(Task, Arc<Chat>), ApiError> {
        let fields = Fields::top(body)?;
        let model = state.model_for(TaskKind::Generate, generation::model_name(&fields)?)?;
        let mut ignored = IgnoredFields::default();
        known_fields::check(&fields, Endpoint::Chat, &mut ignored)?;
        let mut generation = Generation::read(&fields, &model)?;
        generation.refuse_ranking()?;
        let max_tokens = generation::max_tokens(&fields, &model, 1)?;
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
        let mut form = Form::of(&generation, ("chatcmpl", "chat.completion"), &model, identity, logprobs.is_some());
        let id = form.head.id.clone();
        let mut request = generation.request(id, prepared.tokens, max_tokens, identity, deadlines);
        request.logprobs = logprobs;
        form.details.note_prompts(std::slice::from_ref(&request));
        form.details.verbose = verbose(&fields, generation.stream)?.then(|| written(&model.tokenizer, &request.prompt));
        let names_reasoning = fields.get("reasoning").is_some() || fields.get("include_reasoning").is_some();
        let encoder = Arc::new(Chat { form, n: generation.n, reading: prepared.form, names_reasoning });
        let (requests, stream, format) = (vec![request], generation.stream, prepared.format);
        let shared = Arc::clone(&encoder);
        Ok((Task { model, requests, prompt_field: PROMPT_FIELD, stream, ignored, encoder, format }, shared))
    }
}

/// llama.cpp's `verbose`, which has the prompt come with the answer.
fn verbose(fields: &Fields<'_>, stream: bool) -> Result<bool, ApiError> {
    const FIELD: &str = "verbose";
    let wanted = fields.boolean(FIELD)?.unwrap_or(false);
    if wanted && stream {
        return Err(ApiError::invalid_value(FIELD, format!("{FIELD} is for whole answers only; leave out stream")));
    }
    Ok(wanted)
}

/// The prompt of the messages in a body, as a chat with the same fields would have it.
pub(in crate::dialects::openai) fn prompt(
    fields: &Fields<'_>,
    state: &AppState,
    model: &ModelEntry,
) -> Result<Prepared, ApiError> {
    let messages = messages::read(fields, state.config().max_json_values)?;
    conversation(fields, model, messages, tools::read(fields)?, thinking::read(fields)?, None)?.prepare(model)
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
