//! How threads hand things to each other: a [`Desk`] where commands are left for workers, and a [`Pledge`] that one
//! thread keeps and another waits for. Both are small and generic; the pool is built on them, and loom checks them
//! and the pool (`tests/loom.rs`).

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::catch_panic::catch_panic;
use crate::loom_shim::{Condvar, Mutex};

/// What a waiting thread found when it looked.
pub(crate) enum Look<R> {
    /// What it was waiting for.
    Found(R),
    /// Nothing yet; to look again at this moment even if nobody rings.
    Nothing(Option<Instant>),
}

/// State under one lock, and bells by which whoever changes it wakes whoever waits for that change.
///
/// A wake-up cannot be lost: a thread that waits looks under the lock and gives the lock up only by going to sleep,
/// and a thread that changes the state rings after it has had the lock. So the change comes before the look, which
/// finds it, or after the sleep began, which the bell ends.
pub(crate) struct Desk<S> {
    state: Mutex<S>,
    bells: Vec<Condvar>,
}

impl<S> Desk<S> {
    pub(crate) fn new(name: &'static str, state: S, bells: usize) -> Desk<S> {
        Desk { state: Mutex::new(name, state), bells: (0..bells).map(|_| Condvar::new()).collect() }
    }

    /// Changes or reads the state, for as short a time as `f` takes.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        f(&mut self.state.lock())
    }

    /// Wakes everybody who waits at this bell.
    pub(crate) fn ring(&self, bell: usize) {
        self.bells[bell].notify_all();
    }

    /// Looks until something is found, sleeping in between until the bell rings or the moment comes.
    pub(crate) fn wait_for<R>(&self, bell: usize, mut look: impl FnMut(&mut S) -> Look<R>) -> R {
        let mut state = self.state.lock();
        loop {
            match look(&mut state) {
                Look::Found(found) => return found,
                Look::Nothing(None) => self.bells[bell].wait(&mut state),
                Look::Nothing(Some(moment)) => {
                    self.bells[bell].wait_until(&mut state, moment);
                }
            }
        }
    }
}

/// A value that will be given exactly once, to whoever asks first: by waiting, with or without a limit, or as a future.
pub(crate) struct Pledge<T> {
    state: Mutex<State<T>>,
    kept: Condvar,
}

enum State<T> {
    Open(Option<Waker>),
    Kept(T),
    Taken,
}

impl<T> Pledge<T> {
    pub(crate) fn new() -> Pledge<T> {
        Pledge { state: Mutex::new("pool.pledge", State::Open(None)), kept: Condvar::new() }
    }

    /// Gives the value. The first one counts; another is dropped, and the answer is false. A waker may panic: the value
    /// has been given all the same.
    pub(crate) fn keep(&self, value: T) -> bool {
        let mut state = self.state.lock();
        let State::Open(waker) = &mut *state else { return false };
        let waker = waker.take();
        *state = State::Kept(value);
        drop(state);
        self.kept.notify_all();
        // It is the business of whoever waits, not of this thread, which has others to see to.
        if let Some(Err(panic)) = waker.map(|waker| catch_panic(|| waker.wake())) {
            tracing::error!(panic, "waking whoever waits for an outcome panicked");
        }
        true
    }

    /// Whether the value has been given, and perhaps taken.
    pub(crate) fn is_kept(&self) -> bool {
        !matches!(*self.state.lock(), State::Open(_))
    }

    /// Waits for the value; `None` if the moment comes first (then it can still be had later) or it has been taken.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Option<T> {
        let mut state = self.state.lock();
        while matches!(*state, State::Open(_)) {
            match until {
                None => self.kept.wait(&mut state),
                Some(moment) => {
                    if self.kept.wait_until(&mut state, moment) {
                        break;
                    }
                }
            }
        }
        take_kept(&mut state)
    }

    /// Takes the value or has the caller woken when it is there. Ready with `None` if it has been taken.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.state.lock();
        if let State::Open(waker) = &mut *state {
            match waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        Poll::Ready(take_kept(&mut state))
    }
}

fn take_kept<T>(state: &mut State<T>) -> Option<T> {
    match std::mem::replace(state, State::Taken) {
        State::Kept(value) => Some(value),
        other => {
            *state = other;
            None
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_pledge_is_kept_once_and_taken_once() {
        let pledge = Pledge::new();
        assert!(!pledge.is_kept());
        assert!(pledge.keep(1));
        assert!(!pledge.keep(2));
        assert_eq!(pledge.wait(None), Some(1));
        assert_eq!(pledge.wait(None), None);
        assert!(!pledge.keep(3));
    }

    #[test]
    fn a_limit_that_passes_loses_nothing() {
        let pledge = Pledge::new();
        assert_eq!(pledge.wait(Some(Instant::now() + Duration::from_millis(5))), None);
        pledge.keep("late");
        assert_eq!(pledge.wait(Some(Instant::now())), Some("late"));
    }
}
