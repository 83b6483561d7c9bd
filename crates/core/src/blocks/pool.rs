//! The pool: all blocks and their states.

use std::collections::BTreeSet;
use std::sync::Arc;

use parkade_model::TokenId;

use super::block::{BlockCounts, BlockId};
use super::directory::{Before, Hit, PrefixDirectory};
use super::prefix::{Insertion, PrefixIndex};
use super::states::{StateSlots, TableState};
use super::table::BlockTable;
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
    /// If the model keeps a state.
    states: Option<StateSlots>,
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
            prefix: prefix_cache.then(|| PrefixIndex::new(blocks, block_len, false)),
            states: None,
        }
    }

    /// For a model that keeps a state: with `slots` free slots for those of at most `seqs` sequences at once, and for snapshots.
    #[must_use]
    pub fn with_states(mut self, slots: usize, seqs: usize) -> Self {
        let blocks = self.holders.len();
        self.states = Some(StateSlots::new(slots, blocks, seqs));
        self.prefix = self.prefix.map(|_| PrefixIndex::new(blocks, self.block_len, true));
        self
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

    /// How many state slots are in which state: none, if the model keeps no state.
    pub fn state_counts(&self) -> BlockCounts {
        self.states.as_ref().map(StateSlots::counts).unwrap_or_default()
    }

    /// Whether the model keeps a state.
    pub fn has_states(&self) -> bool {
        self.states.is_some()
    }

    /// What the prefix index has in a scope for the first `limit` of `tokens`, in whole blocks, up to where the text can go on.
    pub fn look_up(&self, scope: &CacheScope, tokens: &[TokenId], limit: usize) -> Hit {
        let (mut hit, mut known) = (Hit::default(), Hit::default());
        for block in self.known(scope, tokens, limit) {
            known.blocks += 1;
            known.idle += usize::from(self.holders[block.index()] == 0);
            if self.goes_on(block) {
                hit = known;
            }
        }
        hit
    }

    /// How many of the first `limit` of `tokens` were seen in a scope before, whether or not the text can go on after them.
    pub fn known_tokens(&self, scope: &CacheScope, tokens: &[TokenId], limit: usize) -> usize {
        self.known(scope, tokens, limit).count() * self.block_len
    }

    /// Whether a text can go on after an indexed block: always, unless the model keeps a state and there is no snapshot of it.
    fn goes_on(&self, block: BlockId) -> bool {
        self.states.as_ref().is_none_or(|states| states.has(block))
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
        let mut known: Vec<BlockId> = self.known(scope, tokens, limit).collect();
        known.truncate(known.iter().rposition(|&block| self.goes_on(block)).map_or(0, |last| last + 1));
        for &block in &known {
            self.hold(block);
            table.blocks.push(block.0);
        }
        table.indexed = known.len();
        if let (Some(states), Some(&last)) = (&mut self.states, known.last()) {
            states.attach(&mut table.state, last);
        }
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

    /// A second table over the first `blocks` blocks of `table`. It goes on from the same state.
    pub fn share(&mut self, table: &BlockTable, blocks: usize) -> BlockTable {
        let mut copy = BlockTable::new();
        (copy.indexed, copy.unindexable) = (table.indexed.min(blocks), table.unindexable);
        for block in table.iter().take(blocks) {
            self.hold(block);
            copy.blocks.push(block.0);
        }
        if let Some(states) = &mut self.states {
            copy.state = states.share(&table.state);
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
    ///
    /// Nothing is noted while the state that a pass has left is the one after other tokens: they may have to be computed again.
    pub fn record(&mut self, table: &mut BlockTable, scope: &CacheScope, computed: &[TokenId]) {
        if let Some(states) = &mut self.states
            && !states.adopt(&mut table.state, computed.len())
        {
            return;
        }
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

    /// Whether a sequence with this table can take part in a pass: there is a slot for its state.
    pub fn has_room_for_state(&self, table: &BlockTable) -> bool {
        self.states.as_ref().is_none_or(|states| states.has_room(&table.state))
    }

    /// Whether a pass may leave the state that it begins with as it is.
    pub fn can_keep_state(&self, table: &BlockTable) -> bool {
        self.states.as_ref().is_none_or(|states| states.can_keep(&table.state))
    }

    /// Chooses where the next pass of a table leaves the state, which is then the one after `tokens` tokens; `keeps` says that the one before
    /// must stay.
    pub fn begin_pass(&mut self, table: &mut BlockTable, tokens: usize, keeps: bool) {
        if let Some(states) = &mut self.states {
            states.begin(&mut table.state, tokens, keeps, self.prefix.as_ref());
        }
    }

    /// Goes back to the state before a pass, if what [`record`](Self::record) was told is not what the pass was for. Returns whether it is so.
    pub fn step_back(&mut self, table: &mut BlockTable) -> bool {
        self.states.as_mut().is_some_and(|states| states.step_back(&mut table.state))
    }

    /// Keeps the state after `tokens` recorded tokens for texts that go on after them, if they end with an indexed block. One that `rolls` is
    /// given up when the table keeps its next.
    pub fn keep_state(&mut self, table: &mut BlockTable, tokens: usize, rolls: bool) {
        if let (Some(states), Some(index)) = (&mut self.states, &self.prefix)
            && tokens == table.indexed * self.block_len
            && let Some(last) = table.indexed.checked_sub(1)
        {
            states.keep(&mut table.state, BlockId(table.blocks[last]), rolls, index);
        }
    }

    /// Takes a table back with all its blocks, and its state.
    pub fn release(&mut self, mut table: BlockTable) {
        let state = std::mem::take(&mut table.state);
        if let Some(states) = &mut self.states {
            states.release(state);
        }
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
                let index = self.prefix.as_mut().expect("only the prefix index keeps idle blocks");
                index.remove(block);
                if let Some(states) = &mut self.states {
                    states.remove(block, index);
                }
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
        let mut states: Vec<&TableState> = Vec::new();
        for table in tables {
            states.push(&table.state);
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
        if let Some(slots) = &self.states {
            slots.audit(states.into_iter(), self.prefix.as_ref());
        }
        let used = held.iter().filter(|&&count| count > 0).count();
        assert_eq!(self.free.len() + self.idle.len() + used, self.holders.len(), "free + cached + used = total");
        let indexed = self.prefix.as_ref().map_or(0, PrefixIndex::len);
        assert!(indexed <= self.idle.len() + used, "only cached and used blocks are indexed");
    }
}
