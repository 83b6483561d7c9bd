//! A mutual exclusion lock.

// This file is the wrapper that the rest of the workspace is sent to.
#![expect(clippy::disallowed_types)]

use std::fmt;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::guard::{Guard, Label, PAST};
use crate::name::{LockName, UNNUMBERED};

/// A named mutex: `parking_lot`'s (one byte, no poisoning), with its figures counted under its name.
pub struct Mutex<T: ?Sized> {
    name: &'static LockName,
    number: AtomicU32,
    inner: parking_lot::Mutex<T>,
}

/// Access to what a [`Mutex`] protects.
pub type MutexGuard<'a, T> = Guard<'a, parking_lot::MutexGuard<'a, T>>;
/// Access to a part of what a [`Mutex`] protects.
pub type MappedMutexGuard<'a, T> = Guard<'a, parking_lot::MappedMutexGuard<'a, T>>;

impl<T> Mutex<T> {
    /// A mutex around `value`, counted under `name`.
    pub fn new(name: &'static str, value: T) -> Self {
        Self::named(LockName::of(name), value)
    }

    /// A mutex around `value`, counted under `name`, which can stand in a `static`.
    pub const fn named(name: &'static LockName, value: T) -> Self {
        Mutex { name, number: AtomicU32::new(UNNUMBERED), inner: parking_lot::Mutex::new(value) }
    }

    /// Gives the value back; nobody else can hold the lock any more.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until the lock is free and takes it.
    #[inline(always)]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.label().take(|| self.inner.try_lock(), || self.inner.try_lock_until(*PAST), || self.inner.lock())
    }

    /// As [`lock`](Self::lock), while this thread may hold other locks of this name. The caller answers for it that all
    /// threads take them in one order.
    #[track_caller]
    pub fn lock_nested(&self) -> MutexGuard<'_, T> {
        self.label().take_nested(|| self.inner.try_lock(), || self.inner.try_lock_until(*PAST), || self.inner.lock())
    }

    /// Takes the lock if it is free now.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.inner.try_lock().map(|inner| self.label().taken(inner))
    }

    /// Takes the lock if it becomes free within `limit`.
    #[track_caller]
    pub fn try_lock_for(&self, limit: Duration) -> Option<MutexGuard<'_, T>> {
        self.label().try_take(|| self.inner.try_lock_until(*PAST), || self.inner.try_lock_for(limit))
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

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Narrows the access to a part.
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedMutexGuard<'a, U> {
        guard.view(|inner| parking_lot::MutexGuard::map(inner, part))
    }

    /// Gives the lock to the thread that has waited longest, if any waits. A guard that is dropped only frees the lock,
    /// and whoever comes first takes it.
    pub fn unlock_fair(guard: Self) {
        let Guard { inner, hold: _hold } = guard;
        parking_lot::MutexGuard::unlock_fair(inner);
    }
}

impl<'a, T: ?Sized> MappedMutexGuard<'a, T> {
    /// Narrows the access further.
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedMutexGuard<'a, U> {
        guard.view(|inner| parking_lot::MappedMutexGuard::map(inner, part))
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{MappedMutexGuard, Mutex, MutexGuard};
    use crate::{Condvar, Histogram, LockName, locks};
    use std::sync::Arc;
    use std::time::Duration;

    fn stats(name: &str) -> crate::LockStats {
        locks().into_iter().find(|lock| lock.name == name).expect("the lock was made")
    }

    #[test]
    fn a_lock_is_16_bytes_larger_than_that_of_parking_lot() {
        assert_eq!((size_of::<Mutex<u64>>(), size_of::<parking_lot::Mutex<u64>>()), (32, 16));
        assert_eq!((size_of::<crate::RwLock<u64>>(), size_of::<parking_lot::RwLock<u64>>()), (32, 16));
        assert_eq!((size_of::<Mutex<()>>(), size_of::<parking_lot::Mutex<()>>()), (16, 1));
        assert_eq!((size_of::<Mutex<[u32; 3]>>(), size_of::<parking_lot::Mutex<[u32; 3]>>()), (32, 16));
        assert_eq!((size_of::<Mutex<u128>>(), size_of::<parking_lot::Mutex<u128>>()), (48, 32));
    }

    #[test]
    fn a_lock_can_be_static_and_two_names_of_one_text_are_one_line() {
        static NAMES: [LockName; 2] = [LockName::new("test.mutex.static"), LockName::new("test.mutex.static")];
        static TOTAL: Mutex<u32> = Mutex::named(&NAMES[0], 0);
        static OTHER: Mutex<u32> = Mutex::named(&NAMES[1], 0);
        *TOTAL.lock() += 1;
        let mut total = TOTAL.lock();
        *total += *OTHER.lock_nested();
        drop(total);
        assert_eq!(stats("test.mutex.static").acquired, 3);
        assert_eq!(locks().iter().filter(|lock| lock.name == "test.mutex.static").count(), 1);
    }

    #[test]
    fn what_is_protected_can_be_unsized_and_seen_in_parts() {
        let lock: Arc<Mutex<dyn std::fmt::Debug + Send>> = Arc::new(Mutex::new("test.mutex.unsized", [1, 2, 3]));
        assert_eq!(format!("{:?}", lock.lock()), "[1, 2, 3]");
        let lock: &Mutex<[(i32, i32)]> = &Mutex::new("test.mutex.unsized", [(1, 2), (3, 4)]);
        let pair = MutexGuard::map(lock.lock(), |pairs| &mut pairs[1]);
        let mut right = MappedMutexGuard::map(pair, |pair| &mut pair.1);
        *right = 5;
        assert!(lock.try_lock().is_none(), "a part holds the whole");
        drop(right);
        MutexGuard::unlock_fair(lock.lock());
        assert_eq!(*lock.lock(), [(1, 2), (3, 5)]);
    }

    #[test]
    fn a_limited_wait_ends_and_is_counted() {
        let lock = Arc::new(Mutex::new("test.mutex.limit", ()));
        let limit = Duration::from_millis(5);
        let guard = lock.lock();
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(lock.try_lock_for(limit).is_none()));
        });
        drop(guard);
        assert!(lock.try_lock_for(limit).is_some());
        let stats = stats("test.mutex.limit");
        assert_eq!((stats.acquired, stats.contended, stats.wait.count()), (2, 1, 1));
        assert!(stats.wait.sum >= limit, "{stats:?}");
    }

    #[test]
    fn holds_are_timed_from_the_first_of_a_thread_on() {
        let lock = Mutex::new("test.mutex.hold", ());
        let guard = lock.lock();
        std::thread::sleep(Duration::from_millis(2));
        drop(guard);
        let first = stats("test.mutex.hold").hold;
        assert_eq!(first.count(), 1);
        assert!(first.sum >= Duration::from_millis(2), "{first:?}");
        (0..2_560).for_each(|_| drop(lock.lock()));
        assert!((10..=12).contains(&stats("test.mutex.hold").hold.count()));
    }

    #[test]
    fn a_hold_ends_where_the_wait_for_news_begins() {
        let (lock, news) = (Mutex::new("test.mutex.news", ()), Condvar::new());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| news.wait(&mut lock.lock()));
            while stats("test.mutex.news").hold.count() == 0 {
                std::thread::yield_now();
            }
            assert_eq!(stats("test.mutex.news").acquired, 1);
            while !waiter.is_finished() {
                news.notify_all();
            }
        });
        assert_eq!(stats("test.mutex.news").acquired, 2);
    }

    #[test]
    fn counts_outlive_their_threads() {
        let lock = Mutex::new("test.mutex.threads", 0);
        for round in 1..=20 {
            std::thread::scope(|scope| {
                scope.spawn(|| *lock.lock() += 1);
            });
            assert_eq!(stats("test.mutex.threads").acquired, round);
        }
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
        assert_eq!(stats.wait, Histogram::default());
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
        assert!(stats.wait.sum > Duration::ZERO);
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
