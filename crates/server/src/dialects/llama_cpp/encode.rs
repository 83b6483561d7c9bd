//! The answers of `/completion` and `/infill` on the wire, whole and streamed.

use std::sync::Arc;

use parkade_core::{Event, FinishReason, TokenLogprob, Usage};
use parkade_model::TokenId;
use parkade_model::tokenizer::Tokenizer;
use serde_json::{Map, Value, json};

use crate::dialects::envelope::envelope;
use crate::dialects::numbers;
use crate::dialects::progress::PromptReport;
use crate::dialects::timings::{Stopwatch, Timings};
use crate::generate::{ChunkEncoder, Collected, CollectedPrompt, Encoder, ModelEntry};
use crate::http::{ApiError, Frames};

/// What an answer is to say besides its text.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// Log-probabilities, with so many alternatives.
    pub probs: Option<usize>,
    /// As probabilities behind the samplers, instead of the model's own.
    pub sampled: bool,
    /// The tokens of a whole answer; streamed ones always have them.
    pub tokens: bool,
    /// The timings in each piece of a stream.
    pub timings_per_token: bool,
    /// The members that are wanted, paths with `/` between names; none are all.
    pub members: Vec<String>,
}

/// How answers are written.
pub(super) struct Completion {
    pub settings: Value,
    pub model: Arc<ModelEntry>,
    /// The prompts as text, and their lengths in tokens.
    pub prompts: Vec<(String, usize)>,
    /// Whether the prompts came as a list.
    pub is_list: bool,
    pub max_tokens: Option<usize>,
    pub given: Given,
}

/// One answer, as far as it was generated.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// Tokens so far, the one that ended it included.
    predicted: usize,
    has_new_line: bool,
    end: Option<Ended>,
}

/// How it ended.
#[derive(Debug, Clone)]
struct Ended {
    reason: FinishReason,
    stop_string: Option<String>,
}

impl Completion {
    /// An answer that is complete, with what is left of its text and its tokens.
    fn complete(
        &self,
        prompt: usize,
        text: &str,
        tokens: &[TokenId],
        progress: &Progress,
        usage: &Usage,
    ) -> Map<String, Value> {
        let (prompt_text, prompt_tokens) = &self.prompts[prompt];
        let ended = progress.end.as_ref();
        let (stop_type, word) = match ended {
            Some(Ended { stop_string: Some(word), .. }) => ("word", word.as_str()),
            Some(Ended { reason: FinishReason::Length, .. }) => ("limit", ""),
            Some(_) => ("eos", ""),
            None => ("none", ""),
        };
        // The context was full before the answer was as long as it might have been.
        let is_cut = stop_type == "limit" && self.max_tokens.is_none_or(|most| progress.predicted < most);
        let answer = json!({
            "index": prompt,
            "content": text,
            "tokens": tokens,
            "stop": true,
            "model": self.model.name,
            "tokens_predicted": progress.predicted,
            "tokens_evaluated": prompt_tokens,
            "generation_settings": self.settings,
            "prompt": prompt_text,
            "has_new_line": progress.has_new_line,
            "truncated": is_cut,
            "stop_type": stop_type,
            "stopping_word": word,
            "tokens_cached": prompt_tokens + progress.predicted,
            "timings": Timings::of(usage),
        });
        match answer {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// Only the members that are wanted.
    fn wanted(&self, answer: Map<String, Value>) -> Value {
        if self.given.members.is_empty() {
            return Value::Object(answer);
        }
        let answer = Value::Object(answer);
        let find = |path: &String| {
            let pointer = format!("/{path}");
            Some((path.clone(), answer.pointer(&pointer)?.clone()))
        };
        Value::Object(self.given.members.iter().filter_map(find).collect())
    }

    fn whole_answer(&self, prompt: usize, choice: &Collected, usage: &Usage) -> Value {
        let progress = Progress {
            predicted: choice.tokens.len(),
            has_new_line: choice.text.contains('\n'),
            end: choice.reason.map(|reason| Ended { reason, stop_string: choice.stop_string.clone() }),
        };
        let tokens = if self.given.tokens { &choice.tokens[..] } else { &[] };
        let mut answer = self.complete(prompt, &choice.text, tokens, &progress, usage);
        if self.given.probs.is_some() {
            let probs = probabilities(&self.model.tokenizer, &choice.logprobs, self.given.sampled);
            answer.insert("completion_probabilities".to_owned(), probs);
        }
        self.wanted(answer)
    }
}

/// llama.cpp's `completion_probabilities`: logarithms, or if they are `sampled` the probabilities themselves.
fn probabilities(tokenizer: &Tokenizer, tokens: &[TokenLogprob], sampled: bool) -> Value {
    let (name, others) = if sampled { ("prob", "top_probs") } else { ("logprob", "top_logprobs") };
    let one = |id: TokenId, logprob: f32| {
        let bytes = tokenizer.written_bytes(id);
        let value = if sampled { numbers::shortest(logprob.exp()) } else { numbers::logprob(logprob) };
        json!({"id": id, "token": String::from_utf8_lossy(bytes), "bytes": bytes, name: value})
    };
    let token = |token: &TokenLogprob| {
        let mut entry = one(token.id, token.logprob);
        entry[others] = token.top.iter().map(|&(id, logprob)| one(id, logprob)).collect();
        entry
    };
    tokens.iter().map(token).collect()
}

impl Encoder for Completion {
    fn whole(&self, answers: &[CollectedPrompt], usage: &Usage) -> serde_json::Result<Vec<u8>> {
        let choices = answers.iter().enumerate().filter_map(|(prompt, answer)| Some((prompt, answer.choices.first()?)));
        let mut all: Vec<Value> = choices.map(|(prompt, choice)| self.whole_answer(prompt, choice, usage)).collect();
        match all.pop() {
            Some(only) if !self.is_list => serde_json::to_vec(&only),
            last => {
                all.extend(last);
                serde_json::to_vec(&all)
            }
        }
    }

    fn chunks(self: Arc<Self>) -> Box<dyn ChunkEncoder> {
        let answers = vec![Answer::default(); self.prompts.len()];
        Box::new(Chunks { completion: self, answers, watch: Stopwatch::start() })
    }
}

/// One answer while it is written.
#[derive(Debug, Clone, Default)]
struct Answer {
    progress: Progress,
    /// What was not sent yet, since it is no text yet.
    tokens: Vec<TokenId>,
    probs: Vec<TokenLogprob>,
    /// What is left at its end.
    rest: String,
}

/// Writes the pieces of a streamed answer.
struct Chunks {
    completion: Arc<Completion>,
    answers: Vec<Answer>,
    watch: Stopwatch,
}

impl Chunks {
    fn piece(&mut self, prompt: usize, text: &str, progress: Option<PromptReport>, frames: &mut Frames) {
        let Chunks { completion, answers, watch } = self;
        let answer = &mut answers[prompt];
        let mut piece = json!({
            "index": prompt,
            "content": text,
            "tokens": std::mem::take(&mut answer.tokens),
            "stop": false,
            "tokens_predicted": answer.progress.predicted,
            "tokens_evaluated": completion.prompts[prompt].1,
        });
        if completion.given.probs.is_some() {
            let probs = std::mem::take(&mut answer.probs);
            piece["completion_probabilities"] =
                probabilities(&completion.model.tokenizer, &probs, completion.given.sampled);
        }
        if completion.given.timings_per_token {
            let usage = watch.usage(completion.prompts[prompt].1, answer.progress.predicted);
            piece["timings"] = json!(Timings::of(&usage));
        }
        if let Some(progress) = progress {
            piece["prompt_progress"] = json!(progress);
        }
        frames.data(&piece);
    }
}

impl ChunkEncoder for Chunks {
    fn open(&mut self, _: &mut Frames) {}

    fn event(&mut self, prompt: usize, event: Event, frames: &mut Frames) {
        let answer = &mut self.answers[prompt];
        match event {
            Event::Token { id, text, logprob, .. } => {
                self.watch.token();
                answer.progress.predicted += 1;
                answer.progress.has_new_line |= text.contains('\n');
                answer.tokens.push(id);
                answer.probs.extend(logprob);
                if !text.is_empty() {
                    self.piece(prompt, &text, None, frames);
                }
            }
            Event::Finished { reason, text, stop_string, end_token, .. } => {
                answer.progress.predicted += usize::from(end_token.is_some_and(|end| !end.is_said));
                answer.progress.has_new_line |= text.contains('\n');
                answer.progress.end = Some(Ended { reason, stop_string });
                answer.rest = text;
            }
            Event::PromptProgress(told) => {
                let progress = PromptReport::new(&told, &self.watch);
                self.piece(prompt, "", Some(progress), frames);
            }
            _ => {}
        }
    }

    fn close(&mut self, usage: &Usage, frames: &mut Frames) {
        for (prompt, answer) in self.answers.iter().enumerate() {
            let last = self.completion.complete(prompt, &answer.rest, &[], &answer.progress, usage);
            frames.data(&self.completion.wanted(last));
        }
    }

    fn error(&mut self, error: &ApiError, frames: &mut Frames) {
        frames.named("error", &envelope(error));
    }
}
