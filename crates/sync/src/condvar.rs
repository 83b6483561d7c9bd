//! A condition variable for [`Mutex`](crate::Mutex).

use std::time::Instant;

use crate::{MutexGuard, order};

/// Waits for another thread's news while a [`Mutex`](crate::Mutex) is released. Wake-ups can be spurious: wait in a
/// loop that looks at the protected state.
#[derive(Debug, Default)]
pub struct Condvar {
    // What the rest of the workspace is sent here for.
    #[expect(clippy::disallowed_types)]
    inner: parking_lot::Condvar,
}

impl Condvar {
    /// A condition variable that nobody waits on.
    #[expect(clippy::disallowed_types)]
    pub const fn new() -> Self {
        Condvar { inner: parking_lot::Condvar::new() }
    }

    /// Releases the lock, waits for a notification, and takes the lock again.
    #[track_caller]
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        released(guard, |inner| self.inner.wait(inner));
    }

    /// As [`wait`](Self::wait), until `deadline` at the latest. True if the deadline came first.
    #[track_caller]
    pub fn wait_until<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, deadline: Instant) -> bool {
        released(guard, |inner| self.inner.wait_until(inner, deadline).timed_out())
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

/// Ends the guard's hold for a wait, and begins another one.
#[track_caller]
fn released<'a, T: ?Sized, R>(
    guard: &mut MutexGuard<'a, T>,
    wait: impl FnOnce(&mut parking_lot::MutexGuard<'a, T>) -> R,
) -> R {
    order::about_to_wait_nested(guard.hold.label.name.text());
    guard.hold.end();
    let told = wait(&mut guard.inner);
    guard.hold.since = guard.hold.label.begin();
    told
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
