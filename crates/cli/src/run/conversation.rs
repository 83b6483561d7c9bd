//! The messages so far, and the next answer.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parkade_core::{Event, Grammar, Loaded, Message, OutOfRange, PromptError, Request, SamplingParams, Usage};

use super::RunError;
use crate::args::SamplingArgs;

/// A chat with a model.
pub struct Conversation {
    loaded: Loaded,
    /// The system message.
    pub system: Option<String>,
    turns: Vec<Message>,
    sampling: SamplingArgs,
    /// What answers are held to.
    form: Option<Arc<Grammar>>,
    answers: u64,
}

/// An answer that has been written.
pub struct Answer {
    /// How it came to its end.
    pub ending: Ending,
    /// How quick it was.
    pub speed: Speed,
}

/// How an answer came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Whole,
    /// By Ctrl-C.
    Stopped,
}

/// Counts and pace of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Speed {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub tokens: usize,
    /// From the question to the first token.
    pub first_token: Duration,
    /// Tokens a second after the first one, whose time is the prompt's; `None` if there is no telling.
    pub pace: Option<f64>,
}

impl Speed {
    /// What the engine measured of a whole answer.
    fn measured(mut self, usage: &Usage) -> Speed {
        self.first_token = usage.first_token.unwrap_or(usage.total);
        self.pace = pace(usage.completion_tokens, usage.total.saturating_sub(self.first_token));
        self
    }

    /// What was seen of an answer that was stopped, whose last token came after `last`. Tokens that were made one after the other may arrive
    /// together: what lies within a wake-up's time tells nothing.
    fn seen(mut self, last: Duration) -> Speed {
        let rest = last.saturating_sub(self.first_token);
        self.pace = pace(self.tokens, rest).filter(|_| rest >= Duration::from_millis(1));
        self
    }
}

fn pace(tokens: usize, rest: Duration) -> Option<f64> {
    (tokens > 1 && !rest.is_zero()).then(|| (tokens - 1) as f64 / rest.as_secs_f64())
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "[{} prompt tokens, {} tokens, first after {:.2} s",
            self.prompt_tokens,
            self.tokens,
            self.first_token.as_secs_f64()
        )?;
        if let Some(pace) = self.pace {
            write!(f, ", {pace:.1} tok/s")?;
        }
        f.write_str("]")
    }
}

impl Conversation {
    /// A chat without messages.
    ///
    /// # Errors
    /// A sampling parameter is out of range.
    pub fn new(loaded: Loaded, system: Option<String>, sampling: SamplingArgs) -> Result<Conversation, OutOfRange> {
        let mut conversation =
            Conversation { loaded, system, turns: Vec::new(), sampling: sampling.clone(), form: None, answers: 0 };
        conversation.set_sampling(sampling)?;
        Ok(conversation)
    }

    /// A chat whose answers have this form, if one is given.
    #[must_use]
    pub fn held_to(self, form: Option<Arc<Grammar>>) -> Conversation {
        Conversation { form, ..self }
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.loaded.name
    }

    /// Whether the model knows turns. One that does not continues each text by itself.
    #[must_use]
    pub fn has_turns(&self) -> bool {
        self.loaded.template.is_some()
    }

    /// How tokens are picked.
    #[must_use]
    pub fn sampling(&self) -> &SamplingArgs {
        &self.sampling
    }

    /// Picks tokens in another way from now on.
    ///
    /// # Errors
    /// A parameter is out of range; nothing changes.
    pub fn set_sampling(&mut self, sampling: SamplingArgs) -> Result<(), OutOfRange> {
        parameters(&sampling).validate(self.loaded.config.vocab)?;
        self.sampling = sampling;
        Ok(())
    }

    /// Forgets the messages.
    pub fn clear(&mut self) {
        self.turns.clear();
    }

    /// Writes the answer to `text`, as it comes, and remembers both. Ctrl-C ends the answer; what was written stays.
    ///
    /// # Errors
    /// There is no answer, or it broke off; the question is forgotten then.
    pub async fn ask(&mut self, text: &str, out: &mut impl Write) -> Result<Answer, RunError> {
        let question = Message::user(text);
        let mut request = self.request(&question)?;
        let mut speed = Speed { prompt_tokens: request.prompt.len(), ..Speed::default() };
        request.sampling = parameters(&self.sampling);
        request.max_tokens = self.sampling.max_tokens.map(|n| n as usize);
        request.format = self.form.clone();
        self.answers += 1;

        let asked = Instant::now();
        let mut stream = self.loaded.engine.submit(request)?;
        let mut answer = String::new();
        let mut write = |piece: &str| -> io::Result<()> {
            answer.push_str(piece);
            out.write_all(piece.as_bytes())?;
            out.flush()
        };
        let mut last = Duration::ZERO;
        let (ending, speed) = loop {
            let event = tokio::select! {
                event = stream.next() => event,
                _ = tokio::signal::ctrl_c() => break (Ending::Stopped, speed.seen(last)),
            };
            match event {
                Some(Event::Token { text, .. }) => {
                    speed.tokens += 1;
                    last = asked.elapsed();
                    if speed.tokens == 1 {
                        speed.first_token = last;
                    }
                    write(&text)?;
                }
                Some(Event::Finished { text, .. }) => write(&text)?,
                Some(Event::Failed(error)) => return Err(error.into()),
                Some(Event::Done(usage)) => break (Ending::Whole, speed.measured(&usage)),
                None => break (Ending::Whole, speed.seen(last)),
                Some(_) => {}
            }
        };
        out.write_all(b"\n")?;
        out.flush()?;
        self.turns.push(question);
        self.turns.push(Message::assistant(answer));
        Ok(Answer { ending, speed })
    }

    fn request(&self, question: &Message) -> Result<Request, PromptError> {
        let id = format!("run-{}", self.answers);
        if !self.has_turns() {
            return self.loaded.completion(id, &question.content);
        }
        let system = self.system.as_deref().map(Message::system);
        self.loaded.chat(id, system.iter().chain(&self.turns).chain([question]))
    }
}

fn parameters(args: &SamplingArgs) -> SamplingParams {
    SamplingParams {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        typical_p: args.typical_p,
        presence_penalty: args.presence_penalty,
        frequency_penalty: args.frequency_penalty,
        repetition_penalty: args.repetition_penalty,
        seed: args.seed,
        ..SamplingParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_tokens_after_the_first() {
        let answer = |tokens| Speed { prompt_tokens: 7, tokens, ..Speed::default() };
        let usage = |completion_tokens, seconds| Usage {
            completion_tokens,
            first_token: Some(Duration::from_secs(3)),
            total: Duration::from_secs(3) + Duration::from_secs(seconds),
            ..Usage::default()
        };
        let whole = answer(5).measured(&usage(5, 2)).to_string();
        assert_eq!(whole, "[7 prompt tokens, 5 tokens, first after 3.00 s, 2.0 tok/s]");
        let one = answer(1).measured(&usage(1, 0)).to_string();
        assert_eq!(one, "[7 prompt tokens, 1 tokens, first after 3.00 s]");
        let none = answer(0).measured(&Usage { total: Duration::from_secs(1), ..Usage::default() }).to_string();
        assert_eq!(none, "[7 prompt tokens, 0 tokens, first after 1.00 s]");
    }

    #[test]
    fn a_pace_is_not_told_of_tokens_that_arrived_together() {
        let six = Speed { tokens: 6, first_token: Duration::from_secs(1), ..Speed::default() };
        assert_eq!(six.seen(Duration::from_micros(1_000_010)).pace, None);
        assert_eq!(six.seen(Duration::from_millis(1500)).pace, Some(10.0));
        assert_eq!(Speed::default().seen(Duration::ZERO).pace, None);
    }
}
