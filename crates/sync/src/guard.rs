//! How a lock is taken, and the access to what it protects.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::name::{LockName, timed};
use crate::{order, tally};

/// A moment that has passed: the limit of an attempt that does not wait. One of zero seconds would read the clock, each
/// time that threads meet.
pub(crate) static PAST: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    /// How many of this thread's next acquisitions look at the lock first.
    static LOOKS: Cell<u32> = const { Cell::new(0) };
}

/// How many do so after a wait.
const LOOKS_AFTER_WAIT: u32 = 16;
/// And how long it must have been.
const LONG_WAIT: Duration = Duration::from_micros(1);

/// The name on a lock, and the place beside it for the name's number once the lock was taken. The lock has them as two
/// fields: as one they would cost it more bytes.
///
/// The number stands in the lock, and in an atomic, so that it is read after the lock was taken, when the lock's cache
/// line is this thread's. The compiler would read a plain reference before, and threads that share the lock would pass
/// the line to and fro once more for each acquisition.
#[derive(Clone, Copy)]
pub(crate) struct Label<'a> {
    pub(crate) name: &'a &'static LockName,
    pub(crate) number: &'a AtomicU32,
}

// What is inlined always, here and in the locks: a guard that comes back from a call comes through memory, which costs a
// sixth of an acquisition.
impl<'a> Label<'a> {
    /// Takes the lock, at once or after a `wait`.
    ///
    /// The attempt `free` is one until [`PAST`]. Unlike `try_lock` it does not look at the lock before it takes it, which
    /// takes a third longer, and it does not give up before it has tried a few times. A thread that has waited for a
    /// lock for long looks first for a while: so it waits once, and not first in vain.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn take<G>(
        self,
        look: impl FnOnce() -> Option<G>,
        free: impl FnOnce() -> Option<G>,
        wait: impl FnOnce() -> G,
    ) -> Guard<'a, G> {
        order::about_to_wait(self.name.text());
        self.attempt(look, free, wait)
    }

    /// As [`take`](Self::take), while the caller may hold others of this name.
    #[track_caller]
    pub(crate) fn take_nested<G>(
        self,
        look: impl FnOnce() -> Option<G>,
        free: impl FnOnce() -> Option<G>,
        wait: impl FnOnce() -> G,
    ) -> Guard<'a, G> {
        order::about_to_wait_nested(self.name.text());
        self.attempt(look, free, wait)
    }

    #[inline(always)]
    #[track_caller]
    fn attempt<G>(
        self,
        look: impl FnOnce() -> Option<G>,
        free: impl FnOnce() -> Option<G>,
        wait: impl FnOnce() -> G,
    ) -> Guard<'a, G> {
        let looks = LOOKS.get();
        let taken = if looks == 0 {
            free()
        } else {
            LOOKS.set(looks - 1);
            look()
        };
        self.taken(taken.unwrap_or_else(|| {
            let (inner, waited) = self.name.wait(wait);
            if waited >= LONG_WAIT {
                LOOKS.set(LOOKS_AFTER_WAIT);
            }
            inner
        }))
    }

    /// As [`take`](Self::take), with a `wait` that can be in vain. No order is asked for: no such wait is for ever.
    #[inline]
    #[track_caller]
    pub(crate) fn try_take<G>(
        self,
        free: impl FnOnce() -> Option<G>,
        wait: impl FnOnce() -> Option<G>,
    ) -> Option<Guard<'a, G>> {
        let inner = free().or_else(|| self.name.wait(wait).0)?;
        Some(self.taken(inner))
    }

    /// Counts what was just taken.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn taken<G>(self, inner: G) -> Guard<'a, G> {
        Guard { inner, hold: Hold { label: self, since: self.begin() } }
    }

    /// Counts an acquisition. The moment is as for [`timed`]: the hold begins.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn begin(self) -> Option<Instant> {
        order::took(self.name.text());
        match tally::count(self.number.load(Ordering::Relaxed) as usize) {
            Some(before) => timed(before),
            None => self.name.count_first(self.number),
        }
    }
}

/// Access to what a lock protects, until it is dropped: one of `parking_lot`'s guards, and the account of its hold.
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct Guard<'a, G> {
    // The lock is given back before the account is closed.
    pub(crate) inner: G,
    pub(crate) hold: Hold<'a>,
}

/// The account of one hold.
pub(crate) struct Hold<'a> {
    pub(crate) label: Label<'a>,
    /// When it began, if it is one of those that are timed.
    pub(crate) since: Option<Instant>,
}

impl Hold<'_> {
    #[inline(always)]
    pub(crate) fn end(&mut self) {
        order::gave_back(self.label.name.text());
        if let Some(since) = self.since.take() {
            self.label.name.held_since(since);
        }
    }
}

impl Drop for Hold<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.end();
    }
}

impl<'a, G> Guard<'a, G> {
    /// The same hold with another view of what is protected.
    pub(crate) fn view<H>(self, view: impl FnOnce(G) -> H) -> Guard<'a, H> {
        Guard { inner: view(self.inner), hold: self.hold }
    }
}

impl<G: Deref> Deref for Guard<'_, G> {
    type Target = G::Target;

    #[inline]
    fn deref(&self) -> &G::Target {
        &self.inner
    }
}

impl<G: DerefMut> DerefMut for Guard<'_, G> {
    #[inline]
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.inner
    }
}

impl<G: fmt::Debug> fmt::Debug for Guard<'_, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<G: fmt::Display> fmt::Display for Guard<'_, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
