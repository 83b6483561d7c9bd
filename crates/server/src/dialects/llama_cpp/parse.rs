//! `POST /completion`: from the body to requests for the engine, one for each prompt.

use std::sync::Arc;

use parkade_core::{SamplingParams, TaskKind};
use parkade_model::TokenId;
use serde_json::Value;
use uuid::Uuid;

pub(super) use super::encode::Completion;
use super::encode::Given;
use super::{prompts, settings};
use crate::access::Identity;
use crate::dialects::fields::{Fields, wrong_type};
use crate::dialects::request::Endpoint;
use crate::dialects::request::generation::{self, Generation};
use crate::dialects::request::known_fields;
use crate::dialects::request::tokens::written;
use crate::generate::{AppState, Deadlines, IgnoredFields, ModelEntry, Operation, Task};
use crate::http::ApiError;

/// Fields that OpenAI's completions do not read, or that are not called so there.
pub(super) const OWN: &[&str] =
    &["prompt", "n_probs", "return_tokens", "response_fields", "timings_per_token", "post_sampling_probs"];

/// Fields that OpenAI's completions read, and llama.cpp's do not.
pub(super) const UNREAD: &[&str] = &["echo", "suffix", "logprobs"];

/// The most alternatives to a token.
const MAX_PROBS: usize = 100;

/// The most members that an answer can be asked for.
const MAX_RESPONSE_FIELDS: usize = 64;

impl Operation for Completion {
    const INLINE_BYTES: usize = 16 << 10;

    fn read(state: &AppState, body: &Value, identity: &Identity, deadlines: Deadlines) -> Result<Task, ApiError> {
        let fields = Fields::top(body)?;
        let model = state.model_for(TaskKind::Generate, generation::model_name(&fields)?)?;
        let wish = Wish::read(state, &fields, &model, OWN)?;
        let (prompts, is_list) = prompts::read(&fields, &model)?;
        Ok(wish.task(model, prompts, is_list, prompts::FIELD, identity, deadlines))
    }
}

/// What llama.cpp samples with where a request does not say.
pub(super) fn defaults() -> SamplingParams {
    SamplingParams { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, ..SamplingParams::default() }
}

/// What a body says besides its prompt.
pub(super) struct Wish {
    generation: Generation,
    pub(super) max_tokens: Option<usize>,
    ignored: Option<IgnoredFields>,
    given: Given,
}

impl Wish {
    /// Reads it. The fields that are the endpoint's `own` are read elsewhere.
    pub(super) fn read(
        state: &AppState,
        fields: &Fields<'_>,
        model: &ModelEntry,
        own: &[&str],
    ) -> Result<Wish, ApiError> {
        let mut ignored = IgnoredFields::default();
        known_fields::check_others(fields, Endpoint::Completions, own, &mut ignored)?;
        let unread = UNREAD
            .iter()
            .filter(|name| fields.get(name).is_some_and(|value| value != &Value::Bool(false) && value != ""));
        unread.for_each(|name| ignored.add(|| fields.name(name)));
        let generation = Generation::read_over(fields, model, &defaults())?;
        generation.refuse_ranking()?;
        if generation.n > 1 {
            let message = format!("n is {}, and here each prompt has one answer; use /v1/completions", generation.n);
            return Err(ApiError::unsupported("n", message));
        }
        let probs = fields.integer("n_probs", 0..=MAX_PROBS)?.filter(|&count| count > 0);
        Ok(Wish {
            max_tokens: generation::max_tokens(fields, model, 0)?,
            ignored: ignored.settle(state.config().strict)?,
            given: Given {
                probs,
                sampled: fields.boolean("post_sampling_probs")?.unwrap_or(false),
                tokens: fields.boolean("return_tokens")?.unwrap_or(false),
                timings_per_token: fields.boolean("timings_per_token")?.unwrap_or(false),
                members: response_fields(fields)?,
            },
            generation,
        })
    }

    /// The work for some prompts.
    pub(super) fn task(
        self,
        model: Arc<ModelEntry>,
        prompts: Vec<Vec<TokenId>>,
        is_list: bool,
        prompt_field: &'static str,
        identity: &Identity,
        deadlines: Deadlines,
    ) -> Task {
        let Wish { generation, max_tokens, ignored, given } = self;
        let name = format!("cmpl-{}", Uuid::new_v4().simple());
        let texts = prompts.iter().map(|tokens| (written(&model.tokenizer, tokens), tokens.len())).collect();
        let several = prompts.len() > 1;
        let request = |(i, tokens)| {
            let id = if several { format!("{name}-{i}") } else { name.clone() };
            let mut request = generation.request(id, tokens, max_tokens, identity, deadlines);
            request.logprobs = given.probs;
            request.sampled_logprobs = given.sampled;
            request
        };
        let requests: Vec<_> = prompts.into_iter().enumerate().map(request).collect();
        let settings = requests.first().map(|first| settings::of(first, &given, generation.stream)).unwrap_or_default();
        let encoder = Completion { settings, model: Arc::clone(&model), prompts: texts, is_list, max_tokens, given };
        let Generation { stream, format, .. } = generation;
        Task { model, requests, prompt_field, stream, ignored, encoder: Arc::new(encoder), format }
    }
}

/// The members of the answer that are wanted; none are all.
fn response_fields(fields: &Fields<'_>) -> Result<Vec<String>, ApiError> {
    const FIELD: &str = "response_fields";
    let list = fields.list(FIELD)?.map_or(&[][..], |list| list);
    if list.len() > MAX_RESPONSE_FIELDS {
        let message = format!("{FIELD} has {} entries; allowed: at most {MAX_RESPONSE_FIELDS}", list.len());
        return Err(ApiError::invalid_value(FIELD, message));
    }
    let read = |(i, value): (usize, &Value)| match value.as_str() {
        Some(name) => Ok(name.to_owned()),
        None => Err(wrong_type(format!("{FIELD}[{i}]"), value, "a string")),
    };
    list.iter().enumerate().map(read).collect()
}
