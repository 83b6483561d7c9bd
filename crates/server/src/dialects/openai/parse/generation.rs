//! What both endpoints' requests have in common: how to sample, when to stop, for whom and how soon.

use std::ops::RangeInclusive;
use std::sync::Arc;

use parkade_core::{Class, Request, RequestId, SamplingParams, TaskKind};
use serde_json::Value;

use crate::access::Identity;
use crate::dialects::fields::{Fields, describe, wrong_type};
use crate::dialects::openai::encode::{Form, Head};
use crate::dialects::openai::parse::{format, known_fields};
use crate::dialects::openai::service_tier;
use crate::generate::{Deadlines, ModelEntry, WantedFormat};
use crate::http::{ApiError, quote};

/// The most stop strings. OpenAI allows 4; agents' frameworks send more.
const MAX_STOPS: usize = 16;

/// What may be added to a token's logit.
const BIAS: RangeInclusive<f64> = -100.0..=100.0;

/// The longest `user`, in bytes.
const MAX_USER_BYTES: usize = 256;

/// The longest `cache_salt`, in bytes.
const MAX_SALT_BYTES: usize = 256;

/// The fields that both endpoints read alike.
#[derive(Debug, Clone, Default)]
pub(crate) struct Generation {
    pub sampling: SamplingParams,
    pub stop: Vec<String>,
    /// What the answers may be.
    pub format: Option<WantedFormat>,
    pub ignore_eos: bool,
    /// Answers to each prompt.
    pub n: usize,
    pub stream: bool,
    /// Whether a stream ends with a chunk that tells the usage.
    pub include_usage: bool,
    pub user: Option<String>,
    /// vLLM's `cache_salt`: only requests with the same share computed prompts.
    pub cache_salt: Option<String>,
    /// The class that it asks for.
    pub class: Option<Class>,
    /// vLLM's integer `priority`.
    pub rank: i64,
}

impl Generation {
    /// Reads the fields; ranges that the sampler defines are checked by the sampler's own rules.
    pub fn read(fields: &Fields<'_>, vocab: usize) -> Result<Self, ApiError> {
        let stream = fields.boolean("stream")?.unwrap_or(false);
        let n = fields.integer("n", 1..=Request::MAX_N)?.unwrap_or(1);
        refuse_best_of(fields, n)?;
        Ok(Self {
            sampling: sampling_of(fields, vocab)?,
            stop: stop(fields)?,
            format: format::read(fields)?,
            ignore_eos: fields.boolean("ignore_eos")?.unwrap_or(false),
            n,
            stream,
            include_usage: include_usage(fields, stream)?,
            user: user(fields)?,
            cache_salt: cache_salt(fields)?,
            class: fields.word("service_tier", service_tier::WORDS)?.flatten(),
            rank: fields.integer("priority", i64::MIN..=i64::MAX)?.unwrap_or(0),
        })
    }

    /// The form of an answer whose id begins with `prefix`.
    pub fn form(
        &self,
        (prefix, object): (&str, &'static str),
        model: &Arc<ModelEntry>,
        identity: &Identity,
        with_logprobs: bool,
    ) -> Form {
        let tier = service_tier::served(identity.class(self.class), model.engine.has_classes());
        Form {
            head: Head::new(prefix, object, model, tier),
            model: model.clone(),
            with_logprobs,
            // Whoever reads along with a stream finds what its own reader does; with a whole answer goes its usage.
            include_usage: self.include_usage || !self.stream,
        }
    }

    /// A request to the engine for one prompt.
    pub fn request(
        &self,
        id: String,
        prompt: Vec<parkade_model::TokenId>,
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
            format: None,
            ignore_eos: self.ignore_eos,
            spell_control: false,
            logprobs: None,
            n: self.n,
            echo_logprobs: false,
            tenant: identity.tenant(self.user.as_deref()),
            cache_scope: identity.cache_scope(self.cache_salt.as_deref()),
            class: identity.class(self.class),
            rank: self.rank,
            timeout: deadlines.timeout,
            ttft_slo: deadlines.ttft_slo,
            ..Request::new(String::new(), Vec::new())
        }
    }
}

fn refuse_best_of(fields: &Fields<'_>, n: usize) -> Result<(), ApiError> {
    match fields.integer("best_of", 1..=Request::MAX_N)? {
        Some(best_of) if best_of != n => Err(ApiError::unsupported(
            "best_of",
            format!("best_of is {best_of} and n is {n}; answers are not ranked here: leave best_of out or set it to n"),
        )),
        _ => Ok(()),
    }
}

/// The body's `model`.
pub(crate) fn model_name<'a>(fields: &Fields<'a>) -> Result<Option<&'a str>, ApiError> {
    fields.string("model")
}

pub(in crate::dialects) fn sampling_of(fields: &Fields<'_>, vocab: usize) -> Result<SamplingParams, ApiError> {
    let neutral = SamplingParams::default();
    let number = |field, default| Ok::<f32, ApiError>(fields.number(field)?.unwrap_or(default));
    let repetition = fields.alias(["repetition_penalty", "repeat_penalty"])?;
    let typical = fields.alias(["typical_p", "typ_p"])?;
    let params = SamplingParams {
        temperature: number("temperature", neutral.temperature)?,
        // 0 and -1 say "all tokens", and so does what is above any vocabulary.
        top_k: match fields.limit("top_k", 0)? {
            Some(k) => u32::try_from(k).unwrap_or(0),
            None => neutral.top_k,
        },
        top_p: number("top_p", neutral.top_p)?,
        min_p: number("min_p", neutral.min_p)?,
        typical_p: number(typical, neutral.typical_p)?,
        presence_penalty: number("presence_penalty", neutral.presence_penalty)?,
        frequency_penalty: number("frequency_penalty", neutral.frequency_penalty)?,
        repetition_penalty: number(repetition, neutral.repetition_penalty)?,
        logit_bias: logit_bias(fields, vocab)?,
        seed: seed(fields)?,
        ..SamplingParams::default()
    };
    params.validate(vocab).map_err(|mut problem| {
        problem.field = match problem.field {
            "repetition_penalty" => repetition,
            "typical_p" => typical,
            field => field,
        };
        // As it was sent, and not as it was rounded.
        if let Some(sent) = fields.get(problem.field).filter(|value| value.is_number()) {
            problem.value = sent.to_string();
        }
        ApiError::invalid_value(problem.field, problem.to_string())
    })?;
    Ok(if penalises_nothing(fields) { without_penalties(params) } else { params })
}

/// llama.cpp's `repeat_last_n` of 0: penalties look at no tokens.
fn penalises_nothing(fields: &Fields<'_>) -> bool {
    known_fields::PENALTY_WINDOWS.iter().any(|name| fields.get(name).and_then(Value::as_f64) == Some(0.0))
}

fn without_penalties(params: SamplingParams) -> SamplingParams {
    let SamplingParams { presence_penalty, frequency_penalty, repetition_penalty, .. } = SamplingParams::default();
    SamplingParams { presence_penalty, frequency_penalty, repetition_penalty, ..params }
}

/// The seed, any 64 bits. -1 asks for another one each time, as in llama.cpp and vLLM.
fn seed(fields: &Fields<'_>) -> Result<Option<u64>, ApiError> {
    let seed = fields.integer("seed", i128::from(i64::MIN)..=i128::from(u64::MAX))?;
    Ok(seed.filter(|&seed| seed != -1).map(|seed| seed as u64))
}

fn logit_bias(fields: &Fields<'_>, vocab: usize) -> Result<Vec<(parkade_model::TokenId, f32)>, ApiError> {
    // llama.cpp's default.
    if fields.get("logit_bias").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let Some(biases) = fields.object("logit_bias")? else {
        return Ok(Vec::new());
    };
    let read = |(token, bias): (&String, &Value)| {
        let id = token.parse().map_err(|_| {
            let message = format!(
                "logit_bias has the key {}; allowed: token ids as decimal strings, 0 to {}",
                quote(token),
                vocab.saturating_sub(1)
            );
            ApiError::invalid_value("logit_bias", message)
        })?;
        let path = || format!("logit_bias[{}]", quote(token));
        match bias.as_f64() {
            Some(number) if BIAS.contains(&number) => Ok((id, number as f32)),
            Some(_) => Err(ApiError::invalid_value(
                "logit_bias",
                format!("{} is {bias}; allowed: a number from -100 to 100", path()),
            )),
            None => Err(ApiError::invalid_type(
                "logit_bias",
                format!("{} is {}; allowed: a number from -100 to 100", path(), describe(bias)),
            )),
        }
    };
    biases.iter().map(read).collect()
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

/// Whether a tenant can have this name: at most 256 bytes without control characters.
#[must_use]
pub fn is_user(name: &str) -> bool {
    name.len() <= MAX_USER_BYTES && !name.chars().any(char::is_control)
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

pub(in crate::dialects) fn cache_salt(fields: &Fields<'_>) -> Result<Option<String>, ApiError> {
    match fields.string("cache_salt")? {
        Some(salt) if salt.is_empty() || salt.len() > MAX_SALT_BYTES => Err(ApiError::invalid_value(
            "cache_salt",
            format!("cache_salt has {} bytes; allowed: 1 to {MAX_SALT_BYTES}, or leave it out", salt.len()),
        )),
        salt => Ok(salt.map(str::to_owned)),
    }
}

/// An upper limit for the answer: OpenAI's two names and llama.cpp's, whose -1 is no limit. The engine cuts it to the room that
/// there is.
pub(crate) fn max_tokens(fields: &Fields<'_>, least: usize) -> Result<Option<usize>, ApiError> {
    fields.limit(fields.alias(["max_completion_tokens", "max_tokens", "n_predict"])?, least)
}
