//! The pool: all blocks and their states.

use std::collections::BTreeSet;
use std::sync::Arc;

use parkade_model::TokenId;

use super::directory::{Before, Hit, PrefixDirectory};
use super::prefix::{Insertion, PrefixIndex};
use super::table::{BlockId, BlockTable};
use crate::request::CacheScope;

/// All KV blocks: which are free, used or cached, and the prefix index over them.
#[derive(Debug)]
pub struct BlockPool {
    block_len: usize,
    /// By block: how many tables hold it.
    holders: Vec<u32>,
    free: Vec<BlockId>,
    /// Cached blocks, least recently used first.
    idle: BTreeSet<(u64, BlockId)>,
    /// By block: when it was last given back, as in `idle`.
    idle_since: Vec<u64>,
    ticks: u64,
    prefix: Option<PrefixIndex>,
}

/// How many blocks are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCounts {
    /// All blocks.
    pub total: usize,
    /// Held by tables.
    pub used: usize,
    /// Held by the prefix index alone.
    pub cached: usize,
    /// Hold nothing.
    pub free: usize,
}

impl BlockCounts {
    /// Blocks that a table can be given: free and cached ones.
    pub fn available(&self) -> usize {
        self.free + self.cached
    }
}

/// No block is free or cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no KV block is available")]
pub struct OutOfBlocks;

/// The backend must copy one block to another before it computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The block that other tables still hold.
    pub from: BlockId,
    /// The table's own block.
    pub to: BlockId,
}

impl BlockPool {
    /// A pool of `blocks` free blocks of `block_len` tokens each.
    ///
    /// # Panics
    /// If a block holds no token, or there are more than `u32::MAX` blocks.
    pub fn new(blocks: usize, block_len: usize, prefix_cache: bool) -> Self {
        assert!(block_len > 0, "a block holds at least one token");
        let last = u32::try_from(blocks).expect("blocks are numbered in 32 bits");
        BlockPool {
            block_len,
            holders: vec![0; blocks],
            free: (0..last).rev().map(BlockId).collect(),
            idle: BTreeSet::new(),
            idle_since: vec![0; blocks],
            ticks: 0,
            prefix: prefix_cache.then(|| PrefixIndex::new(blocks, block_len)),
        }
    }

    /// Tokens in a block.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// Blocks that hold `tokens` tokens.
    pub fn blocks_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.block_len)
    }

    /// What the prefix cache has, for other threads; `None` if there is no prefix cache.
    pub fn directory(&self) -> Option<Arc<PrefixDirectory>> {
        self.prefix.as_ref().map(|index| Arc::clone(index.directory()))
    }

    /// How many blocks are in which state.
    pub fn counts(&self) -> BlockCounts {
        let (total, cached, free) = (self.holders.len(), self.idle.len(), self.free.len());
        BlockCounts { total, used: total - cached - free, cached, free }
    }

    /// What the prefix index has in a scope for the first `limit` of `tokens`, in whole blocks.
    pub fn look_up(&self, scope: &CacheScope, tokens: &[TokenId], limit: usize) -> Hit {
        let mut hit = Hit::default();
        for block in self.known(scope, tokens, limit) {
            hit.blocks += 1;
            hit.idle += usize::from(self.holders[block.index()] == 0);
        }
        hit
    }

    fn known<'a>(
        &'a self,
        scope: &'a CacheScope,
        tokens: &'a [TokenId],
        limit: usize,
    ) -> impl Iterator<Item = BlockId> + 'a {
        let mut before = Before::Start(scope);
        let limit = limit.min(tokens.len());
        self.prefix.iter().flat_map(move |index| {
            tokens[..limit].chunks_exact(self.block_len).map_while(move |chunk| {
                let block = index.find(before, chunk)?;
                before = Before::After(block);
                Some(block)
            })
        })
    }

    /// Gives an empty table the blocks that [`look_up`](Self::look_up) found. Returns how many tokens they hold.
    pub fn attach(&mut self, table: &mut BlockTable, scope: &CacheScope, tokens: &[TokenId], limit: usize) -> usize {
        debug_assert!(table.is_empty(), "only an empty table can begin with cached blocks");
        let known: Vec<BlockId> = self.known(scope, tokens, limit).collect();
        for &block in &known {
            self.hold(block);
            table.blocks.push(block.0);
        }
        table.indexed = known.len();
        known.len() * self.block_len
    }

    /// Adds `blocks` blocks to a table, or none.
    ///
    /// # Errors
    /// If not so many are available.
    pub fn grow(&mut self, table: &mut BlockTable, blocks: usize) -> Result<(), OutOfBlocks> {
        if self.counts().available() < blocks {
            return Err(OutOfBlocks);
        }
        for _ in 0..blocks {
            let block = self.take().expect("the available blocks were counted");
            table.blocks.push(block.0);
        }
        Ok(())
    }

    /// A second table over the first `blocks` blocks of `table`.
    pub fn share(&mut self, table: &BlockTable, blocks: usize) -> BlockTable {
        let mut copy = BlockTable::new();
        (copy.indexed, copy.unindexable) = (table.indexed.min(blocks), table.unindexable);
        for block in table.iter().take(blocks) {
            self.hold(block);
            copy.blocks.push(block.0);
        }
        copy
    }

    /// Whether the block that the token at `position` will be written to is held by other tables too.
    pub fn is_shared(&self, table: &BlockTable, position: usize) -> bool {
        table.blocks.get(position / self.block_len).is_some_and(|&block| self.holders[block as usize] > 1)
    }

    /// Makes the block of the token at `position` the table's own. The backend must then copy its contents.
    ///
    /// # Errors
    /// If no block is available.
    pub fn make_own(&mut self, table: &mut BlockTable, position: usize) -> Result<Option<Copy>, OutOfBlocks> {
        if !self.is_shared(table, position) {
            return Ok(None);
        }
        let place = position / self.block_len;
        debug_assert!(place >= table.indexed, "an indexed block is full and is never written to");
        let own = self.take().ok_or(OutOfBlocks)?;
        let shared = BlockId(std::mem::replace(&mut table.blocks[place], own.0));
        self.let_go(shared);
        Ok(Some(Copy { from: shared, to: own }))
    }

    /// Notes in the prefix index which blocks of `table` are full now: `computed` are the tokens whose keys and values are in it.
    ///
    /// A block whose text another block of the scope already holds is given up for that one: their contents are the same, bit for bit.
    pub fn record(&mut self, table: &mut BlockTable, scope: &CacheScope, computed: &[TokenId]) {
        let full = computed.len() / self.block_len;
        while let Some(index) = &mut self.prefix
            && !table.unindexable
            && table.indexed < full
        {
            let place = table.indexed;
            let tokens = &computed[place * self.block_len..][..self.block_len];
            let before = match place.checked_sub(1) {
                Some(before) => Before::After(BlockId(table.blocks[before])),
                None => Before::Start(scope),
            };
            let block = BlockId(table.blocks[place]);
            match index.insert(block, before, tokens) {
                Insertion::Added => {}
                Insertion::Known(twin) => {
                    self.hold(twin);
                    table.blocks[place] = twin.0;
                    self.let_go(block);
                }
                Insertion::Taken => {
                    table.unindexable = true;
                    return;
                }
            }
            table.indexed += 1;
        }
    }

    /// Takes a table back with all its blocks.
    pub fn release(&mut self, mut table: BlockTable) {
        // The end of a text first: it is given up before its beginning, which other texts may share.
        for block in std::mem::take(&mut table.blocks).into_iter().rev() {
            self.let_go(BlockId(block));
        }
    }

    fn take(&mut self) -> Option<BlockId> {
        let block = match self.free.pop() {
            Some(block) => block,
            None => {
                let (_, block) = self.idle.pop_first()?;
                self.prefix.as_mut().expect("only the prefix index keeps idle blocks").remove(block);
                block
            }
        };
        debug_assert_eq!(self.holders[block.index()], 0, "an available block has no holder");
        self.holders[block.index()] = 1;
        Some(block)
    }

    fn hold(&mut self, block: BlockId) {
        let holders = &mut self.holders[block.index()];
        *holders += 1;
        if *holders == 1 {
            let was_idle = self.idle.remove(&(self.idle_since[block.index()], block));
            debug_assert!(was_idle, "only used and cached blocks can be shared");
            self.prefix.iter().for_each(|index| index.set_held(block, true));
        }
    }

    fn let_go(&mut self, block: BlockId) {
        let holders = &mut self.holders[block.index()];
        *holders = holders.checked_sub(1).expect("a block is given back as often as it was taken");
        if *holders > 0 {
            return;
        }
        if let Some(index) = self.prefix.as_ref().filter(|index| index.contains(block)) {
            index.set_held(block, false);
            self.ticks += 1;
            self.idle_since[block.index()] = self.ticks;
            self.idle.insert((self.ticks, block));
        } else {
            self.free.push(block);
        }
    }

    /// Checks that every block is in exactly one state and that the holders are the tables given.
    ///
    /// # Panics
    /// If a block is lost, held twice by count but once by table, or both free and used.
    pub fn audit<'a>(&self, tables: impl IntoIterator<Item = &'a BlockTable>) {
        let mut held = vec![0u32; self.holders.len()];
        for table in tables {
            table.iter().for_each(|block| held[block.index()] += 1);
            let index = self.prefix.as_ref();
            assert!(
                table.iter().take(table.indexed).all(|block| index.is_some_and(|index| index.contains(block))),
                "a recorded block is not indexed"
            );
        }
        assert_eq!(held, self.holders, "the holders of each block are the tables that name it");
        let mut idle_or_free = vec![false; self.holders.len()];
        for block in self.idle.iter().map(|&(_, block)| block).chain(self.free.iter().copied()) {
            assert!(!std::mem::replace(&mut idle_or_free[block.index()], true), "{block:?} is available twice");
            assert_eq!(self.holders[block.index()], 0, "{block:?} is available and held");
        }
        for &(_, block) in &self.idle {
            assert!(
                self.prefix.as_ref().is_some_and(|index| index.contains(block)),
                "{block:?} is cached but not indexed"
            );
        }
        let used = held.iter().filter(|&&count| count > 0).count();
        assert_eq!(self.free.len() + self.idle.len() + used, self.holders.len(), "free + cached + used = total");
        let indexed = self.prefix.as_ref().map_or(0, PrefixIndex::len);
        assert!(indexed <= self.idle.len() + used, "only cached and used blocks are indexed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everybody() -> CacheScope {
        CacheScope::default()
    }

    fn filled(pool: &mut BlockPool, tokens: &[TokenId]) -> BlockTable {
        filled_in(pool, &everybody(), tokens)
    }

    fn filled_in(pool: &mut BlockPool, scope: &CacheScope, tokens: &[TokenId]) -> BlockTable {
        let mut table = BlockTable::new();
        let cached = pool.attach(&mut table, scope, tokens, tokens.len());
        let more = pool.blocks_for(tokens.len()) - cached / pool.block_len();
        pool.grow(&mut table, more).unwrap();
        pool.record(&mut table, scope, tokens);
        table
    }

    #[test]
    fn scopes_share_nothing_while_it_is_held_nor_when_it_is_cached() {
        let mut pool = BlockPool::new(12, 2, true);
        let (ada, bob) = (everybody().within("key", "ada"), everybody().within("key", "bob"));
        let text = [1, 2, 3, 4];
        let hers = filled_in(&mut pool, &ada, &text);
        for other in [&bob, &everybody(), &ada.within("salt", "s"), &everybody().within("group", "ada")] {
            assert_eq!(pool.look_up(other, &text, 4), Hit::default(), "{other:?}");
            assert_eq!(pool.directory().unwrap().look_up(other, &text, 4), Hit::default(), "{other:?}");
        }
        let his = filled_in(&mut pool, &bob, &text);
        assert!(hers.iter().all(|block| his.iter().all(|other| other != block)), "a block is in both tables");
        assert_eq!(pool.counts().used, 4);
        pool.audit([&hers, &his]);
        pool.release(hers);
        assert_eq!(pool.look_up(&ada, &text, 4), Hit { blocks: 2, idle: 2 });
        assert_eq!(pool.look_up(&bob, &text, 4), Hit { blocks: 2, idle: 0 });
        pool.release(his);
        pool.audit([]);
    }

    #[test]
    fn a_prefix_is_found_again_and_shared() {
        let mut pool = BlockPool::new(8, 2, true);
        let first = filled(&mut pool, &[1, 2, 3, 4, 5]);
        assert_eq!(pool.look_up(&everybody(), &[1, 2, 3, 4, 9, 9], 6), Hit { blocks: 2, idle: 0 });
        assert_eq!(pool.look_up(&everybody(), &[1, 2, 3, 4], 3), Hit { blocks: 1, idle: 0 });
        assert_eq!(pool.look_up(&everybody(), &[3, 4, 1, 2], 4), Hit::default());
        let directory = pool.directory().unwrap();
        assert_eq!(directory.look_up(&everybody(), &[1, 2, 3, 4, 9, 9], 6), Hit { blocks: 2, idle: 0 });
        assert_eq!(directory.look_up(&everybody(), &[3, 4, 1, 2], 4), Hit::default());
        pool.release(first);
        assert_eq!(pool.counts(), BlockCounts { total: 8, used: 0, cached: 2, free: 6 });
        assert_eq!(directory.look_up(&everybody(), &[1, 2, 3, 4, 9, 9], 6), Hit { blocks: 2, idle: 2 });
        let second = filled(&mut pool, &[1, 2, 3, 4, 9, 9]);
        assert_eq!(pool.counts().used, 3);
        pool.audit([&second]);
        pool.release(second);
        pool.audit([]);
    }

    #[test]
    fn the_least_recently_used_text_is_given_up_first_and_its_end_before_its_beginning() {
        let mut pool = BlockPool::new(4, 1, true);
        let old = filled(&mut pool, &[1, 2]);
        pool.release(old);
        let young = filled(&mut pool, &[8, 9]);
        pool.release(young);
        let mut table = BlockTable::new();
        pool.grow(&mut table, 1).unwrap();
        assert_eq!(
            (pool.look_up(&everybody(), &[1, 2], 2).blocks, pool.look_up(&everybody(), &[8, 9], 2).blocks),
            (1, 2)
        );
        pool.grow(&mut table, 2).unwrap();
        assert_eq!(
            (pool.look_up(&everybody(), &[1, 2], 2).blocks, pool.look_up(&everybody(), &[8, 9], 2).blocks),
            (0, 1)
        );
        let directory = pool.directory().unwrap();
        assert_eq!(
            (directory.look_up(&everybody(), &[1, 2], 2).blocks, directory.look_up(&everybody(), &[8, 9], 2).blocks),
            (0, 1)
        );
        assert_eq!(directory.len(), 1, "what is given up is forgotten here too");
        pool.audit([&table]);
        assert_eq!(pool.grow(&mut table, 2), Err(OutOfBlocks));
        assert_eq!(table.len(), 3, "growth that fails takes nothing");
        pool.release(table);
    }

    #[test]
    fn equal_texts_end_in_one_block() {
        let mut pool = BlockPool::new(8, 2, true);
        let (mut one, mut two) = (BlockTable::new(), BlockTable::new());
        pool.grow(&mut one, 2).unwrap();
        pool.grow(&mut two, 2).unwrap();
        pool.record(&mut one, &everybody(), &[1, 2, 3, 4]);
        pool.record(&mut two, &everybody(), &[1, 2, 3, 4]);
        assert_eq!(one.as_raw(), two.as_raw());
        assert_eq!(pool.counts().used, 2);
        pool.audit([&one, &two]);
        pool.release(one);
        pool.release(two);
    }

    #[test]
    fn a_shared_partial_block_is_copied_by_all_writers_but_the_last() {
        let mut pool = BlockPool::new(8, 4, true);
        let mut one = filled(&mut pool, &[1, 2, 3, 4, 5]);
        let mut two = pool.share(&one, 2);
        assert!(pool.is_shared(&one, 5));
        let copy = pool.make_own(&mut two, 5).unwrap().unwrap();
        assert_eq!((copy.from.0, copy.to.0), (one.as_raw()[1], two.as_raw()[1]));
        assert_eq!(pool.make_own(&mut one, 5), Ok(None));
        assert_eq!(one.as_raw()[0], two.as_raw()[0]);
        pool.audit([&one, &two]);
        pool.release(one);
        pool.release(two);
        pool.audit([]);
    }

    #[test]
    fn without_a_prefix_cache_every_block_comes_back_free() {
        let mut pool = BlockPool::new(3, 2, false);
        let table = filled(&mut pool, &[1, 2, 3, 4]);
        assert_eq!(pool.look_up(&everybody(), &[1, 2], 2), Hit::default());
        pool.release(table);
        assert_eq!(pool.counts().free, 3);
    }
}
