//! A condition variable for [`Mutex`](crate::Mutex).

// This file is the wrapper that the rest of the workspace is sent to.
#![allow(clippy::disallowed_types)]

use std::time::Instant;

use crate::MutexGuard;

/// Waits for another thread's news while a [`Mutex`](crate::Mutex) is released. Wake-ups can be spurious: wait in a
/// loop that looks at the protected state.
#[derive(Debug, Default)]
pub struct Condvar {
    inner: parking_lot::Condvar,
}

impl Condvar {
    /// A condition variable that nobody waits on.
    pub const fn new() -> Self {
        Condvar { inner: parking_lot::Condvar::new() }
    }

    /// Releases the lock, waits for a notification, and takes the lock again.
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.inner.wait(&mut guard.inner);
    }

    /// As [`wait`](Self::wait), until `deadline` at the latest. True if the deadline came first.
    pub fn wait_until<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, deadline: Instant) -> bool {
        self.inner.wait_until(&mut guard.inner, deadline).timed_out()
    }

    /// Wakes one waiter, if there is one.
    pub fn notify_one(&self) {
        self.inner.notify_one();
    }

    /// Wakes all waiters.
    pub fn notify_all(&self) {
        self.inner.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::Condvar;
    use crate::Mutex;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    #[test]
    fn a_notification_reaches_the_waiter() {
        let shared = Arc::new((Mutex::new("test.condvar", false), Condvar::new()));
        let waiter = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut ready = shared.0.lock();
                while !*ready {
                    shared.1.wait(&mut ready);
                }
            }
        });
        *shared.0.lock() = true;
        shared.1.notify_all();
        waiter.join().expect("the waiter wakes");
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let lock = Mutex::new("test.condvar.deadline", ());
        let mut guard = lock.lock();
        let condvar = Condvar::new();
        while !condvar.wait_until(&mut guard, Instant::now() + Duration::from_millis(5)) {}
    }
}
