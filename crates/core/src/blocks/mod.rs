//! KV blocks: who holds which, and which hold a past prompt that may come again.
//!
//! There is a fixed number of blocks. Each is in exactly one state: *free*; *used* by one or more [`BlockTable`]s; or *cached*: used by none,
//! but full of tokens whose keys and values are still known, and given up, least recently used first, when a free one is wanted.
//! Only the [`BlockPool`] makes and ends tables, so a block cannot leak: a table is given back by value, exactly once, and one
//! that is dropped instead is caught by an assertion.

mod block;
mod directory;
mod pool;
mod prefix;
mod states;
mod table;

pub use block::{BlockCounts, BlockId};
pub use directory::{Hit, PrefixDirectory};
pub use pool::{BlockPool, Copy, OutOfBlocks};
pub use table::BlockTable;

#[cfg(test)]
mod tests;
