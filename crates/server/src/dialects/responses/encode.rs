//! The answers of `/v1/responses` on the wire.

use std::sync::Arc;

use parkade_core::{FinishReason, Usage};

use super::response::Responses;
use super::writer::Writer;
use crate::dialects::chat::{Answered, Part};
use crate::generate::{ChunkEncoder, CollectedPrompt, Encoder, Kept, events};

impl Encoder for Responses {
    fn whole(&self, answers: &[CollectedPrompt], usage: &Usage) -> serde_json::Result<Vec<u8>> {
        let choice = answers.first().and_then(|answer| answer.choices.first());
        let mut answered = choice.map(|choice| Answered::of(&self.reading, choice)).unwrap_or_default();
        if answered.parts.is_empty() {
            answered.parts.push(Part::Text(String::new()));
        }
        let cut = choice.is_some_and(|choice| choice.reason == Some(FinishReason::Length));
        serde_json::to_vec(&self.ended(&answered, cut, usage))
    }

    fn chunks(self: Arc<Self>) -> Box<dyn ChunkEncoder> {
        Box::new(Writer::new(self))
    }

    /// It is asked for, continued and streamed by its own paths, and not by its request's.
    fn bytes(&self) -> usize {
        usize::MAX
    }

    fn begun(&self) -> Option<Kept> {
        let keeper = self.keeper.as_ref().filter(|_| self.background)?;
        Some(keeper.begun(&self.id, self.body("queued", Vec::new(), None)))
    }

    fn kept(&self) -> Option<Kept> {
        self.keeper.as_ref()?.ended(&self.id)
    }

    fn outcome(&self) -> &'static str {
        let body = self.keeper.as_ref().and_then(|keeper| keeper.end.get());
        events::of_response(body.and_then(|body| body["status"].as_str()).unwrap_or_default())
    }
}
