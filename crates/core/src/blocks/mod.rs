//! KV blocks: who holds which, and which hold a past prompt that may come again.
//!
//! There is a fixed number of blocks. Each is in exactly one state: *free*; *used* by one or more [`BlockTable`]s; or *cached*: used by none,
//! but full of tokens whose keys and values are still known, and given up, least recently used first, when a free one is wanted.
//! Only the [`BlockPool`] makes and ends tables, so a block cannot leak: a table is given back by value, exactly once, and one
//! that is dropped instead is caught by an assertion.
//!
//! Where some layers read only the last tokens (a window), layers are in groups of one reach, see [`KvGroups`](crate::KvGroups): a text has a
//! block of each group for the same tokens, at one *place* of its table, and those that a window has left behind are given back while the text
//! goes on.

mod audit;
mod block;
mod directory;
mod hit;
mod pool;
mod prefix;
mod states;
mod table;
mod windows;

pub use block::{BlockCounts, BlockId};
pub use directory::PrefixDirectory;
pub use hit::Hit;
pub use pool::{BlockPool, Copy, OutOfBlocks};
pub use table::BlockTable;

#[cfg(test)]
mod tests;
