//! The blocks of one sequence.

use parkade_kernels::SlotPair;

use super::block::BlockId;
use super::states::TableState;

/// What stands in a table for a block that was given back.
pub(super) const GIVEN_BACK: u32 = u32::MAX;

/// The blocks of one sequence, in the order of its tokens: what group `g` of `groups` has of the token at position `p` lives in block
/// `p / block_len * groups + g`. Those that a group's window has left behind are given back.
///
/// It is made empty, filled by a [`BlockPool`](super::BlockPool), and must be given back to it.
#[derive(Debug, Default)]
#[must_use = "a table holds blocks until it is given back to its pool"]
pub struct BlockTable {
    /// Plain numbers, because that is what the kernels read.
    pub(super) blocks: Vec<u32>,
    /// Places of it, each with a block of every group.
    pub(super) places: usize,
    /// By group behind the first, from which place on its blocks are there.
    pub(super) first_places: Vec<usize>,
    /// How many of its places, from the first on, are in the prefix index.
    pub(super) indexed: usize,
    /// Whether later ones may join them; not so when another text has taken their place in the index.
    pub(super) unindexable: bool,
    /// Whether somebody waits for its request: what it has computed outlasts what was computed for nobody in particular.
    pub(super) outlasts: bool,
    /// The state after its tokens, if the model keeps one.
    pub(super) state: TableState,
}

impl BlockTable {
    /// A table without blocks.
    pub fn new() -> Self {
        BlockTable::default()
    }

    /// Says whether what is computed in it stays cached longer than what is computed in others.
    pub fn set_outlasts(&mut self, outlasts: bool) {
        self.outlasts = outlasts;
    }

    /// How many places it has.
    pub fn len(&self) -> usize {
        self.places
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.places == 0
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

    /// The blocks that it holds.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = BlockId> + '_ {
        self.blocks.iter().filter(|&&block| block != GIVEN_BACK).map(|&block| BlockId(block))
    }

    /// How many blocks it holds.
    pub fn held(&self) -> usize {
        self.blocks.len() - self.first_places.iter().sum::<usize>()
    }

    /// The block of the first group at a place.
    pub(super) fn first_group(&self, place: usize) -> BlockId {
        BlockId(self.blocks[place * self.groups()])
    }

    pub(super) fn groups(&self) -> usize {
        1 + self.first_places.len()
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
