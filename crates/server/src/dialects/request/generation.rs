//! What requests for text have in common: how to sample, when to stop, for whom and how soon.

use parkade_core::{Class, Request, RequestId, SamplingParams, TaskKind};
use parkade_model::TokenId;
use serde_json::Value;

use crate::access::{Identity, MAX_USER_BYTES, is_user};
use crate::dialects::fields::{Fields, wrong_type};
use crate::dialects::request::details::Details;
use crate::dialects::request::{format, sampling, service_tier, tokens};
use crate::generate::{Deadlines, ModelEntry, WantedFormat};
use crate::http::{ApiError, quote};

/// The most stop strings. OpenAI allows 4; agents' frameworks send more.
pub(crate) const MAX_STOPS: usize = 16;

/// The most alternatives to a token of a prompt.
const MAX_PROMPT_LOGPROBS: usize = 20;

/// The longest `cache_salt`, in bytes.
const MAX_SALT_BYTES: usize = 256;

/// The fields that both of OpenAI's completions read alike, and llama.cpp's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Generation {
    pub sampling: SamplingParams,
    pub stop: Vec<String>,
    /// vLLM's `stop_token_ids`.
    pub stop_tokens: Vec<TokenId>,
    /// vLLM's `include_stop_str_in_output`.
    pub keep_stop: bool,
    /// vLLM's `min_tokens`.
    pub min_tokens: usize,
    /// What the answers may be.
    pub format: Option<WantedFormat>,
    pub ignore_eos: bool,
    /// vLLM's `skip_special_tokens`, turned round.
    pub spell_control: bool,
    /// Answers to each prompt.
    pub n: usize,
    /// Of how many these are the best, if there are more.
    pub best_of: Option<usize>,
    pub stream: bool,
    /// Whether a stream ends with a chunk that tells the usage.
    pub include_usage: bool,
    /// vLLM's `prompt_logprobs`.
    pub prompt_logprobs: Option<usize>,
    /// llama.cpp's `return_progress`, which only a stream can heed.
    pub progress: bool,
    /// What answers say besides their text.
    pub details: Details,
    pub user: Option<String>,
    /// vLLM's `cache_salt`: only requests with the same share computed prompts.
    pub cache_salt: Option<String>,
    /// The class that it asks for.
    pub class: Option<Class>,
    /// vLLM's integer `priority`.
    pub rank: i64,
}

impl Generation {
    /// Reads the fields.
    pub fn read(fields: &Fields<'_>, model: &ModelEntry) -> Result<Self, ApiError> {
        Self::read_over(fields, model, &SamplingParams::default())
    }

    /// Reads the fields, with a dialect's own defaults for the sampler.
    pub fn read_over(fields: &Fields<'_>, model: &ModelEntry, sampler: &SamplingParams) -> Result<Self, ApiError> {
        let stream = fields.boolean("stream")?.unwrap_or(false);
        let n = fields.integer("n", 1..=Request::MAX_N)?.unwrap_or(1);
        Ok(Self {
            sampling: sampling::read_over(fields, model, sampler)?,
            stop: stop(fields)?,
            stop_tokens: stop_tokens(fields, model)?,
            keep_stop: keep_stop(fields)?,
            min_tokens: min_tokens(fields)?,
            format: format::read(fields)?,
            ignore_eos: fields.boolean("ignore_eos")?.unwrap_or(false),
            spell_control: !fields.boolean("skip_special_tokens")?.unwrap_or(true),
            n,
            best_of: best_of(fields, n, stream)?,
            stream,
            include_usage: include_usage(fields, stream)?,
            prompt_logprobs: prompt_logprobs(fields, stream)?,
            progress: progress(fields, stream)?,
            details: Details {
                token_ids: fields.boolean("return_token_ids")?.unwrap_or(false),
                timings_per_token: fields.boolean("timings_per_token")?.unwrap_or(false),
                continuous_usage: continuous_usage(fields)?,
                ..Details::default()
            },
            user: user(fields)?,
            cache_salt: cache_salt(fields)?,
            class: fields.word("service_tier", service_tier::WORDS)?.flatten(),
            rank: fields.integer("priority", i64::MIN..=i64::MAX)?.unwrap_or(0),
        })
    }

    /// Refuses to rank answers, for endpoints that do not.
    pub fn refuse_ranking(&self) -> Result<(), ApiError> {
        match self.best_of {
            None => Ok(()),
            Some(best_of) => {
                let n = self.n;
                let message = format!(
                    "best_of is {best_of} and n is {n}; answers are not ranked here: leave best_of out, or use /v1/completions"
                );
                Err(ApiError::unsupported("best_of", message))
            }
        }
    }

    /// A request to the engine for one prompt.
    pub fn request(
        &self,
        id: String,
        prompt: Vec<TokenId>,
        max_tokens: Option<usize>,
        identity: &Identity,
        deadlines: Deadlines,
    ) -> Request {
        Request {
            id: RequestId(id),
            task: TaskKind::Generate,
            prompt,
            sampling: self.sampling.clone(),
            max_tokens,
            stop: self.stop.clone(),
            stop_tokens: self.stop_tokens.clone(),
            keep_stop: self.keep_stop,
            min_tokens: self.min_tokens,
            format: None,
            ignore_eos: self.ignore_eos,
            spell_control: self.spell_control,
            logprobs: None,
            sampled_logprobs: false,
            n: self.n,
            prompt_logprobs: self.prompt_logprobs,
            progress: self.progress,
            tenant: identity.tenant(self.user.as_deref()),
            cache_scope: identity.cache_scope(self.cache_salt.as_deref()),
            class: identity.class(self.class),
            rank: self.rank,
            timeout: deadlines.timeout,
            ttft_slo: deadlines.ttft_slo,
        }
    }
}

/// OpenAI's `best_of`: how many answers are generated, of which the best `n` are given. Nothing if there are no more than these.
fn best_of(fields: &Fields<'_>, n: usize, stream: bool) -> Result<Option<usize>, ApiError> {
    const FIELD: &str = "best_of";
    let best_of = fields.integer(FIELD, 1..=Request::MAX_N)?.unwrap_or(n);
    if best_of < n {
        let message = format!("{FIELD} is {best_of} and n is {n}; allowed: n or more");
        return Err(ApiError::invalid_value(FIELD, message));
    }
    if best_of > n && stream {
        let message = format!(
            "{FIELD} is {best_of} and n is {n}, but which are the best is not known while they are streamed; leave one out"
        );
        return Err(ApiError::invalid_value(FIELD, message));
    }
    Ok(Some(best_of).filter(|&best_of| best_of > n))
}

/// vLLM's `prompt_logprobs`: with how many alternatives.
fn prompt_logprobs(fields: &Fields<'_>, stream: bool) -> Result<Option<usize>, ApiError> {
    const FIELD: &str = "prompt_logprobs";
    let wanted = fields.integer(FIELD, 0..=MAX_PROMPT_LOGPROBS)?;
    if wanted.is_some() && stream {
        return Err(ApiError::invalid_value(FIELD, format!("{FIELD} comes with whole answers only; leave out stream")));
    }
    Ok(wanted)
}

/// Whether a stream tells how much of the prompt is computed. A whole answer comes when all of it is.
pub(in crate::dialects) fn progress(fields: &Fields<'_>, stream: bool) -> Result<bool, ApiError> {
    Ok(fields.boolean("return_progress")?.unwrap_or(false) && stream)
}

/// The body's `model`.
pub(crate) fn model_name<'a>(fields: &Fields<'a>) -> Result<Option<&'a str>, ApiError> {
    fields.string("model")
}

fn stop(fields: &Fields<'_>) -> Result<Vec<String>, ApiError> {
    let list = match fields.get("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(list)) => {
            let strings = list.iter().enumerate().map(|(i, item)| {
                let text = item.as_str();
                text.map(str::to_owned).ok_or_else(|| wrong_type(format!("stop[{i}]"), item, "a string"))
            });
            strings.collect::<Result<_, _>>()?
        }
        Some(other) => {
            return Err(wrong_type("stop".into(), other, "a string or a list of strings"));
        }
    };
    if list.len() > MAX_STOPS {
        return Err(ApiError::invalid_value(
            "stop",
            format!("stop has {} strings; allowed: at most {MAX_STOPS}", list.len()),
        ));
    }
    for (i, text) in list.iter().enumerate() {
        if text.is_empty() || text.len() > Request::MAX_STOP_BYTES {
            return Err(ApiError::invalid_value(
                "stop",
                format!("stop string {i} has {} bytes; allowed: 1 to {}", text.len(), Request::MAX_STOP_BYTES),
            ));
        }
    }
    Ok(list)
}

/// Tokens that end an answer besides the model's own.
fn stop_tokens(fields: &Fields<'_>, model: &ModelEntry) -> Result<Vec<TokenId>, ApiError> {
    let ids = tokens::token_ids(fields, "stop_token_ids", model)?;
    tokens::at_most("stop_token_ids", ids.len(), Request::MAX_STOP_TOKENS)?;
    Ok(ids)
}

/// Whether what ended the answer is a part of it: vLLM's name for it, and SGLang's.
fn keep_stop(fields: &Fields<'_>) -> Result<bool, ApiError> {
    let name = fields.alias(["include_stop_str_in_output", "no_stop_trim"])?;
    Ok(fields.boolean(name)?.unwrap_or(false))
}

/// The shortest answer: vLLM's name for it, and that of text-generation-inference.
fn min_tokens(fields: &Fields<'_>) -> Result<usize, ApiError> {
    let name = fields.alias(["min_tokens", "min_new_tokens"])?;
    Ok(fields.integer(name, 0..=usize::MAX)?.unwrap_or(0))
}

fn include_usage(fields: &Fields<'_>, stream: bool) -> Result<bool, ApiError> {
    let Some(options) = fields.get("stream_options") else {
        return Ok(false);
    };
    let options = Fields::at(options, fields.name("stream_options"))?;
    let include_usage = options.boolean("include_usage")?.unwrap_or(false);
    if include_usage && !stream {
        return Err(ApiError::invalid_value(
            "stream_options",
            "stream_options.include_usage is true, which is allowed only together with \"stream\": true",
        ));
    }
    Ok(include_usage)
}

/// vLLM's `stream_options.continuous_usage_stats`, which only adjusts `include_usage`.
fn continuous_usage(fields: &Fields<'_>) -> Result<bool, ApiError> {
    let Some(options) = fields.get("stream_options") else { return Ok(false) };
    let options = Fields::at(options, fields.name("stream_options"))?;
    Ok(options.boolean("continuous_usage_stats")?.unwrap_or(false))
}

pub(crate) fn user(fields: &Fields<'_>) -> Result<Option<String>, ApiError> {
    let Some(user) = fields.string("user")? else {
        return Ok(None);
    };
    if !is_user(user) {
        return Err(ApiError::invalid_value(
            "user",
            format!("user is {}; allowed: at most {MAX_USER_BYTES} bytes without control characters", quote(user)),
        ));
    }
    Ok(Some(user.to_owned()).filter(|user| !user.is_empty()))
}

pub(crate) fn cache_salt(fields: &Fields<'_>) -> Result<Option<String>, ApiError> {
    match fields.string("cache_salt")? {
        Some(salt) if salt.is_empty() || salt.len() > MAX_SALT_BYTES => Err(ApiError::invalid_value(
            "cache_salt",
            format!("cache_salt has {} bytes; allowed: 1 to {MAX_SALT_BYTES}, or leave it out", salt.len()),
        )),
        salt => Ok(salt.map(str::to_owned)),
    }
}

/// An upper limit for the answer: OpenAI's two names and llama.cpp's, whose -1 is no limit. The engine cuts it to the room that
/// there is. Where nothing is said, it is the operator's.
pub(crate) fn max_tokens(fields: &Fields<'_>, model: &ModelEntry, least: usize) -> Result<Option<usize>, ApiError> {
    let asked = fields.limit(fields.alias(["max_completion_tokens", "max_tokens", "n_predict"])?, least)?;
    Ok(asked.or(model.defaults.max_tokens))
}
