#![doc = include_str!("../README.md")]

mod condvar;
mod counters;
mod mutex;
mod rwlock;

pub use condvar::Condvar;
pub use counters::{LockStats, locks};
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
