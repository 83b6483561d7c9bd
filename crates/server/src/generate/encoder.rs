//! How answers are written: what a dialect brings for each of its operations.

use std::sync::Arc;

use parkade_core::{EndToken, Event, FinishReason, TokenLogprob, Usage};
use parkade_model::TokenId;

use crate::generate::kept::Kept;
use crate::http::{ApiError, Frames};

/// Writes the answer to one HTTP request.
pub(crate) trait Encoder: Send + Sync {
    /// A whole answer as JSON; `answers` has one entry for each prompt.
    fn whole(&self, answers: &[CollectedPrompt], usage: &Usage) -> serde_json::Result<Vec<u8>>;
    /// The writer of a stream of it. There is one for each reader.
    fn chunks(self: Arc<Self>) -> Box<dyn ChunkEncoder>;
    /// About as many bytes as it holds of its request. What is large is forgotten at the answer's end, so that nobody can attach any more.
    fn bytes(&self) -> usize {
        0
    }
    /// What the answer is at its beginning, if it is to be computed whether or not somebody reads it.
    fn begun(&self) -> Option<Kept> {
        None
    }
    /// What is kept of the answer, if something is: asked for when its end has been written.
    fn kept(&self) -> Option<Kept> {
        None
    }
    /// What has become of it, in the words of events: `response.completed`.
    fn outcome(&self) -> &'static str {
        ""
    }
}

/// Turns the engine's events into chunks.
pub(crate) trait ChunkEncoder: Send {
    /// What comes before the first event.
    fn open(&mut self, frames: &mut Frames);
    /// One event of the prompt with this number.
    fn event(&mut self, prompt: usize, event: Event, frames: &mut Frames);
    /// What comes after the last event of a stream that was complete.
    fn close(&mut self, usage: &Usage, frames: &mut Frames);
    /// What tells of a failure; nothing follows it.
    fn error(&mut self, error: &ApiError, frames: &mut Frames);
}

/// One answer, collected to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collected {
    pub text: String,
    /// How long the text was after each token.
    pub token_ends: Vec<usize>,
    pub logprobs: Vec<TokenLogprob>,
    pub reason: Option<FinishReason>,
    pub stop_string: Option<String>,
    /// The token that ended it.
    pub end_token: Option<EndToken>,
    /// All that was generated, the token that ended it included.
    pub tokens: Vec<TokenId>,
}

/// All answers to one prompt.
#[derive(Debug, Clone, Default)]
pub(crate) struct CollectedPrompt {
    pub choices: Vec<Collected>,
    pub prompt_logprobs: Vec<Option<TokenLogprob>>,
}
