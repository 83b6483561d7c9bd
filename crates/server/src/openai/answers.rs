//! The events of the engine for all prompts of one HTTP request, as one sequence.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use parkade_core::{Engine, Event, FinishReason, Request, RequestError, RequestStream, TokenLogprob, Usage};

use crate::errors::ApiError;
use crate::exchange::Exchange;

/// The running requests of one HTTP request. Dropping this cancels them.
pub(crate) struct Answers {
    streams: Vec<Option<RequestStream>>,
    running: usize,
    /// Where the next look for an event begins, so that no prompt waits for another.
    next: usize,
    usage: Usage,
    prompt_only: bool,
    exchange: Arc<Exchange>,
}

impl Answers {
    /// Hands all requests in, or none: when one is refused, those before it are cancelled.
    pub fn submit(
        engine: &Engine,
        requests: Vec<Request>,
        prompt_field: &'static str,
        exchange: Arc<Exchange>,
    ) -> Result<Self, ApiError> {
        let mut streams = Vec::with_capacity(requests.len());
        for request in requests {
            let stream = engine.submit(request).map_err(|refusal| ApiError::from_refusal(refusal, prompt_field))?;
            streams.push(Some(stream));
        }
        Ok(Self { running: streams.len(), streams, next: 0, usage: Usage::default(), prompt_only: false, exchange })
    }

    /// Passes on that answers end, but not what they say: for a client that wants the prompts' log-probabilities alone.
    pub fn leave_out_text(&mut self) {
        self.prompt_only = true;
    }

    /// The next event and the prompt that it belongs to; `None` when all prompts have had their last one. The usage is
    /// summed up here and not passed on.
    ///
    /// # Errors
    /// When a prompt failed. The others are cancelled with it.
    pub async fn next(&mut self) -> Result<Option<(usize, Event)>, RequestError> {
        while self.running > 0 {
            let (prompt, event) = self.next_of_any().await;
            match event {
                Event::Done(usage) => self.end(prompt, usage),
                Event::Failed(error) => {
                    self.streams.clear();
                    self.running = 0;
                    return Err(error);
                }
                Event::Token { .. } if self.prompt_only => {}
                Event::Finished { index, .. } if self.prompt_only => {
                    let reason = FinishReason::Length;
                    return Ok(Some((
                        prompt,
                        Event::Finished { index, reason, text: String::new(), stop_string: None },
                    )));
                }
                event => return Ok(Some((prompt, event))),
            }
        }
        Ok(None)
    }

    fn end(&mut self, prompt: usize, usage: Usage) {
        self.streams[prompt] = None;
        self.running -= 1;
        let sum = &mut self.usage;
        sum.prompt_tokens += usage.prompt_tokens;
        if !self.prompt_only {
            sum.completion_tokens += usage.completion_tokens;
        }
        sum.cached_tokens += usage.cached_tokens;
        sum.parked += usage.parked;
        sum.queue = sum.queue.max(usage.queue);
        sum.total = sum.total.max(usage.total);
        sum.first_token = match (sum.first_token, usage.first_token) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if self.running == 0 {
            self.exchange.used(*sum);
        }
    }

    /// What all prompts used together; complete when [`next`](Self::next) has given `None`.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    async fn next_of_any(&mut self) -> (usize, Event) {
        poll_fn(|cx| {
            let count = self.streams.len();
            for turn in 0..count {
                let prompt = (self.next + turn) % count;
                let Some(stream) = &mut self.streams[prompt] else {
                    continue;
                };
                // A stream that gives nothing here keeps the waker in its channel, also after this future is dropped.
                if let Poll::Ready(event) = pin!(stream.next()).poll(cx) {
                    self.next = prompt + 1;
                    let event = event.unwrap_or(Event::Failed(RequestError::Stopped));
                    return Poll::Ready((prompt, event));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// One answer, collected to its end.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub text: String,
    pub logprobs: Vec<TokenLogprob>,
    pub reason: Option<FinishReason>,
    pub stop_string: Option<String>,
}

/// All answers to one prompt.
#[derive(Debug, Default)]
pub(crate) struct CollectedPrompt {
    pub choices: Vec<Collected>,
    pub prompt_logprobs: Vec<Option<TokenLogprob>>,
}

/// Waits for all answers; `n` of them to each prompt.
pub(crate) async fn collect(answers: &mut Answers, n: usize) -> Result<Vec<CollectedPrompt>, ApiError> {
    let prompts = answers.streams.len();
    let mut collected: Vec<CollectedPrompt> = (0..prompts)
        .map(|_| CollectedPrompt {
            choices: (0..n).map(|_| Collected::default()).collect(),
            prompt_logprobs: Vec::new(),
        })
        .collect();
    while let Some((prompt, event)) = answers.next().await? {
        let prompt = &mut collected[prompt];
        match event {
            Event::Token { index, text, logprob, .. } => {
                let choice = &mut prompt.choices[index];
                choice.text.push_str(&text);
                choice.logprobs.extend(logprob);
            }
            Event::Finished { index, reason, text, stop_string } => {
                let choice = &mut prompt.choices[index];
                choice.text.push_str(&text);
                choice.reason = Some(reason);
                choice.stop_string = stop_string;
            }
            Event::PromptLogprobs(logprobs) => prompt.prompt_logprobs = logprobs,
            Event::Done(_) | Event::Failed(_) => {}
        }
    }
    Ok(collected)
}
