//! A lock for many readers or one writer.

// This file is the wrapper that the rest of the workspace is sent to.
#![expect(clippy::disallowed_types)]

use std::fmt;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::guard::{Guard, Label, PAST};
use crate::name::{LockName, UNNUMBERED};

/// A named reader-writer lock over `parking_lot`'s, with its figures counted under its name.
pub struct RwLock<T: ?Sized> {
    name: &'static LockName,
    number: AtomicU32,
    inner: parking_lot::RwLock<T>,
}

/// Shared access to what a [`RwLock`] protects.
pub type RwLockReadGuard<'a, T> = Guard<'a, parking_lot::RwLockReadGuard<'a, T>>;
/// Exclusive access to what a [`RwLock`] protects.
pub type RwLockWriteGuard<'a, T> = Guard<'a, parking_lot::RwLockWriteGuard<'a, T>>;
/// Shared access to a part of what a [`RwLock`] protects.
pub type MappedRwLockReadGuard<'a, T> = Guard<'a, parking_lot::MappedRwLockReadGuard<'a, T>>;
/// Exclusive access to a part of what a [`RwLock`] protects.
pub type MappedRwLockWriteGuard<'a, T> = Guard<'a, parking_lot::MappedRwLockWriteGuard<'a, T>>;

impl<T> RwLock<T> {
    /// A lock around `value`, counted under `name`.
    pub fn new(name: &'static str, value: T) -> Self {
        Self::named(LockName::of(name), value)
    }

    /// A lock around `value`, counted under `name`, which can stand in a `static`.
    pub const fn named(name: &'static LockName, value: T) -> Self {
        RwLock { name, number: AtomicU32::new(UNNUMBERED), inner: parking_lot::RwLock::new(value) }
    }

    /// Gives the value back; nobody else can hold the lock any more.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until no writer holds the lock or waits for it, and shares it.
    #[inline(always)]
    #[track_caller]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.label().take(|| self.inner.try_read(), || self.inner.try_read_until(*PAST), || self.inner.read())
    }

    /// As [`read`](Self::read), while this thread may hold other locks of this name. The caller answers for it that all
    /// threads take them in one order. For this same lock it is no way out: a writer may wait in between.
    #[track_caller]
    pub fn read_nested(&self) -> RwLockReadGuard<'_, T> {
        self.label().take_nested(|| self.inner.try_read(), || self.inner.try_read_until(*PAST), || self.inner.read())
    }

    /// Waits until nobody holds the lock, and takes it alone.
    #[inline(always)]
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.label().take(|| self.inner.try_write(), || self.inner.try_write_until(*PAST), || self.inner.write())
    }

    /// As [`write`](Self::write), while this thread may hold other locks of this name, as for
    /// [`read_nested`](Self::read_nested).
    #[track_caller]
    pub fn write_nested(&self) -> RwLockWriteGuard<'_, T> {
        self.label().take_nested(|| self.inner.try_write(), || self.inner.try_write_until(*PAST), || self.inner.write())
    }

    /// Shares the lock if no writer holds it now.
    #[inline]
    #[track_caller]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.inner.try_read().map(|inner| self.label().taken(inner))
    }

    /// Takes the lock alone if nobody holds it now.
    #[inline]
    #[track_caller]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.inner.try_write().map(|inner| self.label().taken(inner))
    }

    /// Shares the lock if that is possible within `limit`.
    #[track_caller]
    pub fn try_read_for(&self, limit: Duration) -> Option<RwLockReadGuard<'_, T>> {
        self.label().try_take(|| self.inner.try_read_until(*PAST), || self.inner.try_read_for(limit))
    }

    /// Takes the lock alone if that is possible within `limit`.
    #[track_caller]
    pub fn try_write_for(&self, limit: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        self.label().try_take(|| self.inner.try_write_until(*PAST), || self.inner.try_write_for(limit))
    }

    #[inline(always)]
    fn label(&self) -> Label<'_> {
        Label { name: &self.name, number: &self.number }
    }

    /// The value, without locking: `&mut self` proves that nobody else is there.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }
}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// Narrows the access to a part.
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&T) -> &U) -> MappedRwLockReadGuard<'a, U> {
        guard.view(|inner| parking_lot::RwLockReadGuard::map(inner, part))
    }

    /// Gives the lock to those that have waited longest, if this is the last reader.
    pub fn unlock_fair(guard: Self) {
        let Guard { inner, hold: _hold } = guard;
        parking_lot::RwLockReadGuard::unlock_fair(inner);
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Narrows the access to a part.
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedRwLockWriteGuard<'a, U> {
        guard.view(|inner| parking_lot::RwLockWriteGuard::map(inner, part))
    }

    /// Gives the lock to those that have waited longest, if any wait.
    pub fn unlock_fair(guard: Self) {
        let Guard { inner, hold: _hold } = guard;
        parking_lot::RwLockWriteGuard::unlock_fair(inner);
    }
}

impl<'a, T: ?Sized> MappedRwLockReadGuard<'a, T> {
    /// Narrows the access further.
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&T) -> &U) -> MappedRwLockReadGuard<'a, U> {
        guard.view(|inner| parking_lot::MappedRwLockReadGuard::map(inner, part))
    }
}

impl<'a, T: ?Sized> MappedRwLockWriteGuard<'a, T> {
    /// Narrows the access further.
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedRwLockWriteGuard<'a, U> {
        guard.view(|inner| parking_lot::MappedRwLockWriteGuard::map(inner, part))
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{RwLock, RwLockReadGuard, RwLockWriteGuard};
    use std::time::Duration;

    #[test]
    fn readers_share_and_a_writer_is_alone() {
        let lock = RwLock::new("test.rwlock", 1);
        {
            let first = lock.read();
            let second = lock.try_read().expect("readers share");
            assert_eq!(*first + *second, 2);
            assert!(lock.inner.try_write().is_none());
        }
        *lock.write() = 5;
        assert_eq!(*lock.read(), 5);
    }

    #[test]
    fn parts_hold_the_whole_in_their_mode() {
        let lock = RwLock::new("test.rwlock.parts", (1, (2, 3)));
        let inner = RwLockReadGuard::map(lock.read(), |all| &all.1);
        assert!(lock.try_write().is_none() && lock.try_read().is_some());
        assert_eq!(*super::MappedRwLockReadGuard::map(inner, |pair| &pair.0), 2);
        let inner = RwLockWriteGuard::map(lock.write(), |all| &mut all.1);
        assert!(lock.try_read().is_none());
        *super::MappedRwLockWriteGuard::map(inner, |pair| &mut pair.1) = 4;
        RwLockReadGuard::unlock_fair(lock.read());
        RwLockWriteGuard::unlock_fair(lock.write());
        assert_eq!(lock.into_inner(), (1, (2, 4)));
    }

    #[test]
    fn limited_waits_end_and_are_counted_in_both_modes() {
        let lock = RwLock::new("test.rwlock.limit", ());
        let limit = Duration::from_millis(5);
        let writer = lock.write();
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(lock.try_read_for(limit).is_none() && lock.try_write_for(limit).is_none()));
        });
        drop(writer);
        assert!(lock.try_read_for(limit).is_some() && lock.try_write_for(limit).is_some());
        let all = crate::locks();
        let stats = all.iter().find(|stats| stats.name == "test.rwlock.limit").expect("the lock was made");
        assert_eq!((stats.acquired, stats.contended, stats.wait.count()), (3, 2, 2));
        assert!(stats.wait.sum >= 2 * limit, "{stats:?}");
    }
}
