//! The counters behind each lock name, and the list of them all.

// The registry is the one place that cannot use our own lock: it would have to register itself.
#![allow(clippy::disallowed_types)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What has happened to all locks of one name since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockStats {
    /// The name that the locks were made with.
    pub name: &'static str,
    /// How often one of them was taken, by any thread and in any mode.
    pub acquired: u64,
    /// How often the taker had to wait first; counted when the wait begins.
    pub contended: u64,
    /// For how long takers waited, all together.
    pub waited: Duration,
}

/// Counters of one name. They live for the whole process: names are few and fixed in the source.
#[derive(Debug)]
pub(crate) struct Counters {
    name: &'static str,
    // Relaxed throughout: each is a statistic of its own and orders nothing.
    acquired: AtomicU64,
    contended: AtomicU64,
    waited_ns: AtomicU64,
}

static REGISTRY: parking_lot::Mutex<Vec<&'static Counters>> = parking_lot::Mutex::new(Vec::new());

impl Counters {
    /// The counters of `name`, made at its first use.
    pub(crate) fn of(name: &'static str) -> &'static Counters {
        let mut all = REGISTRY.lock();
        if let Some(found) = all.iter().find(|counters| counters.name == name) {
            return found;
        }
        let counters: &'static Counters = Box::leak(Box::new(Counters {
            name,
            acquired: AtomicU64::new(0),
            contended: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
        }));
        all.push(counters);
        counters
    }

    /// Counts an acquisition that found the lock free.
    pub(crate) fn free(&self) {
        self.acquired.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs `wait`, which blocks until the lock is held, and counts it with its duration.
    pub(crate) fn wait<G>(&self, wait: impl FnOnce() -> G) -> G {
        // Counted before the wait, so that a thread that is stuck shows in the metrics.
        self.contended.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let guard = wait();
        let waited = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.acquired.fetch_add(1, Ordering::Relaxed);
        self.waited_ns.fetch_add(waited, Ordering::Relaxed);
        guard
    }
}

/// The counters of every lock name used so far, in the order of first use.
pub fn locks() -> Vec<LockStats> {
    REGISTRY
        .lock()
        .iter()
        .map(|counters| LockStats {
            name: counters.name,
            acquired: counters.acquired.load(Ordering::Relaxed),
            contended: counters.contended.load(Ordering::Relaxed),
            waited: Duration::from_nanos(counters.waited_ns.load(Ordering::Relaxed)),
        })
        .collect()
}
