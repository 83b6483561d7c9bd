//! The parts that all answers share, as they are written on the wire.

use parkade_core::Usage;
use serde::Serialize;
use uuid::Uuid;

use crate::generate::state::{ModelEntry, unix_seconds};

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

    /// The same head for the chunks of a stream.
    pub fn for_chunks(mut self, object: &'static str) -> Self {
        self.object = object;
        self
    }
}

/// An answer, or a chunk of one.
#[derive(Serialize)]
pub(crate) struct Answer<'a, Choices> {
    #[serde(flatten)]
    pub head: &'a Head,
    pub choices: Choices,
    /// `Some(None)` is written as `null`: a chunk before the one that tells the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<UsageBody>>,
}

/// OpenAI's `usage`.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct UsageBody {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptTokensDetails,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct PromptTokensDetails {
    cached_tokens: usize,
}

impl From<&Usage> for UsageBody {
    fn from(usage: &Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
            prompt_tokens_details: PromptTokensDetails { cached_tokens: usage.cached_tokens },
        }
    }
}
