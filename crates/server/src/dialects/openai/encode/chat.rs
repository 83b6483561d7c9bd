//! The answers of `/v1/chat/completions` on the wire, whole and streamed.

use std::sync::Arc;

use parkade_calls::Piece;
use parkade_core::{Event, FinishReason, TokenLogprob, Usage};
use serde::Serialize;

use super::details::Meter;
use super::form::Form;
use super::logprobs::ChatLogprobs;
use super::message::{CallDelta, Delta, Message};
use super::stop_reason::StopReason;
use super::unsent::Unsent;
use crate::dialects::chat::{self, Answered, Turn};
use crate::dialects::envelope::envelope;
use crate::generate::{ChunkEncoder, Collected, CollectedPrompt, Encoder};
use crate::http::{ApiError, Frames};

/// The reason for an end that is the beginning of somebody else's work.
const TOOL_CALLS: &str = "tool_calls";

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    message: Message,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<StopReason<'a>>,
}

/// How the answer to a chat is written.
pub(crate) struct Chat {
    pub form: Form,
    /// How many choices there are.
    pub n: usize,
    /// How its text is read.
    pub reading: chat::Form,
    /// Whether thoughts are also sent under OpenRouter's name for them.
    pub names_reasoning: bool,
}

impl Chat {
    /// The log-probabilities of a whole answer.
    fn logprobs(&self, choice: &Collected) -> Option<ChatLogprobs> {
        let tokenizer = &self.form.model.tokenizer;
        self.form.with_logprobs.then(|| {
            let mut unsent = self.form.unsent(0);
            choice.logprobs.iter().for_each(|token| unsent.push(tokenizer, token));
            let covered = unsent.finish(&choice.text, choice.stop_string.is_some());
            ChatLogprobs::new(tokenizer, covered.map(|(_, token)| token))
        })
    }

    /// A call's name in the answer. Mistral's templates want nine letters and digits.
    fn call_id(&self, choice: usize, call: usize) -> String {
        chat::call_id(&self.reading, &self.form.head.id, (choice, call))
    }
}

impl Encoder for Chat {
    fn whole(&self, answers: &[CollectedPrompt], usage: &Usage) -> serde_json::Result<Vec<u8>> {
        let tokenizer = &self.form.model.tokenizer;
        let mut thought_tokens = 0;
        let choices = answers.iter().flat_map(|answer| &answer.choices).enumerate();
        let choices: Vec<_> = choices
            .map(|(index, choice)| {
                let answered = Answered::of(&self.reading, choice);
                thought_tokens += answered.thought_tokens;
                let message = Message::new(&answered, self.names_reasoning, |call| self.call_id(index, call));
                let called = answered.calls().next().is_some();
                Choice {
                    index,
                    message,
                    logprobs: self.logprobs(choice),
                    finish_reason: choice.reason.map(|reason| finish_reason(reason, called)),
                    stop_reason: StopReason::new(tokenizer, choice.stop_string.as_deref(), choice.end_token),
                }
            })
            .collect();
        self.form.whole(choices, answers, usage, Some(thought_tokens))
    }

    fn bytes(&self) -> usize {
        self.reading.bytes()
    }

    fn chunks(self: Arc<Self>) -> Box<dyn ChunkEncoder> {
        let mut form = self.form.clone();
        form.head.object = "chat.completion.chunk";
        let answers = (0..self.n).map(|_| Answer::new(&self.reading, form.unsent(0))).collect();
        let meter = form.meter(self.n);
        Box::new(Chunks { form, meter, answers, chat: self })
    }
}

/// `finish_reason`: an answer that ended by itself with calls waits for their results.
pub(crate) fn finish_reason(reason: FinishReason, called: bool) -> &'static str {
    if called && reason == FinishReason::Stop { TOOL_CALLS } else { reason.name() }
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

/// One choice while it is written.
struct Answer {
    turn: Turn,
    unsent: Unsent<TokenLogprob>,
    /// What is covered by text that was read and not sent yet.
    covered: Vec<TokenLogprob>,
}

impl Answer {
    fn new(reading: &chat::Form, unsent: Unsent<TokenLogprob>) -> Self {
        Self { turn: Turn::new(reading), unsent, covered: Vec::new() }
    }
}

/// Writes the chunks of a streamed answer.
struct Chunks {
    form: Form,
    meter: Meter,
    /// One for each choice.
    answers: Vec<Answer>,
    chat: Arc<Chat>,
}

impl Chunks {
    fn send(&mut self, index: usize, delta: Delta<'_>, frames: &mut Frames) {
        let covered = std::mem::take(&mut self.answers[index].covered);
        let logprobs = (self.form.with_logprobs && !(covered.is_empty() && delta.content.is_none()))
            .then(|| ChatLogprobs::new(&self.form.model.tokenizer, &covered));
        let choice = ChunkChoice { index, delta, logprobs, finish_reason: None, stop_reason: None };
        self.form.chunk(&mut self.meter, (0, index), choice, frames);
    }

    fn pieces(&mut self, index: usize, pieces: Vec<Piece>, frames: &mut Frames) {
        for piece in pieces {
            let delta = match &piece {
                Piece::Text(text) => Delta::text(text),
                Piece::Reasoning(text) => Delta {
                    reasoning_content: Some(text),
                    reasoning: self.chat.names_reasoning.then_some(text),
                    ..Delta::default()
                },
                Piece::Call { index: call, name } => {
                    let id = self.chat.call_id(index, *call);
                    Delta { tool_calls: Some([CallDelta::begin(*call, id, name)]), ..Delta::default() }
                }
                Piece::Arguments { index: call, text } => {
                    Delta { tool_calls: Some([CallDelta::more(*call, text)]), ..Delta::default() }
                }
                Piece::End { .. } => continue,
            };
            self.send(index, delta, frames);
        }
    }
}

impl ChunkEncoder for Chunks {
    fn open(&mut self, frames: &mut Frames) {
        for index in 0..self.answers.len() {
            let choice =
                ChunkChoice { index, delta: Delta::opening(), logprobs: None, finish_reason: None, stop_reason: None };
            self.form.chunk(&mut self.meter, (0, index), choice, frames);
        }
    }

    fn event(&mut self, _: usize, event: Event, frames: &mut Frames) {
        let mut pieces = Vec::new();
        if let Event::Token { index, .. } | Event::Finished { index, .. } = &event {
            self.meter.note(*index, &event);
        }
        match event {
            Event::Token { index, text, logprob, .. } => {
                let answer = &mut self.answers[index];
                if let Some(token) = logprob {
                    answer.unsent.push(&self.form.model.tokenizer, token);
                }
                if !text.is_empty() {
                    answer.covered.extend(answer.unsent.release(&text).into_iter().map(|(_, token)| token));
                }
                answer.turn.token(&text, &mut pieces);
                self.pieces(index, pieces, frames);
            }
            Event::Finished { index, reason, text, stop_string, end_token } => {
                let answer = &mut self.answers[index];
                let covered = std::mem::take(&mut answer.unsent).finish(&text, stop_string.is_some());
                answer.covered.extend(covered.map(|(_, token)| token));
                answer.turn.finish(&text, reason, &mut pieces);
                self.pieces(index, pieces, frames);
                if !self.answers[index].covered.is_empty() {
                    self.send(index, Delta::text(""), frames);
                }
                let called = self.answers[index].turn.calls() > 0;
                let choice = ChunkChoice {
                    index,
                    delta: Delta::default(),
                    logprobs: None,
                    finish_reason: Some(finish_reason(reason, called)),
                    stop_reason: StopReason::new(&self.form.model.tokenizer, stop_string.as_deref(), end_token),
                };
                self.form.chunk(&mut self.meter, (0, index), choice, frames);
            }
            Event::PromptProgress(told) => self.form.progress(&self.meter, &told, frames),
            _ => {}
        }
    }

    fn close(&mut self, usage: &Usage, frames: &mut Frames) {
        let thought_tokens = self.answers.iter().map(|answer| answer.turn.thought_tokens()).sum();
        self.form.close(usage, Some(thought_tokens), frames);
    }

    fn error(&mut self, error: &ApiError, frames: &mut Frames) {
        frames.named("error", &envelope(error));
    }
}
