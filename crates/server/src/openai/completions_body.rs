//! The answers of `/v1/completions` on the wire, whole and streamed.

use std::sync::Arc;

use parkade_core::{Event, TokenLogprob, Usage};
use parkade_model::tokenizer::Tokenizer;
use serde::Serialize;

use crate::openai::answers::CollectedPrompt;
use crate::openai::completions::Echo;
use crate::openai::logprobs::TextLogprobs;
use crate::openai::types::{Answer, Head, UsageBody};
use crate::sse::{Encoder, Frames};
use crate::state::ModelEntry;

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

/// Adds a prompt's own tokens and gives the offset of what follows.
fn push_prompt(
    logprobs: &mut TextLogprobs,
    tokenizer: &Tokenizer,
    echo: &Echo,
    prompt: &[Option<TokenLogprob>],
) -> usize {
    let mut offset = 0;
    for (i, &id) in echo.tokens.iter().enumerate() {
        let token = prompt.get(i).and_then(Option::as_ref);
        let after = logprobs.push(tokenizer, id, token, offset);
        // A begin-of-text token that the tokenizer put first is no part of the text.
        let added = i == 0 && tokenizer.bos() == Some(id) && !echo.text.starts_with(tokenizer.token_text(id));
        offset = if added { 0 } else { after };
    }
    // What follows begins where the echoed text ends, whatever the tokens added up to.
    echo.text.chars().count()
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
    let mut choices = Vec::new();
    for (prompt, answer) in answers.iter().enumerate() {
        for (number, choice) in answer.choices.iter().enumerate() {
            let logprobs = with_logprobs.then(|| {
                let mut logprobs = TextLogprobs::default();
                let mut offset = echoes.map_or(0, |echoes| {
                    let echo = &echoes[prompt];
                    push_prompt(&mut logprobs, &model.tokenizer, echo, &answer.prompt_logprobs)
                });
                for token in &choice.logprobs {
                    offset = logprobs.push(&model.tokenizer, token.id, Some(token), offset);
                }
                logprobs
            });
            choices.push(Choice {
                text: &texts[prompt][number],
                index: choices.len(),
                logprobs,
                finish_reason: choice.reason.map(|reason| reason.name()),
                stop_reason: choice.stop_string.as_deref(),
            });
        }
    }
    serde_json::to_vec(&Answer { head, choices, usage: Some(Some(UsageBody::from(usage))) })
}

/// What a choice of a stream holds back.
#[derive(Debug, Clone, Default)]
struct Held {
    /// Tokens whose text is not complete yet.
    logprobs: Vec<TokenLogprob>,
    /// Where the next token's text begins.
    offset: usize,
}

/// Writes the chunks of a streamed answer.
pub(crate) struct CompletionsEncoder {
    head: Head,
    model: Arc<ModelEntry>,
    n: usize,
    include_usage: bool,
    with_logprobs: bool,
    echoes: Option<Arc<[Echo]>>,
    held: Vec<Held>,
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
        Self { head, model, n, include_usage, with_logprobs, echoes, held: vec![Held::default(); prompts * n] }
    }

    fn chunk(&self, frames: &mut Frames, choice: Choice<'_>) {
        frames.data(&Answer { head: &self.head, choices: [choice], usage: self.include_usage.then_some(None) });
    }

    /// The prompt as the first text of each of its answers.
    fn echo(&mut self, frames: &mut Frames, prompt: usize, prompt_logprobs: &[Option<TokenLogprob>]) {
        let Some(echo) = self.echoes.as_ref().map(|echoes| echoes[prompt].clone()) else {
            return;
        };
        for number in 0..self.n {
            let index = prompt * self.n + number;
            let logprobs = self.with_logprobs.then(|| {
                let mut logprobs = TextLogprobs::default();
                let tokenizer = &self.model.tokenizer;
                self.held[index].offset = push_prompt(&mut logprobs, tokenizer, &echo, prompt_logprobs);
                logprobs
            });
            self.chunk(frames, Choice { text: &echo.text, index, logprobs, finish_reason: None, stop_reason: None });
        }
    }

    /// The log-probabilities that were held back for a choice.
    fn release(&mut self, index: usize) -> Option<TextLogprobs> {
        let held = &mut self.held[index];
        let tokens = std::mem::take(&mut held.logprobs);
        if !self.with_logprobs {
            return None;
        }
        let mut logprobs = TextLogprobs::default();
        for token in &tokens {
            held.offset = logprobs.push(&self.model.tokenizer, token.id, Some(token), held.offset);
        }
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
                self.held[index].logprobs.extend(logprob);
                if !text.is_empty() {
                    let logprobs = self.release(index);
                    self.chunk(frames, Choice { text: &text, index, logprobs, finish_reason: None, stop_reason: None });
                }
            }
            Event::Finished { index, reason, text, stop_string } => {
                let index = prompt * self.n + index;
                let logprobs = self.release(index);
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
