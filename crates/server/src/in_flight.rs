//! The requests that can be asked for, cancelled and attached to, by the `x-request-id` of their answers.
//!
//! One HTTP request may be several for the engine: one for each prompt. Ids come from clients, if these send any, so
//! several requests may have the same: the newest one is meant, and with API keys only the own ones are seen.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parkade_core::{Priority, RequestId, RequestState, RequestStatus, Usage};
use parkade_sync::Mutex;

use crate::identity::Identity;
use crate::sse::Encoder;
use crate::state::ModelEntry;

/// Requests that ended are remembered for so long, and no more than so many: as long and as many as their streams are.
const KEEP: Duration = Duration::from_secs(60);
pub(crate) const MOST_ENDED: usize = 256;

/// Makes the writer of a request's chunks.
pub(crate) type EncoderFactory = Box<dyn Fn() -> Box<dyn Encoder> + Send + Sync>;

/// One HTTP request that was handed to an engine.
pub(crate) struct Entry {
    pub id: String,
    pub model: Arc<ModelEntry>,
    /// What the engine calls it: one name for each prompt.
    pub engine_ids: Vec<RequestId>,
    pub tenant: String,
    pub class: Priority,
    pub prompt_tokens: usize,
    pub started: Instant,
    /// Only the prompts are sent back.
    #[cfg_attr(not(feature = "parking-lot-scheduler"), expect(dead_code, reason = "no stream can be attached to"))]
    pub prompt_only: bool,
    #[cfg_attr(not(feature = "parking-lot-scheduler"), expect(dead_code, reason = "no stream can be attached to"))]
    pub encoder: EncoderFactory,
    /// The key that sent it.
    owner: Option<String>,
    /// Answer tokens of those of several prompts that have ended. Relaxed: a number of its own.
    ended_tokens: AtomicUsize,
    outcome: OnceLock<Outcome>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub usage: Usage,
    /// How long it took in all.
    pub total: Duration,
    /// The code of the error that ended it.
    pub error: Option<&'static str>,
}

/// What a new entry says.
pub(crate) struct NewEntry<'a> {
    pub id: &'a str,
    pub model: Arc<ModelEntry>,
    pub engine_ids: Vec<RequestId>,
    pub tenant: String,
    pub class: Priority,
    pub prompt_tokens: usize,
    pub prompt_only: bool,
    pub encoder: EncoderFactory,
    pub identity: &'a Identity,
}

/// Where a request stands, over all its prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub state: RequestState,
    pub ahead: Option<usize>,
    pub wait: Option<Duration>,
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    pub age: Duration,
    pub error: Option<&'static str>,
}

impl Entry {
    pub fn place(&self) -> Place {
        let engine = &self.model.engine;
        let parts: Vec<RequestStatus> = self.engine_ids.iter().filter_map(|id| engine.status(id)).collect();
        let outcome = self.outcome.get();
        let total = |outcome: &Outcome| (outcome.usage.completion_tokens, outcome.total, outcome.error);
        let (completion_tokens, age, error) = match (parts.is_empty(), outcome) {
            (true, Some(outcome)) => total(outcome),
            _ => {
                let ended = self.ended_tokens.load(Ordering::Relaxed);
                let running: usize = parts.iter().map(|part| part.completion_tokens).sum();
                (ended + running, self.started.elapsed(), None)
            }
        };
        // A request is as far as the one of its prompts that is the farthest.
        let states = [RequestState::Running, RequestState::Parked, RequestState::Waiting];
        let state = states.into_iter().find(|state| parts.iter().any(|part| part.state == *state));
        Place {
            state: state.unwrap_or(RequestState::Ended),
            ahead: parts.iter().filter_map(|part| part.place).min(),
            wait: parts.iter().filter_map(|part| part.estimated_wait).min(),
            prompt_tokens: self.prompt_tokens,
            completion_tokens,
            age,
            error,
        }
    }

    /// Cancels what is left of it; false if nothing was.
    pub fn cancel(&self) -> bool {
        let cancelled = self.engine_ids.iter().filter(|id| self.model.engine.cancel(id)).count();
        cancelled > 0
    }

    /// Notes that one of its prompts has had its answers, with so many tokens.
    pub fn prompt_ended(&self, completion_tokens: usize) {
        self.ended_tokens.fetch_add(completion_tokens, Ordering::Relaxed);
    }

    /// Notes how it ended; the first end counts.
    pub fn ended(&self, usage: Usage, error: Option<&'static str>) {
        self.outcome.get_or_init(|| Outcome { usage, total: self.started.elapsed(), error });
    }

    fn is_live(&self) -> bool {
        self.outcome.get().is_none() || self.engine_ids.iter().any(|id| self.model.engine.status(id).is_some())
    }

    fn is_visible_to(&self, identity: &Identity) -> bool {
        self.owner.as_deref() == identity.owner()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("id", &self.id).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct InFlight {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// The newest last.
    entries: HashMap<String, Vec<Arc<Entry>>>,
    ended: VecDeque<(Instant, Arc<Entry>)>,
}

impl InFlight {
    pub fn new() -> Self {
        Self { book: Mutex::new("server.in_flight", Book::default()) }
    }

    pub fn enter(&self, new: NewEntry<'_>) -> Arc<Entry> {
        let NewEntry { id, model, engine_ids, tenant, class, prompt_tokens, prompt_only, encoder, identity } = new;
        let entry = Arc::new(Entry {
            id: id.to_owned(),
            model,
            engine_ids,
            tenant,
            class,
            prompt_tokens,
            started: Instant::now(),
            prompt_only,
            encoder,
            owner: identity.owner().map(str::to_owned),
            ended_tokens: AtomicUsize::new(0),
            outcome: OnceLock::new(),
        });
        self.book.lock().entries.entry(entry.id.clone()).or_default().push(entry.clone());
        entry
    }

    /// The request's client has had its end; it is remembered for a while.
    pub fn leave(&self, entry: &Arc<Entry>, now: Instant) {
        let mut book = self.book.lock();
        book.ended.push_back((now, entry.clone()));
        book.tidy(now);
    }

    /// The request was refused after all: it never was.
    pub fn withdraw(&self, entry: &Arc<Entry>) {
        self.book.lock().remove(entry);
    }

    /// The newest request of this id that the asker may know of.
    pub fn find(&self, id: &str, identity: &Identity, now: Instant) -> Option<Arc<Entry>> {
        let mut book = self.book.lock();
        book.tidy(now);
        book.entries.get(id)?.iter().rev().find(|entry| entry.is_visible_to(identity)).cloned()
    }
}

impl Book {
    fn tidy(&mut self, now: Instant) {
        // Each is looked at once: what others still read along with begins a new time.
        for _ in 0..self.ended.len() {
            let too_many = self.ended.len() > MOST_ENDED;
            let too_old = |(ended, _): &(Instant, _)| now.saturating_duration_since(*ended) > KEEP;
            if !too_many && !self.ended.front().is_some_and(too_old) {
                return;
            }
            let Some((_, entry)) = self.ended.pop_front() else { return };
            if entry.is_live() {
                self.ended.push_back((now, entry));
            } else {
                self.remove(&entry);
            }
        }
    }

    fn remove(&mut self, entry: &Arc<Entry>) {
        if let Some(same_id) = self.entries.get_mut(&entry.id) {
            same_id.retain(|other| !Arc::ptr_eq(other, entry));
            if same_id.is_empty() {
                self.entries.remove(&entry.id);
            }
        }
    }
}
