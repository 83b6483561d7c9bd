//! The memory that request bodies may take: a bound over all of them, and one for each sender, so that nobody's bodies
//! keep out those of others.
//!
//! Memory is charged when it is taken, not when it is announced.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parkade_sync::Mutex;

use crate::config::ServerConfig;
use crate::http::{ApiError, Retry, Sender};

/// What one parsed JSON value may take in memory, measured generously: the value itself, its share of the growing
/// list or map that holds it, and a small allocation.
pub(crate) const BYTES_PER_VALUE: usize = 160;

/// One sender may have the memory divided by this, or what one largest body takes.
const SENDERS: usize = 4;

/// When to come back if other bodies take all the memory that bodies may have.
const RETRY: Duration = Duration::from_secs(1);

/// On whose account a body is held.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Payer {
    /// The holder of the key of this name.
    Key(String),
    /// Whoever holds an address, where there are no keys. `None`: the request came over no socket.
    Address(Option<Sender>),
}

/// The memory for all bodies.
pub(crate) struct BodyMemory {
    total: usize,
    each: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    total: usize,
    by_payer: HashMap<Payer, usize>,
}

impl BodyMemory {
    pub fn new(config: &ServerConfig) -> Arc<Self> {
        let largest = config.max_body_bytes.saturating_add(config.max_json_values.saturating_mul(BYTES_PER_VALUE));
        let total = config.body_memory_bytes;
        Self::with_bounds(total, (total / SENDERS).max(largest).min(total))
    }

    pub(crate) fn with_bounds(total: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { total, each, used: Mutex::new("server.body_memory", Used::default()) })
    }

    /// A share of nothing, which can grow.
    pub fn share(self: &Arc<Self>, payer: Payer) -> Share {
        Share { memory: self.clone(), payer, held: 0 }
    }

    /// Takes `more` bytes for a payer.
    fn take(&self, payer: &Payer, more: usize) -> Result<(), ApiError> {
        let mut used = self.used.lock();
        let of_payer = used.by_payer.get(payer).copied().unwrap_or_default();
        if more > self.total.saturating_sub(used.total) {
            let message = "other requests' bodies take all the memory set aside for bodies";
            return Err(ApiError::overloaded(message, RETRY));
        }
        if more > self.each.saturating_sub(of_payer) {
            let message =
                format!("the bodies of your other requests take all of the {} bytes that they may take", self.each);
            return Err(ApiError::over_limit("rate_limit_exceeded", message, Retry::After(RETRY)));
        }
        used.total += more;
        used.by_payer.insert(payer.clone(), of_payer + more);
        Ok(())
    }

    fn give_back(&self, payer: &Payer, bytes: usize) {
        let mut used = self.used.lock();
        used.total -= bytes;
        let left = used.by_payer.get(payer).map_or(0, |held| held - bytes);
        if left == 0 {
            used.by_payer.remove(payer);
        } else {
            used.by_payer.insert(payer.clone(), left);
        }
    }
}

/// A share of the memory for bodies; it is given back when this is dropped.
pub(crate) struct Share {
    memory: Arc<BodyMemory>,
    payer: Payer,
    held: usize,
}

impl Share {
    /// Grows the share to cover `bytes`.
    ///
    /// # Errors
    /// 503 if all of the memory is taken, 429 if this payer's part of it is.
    pub fn cover(&mut self, bytes: usize) -> Result<(), ApiError> {
        if let Some(more) = bytes.checked_sub(self.held).filter(|more| *more > 0) {
            self.memory.take(&self.payer, more)?;
            self.held = bytes;
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.give_back(&self.payer, self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Payer {
        Payer::Key(name.to_owned())
    }

    #[test]
    fn one_senders_bodies_leave_room_for_those_of_others() {
        let memory = BodyMemory::with_bounds(100, 40);
        let mut first = memory.share(key("ada"));
        first.cover(30).expect("free");
        first.cover(20).expect("covered already");
        let mut second = memory.share(key("ada"));
        let error = second.cover(11).expect_err("over ada's part");
        assert_eq!((error.status().as_u16(), error.retry_after_seconds()), (429, Some(1)));
        second.cover(10).expect("the rest of ada's part");
        let mut others: Vec<Share> = ["bob", "eve"].map(|name| memory.share(key(name))).into();
        others[0].cover(40).expect("bob's part");
        let error = others[1].cover(21).expect_err("over everything");
        assert_eq!(error.code(), "server_is_overloaded");
        drop((first, second));
        others[1].cover(40).expect("given back");
    }

    #[test]
    fn all_is_given_back() {
        let memory = BodyMemory::with_bounds(100, 100);
        for _ in 0..3 {
            let mut share = memory.share(Payer::Address(None));
            share.cover(60).expect("free");
            share.cover(100).expect("free");
        }
        let used = memory.used.lock();
        assert_eq!((used.total, used.by_payer.len()), (0, 0));
    }

    #[test]
    fn the_largest_body_fits_into_one_senders_part() {
        let config = ServerConfig { body_memory_bytes: 16 << 20, ..ServerConfig::default() };
        assert_eq!(BodyMemory::new(&config).each, 16 << 20);
        let defaults = BodyMemory::new(&ServerConfig::default());
        assert_eq!((defaults.total, defaults.each), (256 << 20, 64 << 20));
    }
}
