//! The blocks of groups with windows beside those of the first group: which of them hold the tokens of an indexed place.

use super::block::BlockId;
use crate::kv_groups::KvGroups;

/// The first group's block stands for a place of an indexed text; beside it the others' are found, as far as they were not given up.
#[derive(Debug)]
pub(super) struct WindowBlocks {
    /// Groups with windows.
    groups: usize,
    /// By block of the first group and by group: the block with the same tokens.
    beside: Vec<Option<BlockId>>,
    /// By block of a group with a window: beside which it is, and the group, counted from the second.
    place_of: Vec<Option<(BlockId, usize)>>,
}

impl WindowBlocks {
    pub(super) fn new(blocks: usize, groups: &KvGroups) -> Self {
        let groups = groups.count() - 1;
        let len = if groups > 0 { blocks } else { 0 };
        WindowBlocks { groups, beside: vec![None; len * groups], place_of: vec![None; len] }
    }

    /// The blocks beside one of the first group.
    pub(super) fn beside(&self, first: BlockId) -> &[Option<BlockId>] {
        if self.groups == 0 { &[] } else { &self.beside[first.index() * self.groups..][..self.groups] }
    }

    /// Beside which indexed block a block is.
    pub(super) fn place_of(&self, block: BlockId) -> Option<BlockId> {
        self.place_of.get(block.index()).copied().flatten().map(|(first, _)| first)
    }

    pub(super) fn put(&mut self, first: BlockId, group: usize, block: BlockId) {
        let place = &mut self.beside[first.index() * self.groups + group];
        debug_assert!(place.is_none(), "a place has one block of a group");
        *place = Some(block);
        self.place_of[block.index()] = Some((first, group));
    }

    /// Takes a block away from beside another.
    pub(super) fn remove(&mut self, block: BlockId) {
        if let Some((first, group)) = self.place_of[block.index()].take() {
            self.beside[first.index() * self.groups + group] = None;
        }
    }

    /// Takes all away that are beside a block that leaves the index.
    pub(super) fn remove_all(&mut self, first: BlockId) -> Vec<BlockId> {
        let blocks: Vec<BlockId> = self.beside(first).iter().flatten().copied().collect();
        blocks.iter().for_each(|&block| self.remove(block));
        blocks
    }

    /// Checks that blocks and places name each other.
    ///
    /// # Panics
    /// If they do not, or a place is not indexed.
    pub(super) fn audit(&self, is_indexed: impl Fn(BlockId) -> bool) {
        let named = |block: usize| self.place_of[block].map(|(first, group)| (first, group, BlockId(block as u32)));
        for (first, group, block) in (0..self.place_of.len()).filter_map(named) {
            assert_eq!(self.beside(first)[group], Some(block), "{block:?} is beside {first:?}");
            assert!(is_indexed(first), "{block:?} is beside a block that is not indexed");
        }
        let beside = self.beside.iter().flatten().count();
        assert_eq!(beside, self.place_of.iter().flatten().count(), "blocks beside others and their places");
    }
}
