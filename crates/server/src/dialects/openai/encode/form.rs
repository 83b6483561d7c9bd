//! What all answers share, as it is written on the wire.

use std::borrow::Borrow;
use std::sync::Arc;

use parkade_core::{TokenLogprob, Usage};
use serde::Serialize;
use uuid::Uuid;

use super::unsent::Unsent;
use crate::generate::{ModelEntry, unix_seconds};
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
}

impl Form {
    /// A whole answer.
    pub fn whole(
        &self,
        choices: impl Serialize,
        usage: &Usage,
        thought_tokens: Option<usize>,
    ) -> serde_json::Result<Vec<u8>> {
        let usage = UsageBody::new(usage, thought_tokens);
        serde_json::to_vec(&Answer { head: &self.head, choices, usage: Some(Some(usage)) })
    }

    /// Where the tokens of an answer stand that follows so many characters.
    pub fn unsent<T: Borrow<TokenLogprob>>(&self, characters: usize) -> Unsent<T> {
        Unsent::after(characters, self.spell_control)
    }

    /// A chunk with one choice.
    pub fn chunk(&self, choice: impl Serialize, frames: &mut Frames) {
        frames.data(&Answer { head: &self.head, choices: [choice], usage: self.include_usage.then_some(None) });
    }

    /// What ends a stream that was complete.
    pub fn close(&self, usage: &Usage, thought_tokens: Option<usize>, frames: &mut Frames) {
        if self.include_usage {
            let usage = UsageBody::new(usage, thought_tokens);
            frames.data(&Answer { head: &self.head, choices: [(); 0], usage: Some(Some(usage)) });
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
