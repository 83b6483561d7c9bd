//! What a rendering may use up, and what it has used.

use std::cell::Cell;

use crate::error::{Error, ErrorKind, Result};

/// Values (lists in lists, ...) may be nested this deep: JSON has up to 128 levels. All that walks over values recurses, so
/// this is also a bound on the stack.
pub(crate) const MAX_VALUE_DEPTH: usize = 140;

/// What is done with text. A byte costs by it what it takes at worst, measured on x86-64: so many templates end as soon as those
/// that only count, at 3 ns or less for a part of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Copied, compared, hashed, or its characters counted: up to 1 ns a byte.
    Copy,
    /// Searched for a text, or for the place of a character: up to 4 ns.
    Search,
    /// Looked at character by character, what kind each is: up to 10 ns.
    Look,
    /// Written anew character by character, each perhaps as another one or several: up to 25 ns.
    Rewrite,
}

impl Work {
    /// The price of a byte, in parts of a step.
    const fn price(self) -> u64 {
        match self {
            Work::Copy => 1,
            Work::Search => 2,
            Work::Look => 4,
            Work::Rewrite => 8,
        }
    }
}

/// Parts of a step: the bytes that may be copied for one.
const PARTS_PER_STEP: u64 = 64;

/// What a template may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a template's source.
    pub source_bytes: usize,
    /// Steps of one rendering: each part of an expression, each element that is compared, sorted, searched or printed, and
    /// text by its bytes: for one step 64 are copied or compared, 32 searched, 16 looked at by character, or 8 rewritten.
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
    /// Parts that did not make up a whole step yet.
    loose_parts: Cell<u64>,
    memory: Cell<usize>,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Budget {
        Budget {
            limits,
            fuel: Cell::new(limits.fuel),
            loose_parts: Cell::new(0),
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

    /// Charges for work on so many bytes of text.
    pub(crate) fn work(&self, work: Work, bytes: usize) -> Result<()> {
        let parts = (bytes as u64).saturating_mul(work.price()).saturating_add(self.loose_parts.get());
        self.loose_parts.set(parts % PARTS_PER_STEP);
        self.step(usize::try_from(parts / PARTS_PER_STEP).unwrap_or(usize::MAX))
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
        self.work(Work::Copy, bytes)
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
        assert!(budget.work(Work::Copy, 63).is_ok());
        assert!(budget.work(Work::Copy, 1 + 64 * 3).is_ok());
        assert!(budget.work(Work::Search, 16).is_ok() && budget.work(Work::Look, 16).is_ok());
        assert!(budget.work(Work::Rewrite, 4).is_ok());
        assert_eq!(budget.step(1).map_err(|e| e.kind()), Err(ErrorKind::Fuel));
        let budget = Budget::new(Limits { fuel: 1000, memory_bytes: 1000, ..Limits::default() });
        assert!(budget.make(1000).is_ok());
        assert_eq!(budget.make(1).map_err(|e| e.kind()), Err(ErrorKind::Memory));
        assert_eq!(budget.make_many(usize::MAX, 8).map_err(|e| e.kind()), Err(ErrorKind::Memory));
    }
}
