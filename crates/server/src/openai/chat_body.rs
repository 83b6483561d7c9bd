//! The answers of `/v1/chat/completions` on the wire, whole and streamed.

use std::sync::Arc;

use parkade_core::{Event, TokenLogprob, Usage};
use serde::Serialize;

use crate::openai::answers::CollectedPrompt;
use crate::openai::logprobs::ChatLogprobs;
use crate::openai::types::{Answer, Head, UsageBody};
use crate::sse::{Encoder, Frames};
use crate::state::ModelEntry;

const ASSISTANT: &str = "assistant";

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    message: Message<'a>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    /// vLLM's field: the stop string that ended the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<()>,
}

/// A whole answer.
pub(crate) fn whole(
    head: &Head,
    model: &ModelEntry,
    with_logprobs: bool,
    answer: &CollectedPrompt,
    usage: &Usage,
) -> serde_json::Result<Vec<u8>> {
    let choices: Vec<_> = answer
        .choices
        .iter()
        .enumerate()
        .map(|(index, choice)| Choice {
            index,
            message: Message { role: ASSISTANT, content: &choice.text, refusal: None },
            logprobs: with_logprobs.then(|| ChatLogprobs::new(&model.tokenizer, &choice.logprobs)),
            finish_reason: choice.reason.map(|reason| reason.name()),
            stop_reason: choice.stop_string.as_deref(),
        })
        .collect();
    serde_json::to_vec(&Answer { head, choices, usage: Some(Some(UsageBody::from(usage))) })
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    delta: Delta<'a>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'a str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

/// Writes the chunks of a streamed answer.
pub(crate) struct ChatEncoder {
    head: Head,
    model: Arc<ModelEntry>,
    include_usage: bool,
    with_logprobs: bool,
    /// For each choice the log-probabilities of tokens whose text is not complete yet.
    held: Vec<Vec<TokenLogprob>>,
}

impl ChatEncoder {
    /// For an answer with `n` choices.
    pub fn new(head: Head, model: Arc<ModelEntry>, n: usize, with_logprobs: bool, include_usage: bool) -> Self {
        Self {
            head: head.for_chunks("chat.completion.chunk"),
            model,
            include_usage,
            with_logprobs,
            held: vec![Vec::new(); n],
        }
    }

    fn chunk(&self, frames: &mut Frames, choice: ChunkChoice<'_>) {
        frames.data(&Answer { head: &self.head, choices: [choice], usage: self.include_usage.then_some(None) });
    }

    fn content(&mut self, frames: &mut Frames, index: usize, text: &str) {
        let held = std::mem::take(&mut self.held[index]);
        if text.is_empty() && held.is_empty() {
            return;
        }
        let logprobs = self.with_logprobs.then(|| ChatLogprobs::new(&self.model.tokenizer, &held));
        self.chunk(
            frames,
            ChunkChoice {
                index,
                delta: Delta { role: None, content: Some(text) },
                logprobs,
                finish_reason: None,
                stop_reason: None,
            },
        );
    }
}

impl Encoder for ChatEncoder {
    fn open(&mut self, frames: &mut Frames) {
        for index in 0..self.held.len() {
            let delta = Delta { role: Some(ASSISTANT), content: Some("") };
            self.chunk(frames, ChunkChoice { index, delta, logprobs: None, finish_reason: None, stop_reason: None });
        }
    }

    fn event(&mut self, _: usize, event: Event, frames: &mut Frames) {
        match event {
            Event::Token { index, text, logprob, .. } => {
                self.held[index].extend(logprob);
                if !text.is_empty() {
                    self.content(frames, index, &text);
                }
            }
            Event::Finished { index, reason, text, stop_string } => {
                self.content(frames, index, &text);
                self.chunk(
                    frames,
                    ChunkChoice {
                        index,
                        delta: Delta::default(),
                        logprobs: None,
                        finish_reason: Some(reason.name()),
                        stop_reason: stop_string.as_deref(),
                    },
                );
            }
            Event::PromptLogprobs(_) | Event::Done(_) | Event::Failed(_) => {}
        }
    }

    fn close(&mut self, usage: &Usage, frames: &mut Frames) {
        if self.include_usage {
            frames.data(&Answer { head: &self.head, choices: [(); 0], usage: Some(Some(UsageBody::from(usage))) });
        }
    }
}
