#![doc = include_str!("../README.md")]

mod condvar;
mod guard;
mod histogram;
mod mutex;
mod name;
mod order;
mod rwlock;
mod tally;

pub use condvar::Condvar;
pub use guard::Guard;
pub use histogram::{BOUNDS, Histogram};
pub use mutex::{MappedMutexGuard, Mutex, MutexGuard};
pub use name::{LockName, LockStats, locks};
#[cfg(feature = "deadlock-detection")]
pub use parking_lot::deadlock;
pub use rwlock::{MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
