//! How often locks were taken, counted by each thread for itself.
//!
//! Each thread has a block with a counter for each name. It alone writes there, so that an acquisition is counted by a
//! plain load and store, and threads that share a lock do not fight over its counter. Whoever reads the figures adds
//! up all blocks. The block of a thread that has ended keeps its counts and becomes that of the next one.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names that have counters in the blocks. What comes later is counted by its name, with an atomic addition.
const NAMES: usize = 128;

/// The counters of one thread, by the number of the name.
#[derive(Debug)]
struct Block {
    // Relaxed: statistics, which order nothing. The lock of `BLOCKS` orders the writes of a block's owners.
    taken: [AtomicU64; NAMES],
}

#[derive(Debug)]
struct Blocks {
    all: Vec<&'static Block>,
    free: Vec<&'static Block>,
}

// This cannot be our own lock: it would count itself.
#[expect(clippy::disallowed_types)]
static BLOCKS: parking_lot::Mutex<Blocks> = parking_lot::Mutex::new(Blocks { all: Vec::new(), free: Vec::new() });

/// Gives the block back when its thread ends.
struct Owner;

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(block) = BLOCK.take() {
            BLOCKS.lock().free.push(block);
        }
    }
}

thread_local! {
    // Two, since a value without a destructor is found without asking whether it still lives.
    static BLOCK: Cell<Option<&'static Block>> = const { Cell::new(None) };
    static OWNER: Owner = const { Owner };
}

/// Counts one for the name of this number, and tells how many of its thread came before. `None` if it was not counted:
/// this thread has no block yet, or the name has no counter there.
#[inline(always)]
pub(crate) fn count(number: usize) -> Option<u64> {
    let counter = BLOCK.get()?.taken.get(number)?;
    let before = counter.load(Ordering::Relaxed);
    counter.store(before + 1, Ordering::Relaxed);
    Some(before)
}

/// As [`count`], after it could not: with a block for this thread.
#[cold]
pub(crate) fn count_first(number: usize) -> Option<u64> {
    if BLOCK.get().is_none() {
        // A thread that is ending gives no block back any more, so it gets none.
        OWNER.try_with(|_| ()).ok()?;
        let mut blocks = BLOCKS.lock();
        let block = blocks.free.pop().unwrap_or_else(|| {
            let block: &'static Block = Box::leak(Box::new(Block { taken: [const { AtomicU64::new(0) }; NAMES] }));
            blocks.all.push(block);
            block
        });
        BLOCK.set(Some(block));
    }
    count(number)
}

/// All threads' counts of the name of this number.
pub(crate) fn sum(number: usize) -> u64 {
    let blocks = BLOCKS.lock();
    blocks.all.iter().filter_map(|block| block.taken.get(number)).map(|counter| counter.load(Ordering::Relaxed)).sum()
}
