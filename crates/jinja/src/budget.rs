//! What a rendering may use up, and what it has used.

use std::cell::Cell;

use crate::error::{Error, ErrorKind, Result};

/// Values (lists in lists, ...) may be nested this deep: JSON has up to 128 levels. All that walks over values recurses, so
/// this is also a bound on the stack.
pub(crate) const MAX_VALUE_DEPTH: usize = 140;

/// Bytes of text that cost as much as one step.
const BYTES_PER_STEP: u64 = 64;

/// What a template may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a template's source.
    pub source_bytes: usize,
    /// Steps of one rendering: each part of an expression, each element that is compared, sorted, searched or printed, and
    /// each 64 bytes of text that are made or read.
    pub fuel: u64,
    /// Bytes of memory that one rendering makes, all in all: also what it lets go again.
    pub memory_bytes: usize,
    /// Bytes of a prompt.
    pub output_bytes: usize,
}

impl Default for Limits {
    /// Far above what real templates need (the longest are some 20 KiB, and take some hundred steps for a message), and
    /// low enough that a rendering ends within a second or so, and stays below 128 MiB of memory.
    fn default() -> Self {
        Limits { source_bytes: 1 << 20, fuel: 2_000_000, memory_bytes: 96 << 20, output_bytes: 16 << 20 }
    }
}

/// The account of one rendering. Everything is charged before it is done.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    fuel: Cell<u64>,
    /// Bytes of text read or made that did not make up a whole step yet.
    loose_bytes: Cell<u64>,
    memory: Cell<usize>,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Budget {
        Budget {
            limits,
            fuel: Cell::new(limits.fuel),
            loose_bytes: Cell::new(0),
            memory: Cell::new(limits.memory_bytes),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Charges for so many steps.
    pub(crate) fn step(&self, steps: usize) -> Result<()> {
        match self.fuel.get().checked_sub(steps as u64) {
            Some(left) => {
                self.fuel.set(left);
                Ok(())
            }
            None => {
                self.fuel.set(0);
                let message = format!("it did not finish within {} steps", self.limits.fuel);
                Err(Error::new(ErrorKind::Fuel, message))
            }
        }
    }

    /// Charges for reading so many bytes of text.
    pub(crate) fn read(&self, bytes: usize) -> Result<()> {
        let bytes = (bytes as u64).saturating_add(self.loose_bytes.get());
        self.loose_bytes.set(bytes % BYTES_PER_STEP);
        self.step(usize::try_from(bytes / BYTES_PER_STEP).unwrap_or(usize::MAX))
    }

    /// Charges for so many bytes of memory, and for filling them.
    pub(crate) fn make(&self, bytes: usize) -> Result<()> {
        match self.memory.get().checked_sub(bytes) {
            Some(left) => self.memory.set(left),
            None => {
                self.memory.set(0);
                let message = format!("it needs more than {} bytes of memory", self.limits.memory_bytes);
                return Err(Error::new(ErrorKind::Memory, message));
            }
        }
        self.read(bytes)
    }

    /// Charges for `count` elements of a list or the like, of `bytes` each.
    pub(crate) fn make_many(&self, count: usize, bytes: usize) -> Result<()> {
        self.make(count.saturating_mul(bytes))?;
        self.step(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_is_refused_before_it_is_made_and_says_which_bound() {
        let budget = Budget::new(Limits { fuel: 10, memory_bytes: 1000, ..Limits::default() });
        assert!(budget.step(4).is_ok());
        assert!(budget.read(63).is_ok());
        assert!(budget.read(1 + 64 * 5).is_ok());
        assert_eq!(budget.step(1).map_err(|e| e.kind()), Err(ErrorKind::Fuel));
        let budget = Budget::new(Limits { fuel: 1000, memory_bytes: 1000, ..Limits::default() });
        assert!(budget.make(1000).is_ok());
        assert_eq!(budget.make(1).map_err(|e| e.kind()), Err(ErrorKind::Memory));
        assert_eq!(budget.make_many(usize::MAX, 8).map_err(|e| e.kind()), Err(ErrorKind::Memory));
    }
}
