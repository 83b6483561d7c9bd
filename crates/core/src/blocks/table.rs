//! The blocks of one sequence.

/// One KV block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub(crate) u32);

impl BlockId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The blocks of one sequence, in the order of its tokens: the token at position `p` lives in block `p / block_len`.
///
/// It is made empty, filled by a [`BlockPool`](super::BlockPool), and must be given back to it.
#[derive(Debug, Default)]
#[must_use = "a table holds blocks until it is given back to its pool"]
pub struct BlockTable {
    /// Plain numbers, because that is what the kernels read.
    pub(super) blocks: Vec<u32>,
    /// How many of its blocks, from the first on, are in the prefix index.
    pub(super) indexed: usize,
    /// Whether later blocks may join them; not so when another text has taken their place in the index.
    pub(super) unindexable: bool,
}

impl BlockTable {
    /// A table without blocks.
    pub fn new() -> Self {
        BlockTable::default()
    }

    /// How many blocks it has.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Its blocks as the kernels want them.
    pub fn as_raw(&self) -> &[u32] {
        &self.blocks
    }

    /// Its blocks.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = BlockId> + '_ {
        self.blocks.iter().map(|&block| BlockId(block))
    }
}

impl Drop for BlockTable {
    fn drop(&mut self) {
        debug_assert!(
            self.blocks.is_empty() || std::thread::panicking(),
            "a table with {} blocks was dropped instead of given back",
            self.blocks.len()
        );
    }
}
