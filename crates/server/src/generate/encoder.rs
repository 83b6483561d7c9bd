//! How answers are written: what a dialect brings for each of its operations.

use std::sync::Arc;

use parkade_core::{EndToken, Event, FinishReason, TokenLogprob, Usage};
use parkade_model::TokenId;
use serde_json::Value;

use crate::generate::event_log::EventLog;
use crate::generate::kept::Job;
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
    /// An answer in the background is over, and all its events are written.
    fn settled(&self) {}
    /// What is answered at once, if the answer is to be computed whether or not somebody reads it: its events are written to the log.
    fn in_background(&self, job: Arc<dyn Job>, log: &Arc<EventLog>) -> Option<Value> {
        let _ = (job, log);
        None
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
