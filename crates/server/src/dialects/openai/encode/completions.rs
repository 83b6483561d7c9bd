//! The answers of `/v1/completions` on the wire, whole and streamed.

use std::sync::Arc;

use parkade_core::{Event, TokenLogprob, Usage};
use serde::Serialize;

use crate::dialects::openai::encode::echo::Echo;
use crate::dialects::openai::encode::logprobs::TextLogprobs;
use crate::dialects::openai::encode::types::{Answer, Head, UsageBody};
use crate::dialects::openai::encode::unsent::Unsent;
use crate::generate::answers::CollectedPrompt;
use crate::generate::state::ModelEntry;
use crate::generate::stream::{Encoder, Frames};

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: usize,
    logprobs: Option<TextLogprobs>,
    finish_reason: Option<&'static str>,
    /// vLLM's field: the stop string that ended the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'a str>,
}

/// A whole answer; `answers` has one entry for each prompt.
pub(crate) fn whole(
    head: &Head,
    model: &ModelEntry,
    with_logprobs: bool,
    echoes: Option<&[Echo]>,
    answers: &[CollectedPrompt],
    usage: &Usage,
) -> serde_json::Result<Vec<u8>> {
    let texts: Vec<Vec<String>> = answers
        .iter()
        .enumerate()
        .map(|(prompt, answer)| {
            let echo = echoes.map_or("", |echoes| echoes[prompt].text.as_str());
            let choices = answer.choices.iter();
            choices.map(|choice| format!("{echo}{}", choice.text)).collect()
        })
        .collect();
    let tokenizer = &model.tokenizer;
    let mut choices = Vec::new();
    for (prompt, answer) in answers.iter().enumerate() {
        let echo = echoes.map(|echoes| &echoes[prompt]);
        for (number, choice) in answer.choices.iter().enumerate() {
            let text = &texts[prompt][number];
            let logprobs = with_logprobs.then(|| {
                let mut logprobs = TextLogprobs::default();
                if let Some(echo) = echo {
                    logprobs.push_prompt(tokenizer, echo, &answer.prompt_logprobs);
                }
                let mut unsent = Unsent::after(echo.map_or(0, Echo::characters));
                choice.logprobs.iter().for_each(|token| unsent.push(tokenizer, token));
                let rest = unsent.finish(&choice.text, choice.stop_string.is_some());
                rest.for_each(|(offset, token)| logprobs.push(tokenizer, token.id, Some(token), offset));
                logprobs
            });
            choices.push(Choice {
                text,
                index: choices.len(),
                logprobs,
                finish_reason: choice.reason.map(|reason| reason.name()),
                stop_reason: choice.stop_string.as_deref(),
            });
        }
    }
    serde_json::to_vec(&Answer { head, choices, usage: Some(Some(UsageBody::from(usage))) })
}

/// Writes the chunks of a streamed answer.
pub(crate) struct CompletionsEncoder {
    head: Head,
    model: Arc<ModelEntry>,
    n: usize,
    include_usage: bool,
    with_logprobs: bool,
    echoes: Option<Arc<[Echo]>>,
    unsent: Vec<Unsent<TokenLogprob>>,
}

impl CompletionsEncoder {
    /// For `prompts` prompts with `n` answers each.
    pub fn new(
        head: Head,
        model: Arc<ModelEntry>,
        (prompts, n): (usize, usize),
        with_logprobs: bool,
        include_usage: bool,
        echoes: Option<Arc<[Echo]>>,
    ) -> Self {
        Self { head, model, n, include_usage, with_logprobs, echoes, unsent: vec![Unsent::default(); prompts * n] }
    }

    fn chunk(&self, frames: &mut Frames, choice: Choice<'_>) {
        frames.data(&Answer { head: &self.head, choices: [choice], usage: self.include_usage.then_some(None) });
    }

    /// The prompt as the first text of each of its answers.
    fn echo(&mut self, frames: &mut Frames, prompt: usize, prompt_logprobs: &[Option<TokenLogprob>]) {
        let Some(echoes) = self.echoes.clone() else {
            return;
        };
        let echo = &echoes[prompt];
        for number in 0..self.n {
            let index = prompt * self.n + number;
            let logprobs = self.with_logprobs.then(|| {
                let mut logprobs = TextLogprobs::default();
                logprobs.push_prompt(&self.model.tokenizer, echo, prompt_logprobs);
                logprobs
            });
            self.unsent[index] = Unsent::after(echo.characters());
            self.chunk(frames, Choice { text: &echo.text, index, logprobs, finish_reason: None, stop_reason: None });
        }
    }

    /// Log-probabilities as they stand in a chunk.
    fn logprobs(&self, tokens: impl Iterator<Item = (usize, TokenLogprob)>) -> Option<TextLogprobs> {
        let mut logprobs = TextLogprobs::default();
        tokens.for_each(|(offset, token)| logprobs.push(&self.model.tokenizer, token.id, Some(&token), offset));
        Some(logprobs).filter(|logprobs| !logprobs.is_empty())
    }
}

impl Encoder for CompletionsEncoder {
    fn open(&mut self, frames: &mut Frames) {
        // With log-probabilities the prompt is repeated once they are there.
        if !self.with_logprobs {
            let prompts = self.echoes.as_ref().map_or(0, |echoes| echoes.len());
            for prompt in 0..prompts {
                self.echo(frames, prompt, &[]);
            }
        }
    }

    fn event(&mut self, prompt: usize, event: Event, frames: &mut Frames) {
        match event {
            Event::PromptLogprobs(logprobs) => self.echo(frames, prompt, &logprobs),
            Event::Token { index, text, logprob, .. } => {
                let index = prompt * self.n + index;
                if let Some(token) = logprob {
                    self.unsent[index].push(&self.model.tokenizer, token);
                }
                if !text.is_empty() {
                    let covered = self.unsent[index].release(&text);
                    let logprobs = self.logprobs(covered.into_iter());
                    self.chunk(frames, Choice { text: &text, index, logprobs, finish_reason: None, stop_reason: None });
                }
            }
            Event::Finished { index, reason, text, stop_string } => {
                let index = prompt * self.n + index;
                let covered = std::mem::take(&mut self.unsent[index]).finish(&text, stop_string.is_some());
                let logprobs = self.logprobs(covered);
                self.chunk(
                    frames,
                    Choice {
                        text: &text,
                        index,
                        logprobs,
                        finish_reason: Some(reason.name()),
                        stop_reason: stop_string.as_deref(),
                    },
                );
            }
            Event::Done(_) | Event::Failed(_) => {}
        }
    }

    fn close(&mut self, usage: &Usage, frames: &mut Frames) {
        if self.include_usage {
            frames.data(&Answer { head: &self.head, choices: [(); 0], usage: Some(Some(UsageBody::from(usage))) });
        }
    }
}
