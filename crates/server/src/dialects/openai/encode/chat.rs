//! The answers of `/v1/chat/completions` on the wire, whole and streamed.

use std::sync::Arc;

use parkade_core::{Event, TokenLogprob, Usage};
use serde::Serialize;

use super::form::Form;
use super::logprobs::ChatLogprobs;
use super::stop_reason::StopReason;
use super::unsent::Unsent;
use crate::dialects::openai::error::envelope;
use crate::generate::{ChunkEncoder, CollectedPrompt, Encoder};
use crate::http::{ApiError, Frames};

const ASSISTANT: &str = "assistant";

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    message: Message<'a>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<StopReason<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<()>,
}

/// How the answer to a chat is written.
pub(crate) struct Chat {
    pub form: Form,
    /// How many choices there are.
    pub n: usize,
}

impl Encoder for Chat {
    fn whole(&self, answers: &[CollectedPrompt], usage: &Usage) -> serde_json::Result<Vec<u8>> {
        let tokenizer = &self.form.model.tokenizer;
        let choices = answers.iter().flat_map(|answer| &answer.choices).enumerate();
        let choices: Vec<_> = choices
            .map(|(index, choice)| Choice {
                index,
                message: Message { role: ASSISTANT, content: &choice.text, refusal: None },
                logprobs: self.form.with_logprobs.then(|| {
                    let mut unsent = self.form.unsent(0);
                    choice.logprobs.iter().for_each(|token| unsent.push(tokenizer, token));
                    let covered = unsent.finish(&choice.text, choice.stop_string.is_some());
                    ChatLogprobs::new(tokenizer, covered.map(|(_, token)| token))
                }),
                finish_reason: choice.reason.map(|reason| reason.name()),
                stop_reason: StopReason::new(tokenizer, choice.stop_string.as_deref(), choice.end_token),
            })
            .collect();
        self.form.whole(choices, usage)
    }

    fn chunks(self: Arc<Self>) -> Box<dyn ChunkEncoder> {
        let mut form = self.form.clone();
        form.head.object = "chat.completion.chunk";
        let unsent = vec![form.unsent(0); self.n];
        Box::new(Chunks { form, unsent })
    }
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    delta: Delta<'a>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<StopReason<'a>>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

/// Writes the chunks of a streamed answer.
struct Chunks {
    form: Form,
    /// One for each choice.
    unsent: Vec<Unsent<TokenLogprob>>,
}

impl Chunks {
    fn content(&self, frames: &mut Frames, index: usize, text: &str, covered: &[TokenLogprob]) {
        if text.is_empty() && covered.is_empty() {
            return;
        }
        let logprobs = self.form.with_logprobs.then(|| ChatLogprobs::new(&self.form.model.tokenizer, covered));
        let delta = Delta { role: None, content: Some(text) };
        self.form.chunk(ChunkChoice { index, delta, logprobs, finish_reason: None, stop_reason: None }, frames);
    }
}

impl ChunkEncoder for Chunks {
    fn open(&mut self, frames: &mut Frames) {
        for index in 0..self.unsent.len() {
            let delta = Delta { role: Some(ASSISTANT), content: Some("") };
            let choice = ChunkChoice { index, delta, logprobs: None, finish_reason: None, stop_reason: None };
            self.form.chunk(choice, frames);
        }
    }

    fn event(&mut self, _: usize, event: Event, frames: &mut Frames) {
        match event {
            Event::Token { index, text, logprob, .. } => {
                if let Some(token) = logprob {
                    self.unsent[index].push(&self.form.model.tokenizer, token);
                }
                if !text.is_empty() {
                    let covered = self.unsent[index].release(&text);
                    let covered: Vec<_> = covered.into_iter().map(|(_, token)| token).collect();
                    self.content(frames, index, &text, &covered);
                }
            }
            Event::Finished { index, reason, text, stop_string, end_token } => {
                let covered = std::mem::take(&mut self.unsent[index]).finish(&text, stop_string.is_some());
                let covered: Vec<_> = covered.map(|(_, token)| token).collect();
                self.content(frames, index, &text, &covered);
                let choice = ChunkChoice {
                    index,
                    delta: Delta::default(),
                    logprobs: None,
                    finish_reason: Some(reason.name()),
                    stop_reason: StopReason::new(&self.form.model.tokenizer, stop_string.as_deref(), end_token),
                };
                self.form.chunk(choice, frames);
            }
            _ => {}
        }
    }

    fn close(&mut self, usage: &Usage, frames: &mut Frames) {
        self.form.close(usage, frames);
    }

    fn error(&mut self, error: &ApiError, frames: &mut Frames) {
        frames.named("error", &envelope(error));
    }
}
