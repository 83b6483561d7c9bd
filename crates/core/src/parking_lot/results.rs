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

use super::job::{Collector, InferenceJob, InferenceResult};
use super::types::ResultLimits;
use super::worker_pool::InferenceWorkerPool;

/// One job: under way, or with its result.
struct Slot {
    key: String,
    shelf: Arc<Shelf>,
    collector: Mutex<Collector>,
    result: OnceLock<InferenceResult>,
    news: Notify,
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
    fn open(&self, key: &str, n: usize) -> Result<Arc<Slot>, Refusal> {
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

    fn find(&self, key: &str) -> Option<Arc<Slot>> {
        let now = self.shelf.clock.now();
        let mut book = self.shelf.book.lock();
        book.tidy(&self.shelf.limits, now);
        book.slots.get(key).cloned()
    }

    fn remove(&self, key: &str) {
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

impl InferenceWorkerPool {
    /// Hands in a job that nobody waits for: it runs to its end, and its result is kept under `key`, whole, within
    /// [`ResultLimits`].
    ///
    /// ```no_run
    /// use parkade_core::parking_lot::{InferenceJob, InferenceResult, InferenceWorkerPool};
    /// use parkade_core::{Refusal, Request};
    ///
    /// async fn summarise(pool: &InferenceWorkerPool, request: Request) -> Result<(), Refusal> {
    ///     pool.submit_detached(InferenceJob::whole(request), "summary")?;
    ///     // Now, or in another part of the program:
    ///     if let Some(InferenceResult::Complete(summary)) = pool.wait_for_result("summary").await {
    ///         println!("{}", summary.choices[0].text);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Why it was refused: as [`submit`](Self::submit), and if the key is in use.
    pub fn submit_detached(&self, job: InferenceJob, key: &str) -> Result<(), Refusal> {
        let request = self.compiled(job)?;
        let slot = self.results.open(key, request.n)?;
        let taken = self.price(request).and_then(|priced| self.submit_into(priced, slot));
        match taken {
            Ok(stream) => {
                stream.detach();
                Ok(())
            }
            Err(refusal) => {
                self.results.remove(key);
                Err(refusal)
            }
        }
    }

    /// Whether a detached job of this key has no result yet.
    pub fn is_under_way(&self, key: &str) -> bool {
        self.results.find(key).is_some_and(|slot| slot.result.get().is_none())
    }

    /// The result of a detached job, which stays; `None` if there is none under this key, or none yet.
    pub fn result(&self, key: &str) -> Option<InferenceResult> {
        self.results.find(key)?.result.get()?.copied()
    }

    /// The result of a detached job, which is forgotten; `None` if there is none under this key, or none yet.
    pub fn take_result(&self, key: &str) -> Option<InferenceResult> {
        let result = self.result(key)?;
        self.results.remove(key);
        Some(result)
    }

    /// Waits for the result of a detached job, which stays; `None` if there is no job of this key.
    pub async fn wait_for_result(&self, key: &str) -> Option<InferenceResult> {
        let slot = self.results.find(key)?;
        loop {
            // Before the look, so that an end between the look and the wait is not missed.
            let news = slot.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(result) = slot.result.get() {
                return result.copied();
            }
            news.await;
        }
    }
}
