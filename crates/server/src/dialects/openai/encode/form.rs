//! What all answers share, as it is written on the wire.

use std::borrow::Borrow;
use std::sync::Arc;

use parkade_core::{PromptProgress, TokenLogprob, Usage};
use parkade_model::TokenId;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::details::{self, Detailed, Meter, Verbose};
use super::unsent::Unsent;
use crate::access::Identity;
use crate::dialects::progress::PromptReport;
use crate::dialects::request::{Details, Generation, service_tier};
use crate::dialects::timings::Timings;
use crate::generate::{CollectedPrompt, ModelEntry, unix_seconds};
use crate::http::Frames;

/// What stands at the head of an answer and of each chunk of a streamed one.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Head {
    /// The same over all chunks.
    pub id: String,
    pub object: &'static str,
    pub created: u64,
    pub model: String,
    /// The tier that was served.
    pub service_tier: &'static str,
    pub system_fingerprint: String,
}

impl Head {
    /// The head of a new answer; `prefix` is `chatcmpl` or `cmpl`.
    pub fn new(prefix: &str, object: &'static str, model: &ModelEntry, service_tier: &'static str) -> Self {
        Self {
            id: format!("{prefix}-{}", Uuid::new_v4().simple()),
            object,
            created: unix_seconds(),
            model: model.name.clone(),
            service_tier,
            system_fingerprint: model.fingerprint.clone(),
        }
    }
}

/// What an answer says besides its choices, and what is wanted of it.
#[derive(Clone)]
pub(crate) struct Form {
    pub head: Head,
    pub model: Arc<ModelEntry>,
    pub with_logprobs: bool,
    /// Whether control tokens are spelled in the text.
    pub spell_control: bool,
    /// Whether a stream ends with a chunk that tells the usage.
    pub include_usage: bool,
    pub details: Details,
    /// Whether what is said of prompts stands in the choices, as for texts, or beside them, as for chats.
    pub prompts_in_choices: bool,
}

impl Form {
    /// Of an answer to what a body says, whose id begins with `prefix`.
    pub fn of(
        wanted: &Generation,
        (prefix, object): (&str, &'static str),
        model: &Arc<ModelEntry>,
        identity: &Identity,
        with_logprobs: bool,
    ) -> Self {
        let tier = service_tier::served(identity.class(wanted.class), model.engine.has_classes());
        Self {
            head: Head::new(prefix, object, model, tier),
            model: model.clone(),
            with_logprobs,
            spell_control: wanted.spell_control,
            // Whoever reads along with a stream finds what its own reader does; with a whole answer goes its usage.
            include_usage: wanted.include_usage || !wanted.stream,
            details: Details { prompt_logprobs: wanted.prompt_logprobs.is_some(), ..wanted.details.clone() },
            prompts_in_choices: object == "text_completion",
        }
    }

    /// A whole answer. The choices are those of the `answers`, in their order.
    pub fn whole<Choice: Serialize>(
        &self,
        choices: Vec<Choice>,
        answers: &[CollectedPrompt],
        usage: &Usage,
        thought_tokens: Option<usize>,
    ) -> serde_json::Result<Vec<u8>> {
        let of_prompt = |number: usize| {
            let logprobs = answers.get(number).filter(|_| self.details.prompt_logprobs);
            logprobs.map(|answer| details::prompt_logprobs(&self.model.tokenizer, &answer.prompt_logprobs))
        };
        let all = answers.iter().enumerate();
        let places = all.flat_map(|(number, answer)| answer.choices.iter().map(move |choice| (number, choice)));
        let choices: Vec<_> = choices
            .into_iter()
            .zip(places)
            .map(|(choice, (number, collected))| Detailed {
                choice,
                token_ids: self.details.token_ids.then(|| collected.tokens.clone()),
                prompt_token_ids: self.details.prompt(number).filter(|_| self.prompts_in_choices),
                prompt_logprobs: self.prompts_in_choices.then(|| of_prompt(number)).flatten(),
            })
            .collect();
        serde_json::to_vec(&Answer {
            head: &self.head,
            choices,
            usage: Some(Some(UsageBody::new(usage, thought_tokens))),
            timings: Some(Timings::of(usage)),
            prompt_token_ids: self.details.prompt(0).filter(|_| !self.prompts_in_choices),
            prompt_logprobs: (!self.prompts_in_choices).then(|| of_prompt(0)).flatten(),
            verbose: details::verbosity(&self.details),
            prompt_progress: None,
        })
    }

    /// What measures a stream of so many choices.
    pub fn meter(&self, choices: usize) -> Meter {
        Meter::new(&self.details, choices)
    }

    /// Where the tokens of an answer stand that follows so many characters.
    pub fn unsent<T: Borrow<TokenLogprob>>(&self, characters: usize) -> Unsent<T> {
        Unsent::after(characters, self.spell_control)
    }

    /// A chunk with one choice, that of this number, which is one of the answers to the prompt of that number.
    pub fn chunk(
        &self,
        meter: &mut Meter,
        (prompt, index): (usize, usize),
        choice: impl Serialize,
        frames: &mut Frames,
    ) {
        let (tokens, is_first) = meter.take(index);
        let prompt_token_ids = self.details.prompt(prompt).filter(|_| is_first);
        let usage = self.details.continuous_usage.then(|| UsageBody::new(&meter.usage(), None));
        let choice = Detailed {
            choice,
            token_ids: self.details.token_ids.then_some(tokens),
            prompt_token_ids: prompt_token_ids.filter(|_| self.prompts_in_choices),
            prompt_logprobs: None,
        };
        frames.data(&Answer {
            head: &self.head,
            choices: [choice],
            usage: self.include_usage.then_some(usage),
            timings: self.details.timings_per_token.then(|| meter.timings()).flatten(),
            prompt_token_ids: prompt_token_ids.filter(|_| !self.prompts_in_choices),
            prompt_logprobs: None,
            verbose: None,
            prompt_progress: None,
        });
    }

    /// A chunk that tells how much of a prompt is computed.
    pub fn progress(&self, meter: &Meter, told: &PromptProgress, frames: &mut Frames) {
        frames.data(&Answer {
            head: &self.head,
            choices: [(); 0],
            usage: self.include_usage.then_some(None),
            timings: None,
            prompt_token_ids: None,
            prompt_logprobs: None,
            verbose: None,
            prompt_progress: Some(meter.progress(told)),
        });
    }

    /// What ends a stream that was complete.
    pub fn close(&self, usage: &Usage, thought_tokens: Option<usize>, frames: &mut Frames) {
        if self.include_usage {
            let (used, usage) = (usage, UsageBody::new(usage, thought_tokens));
            frames.data(&Answer {
                head: &self.head,
                choices: [(); 0],
                usage: Some(Some(usage)),
                timings: Some(Timings::of(used)),
                prompt_token_ids: None,
                prompt_logprobs: None,
                verbose: None,
                prompt_progress: None,
            });
        }
        frames.text("[DONE]");
    }
}

/// An answer, or a chunk of one.
#[derive(Serialize)]
struct Answer<'a, Choices> {
    #[serde(flatten)]
    head: &'a Head,
    choices: Choices,
    /// `Some(None)` is written as `null`: a chunk before the one that tells the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<UsageBody>>,
    /// llama.cpp's.
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<Timings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<&'a [TokenId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_logprobs: Option<Value>,
    #[serde(rename = "__verbose", skip_serializing_if = "Option::is_none")]
    verbose: Option<Verbose<'a>>,
    /// llama.cpp's.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_progress: Option<PromptReport>,
}

/// OpenAI's `usage`.
#[derive(Debug, Clone, Copy, Serialize)]
struct UsageBody {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptTokensDetails,
    /// Of chats alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionTokensDetails>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct PromptTokensDetails {
    cached_tokens: usize,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct CompletionTokensDetails {
    reasoning_tokens: usize,
}

impl UsageBody {
    fn new(usage: &Usage, thought_tokens: Option<usize>) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
            prompt_tokens_details: PromptTokensDetails { cached_tokens: usage.cached_tokens },
            completion_tokens_details: thought_tokens
                .map(|reasoning_tokens| CompletionTokensDetails { reasoning_tokens }),
        }
    }
}
