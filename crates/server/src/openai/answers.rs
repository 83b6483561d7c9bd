//! The events of the engine for all prompts of one HTTP request, as one sequence.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use parkade_core::{Event, FinishReason, Request, RequestError, RequestStream, TokenLogprob, Usage};

use crate::errors::ApiError;
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::in_flight::{EncoderFactory, Entry, NewEntry};
use crate::openai::charge::Charge;
use crate::state::{AppState, ModelEntry};

/// The running requests of one HTTP request. Dropping this cancels them.
pub(crate) struct Answers {
    streams: Vec<Option<Running>>,
    running: usize,
    /// Where the next look for an event begins, so that no prompt waits for another.
    next: usize,
    usage: Usage,
    /// Tokens of the prompts that have ended and of their answers, for the rate limit.
    used: u64,
    prompt_only: bool,
    exchange: Arc<Exchange>,
    state: AppState,
    entry: Arc<Entry>,
    /// There until it is settled.
    charge: Option<Charge>,
}

struct Running {
    stream: RequestStream,
    /// Those of the prompt, and of the answers so far.
    tokens: u64,
}

/// What belongs to the requests of one HTTP request.
pub(crate) struct Submission<'a> {
    pub state: &'a AppState,
    pub model: &'a Arc<ModelEntry>,
    pub identity: &'a Identity,
    pub exchange: Arc<Exchange>,
    /// The field that the prompts came from.
    pub prompt_field: &'static str,
    /// Pass on that answers end, but not what they say: for a client that wants the prompts' log-probabilities alone.
    pub prompt_only: bool,
    /// How others write the answer who attach to it.
    pub encoder: EncoderFactory,
}

impl Drop for Answers {
    fn drop(&mut self) {
        // A client that left: others may read along, so the engine knows better whether this is the end.
        let left = self.running > 0;
        self.give_up();
        self.entry.ended(self.usage, left.then_some(CLIENT_LEFT));
        self.state.in_flight().leave(&self.entry, Instant::now());
        if let Some(charge) = self.charge.take() {
            charge.settle(self.used);
        }
    }
}

/// The code of a request whose client left.
const CLIENT_LEFT: &str = "client_left";

/// An event of an answer whose text is not wanted.
pub(crate) fn without_text(event: Event) -> Option<Event> {
    match event {
        Event::Token { .. } => None,
        Event::Finished { index, .. } => {
            let reason = FinishReason::Length;
            Some(Event::Finished { index, reason, text: String::new(), stop_string: None })
        }
        event => Some(event),
    }
}

impl Answers {
    /// Hands all requests in, or none: when one is refused, those before it are cancelled. They are charged to their
    /// tenant first.
    pub fn submit(submission: Submission<'_>, requests: Vec<Request>) -> Result<Self, ApiError> {
        let Submission { state, model, identity, exchange, prompt_field, prompt_only, encoder } = submission;
        let refused = |refusal| ApiError::from_refusal(refusal, prompt_field);
        let first = requests.first().ok_or_else(|| ApiError::internal("there is no prompt"))?;
        exchange.asks_as(first.priority);
        let charge = Charge::take(state, model, &requests, identity, &exchange)?;
        let entry = state.in_flight().enter(NewEntry {
            id: exchange.id(),
            model: model.clone(),
            engine_ids: requests.iter().map(|request| request.id.clone()).collect(),
            tenant: first.tenant.clone(),
            class: first.priority,
            prompt_tokens: requests.iter().map(|request| request.prompt.len()).sum(),
            prompt_only,
            encoder,
            identity,
        });
        let mut streams = Vec::with_capacity(requests.len());
        for request in requests {
            let tokens = request.prompt.len() as u64;
            match model.engine.submit(request) {
                Ok(stream) => streams.push(Some(Running { stream, tokens })),
                Err(refusal) => {
                    state.in_flight().withdraw(&entry);
                    charge.refund(&exchange);
                    return Err(refused(refusal));
                }
            }
        }
        let running = streams.len();
        let state = state.clone();
        let usage = Usage::default();
        Ok(Self {
            streams,
            running,
            next: 0,
            usage,
            used: 0,
            prompt_only,
            exchange,
            state,
            entry,
            charge: Some(charge),
        })
    }

    /// How long the requests were in line, if all of them have run by now or ended.
    pub fn queued(&self) -> Option<Duration> {
        let mut longest = self.usage.queue;
        for running in self.streams.iter().flatten() {
            longest = longest.max(running.stream.queued()?);
        }
        Some(longest)
    }

    /// The exchange that they belong to.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
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
                    self.entry.ended(self.usage, ApiError::code_of(&error));
                    match self.queued() {
                        Some(time) => self.exchange.queued(time),
                        None => self.exchange.queued_in_vain(),
                    }
                    self.give_up();
                    return Err(error);
                }
                event => {
                    let running = self.streams[prompt].as_mut().filter(|_| matches!(event, Event::Token { .. }));
                    if let Some(running) = running {
                        running.tokens += 1;
                    }
                    let event = if self.prompt_only { without_text(event) } else { Some(event) };
                    if let Some(event) = event {
                        return Ok(Some((prompt, event)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Drops what still runs, and counts what it has used.
    fn give_up(&mut self) {
        for running in self.streams.drain(..).flatten() {
            // What never ran has used nothing.
            if running.stream.queued().is_some() {
                self.used += running.tokens;
            }
        }
        self.running = 0;
    }

    fn end(&mut self, prompt: usize, usage: Usage) {
        self.streams[prompt] = None;
        self.running -= 1;
        self.entry.prompt_ended(usage.completion_tokens);
        self.used += (usage.prompt_tokens + usage.completion_tokens) as u64;
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
            self.entry.ended(*sum, None);
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
                let Some(Running { stream, .. }) = &mut self.streams[prompt] else {
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
