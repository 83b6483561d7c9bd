//! The handler of operations that make numbers of many texts: embeddings, and scores of documents.
//!
//! Each text is a request of the engine's own, with a price and a class as any other. A body may have thousands of them, more than may
//! wait in line. So they go through the engine a few at a time, and what else waits there finds its turn between them.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parkade_core::parking_lot::PricedRequest;
use parkade_core::{Event, LiveRequest, Refusal, Request, RequestError, RequestStream, Usage};

use super::charge::Charge;
use super::complete::{json, prepare, tell_ignored};
use super::settlement::{self, Settlement};
use super::supersedes::{Claim, take_place};
use crate::access::Identity;
use crate::generate::{AppState, Deadlines, Entry, IgnoredFields, ModelEntry};
use crate::http::body;
use crate::http::{ApiError, RequestLog};

/// Texts of one body that the engine has at once: enough to fill its passes, and few beside those of others.
const AT_ONCE: usize = 32;

/// What a dialect makes of texts.
pub(crate) trait TextOperation: 'static {
    /// Reads a body, and tokenises. It takes time in proportion to the body.
    fn read(state: &AppState, body: &serde_json::Value, from: &Sender<'_>) -> Result<Texts, ApiError>;
}

/// Who sent a body, and how soon the answer is wanted.
pub(crate) struct Sender<'a> {
    pub identity: &'a Identity,
    pub deadlines: Deadlines,
}

/// Texts for the engine, and how the answer is written.
pub(crate) struct Texts {
    pub model: Arc<ModelEntry>,
    /// One for each text.
    pub requests: Vec<Request>,
    /// The field of the body that the texts came from.
    pub field: &'static str,
    /// What of the body nobody reads.
    pub ignored: Option<IgnoredFields>,
    /// Writes the answer, given the values of each text.
    pub write: WriteAnswer,
}

/// Writes an answer.
pub(crate) type WriteAnswer = Box<dyn FnOnce(Vec<Vec<f32>>, &Usage) -> serde_json::Result<Vec<u8>> + Send>;

/// The handler of an operation.
pub(crate) async fn handle<O: TextOperation>(
    State(state): State<AppState>,
    identity: Identity,
    Extension(log): Extension<Arc<RequestLog>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    state.admits()?;
    let arrival = state.supersessions().arrive(&headers)?;
    let deadlines = Deadlines::from_headers(&headers)?;
    let raw = body::read(state.http(), identity.payer(log.sender()), &headers, body).await?;
    let (shared, sender) = (state.clone(), identity.clone());
    let read = move || {
        let body = raw.parse()?;
        Ok((arrival.wish(&body.value)?, O::read(&shared, &body.value, &Sender { identity: &sender, deadlines })?))
    };
    let (supersedes, texts) = prepare(&state, false, read).await?;
    tell_ignored(&state, texts.ignored.as_ref(), &log);
    if let Some(first) = texts.requests.first() {
        log.set_class(first.class);
    }
    let Texts { model, requests, field, write, .. } = texts;
    let refused = |refusal| ApiError::from_refusal(refusal, field);
    let price = |request| model.engine.price(request);
    let entry =
        Entry::new(log.id(), &identity, &model, &requests, None, supersedes.as_ref().map(|wish| wish.key.as_str()));
    let priced = requests.into_iter().map(price).collect::<Result<Vec<_>, _>>().map_err(refused)?;
    let claim = match supersedes {
        Some(wish) => Some(take_place((state.supersessions(), state.in_flight()), &identity, wish, &entry).await?),
        None => None,
    };
    let charge = Charge::take(&state, &model, &priced, &identity, &log)?;
    state.in_flight().add(&entry);
    let _in_hand = state.texts_in_hand().add();
    let account = Account { state, log, charge: Some(charge), requests: Vec::new(), entry, claim, is_answered: false };
    let mut running = Running { model, account };
    let all = running.all(priced.into(), refused).await;
    running.account.is_answered = true;
    let (values, usage) = all?;
    json(write(values, &usage))
}

/// The texts of one body on their way through the engine. Dropping it cancels those that are there.
struct Running {
    model: Arc<ModelEntry>,
    account: Account,
}

impl Running {
    /// The values of all texts, and what they used together.
    async fn all(
        &mut self,
        mut waiting: VecDeque<PricedRequest>,
        refused: impl Fn(Refusal) -> ApiError,
    ) -> Result<(Vec<Vec<f32>>, Usage), ApiError> {
        let mut values = vec![Vec::new(); waiting.len()];
        let mut usage = Usage::default();
        let mut running = FuturesUnordered::new();
        let mut next = 0;
        loop {
            if let Some(why) = self.account.entry.cut() {
                return Err(why.into());
            }
            while running.len() < AT_ONCE
                && let Some(request) = waiting.front().cloned()
            {
                match self.model.engine.submit_priced(request) {
                    Ok(stream) => {
                        waiting.pop_front();
                        self.account.requests.push(stream.request());
                        self.account.entry.taken(stream.request());
                        running.push(finish(next, stream));
                        next += 1;
                    }
                    // Those that are there make room.
                    Err(refusal) if !running.is_empty() && is_full(&refusal) => break,
                    Err(refusal) => return Err(self.account.refuse(refusal, refused)),
                }
            }
            let Some((place, result)) = running.next().await else { break };
            let (of_one, used) = result?;
            values[place] = of_one;
            settlement::add(&mut usage, &used);
        }
        self.account.log.set_queue_time(usage.queue);
        Ok((values, usage))
    }
}

/// All values of texts, and what they used, for a program that has the engine in its own process: it waits for them. The answer is written as
/// the server writes it. `complete` puts in what is not the body's to say.
pub(crate) fn wait_for_all(texts: Texts, complete: impl Fn(&mut Request)) -> Result<Vec<u8>, ApiError> {
    let Texts { model, requests, field, write, .. } = texts;
    let (mut values, mut usage) = (Vec::with_capacity(requests.len()), Usage::default());
    let mut running: VecDeque<RequestStream> = VecDeque::new();
    let mut wait = |mut stream: RequestStream| {
        let mut of_one = Vec::new();
        while let Some(event) = stream.blocking_next() {
            match event {
                Event::Embedding(of_text) => of_one = of_text,
                Event::Done(used) => {
                    settlement::add(&mut usage, &used);
                    values.push(of_one);
                    return Ok(());
                }
                Event::Failed(error) => return Err(error),
                _ => {}
            }
        }
        Err(RequestError::Stopped)
    };
    for mut request in requests {
        complete(&mut request);
        while running.len() >= AT_ONCE
            && let Some(first) = running.pop_front()
        {
            wait(first)?;
        }
        loop {
            match (model.engine.submit(request.clone()), running.is_empty()) {
                (Ok(stream), _) => break running.push_back(stream),
                (Err(refusal), false) if is_full(&refusal) => running.pop_front().map_or(Ok(()), &mut wait)?,
                (Err(refusal), _) => return Err(ApiError::from_refusal(refusal, field)),
            }
        }
    }
    running.into_iter().try_for_each(&mut wait)?;
    write(values, &usage).map_err(|error| ApiError::internal(error.to_string()))
}

/// Whether a place becomes free when a request of the same sender ends.
fn is_full(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::QueueFull { .. } | Refusal::TenantQueueFull { .. } | Refusal::RateLimited { .. })
}

/// Waits for the values of the text with this number.
async fn finish(place: usize, mut stream: RequestStream) -> (usize, Result<(Vec<f32>, Usage), RequestError>) {
    let mut values = Vec::new();
    loop {
        match stream.next().await {
            Some(Event::Embedding(of_text)) => values = of_text,
            Some(Event::Done(usage)) => return (place, Ok((values, usage))),
            Some(Event::Failed(error)) => return (place, Err(error)),
            Some(_) => {}
            None => return (place, Err(RequestError::Stopped)),
        }
    }
}

/// The account of one body. It is settled when the engine is done with what it was given, however the handler ended.
struct Account {
    state: AppState,
    log: Arc<RequestLog>,
    charge: Option<Charge>,
    /// What the engine has taken.
    requests: Vec<Arc<LiveRequest>>,
    entry: Arc<Entry>,
    claim: Option<Claim>,
    /// Its client has not left before it had an answer.
    is_answered: bool,
}

impl Account {
    /// The engine refused a text while it had none of the others. If nothing was done yet, nothing is charged.
    fn refuse(&mut self, refusal: Refusal, refused: impl Fn(Refusal) -> ApiError) -> ApiError {
        if self.requests.is_empty()
            && let Some(charge) = self.charge.take()
        {
            charge.refund(&self.log);
            self.state.in_flight().withdraw(&self.entry);
        }
        refused(refusal)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some(charge) = self.charge.take() else { return };
        if !self.is_answered {
            self.entry.client_left();
        }
        let settlement = Settlement {
            state: self.state.clone(),
            requests: std::mem::take(&mut self.requests),
            charge,
            log: self.log.clone(),
            entry: Some(self.entry.clone()),
            claim: self.claim.take(),
            settled: OnceLock::new(),
        };
        settlement.when_ended().settle_if_ended();
    }
}
