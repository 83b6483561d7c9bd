//! What a block is called, and how many there are.

/// One KV block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub(crate) u32);

impl BlockId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// How many blocks, or state slots, are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCounts {
    /// All of them.
    pub total: usize,
    /// Held by tables.
    pub used: usize,
    /// Held by the prefix index alone.
    pub cached: usize,
    /// Hold nothing.
    pub free: usize,
}

impl BlockCounts {
    /// What a table can be given: free and cached ones.
    pub fn available(&self) -> usize {
        self.free + self.cached
    }
}
