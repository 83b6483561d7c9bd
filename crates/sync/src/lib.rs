//! Named locks over `parking_lot` that count their own contention.
//!
//! Every lock in Parkade is one of these. A name is a `&'static str` such as `"engine.commands"`; locks of one name
//! share one set of counters, which [`locks`] reads for the metrics. An uncontended acquisition costs one
//! `try_lock` and one relaxed increment; the clock is read only when a thread really has to wait.
//!
//! ```
//! use parkade_sync::{Mutex, locks};
//!
//! let waiting = Mutex::new("example.waiting", vec![1, 2, 3]);
//! waiting.lock().push(4);
//! let stats = locks();
//! assert!(stats.iter().any(|lock| lock.name == "example.waiting" && lock.acquired >= 1));
//! ```
//!
//! The rules for which lock to use stand in ARCHITECTURE.md: these for short synchronous sections, `tokio`'s where a
//! guard must cross an await, `std`'s nowhere but inside `LazyLock` and `OnceLock`. clippy's `disallowed-types` holds
//! the rest of the workspace to it.

mod condvar;
mod counters;
mod mutex;
mod rwlock;

pub use condvar::Condvar;
pub use counters::{LockStats, locks};
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
