//! `POST /v1/completions`: from the body to requests for the engine, one for each prompt.

use std::sync::Arc;

use parkade_core::TaskKind;
use parkade_model::TokenId;
use parkade_model::tokenizer::{Bos, SpecialTokens};
use serde_json::Value;

use crate::access::Identity;
use crate::dialects::fields::{Fields, integer, wrong_type};
use crate::dialects::fill_in::Gap;
use crate::dialects::openai::encode::{Completions, Echo, Form};
use crate::dialects::request::generation::{self, Generation};
use crate::dialects::request::known_fields::{self, Endpoint};
use crate::generate::{
    AppState, Deadlines, IgnoredFields, ModelEntry, Operation, Task, refuse_hopeless, untokenisable,
};
use crate::http::ApiError;

/// The field that a completion's prompt comes from.
const PROMPT_FIELD: &str = "prompt";

/// OpenAI's default for the answer's length.
const DEFAULT_MAX_TOKENS: usize = 16;

/// The most prompts in one request.
const MAX_PROMPTS: usize = 256;

/// The most alternatives to a token; OpenAI gives 5, evaluation harnesses ask for more.
const MAX_LOGPROBS: usize = 20;

/// One prompt as it was sent.
pub(crate) enum Prompt<'a> {
    Text(&'a str),
    Tokens(Vec<TokenId>),
}

impl Operation for Completions {
    const INLINE_BYTES: usize = 16 << 10;

    fn read(state: &AppState, body: &Value, identity: &Identity, deadlines: Deadlines) -> Result<Task, ApiError> {
        Self::read_with_encoder(state, body, identity, deadlines).map(|(task, _)| task)
    }
}

impl Completions {
    /// As [`Operation::read`], with the task's encoder beside it.
    pub fn read_with_encoder(
        state: &AppState,
        body: &Value,
        identity: &Identity,
        deadlines: Deadlines,
    ) -> Result<(Task, Arc<Completions>), ApiError> {
        let fields = Fields::top(body)?;
        let model = state.model_for(TaskKind::Generate, generation::model_name(&fields)?)?;
        let mut ignored = IgnoredFields::default();
        known_fields::check(&fields, Endpoint::Completions, &mut ignored)?;
        let ignored = ignored.settle(state.config().strict)?;
        let generation = Generation::read(&fields, &model)?;
        let logprobs = logprobs(&fields)?;
        let echo = fields.boolean("echo")?.unwrap_or(false);
        let max_tokens = generation::max_tokens(&fields, &model, 0)?.or(Some(DEFAULT_MAX_TOKENS));
        let prompts = prompts(&fields, PROMPT_FIELD, MAX_PROMPTS, model.config.vocab)?;
        let suffix = suffix(&fields, echo)?;
        refuse_two_echoes(&fields, echo && logprobs.is_some())?;
        let mut form = Form::of(&generation, ("cmpl", "text_completion"), &model, identity, logprobs.is_some());

        let mut requests = Vec::with_capacity(prompts.len());
        let mut echoes = Vec::new();
        for (i, prompt) in prompts.iter().enumerate() {
            let tokens = match suffix {
                Some(suffix) => prompt.before(suffix, &model, max_tokens.unwrap_or(0))?,
                None => prompt.tokens(&model)?,
            };
            if echo {
                echoes.push(prompt.echo(&model, tokens.clone())?);
            }
            let id = match prompts.len() {
                1 => form.head.id.clone(),
                _ => format!("{}-{i}", form.head.id),
            };
            let mut request = generation.request(id, tokens, max_tokens, identity, deadlines);
            if let Some(best_of) = generation.best_of {
                request.n = best_of;
            }
            // Answers are ranked by the probabilities of their tokens.
            request.logprobs = logprobs.or(generation.best_of.map(|_| 0));
            request.prompt_logprobs = logprobs.filter(|_| echo).or(request.prompt_logprobs);
            requests.push(request);
        }
        let echoes = echo.then_some(echoes);
        form.details.note_prompts(&requests);
        let (prompts, n) = (requests.len(), generation.n);
        let generated = generation.best_of.unwrap_or(n);
        let encoder = Arc::new(Completions { form, prompts, n, generated, echoes });
        let Generation { stream, format, .. } = generation;
        let shared = Arc::clone(&encoder);
        Ok((Task { model, requests, prompt_field: PROMPT_FIELD, stream, ignored, encoder, format }, shared))
    }
}

impl Prompt<'_> {
    fn tokens(&self, model: &ModelEntry) -> Result<Vec<TokenId>, ApiError> {
        match self {
            Self::Text(text) => tokenize(model, text),
            Self::Tokens(tokens) => Ok(tokens.clone()),
        }
    }

    /// The tokens whose answer fills the gap between the prompt and a text behind it.
    fn before(&self, suffix: &str, model: &ModelEntry, answer: usize) -> Result<Vec<TokenId>, ApiError> {
        let Self::Text(prefix) = self else {
            let message = "suffix stands behind a text; send the prompt as a string, or leave suffix out";
            return Err(ApiError::invalid_value("suffix", message));
        };
        Gap { prefix, suffix, files: Vec::new() }.prompt(model, answer.min(model.config.context_length / 4), "suffix")
    }

    /// The prompt as its answers begin with it.
    fn echo(&self, model: &ModelEntry, tokens: Vec<TokenId>) -> Result<Echo, ApiError> {
        match self {
            Self::Text(text) => Ok(Echo::of_text(&model.tokenizer, text, tokens)),
            Self::Tokens(_) => {
                check_ids(model, &tokens, PROMPT_FIELD)?;
                Ok(Echo::of_tokens(&model.tokenizer, tokens))
            }
        }
    }
}

/// Refuses log-probabilities of the prompt in two shapes at once.
fn refuse_two_echoes(fields: &Fields<'_>, echo: bool) -> Result<(), ApiError> {
    if echo && fields.get("prompt_logprobs").is_some() {
        let message = "prompt_logprobs, and echo with logprobs, are both there; send one of them";
        return Err(ApiError::invalid_value("prompt_logprobs", message));
    }
    Ok(())
}

/// What stands behind the answer; an empty text is nothing.
fn suffix<'a>(fields: &Fields<'a>, echo: bool) -> Result<Option<&'a str>, ApiError> {
    let suffix = fields.string("suffix")?.filter(|text| !text.is_empty());
    if suffix.is_some() && echo {
        let message = "suffix and echo are both there; an answer that fills a gap repeats no prompt: send one of them";
        return Err(ApiError::invalid_value("suffix", message));
    }
    Ok(suffix)
}

/// Tokens of a text that a client sent.
fn tokenize(model: &ModelEntry, text: &str) -> Result<Vec<TokenId>, ApiError> {
    refuse_hopeless(model, text, PROMPT_FIELD)?;
    let tokens = model.tokenizer.encode(text, SpecialTokens::Parse, Bos::AsModel);
    tokens.map_err(|error| untokenisable(PROMPT_FIELD, &error))
}

/// Token ids that a client sent must have a text before they can be repeated.
pub(crate) fn check_ids(model: &ModelEntry, tokens: &[TokenId], field: &str) -> Result<(), ApiError> {
    let vocab = model.config.vocab;
    match tokens.iter().find(|&&id| id as usize >= vocab) {
        Some(id) => {
            Err(ApiError::invalid_value(field, format!("token id {id} is not in the vocabulary (0 to {})", vocab - 1)))
        }
        None => Ok(()),
    }
}

/// `logprobs`: the number of alternatives. `true` and `false`, which chat clients send, are understood as well.
fn logprobs(fields: &Fields<'_>) -> Result<Option<usize>, ApiError> {
    match fields.get("logprobs") {
        Some(Value::Bool(wanted)) => Ok(wanted.then_some(0)),
        _ => fields.integer("logprobs", 0..=MAX_LOGPROBS),
    }
}

/// A string, a list of strings, a list of token ids, or a list of such lists: `most` of them at most.
pub(crate) fn prompts<'a>(
    fields: &Fields<'a>,
    field: &'static str,
    most: usize,
    vocab: usize,
) -> Result<Vec<Prompt<'a>>, ApiError> {
    const EXPECTED: &str = "a string, a list of strings, a list of token ids, or a list of those";
    let list = match fields.get(field) {
        None => return Err(ApiError::missing(field, EXPECTED)),
        Some(Value::String(text)) => return Ok(vec![Prompt::Text(text)]),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(wrong_type(field.to_owned(), other, EXPECTED)),
    };
    let many = match list.first() {
        None => {
            return Err(ApiError::invalid_value(field, format!("{field} is an empty list; allowed: {EXPECTED}")));
        }
        Some(Value::Number(_)) => return Ok(vec![Prompt::Tokens(token_ids(list, field, vocab)?)]),
        Some(_) => list,
    };
    if many.len() > most {
        return Err(ApiError::invalid_value(
            field,
            format!("{field} has {} entries; allowed: at most {most} in one request", many.len()),
        ));
    }
    let strings = many.first().is_some_and(Value::is_string);
    let expected = if strings { "a string, as the first one" } else { "a list of token ids" };
    let read = |(i, prompt): (usize, &'a Value)| match prompt {
        Value::String(text) if strings => Ok(Prompt::Text(text)),
        Value::Array(ids) if !strings => Ok(Prompt::Tokens(token_ids(ids, &format!("{field}[{i}]"), vocab)?)),
        other => Err(wrong_type(format!("{field}[{i}]"), other, expected)),
    };
    many.iter().enumerate().map(read).collect()
}

fn token_ids(list: &[Value], path: &str, vocab: usize) -> Result<Vec<TokenId>, ApiError> {
    let last = TokenId::try_from(vocab.saturating_sub(1)).unwrap_or(TokenId::MAX);
    let read = |(i, value)| integer(value, &format!("{path}[{i}]"), 0..=last);
    // The name of an element is made only when it is needed: lists are long.
    let fast: Option<Vec<TokenId>> =
        list.iter().map(|value| value.as_u64().and_then(|id| TokenId::try_from(id).ok())).collect();
    match fast {
        Some(ids) => Ok(ids),
        None => list.iter().enumerate().map(read).collect(),
    }
}
