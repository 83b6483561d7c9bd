//! What a request's stream delivers.

use std::time::Duration;

use parkade_model::TokenId;

/// One piece of an answer. A stream ends with exactly one [`Event::Done`] or [`Event::Failed`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The log-probabilities of the prompt's own tokens, once, before the first token. The first is `None`: nothing comes before it.
    PromptLogprobs(Vec<Option<TokenLogprob>>),
    /// More of the prompt is computed, if that was [asked for](crate::Request::progress): before anything of it is, and after each step.
    PromptProgress(PromptProgress),
    /// What the model makes of the text, once: its embedding, as long as the model gives it, or its scores.
    Embedding(Vec<f32>),
    /// One token of one answer.
    Token {
        /// Which of the `n` answers.
        index: usize,
        /// The token.
        id: TokenId,
        /// Text that became complete with it. It may be empty: a character may need several tokens, and text that may be the
        /// beginning of a stop string is held back.
        text: String,
        /// Its log-probability, if it was asked for.
        logprob: Option<TokenLogprob>,
    },
    /// One answer is complete.
    Finished {
        /// Which of the `n` answers.
        index: usize,
        /// Why it ended.
        reason: FinishReason,
        /// Text that had been held back.
        text: String,
        /// The stop string that ended it.
        stop_string: Option<String>,
        /// The token that ended it, if one did.
        end_token: Option<EndToken>,
    },
    /// All answers are complete. The last event.
    Done(Usage),
    /// The request failed as a whole. The last event.
    Failed(RequestError),
}

impl Event {
    /// Whether nothing comes after it.
    pub fn is_last(&self) -> bool {
        matches!(self, Event::Done(_) | Event::Failed(_))
    }
}

/// How much of a prompt is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptProgress {
    /// Tokens of the prompt.
    pub tokens: usize,
    /// Of these, the ones that came from the prefix cache.
    pub cached: usize,
    /// How many are there, those from the cache included.
    pub computed: usize,
}

/// A token that ended an answer: one of the model's own ends, or of the request's [stop tokens](crate::Request::stop_tokens).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndToken {
    /// The token.
    pub id: TokenId,
    /// Whether it is a part of the answer, and had its own [`Event::Token`].
    pub is_said: bool,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended its text, or a stop string appeared.
    Stop,
    /// `max_tokens` or the end of the context.
    Length,
}

impl FinishReason {
    /// OpenAI's `finish_reason`.
    pub fn name(self) -> &'static str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        }
    }
}

/// The log-probability of a token: the natural logarithm of the model's own probability, before bias, penalties, temperature and filters.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub id: TokenId,
    /// Its log-probability.
    pub logprob: f32,
    /// The likeliest tokens with theirs, likeliest first, the lower id first among equals.
    pub top: Vec<(TokenId, f32)>,
}

/// What a request used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were generated, over all answers, end-of-text tokens included.
    pub completion_tokens: usize,
    /// Tokens of the prompt that came from the prefix cache.
    pub cached_tokens: usize,
    /// From the submission to the admission.
    pub queue: Duration,
    /// From the submission to the first token, if there was one.
    pub first_token: Option<Duration>,
    /// From the submission to the end.
    pub total: Duration,
    /// How often it was parked.
    pub parked: u32,
}

/// Why a request that had been taken failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Somebody cancelled it.
    #[error("the request was cancelled")]
    Cancelled,
    /// A newer request of its sender has taken its place.
    #[error("a newer request of the same sender has taken the place of this one")]
    Superseded,
    /// Its deadline passed.
    #[error("the deadline of {} ms passed before the answer was complete", .allowed.as_millis())]
    Deadline {
        /// How long it had.
        allowed: Duration,
    },
    /// There is not enough memory for its keys and values, and never will be.
    #[error("the answer grew beyond the memory that the server has for it; ask for fewer tokens")]
    NoRoom,
    /// The model gave logits, or an embedding, that are no numbers.
    #[error(
        "the model computed values that are no numbers (NaN) or infinite for this request; if it does so for others too its weights are \
         damaged: download or convert its file again"
    )]
    NoLogits,
    /// The forward pass that it was part of failed.
    #[error("the forward pass failed: {message}")]
    Forward {
        /// What the backend said.
        message: String,
    },
    /// Choosing its next token, or turning it into text, panicked: a fault of the engine's own.
    #[error("choosing the next token panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// Its tokens could not be turned into text.
    #[error("token {id} could not be turned into text: {message}")]
    Text {
        /// The token.
        id: TokenId,
        /// What went wrong.
        message: String,
    },
    /// Its answer cannot go on in the format that was asked for, within the limits of what that may cost.
    #[error("the answer could not go on in the format that was asked for: {message}")]
    Format {
        /// What went wrong.
        message: String,
    },
    /// The server was shut down before it was complete.
    #[error("the server shut down before the answer was complete")]
    ShuttingDown,
    /// The engine ended by a fault of its own.
    #[error("the engine stopped before the answer was complete")]
    Stopped,
}

impl RequestError {
    /// The error's name, as it is written in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            RequestError::Cancelled => "abort",
            RequestError::Superseded => "superseded",
            RequestError::Deadline { .. } => "expired",
            RequestError::ShuttingDown => "shutdown",
            RequestError::NoRoom
            | RequestError::NoLogits
            | RequestError::Forward { .. }
            | RequestError::Text { .. }
            | RequestError::Format { .. }
            | RequestError::Panicked { .. }
            | RequestError::Stopped => "error",
        }
    }
}
