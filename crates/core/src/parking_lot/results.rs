//! Results of jobs that nobody waits for: kept under keys that their callers choose, until they are taken or too old.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parkade_pool::Clock;
use parkade_sync::Mutex;
use tokio::sync::Notify;

use crate::event::Event;
use crate::refusal::Refusal;
use crate::requests::Sink;

use super::job::{Collector, InferenceResult};
use super::types::ResultLimits;

/// One job: under way, or with its result.
pub(super) struct Slot {
    key: String,
    shelf: Arc<Shelf>,
    collector: Mutex<Collector>,
    pub(super) result: OnceLock<InferenceResult>,
    pub(super) news: Notify,
}

/// All of them.
struct Shelf {
    limits: ResultLimits,
    clock: Clock,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    slots: HashMap<String, Arc<Slot>>,
    /// Keys and bytes of what has ended, in the order in which it did.
    ended: BTreeMap<u64, (String, usize, Instant)>,
    bytes: usize,
    /// Counts ends.
    ends: u64,
}

/// The results of a pool's detached jobs.
pub(super) struct Results {
    shelf: Arc<Shelf>,
}

impl Results {
    pub(super) fn new(limits: ResultLimits, clock: Clock) -> Self {
        let book = Mutex::new("parking_lot.results", Book::default());
        Results { shelf: Arc::new(Shelf { limits, clock, book }) }
    }

    /// A place for the result of a job with `n` answers, if the key is free.
    pub(super) fn open(&self, key: &str, n: usize) -> Result<Arc<Slot>, Refusal> {
        let now = self.shelf.clock.now();
        let mut book = self.shelf.book.lock();
        book.tidy(&self.shelf.limits, now);
        if book.slots.contains_key(key) {
            let message = format!("the key {key:?} has a job or a result already; take that, or use another key");
            return Err(Refusal::invalid("key", message));
        }
        let slot = Arc::new(Slot {
            key: key.to_owned(),
            shelf: Arc::clone(&self.shelf),
            collector: Mutex::new("parking_lot.result", Collector::new(n)),
            result: OnceLock::new(),
            news: Notify::new(),
        });
        book.slots.insert(key.to_owned(), Arc::clone(&slot));
        Ok(slot)
    }

    pub(super) fn find(&self, key: &str) -> Option<Arc<Slot>> {
        let now = self.shelf.clock.now();
        let mut book = self.shelf.book.lock();
        book.tidy(&self.shelf.limits, now);
        book.slots.get(key).cloned()
    }

    pub(super) fn remove(&self, key: &str) {
        self.shelf.book.lock().remove(key);
    }
}

impl Book {
    fn remove(&mut self, key: &str) {
        self.slots.remove(key);
        let mut freed = 0;
        self.ended.retain(|_, (ended, bytes, _)| {
            let stays = ended != key;
            freed += if stays { 0 } else { *bytes };
            stays
        });
        self.bytes -= freed;
    }

    fn end(&mut self, key: &str, bytes: usize, now: Instant) {
        self.ends += 1;
        self.bytes += bytes;
        self.ended.insert(self.ends, (key.to_owned(), bytes, now));
    }

    /// Forgets what is too old, and the oldest of what is too much.
    fn tidy(&mut self, limits: &ResultLimits, now: Instant) {
        while let Some((_, (key, _, ended))) = self.ended.first_key_value() {
            let is_old = now.saturating_duration_since(*ended) > limits.keep;
            if !is_old && self.ended.len() <= limits.most && self.bytes <= limits.bytes {
                return;
            }
            let key = key.clone();
            self.remove(&key);
        }
    }
}

impl Sink for Slot {
    fn take(&self, event: &Event) {
        let Some(result) = self.collector.lock().take(event.clone()) else { return };
        let bytes = result.bytes();
        if self.result.set(result).is_ok() {
            let now = self.shelf.clock.now();
            let mut book = self.shelf.book.lock();
            // Unless somebody has taken the key away from it.
            if book.slots.get(&self.key).is_some_and(|slot| std::ptr::eq(&**slot, self)) {
                book.end(&self.key, bytes, now);
                book.tidy(&self.shelf.limits, now);
            }
        }
        self.news.notify_waiters();
    }
}
