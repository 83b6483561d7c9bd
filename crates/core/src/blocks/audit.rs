//! Whether every block is where it should be.

use super::pool::BlockPool;
use super::prefix::PrefixIndex;
use super::states::TableState;
use super::table::BlockTable;

impl BlockPool {
    /// Checks that every block is in exactly one state and that the holders are the tables given.
    ///
    /// # Panics
    /// If a block is lost, held twice by count but once by table, or both free and used.
    pub fn audit<'a>(&self, tables: impl IntoIterator<Item = &'a BlockTable>) {
        let mut held = vec![0u32; self.holders.len()];
        let mut states: Vec<&TableState> = Vec::new();
        for table in tables {
            states.push(&table.state);
            table.iter().for_each(|block| held[block.index()] += 1);
            let index = self.prefix.as_ref();
            assert!(
                (0..table.indexed).all(|place| index.is_some_and(|index| index.contains(table.first_group(place)))),
                "a recorded block is not indexed"
            );
            assert_eq!(table.blocks.len(), table.places * table.groups(), "each place has a block of every group");
            assert_eq!(table.iter().count(), table.held(), "blocks that a table holds");
        }
        assert_eq!(held, self.holders, "the holders of each block are the tables that name it");
        let mut idle_or_free = vec![false; self.holders.len()];
        for block in self.idle.iter().map(|&(_, block)| block).chain(self.free.iter().copied()) {
            assert!(!std::mem::replace(&mut idle_or_free[block.index()], true), "{block:?} is available twice");
            assert_eq!(self.holders[block.index()], 0, "{block:?} is available and held");
        }
        let is_indexed = |block| self.prefix.as_ref().is_some_and(|index| index.contains(block));
        for &(_, block) in &self.idle {
            assert!(is_indexed(block) || self.windows.place_of(block).is_some(), "{block:?} is cached but not indexed");
        }
        self.windows.audit(is_indexed);
        if let Some(slots) = &self.states {
            slots.audit(states.into_iter(), self.prefix.as_ref());
        }
        let used = held.iter().filter(|&&count| count > 0).count();
        assert_eq!(self.free.len() + self.idle.len() + used, self.holders.len(), "free + cached + used = total");
        let indexed = self.prefix.as_ref().map_or(0, PrefixIndex::len);
        assert!(indexed <= self.idle.len() + used, "only cached and used blocks are indexed");
    }
}
