//! The blocks of one sequence.

use parkade_kernels::SlotPair;

use super::block::BlockId;
use super::states::TableState;

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
    /// The state after its tokens, if the model keeps one.
    pub(super) state: TableState,
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

    /// Whether it holds a state.
    pub fn has_state(&self) -> bool {
        !self.state.is_empty()
    }

    /// Where the pass that is under way reads the state and where it leaves it; `None` if the model keeps none.
    pub fn state_pair(&self) -> Option<SlotPair> {
        self.state.pair()
    }

    /// Its blocks.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = BlockId> + '_ {
        self.blocks.iter().map(|&block| BlockId(block))
    }
}

impl Drop for BlockTable {
    fn drop(&mut self) {
        debug_assert!(
            (self.blocks.is_empty() && self.state.is_empty()) || std::thread::panicking(),
            "a table with {} blocks was dropped instead of given back",
            self.blocks.len()
        );
    }
}
