//! The name of a lock, its figures, and the list of them all.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::histogram::{Histogram, SharedHistogram};
use crate::tally;

/// One acquisition in so many has its hold timed: two readings of the clock cost as much as several acquisitions.
const HOLDS_TIMED: u64 = 256;
/// The number of a name that no lock was taken under yet.
pub(crate) const UNNUMBERED: u32 = u32::MAX;

/// What has happened to all locks of one name since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockStats {
    /// The name that the locks were made with.
    pub name: &'static str,
    /// How often one of them was taken, by any thread and in any mode. A thread that is woken by a condition variable
    /// takes it again.
    pub acquired: u64,
    /// How often the taker had to wait first; counted when the wait begins. What `parking_lot` gets by trying again for
    /// some microseconds is only counted of a thread that waited shortly before.
    pub contended: u64,
    /// For how long takers waited, each wait that has ended, in vain or not.
    pub wait: Histogram,
    /// For how long locks were held, of about one acquisition in 256 and the first of each thread.
    pub hold: Histogram,
}

/// A name for locks whose figures are counted together. `Mutex::new` finds or makes one; a lock in a `static` needs one
/// in a `static` of its own:
///
/// ```
/// use parkade_sync::{LockName, Mutex};
///
/// static NAME: LockName = LockName::new("example.total");
/// static TOTAL: Mutex<u64> = Mutex::named(&NAME, 0);
/// *TOTAL.lock() += 1;
/// ```
#[derive(Debug)]
pub struct LockName {
    text: &'static str,
    /// Its place in `NAMES` and in the threads' tallies. Relaxed: written and read under the lock of `NAMES`.
    number: AtomicU32,
    wait: SharedHistogram,
    hold: SharedHistogram,
    // Relaxed: statistics. These two are written as seldom as the histograms.
    contended: AtomicU64,
    /// Acquisitions that no thread's tally could count.
    untallied: AtomicU64,
}

// This cannot be our own lock: it would name itself.
#[expect(clippy::disallowed_types)]
static NAMES: parking_lot::Mutex<Vec<&'static LockName>> = parking_lot::Mutex::new(Vec::new());

impl LockName {
    /// A name without figures yet. Two with the same text are one line in the figures.
    pub const fn new(text: &'static str) -> Self {
        LockName {
            text,
            number: AtomicU32::new(UNNUMBERED),
            wait: SharedHistogram::new(),
            hold: SharedHistogram::new(),
            contended: AtomicU64::new(0),
            untallied: AtomicU64::new(0),
        }
    }

    /// What it says.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// The name with this text, made at its first use. It lives as long as the process: names are few and fixed in the
    /// source.
    pub(crate) fn of(text: &'static str) -> &'static LockName {
        let mut names = NAMES.lock();
        if let Some(found) = names.iter().find(|name| name.text == text) {
            return found;
        }
        let name: &'static LockName = Box::leak(Box::new(LockName::new(text)));
        name.number_among(&mut names);
        name
    }

    /// Runs `wait`, which blocks until the lock is held or a limit has come, and counts it with its duration, which it tells.
    #[cold]
    pub(crate) fn wait<G>(&self, wait: impl FnOnce() -> G) -> (G, Duration) {
        // Counted before the wait, so that a thread that is stuck shows in the metrics.
        self.contended.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let guard = wait();
        let waited = started.elapsed();
        self.wait.observe(waited);
        (guard, waited)
    }

    /// Counts an acquisition of a lock that has no `number` yet, or of a thread that has no tally. The moment is as for
    /// [`timed`].
    #[cold]
    pub(crate) fn count_first(&'static self, number: &AtomicU32) -> Option<Instant> {
        let own = self.number_among(&mut NAMES.lock());
        number.store(own, Ordering::Relaxed);
        timed(tally::count_first(own as usize).unwrap_or_else(|| self.untallied.fetch_add(1, Ordering::Relaxed)))
    }

    /// Counts a hold that was timed.
    #[cold]
    pub(crate) fn held_since(&self, since: Instant) {
        self.hold.observe(since.elapsed());
    }

    /// Its number, given at the first use.
    fn number_among(&'static self, names: &mut Vec<&'static LockName>) -> u32 {
        let number = self.number.load(Ordering::Relaxed);
        if number != UNNUMBERED {
            return number;
        }
        let number = u32::try_from(names.len()).expect("names are fixed in the source");
        self.number.store(number, Ordering::Relaxed);
        names.push(self);
        number
    }
}

/// Now, if the acquisition after `before` others is one whose hold is timed. The golden ratio spreads these evenly and
/// without a period, which the program's own could run along with; the first is one of them.
#[inline(always)]
pub(crate) fn timed(before: u64) -> Option<Instant> {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    (before.wrapping_mul(GOLDEN) < u64::MAX / HOLDS_TIMED).then(now)
}

#[cold]
fn now() -> Instant {
    Instant::now()
}

/// The figures of every name that a lock was made or taken under so far, in the order of first use.
pub fn locks() -> Vec<LockStats> {
    let names = NAMES.lock().clone();
    let mut all: Vec<LockStats> = Vec::with_capacity(names.len());
    for (number, name) in names.iter().enumerate() {
        let at = all.iter().position(|stats| stats.name == name.text).unwrap_or_else(|| {
            all.push(LockStats { name: name.text, ..LockStats::default() });
            all.len() - 1
        });
        let stats = &mut all[at];
        stats.acquired += tally::sum(number) + name.untallied.load(Ordering::Relaxed);
        stats.contended += name.contended.load(Ordering::Relaxed);
        stats.wait.add(&name.wait.read());
        stats.hold.add(&name.hold.read());
    }
    all
}
