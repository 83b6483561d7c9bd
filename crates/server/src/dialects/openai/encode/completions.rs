//! The answers of `/v1/completions` on the wire, whole and streamed.

use std::sync::Arc;

use parkade_core::{Event, TokenLogprob, Usage};
use serde::Serialize;

use super::best::best;
use super::details::Meter;
use super::echo::Echo;
use super::form::Form;
use super::logprobs::TextLogprobs;
use super::stop_reason::StopReason;
use super::unsent::Unsent;
use crate::dialects::envelope::envelope;
use crate::generate::{ChunkEncoder, Collected, CollectedPrompt, Encoder};
use crate::http::{ApiError, Frames};

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: usize,
    logprobs: Option<TextLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<StopReason<'a>>,
}

/// How the answer to text completions is written.
pub(crate) struct Completions {
    pub form: Form,
    /// How many prompts there are.
    pub prompts: usize,
    /// Answers to each prompt.
    pub n: usize,
    /// How many are generated, of which these are the best. Who reads along sees all of them.
    pub generated: usize,
    /// The prompts as the answer repeats them, if it does.
    pub echoes: Option<Vec<Echo>>,
}

impl Encoder for Completions {
    fn whole(&self, answers: &[CollectedPrompt], usage: &Usage) -> serde_json::Result<Vec<u8>> {
        let ranked: Vec<CollectedPrompt>;
        let answers = if answers.iter().all(|answer| answer.choices.len() <= self.n) {
            answers
        } else {
            ranked = answers.iter().map(|answer| self.ranked(answer)).collect();
            &ranked
        };
        let echoes = self.echoes.as_ref();
        let texts: Vec<Vec<String>> = answers
            .iter()
            .enumerate()
            .map(|(prompt, answer)| {
                let echo = echoes.map_or("", |echoes| echoes[prompt].text.as_str());
                let choices = answer.choices.iter();
                choices.map(|choice| format!("{echo}{}", choice.text)).collect()
            })
            .collect();
        let tokenizer = &self.form.model.tokenizer;
        let mut choices = Vec::new();
        for (prompt, answer) in answers.iter().enumerate() {
            let echo = echoes.map(|echoes| &echoes[prompt]);
            for (number, choice) in answer.choices.iter().enumerate() {
                let text = &texts[prompt][number];
                let logprobs = self.form.with_logprobs.then(|| {
                    let mut logprobs = TextLogprobs::default();
                    if let Some(echo) = echo {
                        logprobs.push_prompt(tokenizer, echo, &answer.prompt_logprobs);
                    }
                    let mut unsent = self.form.unsent(echo.map_or(0, Echo::characters));
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
                    stop_reason: StopReason::new(tokenizer, choice.stop_string.as_deref(), choice.end_token),
                });
            }
        }
        self.form.whole(choices, answers, usage, None)
    }

    fn chunks(self: Arc<Self>) -> Box<dyn ChunkEncoder> {
        let unsent = vec![self.form.unsent(0); self.prompts * self.generated];
        let meter = self.form.meter(unsent.len());
        Box::new(Chunks { answer: self, meter, unsent })
    }
}

impl Completions {
    /// The best answers to a prompt.
    fn ranked(&self, answer: &CollectedPrompt) -> CollectedPrompt {
        let choices: Vec<&Collected> = answer.choices.iter().collect();
        let choices = best(choices, self.n, |choice| &choice.logprobs);
        CollectedPrompt {
            choices: choices.into_iter().cloned().collect(),
            prompt_logprobs: answer.prompt_logprobs.clone(),
        }
    }
}

/// Writes the chunks of a streamed answer.
struct Chunks {
    answer: Arc<Completions>,
    meter: Meter,
    unsent: Vec<Unsent<TokenLogprob>>,
}

impl Chunks {
    /// The prompt as the first text of each of its answers.
    fn echo(&mut self, frames: &mut Frames, prompt: usize, prompt_logprobs: &[Option<TokenLogprob>]) {
        let Some(echoes) = &self.answer.echoes else {
            return;
        };
        let (echo, n, form) = (&echoes[prompt], self.answer.generated, &self.answer.form);
        for index in prompt * n..(prompt + 1) * n {
            let logprobs = form.with_logprobs.then(|| {
                let mut logprobs = TextLogprobs::default();
                logprobs.push_prompt(&form.model.tokenizer, echo, prompt_logprobs);
                logprobs
            });
            self.unsent[index] = form.unsent(echo.characters());
            let choice = Choice { text: &echo.text, index, logprobs, finish_reason: None, stop_reason: None };
            form.chunk(&mut self.meter, (prompt, index), choice, frames);
        }
    }

    /// Log-probabilities as they stand in a chunk.
    fn logprobs(&self, tokens: impl Iterator<Item = (usize, TokenLogprob)>) -> Option<TextLogprobs> {
        let mut logprobs = TextLogprobs::default();
        tokens.for_each(|(offset, token)| {
            logprobs.push(&self.answer.form.model.tokenizer, token.id, Some(&token), offset)
        });
        Some(logprobs).filter(|logprobs| !logprobs.is_empty())
    }
}

impl ChunkEncoder for Chunks {
    fn open(&mut self, frames: &mut Frames) {
        // With log-probabilities the prompt is repeated once they are there.
        if !self.answer.form.with_logprobs {
            let prompts = self.answer.echoes.as_ref().map_or(0, Vec::len);
            for prompt in 0..prompts {
                self.echo(frames, prompt, &[]);
            }
        }
    }

    fn event(&mut self, prompt: usize, event: Event, frames: &mut Frames) {
        if let Event::Token { index, .. } | Event::Finished { index, .. } = &event {
            self.meter.note(prompt * self.answer.generated + index, &event);
        }
        match event {
            Event::PromptLogprobs(logprobs) if self.answer.form.with_logprobs => self.echo(frames, prompt, &logprobs),
            Event::Token { index, text, logprob, .. } => {
                let index = prompt * self.answer.generated + index;
                if let Some(token) = logprob {
                    self.unsent[index].push(&self.answer.form.model.tokenizer, token);
                }
                if !text.is_empty() {
                    let covered = self.unsent[index].release(&text);
                    let logprobs = self.logprobs(covered.into_iter());
                    let choice = Choice { text: &text, index, logprobs, finish_reason: None, stop_reason: None };
                    self.answer.form.chunk(&mut self.meter, (prompt, index), choice, frames);
                }
            }
            Event::Finished { index, reason, text, stop_string, end_token } => {
                let index = prompt * self.answer.generated + index;
                let covered = std::mem::take(&mut self.unsent[index]).finish(&text, stop_string.is_some());
                let logprobs = self.logprobs(covered);
                let tokenizer = &self.answer.form.model.tokenizer;
                let stop_reason = StopReason::new(tokenizer, stop_string.as_deref(), end_token);
                let finish_reason = Some(reason.name());
                let choice = Choice { text: &text, index, logprobs, finish_reason, stop_reason };
                self.answer.form.chunk(&mut self.meter, (prompt, index), choice, frames);
            }
            Event::PromptProgress(told) => self.answer.form.progress(&self.meter, &told, frames),
            _ => {}
        }
    }

    fn close(&mut self, usage: &Usage, frames: &mut Frames) {
        self.answer.form.close(usage, None, frames);
    }

    fn error(&mut self, error: &ApiError, frames: &mut Frames) {
        frames.named("error", &envelope(error));
    }
}
