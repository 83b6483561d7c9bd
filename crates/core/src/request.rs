//! What a caller asks of the engine.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parkade_grammar::Grammar;
use parkade_model::{Embedder, Embeds, TokenId};
use parkade_pool::Class;

use crate::refusal::Refusal;
use crate::sampling::SamplingParams;

/// The name of a request, chosen by the caller and unique among the live requests of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for RequestId {
    fn from(name: &str) -> Self {
        RequestId(name.to_owned())
    }
}

/// Who may share computed prompts. Requests of one scope find each other's keys and values again; those of two scopes never do, so that
/// nobody learns from a quick answer what somebody else has asked.
///
/// ```
/// use parkade_core::CacheScope;
///
/// let everybody = CacheScope::default();
/// let ada = everybody.within("key", "ada");
/// assert_ne!(ada, everybody);
/// assert_ne!(ada, everybody.within("group", "ada"));
/// assert_ne!(ada, ada.within("salt", "a secret"));
/// assert_eq!(ada, CacheScope::default().within("key", "ada"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CacheScope(Option<Arc<Level>>);

/// A scope inside another one. Kind and name are kept apart, so that no name can be made to look like another kind of scope.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Level {
    outer: CacheScope,
    kind: &'static str,
    name: String,
}

impl CacheScope {
    /// The scope inside this one that has this name among those of its kind.
    #[must_use]
    pub fn within(&self, kind: &'static str, name: &str) -> CacheScope {
        CacheScope(Some(Arc::new(Level { outer: self.clone(), kind, name: name.to_owned() })))
    }
}

/// What is wanted of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskKind {
    /// Tokens that go on with it.
    #[default]
    Generate,
    /// Its embedding.
    Embed,
    /// The scores of the query and the document that were joined to it.
    Rank,
}

impl TaskKind {
    /// What a model does with texts.
    pub fn of(embedder: Option<Embedder>) -> TaskKind {
        match embedder.map(|embedder| embedder.embeds) {
            None => TaskKind::Generate,
            Some(Embeds::Texts) => TaskKind::Embed,
            Some(Embeds::Scores) => TaskKind::Rank,
        }
    }

    /// What a model for it does, in words.
    pub fn verb(self) -> &'static str {
        match self {
            TaskKind::Generate => "generates text",
            TaskKind::Embed => "gives embeddings",
            TaskKind::Rank => "ranks documents",
        }
    }
}

/// One request: a prompt and how to continue it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The name under which it can be cancelled and asked for.
    pub id: RequestId,
    /// What is wanted of the prompt. All that concerns an answer's tokens holds for [`TaskKind::Generate`] alone.
    pub task: TaskKind,
    /// The prompt as tokens; at least one.
    pub prompt: Vec<TokenId>,
    /// How the next token is chosen.
    pub sampling: SamplingParams,
    /// The longest answer in tokens; `None` goes on to the end of the context, 0 only reads the prompt.
    pub max_tokens: Option<usize>,
    /// Strings that end the answer. They are not part of the text that is delivered, unless [`keep_stop`](Self::keep_stop) says so.
    pub stop: Vec<String>,
    /// Tokens that end the answer, besides the model's own. Their text is delivered with [`keep_stop`](Self::keep_stop) only.
    pub stop_tokens: Vec<TokenId>,
    /// Delivers the stop string, or the text of the one of [`stop_tokens`](Self::stop_tokens), that ended the answer.
    pub keep_stop: bool,
    /// No stop string, and no token that ends an answer, does so before the answer has so many tokens; unless nothing else may come.
    pub min_tokens: usize,
    /// What its answers may be, compiled for the engine's vocabulary ([`Engine::compile`](crate::Engine::compile)). A text that is whole ends.
    pub format: Option<Arc<Grammar>>,
    /// Takes the model's end-of-text tokens for ordinary ones, except where a [`format`](Self::format) lets a text end.
    pub ignore_eos: bool,
    /// Writes control tokens into the text as the vocabulary spells them (`<|im_start|>`), except the one that ends the answer.
    pub spell_control: bool,
    /// `Some(n)`: each token comes with its log-probability and those of the `n` likeliest tokens.
    pub logprobs: Option<usize>,
    /// Whether these are those of the distribution that was drawn from, behind bias, penalties, temperature and filters, instead of the model's
    /// own; what has no chance is left out.
    pub sampled_logprobs: bool,
    /// How many answers to the one prompt; they share the prompt's memory.
    pub n: usize,
    /// `Some(n)`: also deliver the log-probabilities of the prompt's own tokens ([`Event::PromptLogprobs`](crate::Event::PromptLogprobs)), with
    /// those of the `n` likeliest in each place.
    pub prompt_logprobs: Option<usize>,
    /// Whether it is told while the prompt is computed ([`Event::PromptProgress`](crate::Event::PromptProgress)).
    pub progress: bool,
    /// On whose account it runs.
    pub tenant: String,
    /// With whom it shares computed prompts; with everybody who has the same.
    pub cache_scope: CacheScope,
    /// Its class.
    pub class: Class,
    /// Its place inside its class, lower first (vLLM's integer `priority`).
    pub rank: i64,
    /// The whole answer must be there this long after the submission.
    pub timeout: Option<Duration>,
    /// The first token should be there this long after the submission.
    pub ttft_slo: Option<Duration>,
}

impl Request {
    /// The most stop strings that a request may name.
    pub const MAX_STOPS: usize = 64;
    /// The most [`stop_tokens`](Request::stop_tokens).
    pub const MAX_STOP_TOKENS: usize = 1024;
    /// The longest stop string, in bytes.
    pub const MAX_STOP_BYTES: usize = 4096;
    /// The most answers to one prompt.
    pub const MAX_N: usize = 128;
    /// The most alternatives that [`logprobs`](Request::logprobs) can name.
    pub const MAX_LOGPROBS: usize = 100;

    /// A request with the defaults of OpenAI's API: temperature 1, one answer, no limit but the context.
    pub fn new(id: impl Into<String>, prompt: Vec<TokenId>) -> Self {
        Request {
            id: RequestId(id.into()),
            task: TaskKind::Generate,
            prompt,
            sampling: SamplingParams::default(),
            max_tokens: None,
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            keep_stop: false,
            min_tokens: 0,
            format: None,
            ignore_eos: false,
            spell_control: false,
            logprobs: None,
            sampled_logprobs: false,
            n: 1,
            prompt_logprobs: None,
            progress: false,
            tenant: String::new(),
            cache_scope: CacheScope::default(),
            class: Class::default(),
            rank: 0,
            timeout: None,
            ttft_slo: None,
        }
    }

    /// Refuses what a model that does `can` has not learnt.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with what the model does instead.
    pub(crate) fn check_task(&self, can: TaskKind) -> Result<(), Refusal> {
        if self.task == can {
            return Ok(());
        }
        let (can, wanted) = (can.verb(), self.task.verb());
        Err(Refusal::invalid("model", format!("the model {can}; this request is for one that {wanted}")))
    }

    /// The longest answer in tokens that is asked for; `None` if there is no limit.
    pub(crate) fn longest_answer(&self) -> Option<usize> {
        if self.task == TaskKind::Generate { self.max_tokens } else { Some(0) }
    }

    /// Checks everything that can be judged without the engine's state: ranges, sizes, token ids against a vocabulary of `vocab`.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with the field, the value and what is allowed.
    pub fn validate(&self, vocab: usize) -> Result<(), Refusal> {
        if self.prompt.is_empty() {
            return Err(Refusal::invalid("prompt", "the prompt has no tokens; it must have at least one"));
        }
        if let Some(id) = self.prompt.iter().find(|&&id| id as usize >= vocab) {
            return Err(Refusal::invalid(
                "prompt",
                format!("token id {id} is not in the vocabulary (0 to {})", vocab.saturating_sub(1)),
            ));
        }
        within("n", self.n, 1, if self.task == TaskKind::Generate { Self::MAX_N } else { 1 })?;
        within("stop", self.stop.len(), 0, Self::MAX_STOPS)?;
        if self.stop.iter().any(String::is_empty) {
            return Err(Refusal::invalid("stop", "a stop string is empty; each must have at least one character"));
        }
        if let Some(long) = self.stop.iter().map(String::len).find(|&len| len > Self::MAX_STOP_BYTES) {
            return Err(Refusal::invalid(
                "stop",
                format!("a stop string has {long} bytes; at most {} are allowed", Self::MAX_STOP_BYTES),
            ));
        }
        within("stop_token_ids", self.stop_tokens.len(), 0, Self::MAX_STOP_TOKENS)?;
        if let Some(id) = self.stop_tokens.iter().find(|&&id| id as usize >= vocab) {
            return Err(Refusal::invalid(
                "stop_token_ids",
                format!("token id {id} is not in the vocabulary (0 to {})", vocab.saturating_sub(1)),
            ));
        }
        if let Some(most) = self.max_tokens.filter(|&most| most < self.min_tokens) {
            let message = format!("min_tokens is {}; it must be at most max_tokens, {most}", self.min_tokens);
            return Err(Refusal::invalid("min_tokens", message));
        }
        if self.format.is_some() && self.sampling.allowed_tokens.is_some() {
            // A format may need a token that is not among them, and the answer could not go on.
            return Err(Refusal::invalid(
                "allowed_token_ids",
                "allowed_token_ids cannot be combined with a format of the answer; leave one of them out",
            ));
        }
        if let Some(format) = self.format.as_ref().filter(|format| format.vocab() > vocab) {
            let message = format!("the format was compiled for {} tokens, and the model has {vocab}", format.vocab());
            return Err(Refusal::invalid("format", message));
        }
        if let Some(count) = self.logprobs {
            within("logprobs", count, 0, Self::MAX_LOGPROBS)?;
        }
        if let Some(count) = self.prompt_logprobs {
            within("prompt_logprobs", count, 0, Self::MAX_LOGPROBS)?;
        }
        self.sampling.validate(vocab).map_err(|problem| Refusal::invalid(problem.field, problem.to_string()))
    }
}

fn within(field: &'static str, value: usize, least: usize, most: usize) -> Result<(), Refusal> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let what = match field {
        "stop" => "the number of stop strings",
        "stop_token_ids" => "the number of stop tokens",
        field => field,
    };
    Err(Refusal::invalid(field, format!("{what} is {value}; it must be from {least} to {most}")))
}
