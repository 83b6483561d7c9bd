//! The primitives under the hand-over between threads: parkade-sync's in a program, loom's under `cfg(loom)`, with
//! one interface. Everything above this file is the same code in both, so what loom checks is what runs.

#[cfg(not(loom))]
pub(crate) use parkade_sync::{Condvar, Mutex};
#[cfg(not(loom))]
pub(crate) use std::thread::{Builder, JoinHandle};

#[cfg(loom)]
pub(crate) use loom::thread::{Builder, JoinHandle};
#[cfg(loom)]
pub(crate) use model::{Condvar, Mutex};

#[cfg(loom)]
mod model {
    use std::ops::{Deref, DerefMut};
    use std::time::Instant;

    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    /// The guard is an option so that a condition variable can take it through `&mut`, as parking_lot's does.
    pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(crate) fn new(_name: &'static str, value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.0.as_ref().expect("held except while waiting")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("held except while waiting")
        }
    }

    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Condvar(loom::sync::Condvar::new())
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.0.take().expect("held except while waiting");
            guard.0 = Some(self.0.wait(held).unwrap_or_else(|poisoned| poisoned.into_inner()));
        }

        /// Loom has no time. A wait with a limit is one whose limit has not come: the harder case for the hand-over,
        /// since nothing but a notification ends it.
        pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _limit: Instant) -> bool {
            self.wait(guard);
            false
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}
