//! Calling what is not this crate's own: executors, wakers, and what drops tasks and outcomes.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls it; a panic becomes its message.
pub(crate) fn catch_panic<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    // An executor goes on after a panic by contract: it is told to drop the culprits. The others are used once.
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
    })
}
