//! A lock for many readers or one writer.

// This file is the wrapper that the rest of the workspace is sent to.
#![allow(clippy::disallowed_types)]

use std::fmt;

use crate::counters::Counters;

/// A named reader-writer lock over `parking_lot`'s, with contention counted under its name.
pub struct RwLock<T: ?Sized> {
    counters: &'static Counters,
    inner: parking_lot::RwLock<T>,
}

/// Shared access to what a [`RwLock`] protects.
pub type RwLockReadGuard<'a, T> = parking_lot::RwLockReadGuard<'a, T>;
/// Exclusive access to what a [`RwLock`] protects.
pub type RwLockWriteGuard<'a, T> = parking_lot::RwLockWriteGuard<'a, T>;

impl<T> RwLock<T> {
    /// A lock around `value`, counted under `name`.
    pub fn new(name: &'static str, value: T) -> Self {
        RwLock { counters: Counters::of(name), inner: parking_lot::RwLock::new(value) }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until no writer holds the lock, and shares it.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        match self.inner.try_read() {
            Some(guard) => {
                self.counters.free();
                guard
            }
            None => self.counters.wait(|| self.inner.read()),
        }
    }

    /// Waits until nobody holds the lock, and takes it alone.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        match self.inner.try_write() {
            Some(guard) => {
                self.counters.free();
                guard
            }
            None => self.counters.wait(|| self.inner.write()),
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::RwLock;

    #[test]
    fn readers_share_and_a_writer_is_alone() {
        let lock = RwLock::new("test.rwlock", 1);
        {
            let first = lock.read();
            let second = lock.read();
            assert_eq!(*first + *second, 2);
            assert!(lock.inner.try_write().is_none());
        }
        *lock.write() = 5;
        assert_eq!(*lock.read(), 5);
    }
}
