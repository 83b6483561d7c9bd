//! A mutual exclusion lock.

// This file is the wrapper that the rest of the workspace is sent to.
#![allow(clippy::disallowed_types)]

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::counters::Counters;

/// A named mutex: `parking_lot`'s (one byte, no poisoning), with contention counted under its name.
pub struct Mutex<T: ?Sized> {
    counters: &'static Counters,
    inner: parking_lot::Mutex<T>,
}

/// Access to what a [`Mutex`] protects, until it is dropped.
pub struct MutexGuard<'a, T: ?Sized> {
    pub(crate) inner: parking_lot::MutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    /// A mutex around `value`, counted under `name`.
    pub fn new(name: &'static str, value: T) -> Self {
        Mutex { counters: Counters::of(name), inner: parking_lot::Mutex::new(value) }
    }

    /// Gives the value back; nobody else can hold the lock any more.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until the lock is free and takes it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let inner = match self.inner.try_lock() {
            Some(guard) => {
                self.counters.free();
                guard
            }
            None => self.counters.wait(|| self.inner.lock()),
        };
        MutexGuard { inner }
    }

    /// Takes the lock if it is free now.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let inner = self.inner.try_lock()?;
        self.counters.free();
        Some(MutexGuard { inner })
    }

    /// The value, without locking: `&mut self` proves that nobody else is there.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Mutex;
    use crate::locks;
    use std::sync::Arc;

    fn stats(name: &str) -> crate::LockStats {
        locks().into_iter().find(|lock| lock.name == name).expect("the lock was made")
    }

    #[test]
    fn a_free_lock_is_counted_without_contention() {
        let lock = Mutex::new("test.mutex.free", 0);
        for _ in 0..10 {
            *lock.lock() += 1;
        }
        assert!(lock.try_lock().is_some());
        let stats = stats("test.mutex.free");
        assert_eq!((stats.acquired, stats.contended), (11, 0));
        assert_eq!(stats.waited, std::time::Duration::ZERO);
    }

    #[test]
    fn a_thread_that_waits_is_counted_as_contention() {
        let lock = Arc::new(Mutex::new("test.mutex.contended", 0));
        let guard = lock.lock();
        assert!(lock.try_lock().is_none());
        let other = std::thread::spawn({
            let lock = Arc::clone(&lock);
            move || *lock.lock() += 1
        });
        while stats("test.mutex.contended").contended == 0 {
            std::thread::yield_now();
        }
        drop(guard);
        other.join().expect("the other thread ends");
        let stats = stats("test.mutex.contended");
        assert_eq!(stats.acquired, 2);
        assert_eq!(stats.contended, 1);
        assert!(stats.waited > std::time::Duration::ZERO);
        assert_eq!(*lock.lock(), 1);
    }

    #[test]
    fn sums_are_exact_under_contention() {
        let lock = Arc::new(Mutex::new("test.mutex.sum", 0u64));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let lock = Arc::clone(&lock);
                std::thread::spawn(move || (0..10_000).for_each(|_| *lock.lock() += 1))
            })
            .collect();
        for thread in threads {
            thread.join().expect("no thread panics");
        }
        assert_eq!(*lock.lock(), 40_000);
        assert_eq!(stats("test.mutex.sum").acquired, 40_001);
    }
}
