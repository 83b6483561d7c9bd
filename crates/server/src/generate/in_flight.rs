//! The requests that can be asked for, cancelled and attached to, by the `x-request-id` of their answers.
//!
//! One HTTP request may be several for the engine: one for each prompt or text, and texts are handed in a few at a time. Ids come from clients, if these send any, so
//! several requests may have the same: the newest one is meant, and with API keys only the own ones are seen.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parkade_core::{Class, LiveRequest, Request, RequestError, RequestId, RequestState, RequestStatus};
use parkade_sync::Mutex;

use crate::access::Identity;
use crate::generate::kept::Job;
use crate::generate::{Encoder, ModelEntry};
use crate::http::ApiError;

/// Requests that ended are remembered for so long, and no more than so many: as long and as many as their streams are.
const KEEP: Duration = Duration::from_secs(60);
pub(crate) const MOST_ENDED: usize = 256;

/// The most bytes of a request that are remembered with it, so that its stream can be written once more.
const MOST_REMEMBERED: usize = 64 << 10;

/// The code of a request whose client left and that nobody else read.
const CLIENT_LEFT: &str = "client_left";

/// One HTTP request that was, or is being, handed to an engine.
pub(crate) struct Entry {
    pub id: String,
    pub model: Arc<ModelEntry>,
    /// What the engine calls it: one name for each prompt.
    pub engine_ids: Vec<RequestId>,
    pub tenant: String,
    pub class: Class,
    pub prompt_tokens: usize,
    pub started: Instant,
    /// Writes its answer, also for those who attach to it; none if there is nothing to read along, as with texts.
    encoder: Mutex<Option<Arc<dyn Encoder>>>,
    /// The key with which it takes the place of earlier ones.
    pub supersedes: Option<String>,
    /// The key that sent it.
    owner: Option<String>,
    /// What the engine has taken so far: one for each prompt.
    requests: Mutex<Vec<Arc<LiveRequest>>>,
    /// How many have not been handed in. Relaxed: whoever hands them in and whoever cancels each change it at once.
    to_come: AtomicUsize,
    /// Somebody has cancelled it before all had been handed in.
    was_cut: AtomicBool,
    /// A newer request takes its place. Set before its requests are looked for, as `to_come` is.
    superseded: AtomicBool,
    /// Its client left before the end. Relaxed: it only explains an end that the requests tell of.
    left: AtomicBool,
    /// The engine is done with it, whoever read, and its account is settled; how long it was here by then.
    ended: OnceLock<Duration>,
}

/// Where a request stands, over all its prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub state: RequestState,
    /// How many are before it in line, and how many of these are its own tenant's.
    pub ahead: Option<usize>,
    pub own_ahead: Option<usize>,
    pub wait: Option<Duration>,
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    pub age: Duration,
    pub error: Option<&'static str>,
}

impl Progress {
    /// As a client may see it. A key that is no operator's is told how many of its own requests are before it, and its wait in whole seconds,
    /// as `retry-after` says it: a wait depends on what everybody does, and finer steps would tell more of that.
    pub fn seen_by(self, identity: &Identity) -> Self {
        match identity.confined_to() {
            Some(_) => Self { ahead: self.own_ahead, wait: self.wait.map(whole_seconds), ..self },
            None => self,
        }
    }
}

/// Rounded up.
pub(crate) fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

impl Entry {
    /// A request that is about to be handed in, by the id of its answer.
    pub fn new(
        id: &str,
        identity: &Identity,
        model: &Arc<ModelEntry>,
        requests: &[Request],
        encoder: Option<Arc<dyn Encoder>>,
        supersedes: Option<&str>,
    ) -> Arc<Self> {
        let first = requests.first();
        Arc::new(Self {
            id: id.to_owned(),
            model: model.clone(),
            engine_ids: requests.iter().map(|request| request.id.clone()).collect(),
            tenant: first.map(|request| request.tenant.clone()).unwrap_or_default(),
            class: first.map(|request| request.class).unwrap_or_default(),
            prompt_tokens: requests.iter().map(|request| request.prompt.len()).sum(),
            started: Instant::now(),
            encoder: Mutex::new("server.in_flight.encoder", encoder),
            supersedes: supersedes.map(str::to_owned),
            owner: identity.owner().map(str::to_owned),
            requests: Mutex::new("server.in_flight.requests", Vec::new()),
            to_come: AtomicUsize::new(requests.len()),
            was_cut: AtomicBool::new(false),
            superseded: AtomicBool::new(false),
            left: AtomicBool::new(false),
            ended: OnceLock::new(),
        })
    }

    /// Writes its answer for whoever attaches to it; none if there is nothing to read along.
    pub fn encoder(&self) -> Option<Arc<dyn Encoder>> {
        self.encoder.lock().clone()
    }

    pub fn progress(&self) -> Progress {
        let engine = &self.model.engine;
        let requests = self.requests();
        let here = requests.iter().filter(|request| request.end().is_none());
        let parts: Vec<RequestStatus> = here.filter_map(|request| engine.status(request.id())).collect();
        let has_ended = self.has_ended();
        let usages = || requests.iter().map(|request| request.usage());
        // A request is as far as the one of its prompts that is the farthest.
        let states = [RequestState::Running, RequestState::Parked, RequestState::Waiting];
        let state = states.into_iter().find(|state| parts.iter().any(|part| part.state == *state));
        // The engine is done with it, and its account is not settled yet.
        let never_ran = requests.iter().all(|request| request.queued().is_none());
        let between = if never_ran { RequestState::Waiting } else { RequestState::Running };
        Progress {
            state: if has_ended { RequestState::Ended } else { state.unwrap_or(between) },
            ahead: parts.iter().filter_map(|part| part.place).min(),
            own_ahead: parts.iter().filter_map(|part| part.own_place).min(),
            wait: parts.iter().filter_map(|part| part.estimated_wait).min(),
            prompt_tokens: self.prompt_tokens,
            completion_tokens: usages().map(|usage| usage.completion_tokens).sum(),
            age: self.ended.get().copied().unwrap_or_else(|| self.started.elapsed()),
            error: if has_ended { self.error() } else { None },
        }
    }

    /// Whether one of its prompts takes part in the steps. Cheaper than [`progress`](Self::progress).
    pub fn runs(&self) -> bool {
        self.requests.lock().iter().any(|request| request.state() == RequestState::Running)
    }

    fn requests(&self) -> Vec<Arc<LiveRequest>> {
        self.requests.lock().clone()
    }

    fn has_ended(&self) -> bool {
        self.ended.get().is_some()
    }

    /// The code of the error that ended it. One prompt that fails takes the others with it, which are cancelled for it.
    fn error(&self) -> Option<&'static str> {
        let requests = self.requests();
        let mut errors: Vec<&RequestError> =
            requests.iter().filter_map(|request| request.end()?.error.as_ref()).collect();
        errors.sort_by_key(|error| **error == RequestError::Cancelled);
        let cut = self.cut();
        match errors.first().copied().or(cut.as_ref())? {
            RequestError::Cancelled if self.left.load(Ordering::Relaxed) => Some(CLIENT_LEFT),
            error => ApiError::code_of(error),
        }
    }

    /// Cancels what is left of it; false if nothing was.
    pub fn cancel(&self) -> bool {
        let cut = self.to_come.swap(0, Ordering::Relaxed) > 0;
        self.was_cut.fetch_or(cut, Ordering::Relaxed);
        let engine = &self.model.engine;
        let here = self.requests().into_iter().filter(|request| request.end().is_none());
        let end = |request: &Arc<LiveRequest>| match self.is_superseded() {
            true => engine.supersede(request.id()),
            false => engine.cancel(request.id()),
        };
        cut || here.filter(end).count() > 0
    }

    /// Ends what is left of it: a newer request takes its place.
    pub fn supersede(&self) {
        self.superseded.store(true, Ordering::Relaxed);
        self.cancel();
    }

    /// Whether a newer request takes its place.
    pub fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Relaxed)
    }

    /// Why no more is handed in, if somebody has cancelled it before all had been.
    pub fn cut(&self) -> Option<RequestError> {
        let why = if self.is_superseded() { RequestError::Superseded } else { RequestError::Cancelled };
        self.was_cut.load(Ordering::Relaxed).then_some(why)
    }

    /// The engine has taken the next of its prompts.
    pub fn taken(&self, request: Arc<LiveRequest>) {
        self.requests.lock().push(request);
        let one_less = |to_come: usize| to_come.checked_sub(1);
        if self.to_come.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            // Cancelled in between: whoever cancelled did not find this one.
            self.cancel();
        }
    }

    /// Its client has left before the end.
    pub fn client_left(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    fn is_visible_to(&self, identity: &Identity) -> bool {
        self.owner.as_deref() == identity.owner()
    }
}

impl Job for Entry {
    fn is_waiting(&self) -> bool {
        self.progress().state == RequestState::Waiting
    }

    fn cancel(&self) -> bool {
        Entry::cancel(self)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("id", &self.id).field("requests", &self.requests).finish_non_exhaustive()
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

    /// From now on the request can be asked for.
    pub fn add(&self, entry: &Arc<Entry>) {
        self.book.lock().entries.entry(entry.id.clone()).or_default().push(entry.clone());
    }

    /// The engine is done with the request and its account is settled; it is remembered for a while.
    pub fn end(&self, entry: &Arc<Entry>, now: Instant) {
        entry.ended.get_or_init(|| now.saturating_duration_since(entry.started));
        entry.encoder.lock().take_if(|encoder| encoder.bytes() > MOST_REMEMBERED);
        let mut book = self.book.lock();
        book.ended.push_back((now, entry.clone()));
        book.tidy(now);
    }

    /// The request was refused after all: it never was.
    pub fn withdraw(&self, entry: &Arc<Entry>) {
        self.book.lock().remove(entry);
    }

    /// The newest request of this id that the asker may know of; one that has ended hides none that has not.
    pub fn find(&self, id: &str, identity: &Identity, now: Instant) -> Option<Arc<Entry>> {
        let mut book = self.book.lock();
        book.tidy(now);
        let newest_first = || book.entries.get(id).into_iter().flatten().rev();
        let known = || newest_first().filter(|entry| entry.is_visible_to(identity));
        known().find(|entry| !entry.has_ended()).or_else(|| known().next()).cloned()
    }
}

impl Book {
    fn tidy(&mut self, now: Instant) {
        let too_old = |(ended, _): &(Instant, _)| now.saturating_duration_since(*ended) > KEEP;
        while self.ended.len() > MOST_ENDED || self.ended.front().is_some_and(too_old) {
            let Some((_, entry)) = self.ended.pop_front() else { return };
            self.remove(&entry);
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
