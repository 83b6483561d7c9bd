//! The answers of `/v1/chat/completions` on the wire, whole and streamed.

use std::sync::Arc;

use parkade_core::{Event, TokenLogprob, Usage};
use serde::Serialize;

use crate::dialects::openai::encode::logprobs::ChatLogprobs;
use crate::dialects::openai::encode::types::{Answer, Head, UsageBody};
use crate::dialects::openai::encode::unsent::Unsent;
use crate::generate::answers::CollectedPrompt;
use crate::generate::state::ModelEntry;
use crate::generate::stream::{Encoder, Frames};

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
            logprobs: with_logprobs.then(|| {
                let mut unsent = Unsent::after(0);
                choice.logprobs.iter().for_each(|token| unsent.push(&model.tokenizer, token));
                let covered = unsent.finish(&choice.text, choice.stop_string.is_some());
                ChatLogprobs::new(&model.tokenizer, covered.map(|(_, token)| token))
            }),
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
    /// One for each choice.
    unsent: Vec<Unsent<TokenLogprob>>,
}

impl ChatEncoder {
    /// For an answer with `n` choices.
    pub fn new(head: Head, model: Arc<ModelEntry>, n: usize, with_logprobs: bool, include_usage: bool) -> Self {
        Self {
            head: head.for_chunks("chat.completion.chunk"),
            model,
            include_usage,
            with_logprobs,
            unsent: vec![Unsent::default(); n],
        }
    }

    fn chunk(&self, frames: &mut Frames, choice: ChunkChoice<'_>) {
        frames.data(&Answer { head: &self.head, choices: [choice], usage: self.include_usage.then_some(None) });
    }

    fn content(&self, frames: &mut Frames, index: usize, text: &str, covered: &[TokenLogprob]) {
        if text.is_empty() && covered.is_empty() {
            return;
        }
        let logprobs = self.with_logprobs.then(|| ChatLogprobs::new(&self.model.tokenizer, covered));
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
        for index in 0..self.unsent.len() {
            let delta = Delta { role: Some(ASSISTANT), content: Some("") };
            self.chunk(frames, ChunkChoice { index, delta, logprobs: None, finish_reason: None, stop_reason: None });
        }
    }

    fn event(&mut self, _: usize, event: Event, frames: &mut Frames) {
        match event {
            Event::Token { index, text, logprob, .. } => {
                if let Some(token) = logprob {
                    self.unsent[index].push(&self.model.tokenizer, token);
                }
                if !text.is_empty() {
                    let covered = self.unsent[index].release(&text);
                    let covered: Vec<_> = covered.into_iter().map(|(_, token)| token).collect();
                    self.content(frames, index, &text, &covered);
                }
            }
            Event::Finished { index, reason, text, stop_string } => {
                let covered = std::mem::take(&mut self.unsent[index]).finish(&text, stop_string.is_some());
                let covered: Vec<_> = covered.map(|(_, token)| token).collect();
                self.content(frames, index, &text, &covered);
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
