//! Streams that can be attached to while they run and for a while after, from any position that is still remembered.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parkade_sync::Mutex;
use tokio::sync::Notify;

use crate::event::{Event, TokenLogprob};
use crate::request::RequestId;
use crate::stream::{Tape as _, Waker};

/// What is remembered, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayLimits {
    /// The last events of each stream that are remembered.
    pub events: usize,
    /// The most memory for the events of one stream, in bytes; the oldest are forgotten first.
    pub bytes: usize,
    /// The most memory for the events of all finished streams, in bytes.
    pub finished_bytes: usize,
    /// Finished streams that are remembered; the oldest are forgotten first.
    pub finished: usize,
    /// How long a finished stream is remembered.
    pub keep: Duration,
}

impl Default for ReplayLimits {
    fn default() -> Self {
        ReplayLimits {
            events: 4096,
            bytes: 1 << 20,
            finished_bytes: 16 << 20,
            finished: 256,
            keep: Duration::from_secs(60),
        }
    }
}

/// Why a stream cannot be attached to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// There is no such stream, or not any more.
    #[error("no stream of a request '{0}' is known; finished streams are forgotten after a while")]
    Unknown(RequestId),
    /// Events before this one are forgotten.
    #[error("event {from} is forgotten; the oldest that is remembered is {oldest}")]
    TooFarBack {
        /// The event that was asked for.
        from: u64,
        /// The oldest one that is there.
        oldest: u64,
    },
    /// There are not so many events.
    #[error("event {from} does not exist: the stream has {events} so far, from 0 on{}", if *.ended { ", and has ended" } else { "" })]
    TooFarAhead {
        /// The event that was asked for.
        from: u64,
        /// How many there are.
        events: u64,
        /// There will be no more.
        ended: bool,
    },
}

/// The streams of the requests that are here, and of those that ended lately.
/// [`InferenceWorkerPool::streams`](super::InferenceWorkerPool::streams) gives a running model's.
///
/// ```no_run
/// use parkade_core::parking_lot::{AttachError, InferenceWorkerPool};
///
/// /// Goes on with a stream after a broken connection, from the first event that has not been seen.
/// async fn go_on(pool: &InferenceWorkerPool, id: &str, from: u64) -> Result<(), AttachError> {
///     let mut along = pool.streams().attach(&id.into(), from)?;
///     while let Some(event) = along.next().await {
///         let (number, event) = event?;
///         println!("{number}: {event:?}");
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct StreamingRegistry {
    limits: ReplayLimits,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    streams: HashMap<RequestId, Arc<Replay>>,
    /// Streams that ended, in the order in which they did.
    finished: VecDeque<Finished>,
    finished_bytes: usize,
}

#[derive(Debug)]
struct Finished {
    at: Instant,
    id: RequestId,
    replay: Arc<Replay>,
    bytes: usize,
}

impl Entries {
    fn forget_oldest(&mut self) {
        let Some(Finished { id, replay, bytes, .. }) = self.finished.pop_front() else { return };
        self.finished_bytes -= bytes;
        // A newer request may have taken the name.
        if self.streams.get(&id).is_some_and(|current| Arc::ptr_eq(current, &replay)) {
            self.streams.remove(&id);
        }
    }
}

impl StreamingRegistry {
    /// An empty registry.
    pub fn new(limits: ReplayLimits) -> Self {
        StreamingRegistry { limits, entries: Mutex::new("parking_lot.streams", Entries::default()) }
    }

    /// Begins a stream. A finished one of the same name is forgotten.
    pub(crate) fn open(&self, id: &RequestId) -> Arc<Replay> {
        let replay = Arc::new(Replay::new(self.limits));
        self.entries.lock().streams.insert(id.clone(), Arc::clone(&replay));
        replay
    }

    /// Forgets a stream that never began: its request was refused.
    pub(crate) fn abandon(&self, id: &RequestId, replay: &Arc<Replay>) {
        let mut entries = self.entries.lock();
        if entries.streams.get(id).is_some_and(|current| Arc::ptr_eq(current, replay)) {
            entries.streams.remove(id);
        }
    }

    /// Notes that a stream has had its last event: from now on its time runs.
    pub(crate) fn close(&self, id: &RequestId, replay: &Arc<Replay>, now: Instant) {
        let mut entries = self.entries.lock();
        let bytes = replay.bytes();
        entries.finished_bytes += bytes;
        entries.finished.push_back(Finished { at: now, id: id.clone(), replay: Arc::clone(replay), bytes });
        self.tidy(&mut entries, now);
    }

    fn tidy(&self, entries: &mut Entries, now: Instant) {
        let is_old = |finished: &Finished| now.saturating_duration_since(finished.at) > self.limits.keep;
        while entries.finished.len() > self.limits.finished
            || entries.finished_bytes > self.limits.finished_bytes
            || entries.finished.front().is_some_and(is_old)
        {
            entries.forget_oldest();
        }
    }

    /// Reads along from event number `from` (0 is the first), which may be the next one to come. The stream is not cancelled
    /// while somebody reads along.
    ///
    /// # Errors
    /// If there is no such stream, or its events from there on are not remembered any more or are not the next ones to come.
    pub fn attach(&self, id: &RequestId, from: u64) -> Result<AttachedStream, AttachError> {
        let mut entries = self.entries.lock();
        self.tidy(&mut entries, Instant::now());
        let replay = entries.streams.get(id).ok_or_else(|| AttachError::Unknown(id.clone()))?;
        let (events, ended) = replay.remembered();
        if from < events.start {
            return Err(AttachError::TooFarBack { from, oldest: events.start });
        }
        if from > events.end {
            return Err(AttachError::TooFarAhead { from, events: events.end, ended });
        }
        replay.readers.fetch_add(1, Ordering::SeqCst);
        Ok(AttachedStream { replay: Arc::clone(replay), next: from })
    }

    /// How many streams are remembered, running ones included.
    pub fn len(&self) -> usize {
        self.entries.lock().streams.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The remembered events of one stream.
pub(crate) struct Replay {
    tape: Mutex<Tape>,
    limits: ReplayLimits,
    /// SeqCst: see the request's `Bell`, which asks when its own reader leaves.
    readers: AtomicUsize,
    news: Notify,
    /// Whom to tell when the last reader leaves, as long as the request is there.
    bell: OnceLock<Weak<dyn Waker>>,
}

#[derive(Debug, Default)]
struct Tape {
    /// The number of the first remembered event.
    first: u64,
    events: VecDeque<Event>,
    bytes: usize,
    is_complete: bool,
}

/// About what an event takes in memory.
fn bytes_of(event: &Event) -> usize {
    let logprob = |of: &Option<TokenLogprob>| of.as_ref().map_or(0, |of| size_of_val(&of.top[..]));
    let beside = match event {
        Event::PromptLogprobs(of) => of.iter().map(|of| size_of::<Option<TokenLogprob>>() + logprob(of)).sum(),
        Event::Token { text, logprob: of, .. } => text.len() + logprob(of),
        Event::Finished { text, stop_string, .. } => text.len() + stop_string.as_ref().map_or(0, String::len),
        Event::Done(_) | Event::Failed(_) => 0,
    };
    size_of::<Event>() + beside
}

impl Replay {
    fn new(limits: ReplayLimits) -> Self {
        Replay {
            tape: Mutex::new("parking_lot.tape", Tape::default()),
            limits,
            readers: AtomicUsize::new(0),
            news: Notify::new(),
            bell: OnceLock::new(),
        }
    }

    /// Says whom to tell when the last reader leaves.
    pub(super) fn rings(&self, bell: Weak<dyn Waker>) {
        let is_first = self.bell.set(bell).is_ok();
        debug_assert!(is_first, "a stream belongs to one request");
    }

    fn bytes(&self) -> usize {
        self.tape.lock().bytes
    }

    /// The numbers of the remembered events, and whether the last of them is the stream's last.
    fn remembered(&self) -> (Range<u64>, bool) {
        let tape = self.tape.lock();
        (tape.first..tape.first + tape.events.len() as u64, tape.is_complete)
    }
}

impl crate::stream::Tape for Replay {
    fn record(&self, event: &Event) {
        let mut tape = self.tape.lock();
        tape.bytes += bytes_of(event);
        tape.events.push_back(event.clone());
        // The newest stays, whatever it takes: those who keep up must get it.
        while tape.events.len() > 1 && (tape.events.len() > self.limits.events || tape.bytes > self.limits.bytes) {
            let forgotten = tape.events.pop_front().expect("there are two at least");
            tape.bytes -= bytes_of(&forgotten);
            tape.first += 1;
        }
        tape.is_complete |= event.is_last();
        drop(tape);
        self.news.notify_waiters();
    }

    fn readers(&self) -> usize {
        self.readers.load(Ordering::SeqCst)
    }
}

impl Replay {
    /// Event number `number`; `Ok(None)` if it has not happened yet.
    fn event(&self, number: u64) -> Result<Option<Event>, Missing> {
        let tape = self.tape.lock();
        let Some(place) = number.checked_sub(tape.first) else {
            return Err(Missing::Forgotten(tape.first));
        };
        let event = usize::try_from(place).ok().and_then(|place| tape.events.get(place));
        if event.is_none() && tape.is_complete {
            return Err(Missing::End);
        }
        Ok(event.cloned())
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("readers", &self.readers()).finish_non_exhaustive()
    }
}

enum Missing {
    /// There is no more.
    End,
    /// It is forgotten; this is the oldest that is not.
    Forgotten(u64),
}

/// Reads along with a stream. It never slows the request down: a reader that falls behind what is remembered is told so.
#[derive(Debug)]
pub struct AttachedStream {
    replay: Arc<Replay>,
    next: u64,
}

impl AttachedStream {
    /// Whether there is nothing to come: the stream has ended before the next event.
    pub fn is_over(&self) -> bool {
        matches!(self.replay.event(self.next), Err(Missing::End))
    }

    /// The next event with its number; `None` after the last one.
    ///
    /// # Errors
    /// [`AttachError::TooFarBack`] if the reader was so slow that the event is forgotten. The stream then goes on with the oldest one
    /// that is remembered.
    pub async fn next(&mut self) -> Option<Result<(u64, Event), AttachError>> {
        loop {
            // Before the look, so that news between the look and the wait are not missed.
            let replay = Arc::clone(&self.replay);
            let news = replay.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            match self.replay.event(self.next) {
                Ok(Some(event)) => {
                    let number = self.next;
                    self.next += 1;
                    return Some(Ok((number, event)));
                }
                Err(Missing::End) => return None,
                Err(Missing::Forgotten(oldest)) => {
                    let from = std::mem::replace(&mut self.next, oldest);
                    return Some(Err(AttachError::TooFarBack { from, oldest }));
                }
                Ok(None) => news.await,
            }
        }
    }
}

impl Drop for AttachedStream {
    fn drop(&mut self) {
        if self.replay.readers.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some(bell) = self.replay.bell.get().and_then(Weak::upgrade)
        {
            bell.nobody_reads_along();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;
    use crate::event::Usage;
    use crate::fakes::{Collected, FIRST_LETTER, FakeBackend, Letters};
    use crate::parking_lot::InferenceWorkerPool;
    use crate::request::Request;

    fn token(id: u32) -> Event {
        Event::Token { index: 0, id, text: id.to_string(), logprob: None }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn ids(mut stream: AttachedStream) -> Vec<u64> {
        block_on(async {
            let mut numbers = Vec::new();
            while let Some(event) = stream.next().await {
                numbers.push(event.unwrap().0);
            }
            numbers
        })
    }

    #[test]
    fn a_stream_can_be_read_from_any_position_while_it_runs_and_after() {
        let registry = StreamingRegistry::new(ReplayLimits::default());
        let id = RequestId::from("a");
        let replay = registry.open(&id);
        (0..3).for_each(|number| replay.record(&token(number)));
        let early = registry.attach(&id, 1).unwrap();
        let writer = std::thread::spawn({
            let replay = Arc::clone(&replay);
            move || {
                (3..10).for_each(|number| replay.record(&token(number)));
                replay.record(&Event::Done(Usage::default()));
            }
        });
        assert_eq!(ids(early), (1..=10).collect::<Vec<_>>());
        writer.join().unwrap();
        registry.close(&id, &replay, Instant::now());
        assert_eq!(ids(registry.attach(&id, 8).unwrap()), [8, 9, 10]);
        assert_eq!(replay.readers(), 0);
    }

    #[test]
    fn a_stream_is_joined_at_its_next_event_and_not_beyond() {
        let registry = StreamingRegistry::new(ReplayLimits::default());
        let id = RequestId::from("a");
        let replay = registry.open(&id);
        (0..3).for_each(|number| replay.record(&token(number)));
        let next = registry.attach(&id, 3).unwrap();
        assert!(!next.is_over());
        let beyond = |from, events, ended| {
            let error = registry.attach(&id, from).unwrap_err();
            assert_eq!(error, AttachError::TooFarAhead { from, events, ended });
        };
        beyond(4, 3, false);
        beyond(u64::MAX, 3, false);
        replay.record(&Event::Done(Usage::default()));
        assert!(!next.is_over());
        assert!(registry.attach(&id, 4).unwrap().is_over());
        beyond(5, 4, true);
        assert_eq!(ids(next), [3]);
        assert_eq!(replay.readers(), 0);
    }

    #[test]
    fn what_is_forgotten_is_said() {
        let registry = StreamingRegistry::new(ReplayLimits { events: 4, ..ReplayLimits::default() });
        let id = RequestId::from("a");
        let replay = registry.open(&id);
        let mut slow = registry.attach(&id, 0).unwrap();
        (0..10).for_each(|number| replay.record(&token(number)));
        assert_eq!(registry.attach(&id, 5).unwrap_err(), AttachError::TooFarBack { from: 5, oldest: 6 });
        let said = block_on(slow.next()).unwrap();
        assert_eq!(said.unwrap_err(), AttachError::TooFarBack { from: 0, oldest: 6 });
        assert_eq!(block_on(slow.next()).unwrap().unwrap(), (6, token(6)));
    }

    #[test]
    fn memory_is_bounded_for_each_stream_and_for_all_that_have_finished() {
        let each = bytes_of(&token(0));
        let limits = ReplayLimits { bytes: 4 * each, finished_bytes: 9 * each, ..ReplayLimits::default() };
        let registry = StreamingRegistry::new(limits);
        for name in ["a", "b", "c"] {
            let replay = registry.open(&name.into());
            (0..9).for_each(|number| replay.record(&token(number)));
            assert_eq!((replay.remembered(), replay.bytes()), ((5..9, false), 4 * each));
            registry.close(&name.into(), &replay, Instant::now());
        }
        assert_eq!(registry.len(), 2, "three times four are more than nine");
        assert_eq!(registry.attach(&"a".into(), 8).unwrap_err(), AttachError::Unknown("a".into()));
        // One event that is larger than all of it is delivered all the same.
        let replay = registry.open(&"d".into());
        let large = Event::Token { index: 0, id: 1, text: "x".repeat(10 * each), logprob: None };
        let reader = registry.attach(&"d".into(), 0).unwrap();
        replay.record(&large);
        replay.record(&Event::Done(Usage::default()));
        assert_eq!(replay.remembered(), (1..2, true), "it is forgotten as soon as there is another");
        drop(reader);
    }

    #[test]
    fn finished_streams_expire_by_age_and_by_number() {
        let limits = ReplayLimits { finished: 2, keep: Duration::from_secs(10), ..ReplayLimits::default() };
        let registry = StreamingRegistry::new(limits);
        let now = Instant::now();
        for name in ["a", "b", "c"] {
            let replay = registry.open(&name.into());
            registry.close(&name.into(), &replay, now);
        }
        assert_eq!(registry.attach(&"a".into(), 0).unwrap_err(), AttachError::Unknown("a".into()));
        assert!(registry.attach(&"b".into(), 0).is_ok());
        let replay = registry.open(&"d".into());
        registry.close(&"d".into(), &replay, now + Duration::from_secs(11));
        assert_eq!(registry.len(), 1, "the others are too old");
    }

    #[test]
    fn a_new_stream_of_the_same_name_is_not_forgotten_with_the_old_one() {
        let registry = StreamingRegistry::new(ReplayLimits { finished: 0, ..ReplayLimits::default() });
        let id = RequestId::from("a");
        let old = registry.open(&id);
        let new = registry.open(&id);
        registry.close(&id, &old, Instant::now());
        assert!(Arc::ptr_eq(&registry.entries.lock().streams[&id], &new));
    }

    /// How often somebody has begun to wait for a lock with one of these names.
    fn waits(names: [&str; 2]) -> u64 {
        parkade_sync::locks().iter().filter(|lock| names.contains(&lock.name)).map(|lock| lock.contended).sum()
    }

    #[test]
    fn of_two_requests_with_one_name_at_once_one_is_refused_and_the_others_stream_is_whole() {
        // Nobody reads before both are answered: whoever is taken is still there.
        let config = EngineConfig { stream_capacity: 8, ..EngineConfig::default() };
        let pool = InferenceWorkerPool::start(Box::new(FakeBackend::new(100, 4, 200)), Arc::new(Letters), config);
        let pool = pool.unwrap();
        let twin = Request { max_tokens: Some(50), ignore_eos: true, ..Request::new("twin", vec![FIRST_LETTER; 5]) };
        let results = std::thread::scope(|scope| {
            let held = pool.streams().entries.lock();
            let stopped = || waits(["parking_lot.names", "parking_lot.streams"]);
            let (before, start) = (stopped(), Instant::now());
            let both = [(); 2].map(|()| scope.spawn(|| pool.submit(twin.clone())));
            // One is about to open its stream; so is the other if nothing has kept it from taking the same name.
            while stopped() < before + 2 {
                assert!(start.elapsed() < Duration::from_secs(120), "one of them waits for nothing");
                std::thread::yield_now();
            }
            drop(held);
            both.map(|one| one.join().unwrap())
        });
        let mut taken: Vec<_> = results.into_iter().flatten().collect();
        assert_eq!(taken.len(), 1, "one of them is taken");
        assert!(Collected::all(&mut taken[0]).is_done());
        assert!(pool.streams().entries.lock().streams[&twin.id].tape.lock().is_complete);
    }
}
