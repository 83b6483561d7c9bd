//! The events of the engine for all prompts of one HTTP request, as one sequence.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use parkade_core::{Event, RequestError, RequestStream, Usage};

use crate::access::Identity;
use crate::generate::charge::Charge;
use crate::generate::encoder::Collected;
use crate::generate::settlement::{self, Settlement};
use crate::generate::supersedes::{Wish, take_place};
use crate::generate::{AppState, CollectedPrompt, Entry, Task};
use crate::http::{ApiError, RequestLog};

/// The running requests of one HTTP request. Dropping this cancels them, unless others read along.
pub(crate) struct Answers {
    streams: Vec<Option<RequestStream>>,
    running: usize,
    /// Where the next look for an event begins, so that no prompt waits for another.
    next: usize,
    usage: Usage,
    log: Arc<RequestLog>,
    entry: Arc<Entry>,
    settlement: Arc<Settlement>,
}

impl Drop for Answers {
    fn drop(&mut self) {
        if self.running > 0 {
            // Others may read along: the engine knows better whether this is the end.
            self.entry.client_left();
        }
        self.give_up();
    }
}

impl Answers {
    /// Hands all requests in, or none: when one is refused, those before it are cancelled. They are charged to their
    /// tenant first, and before that it is known that each can be served at all: what never can is told so, whatever else
    /// its tenant may do.
    pub async fn submit(
        state: &AppState,
        identity: &Identity,
        log: Arc<RequestLog>,
        task: Task,
        supersedes: Option<Wish>,
    ) -> Result<Self, ApiError> {
        let Task { model, requests, prompt_field, encoder, .. } = task;
        let entry = Entry::new(
            log.id(),
            identity,
            &model,
            &requests,
            Some(encoder),
            supersedes.as_ref().map(|wish| wish.key.as_str()),
        );
        let refused = |refusal| ApiError::from_refusal(refusal, prompt_field);
        log.set_class(entry.class);
        let price = |request| model.engine.price(request);
        let priced = requests.into_iter().map(price).collect::<Result<Vec<_>, _>>().map_err(refused)?;
        let mut claim = match supersedes {
            Some(wish) => Some(take_place((state.supersessions(), state.in_flight()), identity, wish, &entry).await?),
            None => None,
        };
        let charge = Charge::take(state, &model, &priced, identity, &log)?;
        state.in_flight().add(&entry);
        let mut streams = Vec::with_capacity(priced.len());
        let mut account = |streams: &[RequestStream], charge, entry| Settlement {
            state: state.clone(),
            requests: streams.iter().map(RequestStream::request).collect(),
            charge,
            log: log.clone(),
            entry,
            claim: claim.take(),
            settled: OnceLock::new(),
        };
        for request in priced {
            match model.engine.submit_priced(request) {
                Ok(stream) => {
                    entry.taken(stream.request());
                    streams.push(stream);
                }
                Err(refusal) => {
                    state.in_flight().withdraw(&entry);
                    if streams.is_empty() {
                        charge.refund(&log);
                    } else {
                        // Those before it may have run: what was done for them counts.
                        account(&streams, charge, None).when_ended();
                    }
                    return Err(refused(refusal));
                }
            }
        }
        let settlement = account(&streams, charge, Some(entry.clone())).when_ended();
        Ok(Self {
            running: streams.len(),
            streams: streams.into_iter().map(Some).collect(),
            next: 0,
            usage: Usage::default(),
            log,
            entry,
            settlement,
        })
    }

    /// How long the requests were in line, if all of them have run by now or ended.
    pub fn queued(&self) -> Option<Duration> {
        let mut longest = self.usage.queue;
        for stream in self.streams.iter().flatten() {
            longest = longest.max(stream.queued()?);
        }
        Some(longest)
    }

    /// Where they can be found by others.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The log of their HTTP request.
    pub fn log(&self) -> &RequestLog {
        &self.log
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
                    match self.queued() {
                        Some(time) => self.log.set_queue_time(time),
                        None => self.log.set_queued_in_vain(),
                    }
                    self.give_up();
                    self.settlement.settle_if_ended();
                    return Err(error);
                }
                event => return Ok(Some((prompt, event))),
            }
        }
        Ok(None)
    }

    /// Drops what still runs.
    fn give_up(&mut self) {
        self.streams.clear();
        self.running = 0;
    }

    fn end(&mut self, prompt: usize, usage: Usage) {
        self.streams[prompt] = None;
        self.running -= 1;
        settlement::add(&mut self.usage, &usage);
        if self.running == 0 {
            // Before the client has the end, so that its next request finds the account settled.
            self.settlement.settle_if_ended();
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
                let Some(stream) = &mut self.streams[prompt] else { continue };
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

/// Waits for all answers; `n` of them to each prompt.
pub(crate) async fn collect(answers: &mut Answers, n: usize) -> Result<Vec<CollectedPrompt>, ApiError> {
    let prompts = answers.streams.len();
    let empty = CollectedPrompt { choices: vec![Collected::default(); n], prompt_logprobs: Vec::new() };
    let mut collected = vec![empty; prompts];
    while let Some((prompt, event)) = answers.next().await? {
        let prompt = &mut collected[prompt];
        match event {
            Event::Token { index, id, text, logprob } => {
                let choice = &mut prompt.choices[index];
                choice.tokens.push(id);
                choice.text.push_str(&text);
                choice.token_ends.push(choice.text.len());
                choice.logprobs.extend(logprob);
            }
            Event::Finished { index, reason, text, stop_string, end_token } => {
                let choice = &mut prompt.choices[index];
                choice.text.push_str(&text);
                choice.reason = Some(reason);
                choice.stop_string = stop_string;
                choice.end_token = end_token;
                choice.tokens.extend(end_token.filter(|end| !end.is_said).map(|end| end.id));
            }
            Event::PromptLogprobs(logprobs) => prompt.prompt_logprobs = logprobs,
            _ => {}
        }
    }
    Ok(collected)
}
