//! The pool: all blocks and their states.

use std::collections::BTreeSet;
use std::sync::Arc;

use parkade_model::TokenId;

use super::block::{BlockCounts, BlockId};
use super::directory::{Before, PrefixDirectory};
use super::hit::{Hit, Seen, Walk};
use super::prefix::{Insertion, PrefixIndex};
use super::states::StateSlots;
use super::table::{BlockTable, GIVEN_BACK};
use super::windows::WindowBlocks;
use crate::kv_groups::KvGroups;
use crate::request::CacheScope;

/// All KV blocks: which are free, used or cached, and the prefix index over them.
#[derive(Debug)]
pub struct BlockPool {
    groups: KvGroups,
    /// By block: how many tables hold it.
    pub(super) holders: Vec<u32>,
    pub(super) free: Vec<BlockId>,
    /// Cached blocks, least recently used first; see `rank`.
    pub(super) idle: BTreeSet<(u64, BlockId)>,
    /// By block: its rank in `idle`, as of when it was last given back.
    idle_since: Vec<u64>,
    /// By block: whether a table that outlasts others has had it since it was filled.
    outlasts: Vec<bool>,
    ticks: u64,
    pub(super) prefix: Option<PrefixIndex>,
    pub(super) windows: WindowBlocks,
    /// If the model keeps a state.
    pub(super) states: Option<StateSlots>,
}

/// How many times all blocks are given back before a cached block of a text that somebody waited for is as old as others.
const HEAD_START: u64 = 8;

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
    /// A pool of `blocks` free blocks.
    ///
    /// # Panics
    /// If there are more than `u32::MAX` blocks.
    pub fn new(blocks: usize, groups: KvGroups, prefix_cache: bool) -> Self {
        let last = u32::try_from(blocks).expect("blocks are numbered in 32 bits");
        BlockPool {
            holders: vec![0; blocks],
            free: (0..last).rev().map(BlockId).collect(),
            idle: BTreeSet::new(),
            idle_since: vec![0; blocks],
            outlasts: vec![false; blocks],
            ticks: 0,
            prefix: prefix_cache.then(|| PrefixIndex::new(blocks, &groups, false)),
            windows: WindowBlocks::new(blocks, &groups),
            states: None,
            groups,
        }
    }

    /// For a model that keeps a state: with `slots` free slots for those of at most `seqs` sequences at once, and for snapshots.
    #[must_use]
    pub fn with_states(mut self, slots: usize, seqs: usize) -> Self {
        let blocks = self.holders.len();
        self.states = Some(StateSlots::new(slots, blocks, seqs));
        self.prefix = self.prefix.map(|_| PrefixIndex::new(blocks, &self.groups, true));
        self
    }

    /// How texts fill blocks.
    pub fn groups(&self) -> &KvGroups {
        &self.groups
    }

    /// Tokens in a block.
    pub fn block_len(&self) -> usize {
        self.groups.block_len()
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
        let mut walk = Walk::new(&self.groups);
        for first in self.known(scope, tokens, limit) {
            let (windows, held_windows) = self.window_bits(first);
            let is_held = self.holders[first.index()] > 0;
            walk.push(Seen { is_held, goes_on: self.goes_on(first), windows, held_windows });
        }
        walk.hit()
    }

    /// How many of the first `limit` of `tokens` were seen in a scope before, whether or not the text can go on after them.
    pub fn known_tokens(&self, scope: &CacheScope, tokens: &[TokenId], limit: usize) -> usize {
        self.known(scope, tokens, limit).count() * self.block_len()
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
            tokens[..limit].chunks_exact(self.block_len()).map_while(move |chunk| {
                let block = index.find(before, chunk)?;
                before = Before::After(block);
                Some(block)
            })
        })
    }

    /// Gives an empty table the blocks that [`look_up`](Self::look_up) found. Returns how many tokens they hold.
    pub fn attach(&mut self, table: &mut BlockTable, scope: &CacheScope, tokens: &[TokenId], limit: usize) -> usize {
        debug_assert!(table.is_empty(), "only an empty table can begin with cached blocks");
        let places = self.look_up(scope, tokens, limit).places;
        let known: Vec<BlockId> = self.known(scope, tokens, limit).take(places).collect();
        let found = places * self.block_len();
        table.first_places = (1..self.groups.count()).map(|group| self.groups.first_place(group, found)).collect();
        for (place, &first) in known.iter().enumerate() {
            self.hold(first);
            table.blocks.push(first.0);
            for group in 1..self.groups.count() {
                let block = self.windows.beside(first)[group - 1].filter(|_| place >= table.first_places[group - 1]);
                block.into_iter().for_each(|block| self.hold(block));
                table.blocks.push(block.map_or(GIVEN_BACK, |block| block.0));
            }
        }
        (table.places, table.indexed) = (places, places);
        if let (Some(states), Some(&last)) = (&mut self.states, known.last()) {
            states.attach(&mut table.state, last);
        }
        found
    }

    /// Adds `places` places to a table, each with a block of every group, or none.
    ///
    /// # Errors
    /// If not so many blocks are available.
    pub fn grow(&mut self, table: &mut BlockTable, places: usize) -> Result<(), OutOfBlocks> {
        let blocks = places * self.groups.count();
        if self.counts().available() < blocks {
            return Err(OutOfBlocks);
        }
        table.first_places.resize(self.groups.count() - 1, 0);
        for _ in 0..blocks {
            let block = self.take().expect("the available blocks were counted");
            table.blocks.push(block.0);
        }
        table.places += places;
        Ok(())
    }

    /// Gives back the blocks of groups with windows that no row reads from `position` on, all tokens before which are computed. Returns how
    /// many blocks have become available by that.
    pub fn slide(&mut self, table: &mut BlockTable, position: usize) -> usize {
        let (before, groups) = (self.counts().available(), self.groups.count());
        for group in 1..table.groups() {
            let first = self.groups.first_place(group, position).min(table.places);
            for place in table.first_places[group - 1]..first {
                let block = std::mem::replace(&mut table.blocks[place * groups + group], GIVEN_BACK);
                self.outlasts[block as usize] |= table.outlasts;
                self.let_go(BlockId(block));
            }
            table.first_places[group - 1] = first.max(table.first_places[group - 1]);
        }
        self.counts().available() - before
    }

    /// Whether a text can go on after the first `tokens` tokens of a table: its windows have left behind no block that is read from there on.
    pub fn reaches_back(&self, table: &BlockTable, tokens: usize) -> bool {
        let first = |group| self.groups.first_place(group, tokens);
        (1..table.groups()).all(|group| table.first_places[group - 1] <= first(group))
    }

    /// A second table over the first `places` places of `table`. It goes on from the same state.
    pub fn share(&mut self, table: &BlockTable, places: usize) -> BlockTable {
        let mut copy = BlockTable::new();
        (copy.places, copy.indexed, copy.unindexable) = (places, table.indexed.min(places), table.unindexable);
        copy.outlasts = table.outlasts;
        copy.first_places = table.first_places.iter().map(|&first| first.min(places)).collect();
        copy.blocks = table.blocks[..places * table.groups()].to_vec();
        copy.iter().for_each(|block| self.hold(block));
        if let Some(states) = &mut self.states {
            copy.state = states.share(&table.state);
        }
        copy
    }

    /// How many of the blocks that the token at `position` will be written to are held by other tables too.
    pub fn shared(&self, table: &BlockTable, position: usize) -> usize {
        let place = position / self.block_len();
        let blocks = table.blocks.iter().skip(place * table.groups()).take(table.groups());
        blocks.filter(|&&block| block != GIVEN_BACK && self.holders[block as usize] > 1).count()
    }

    /// Makes the blocks of the token at `position` the table's own. The backend must then copy their contents.
    ///
    /// # Errors
    /// If not so many blocks are available; then nothing has changed.
    pub fn make_own(&mut self, table: &mut BlockTable, position: usize) -> Result<Vec<Copy>, OutOfBlocks> {
        if self.shared(table, position) > self.counts().available() {
            return Err(OutOfBlocks);
        }
        let place = position / self.block_len();
        let mut copies = Vec::new();
        for at in place * table.groups()..table.blocks.len().min((place + 1) * table.groups()) {
            let from = BlockId(table.blocks[at]);
            if self.holders[from.index()] < 2 {
                continue;
            }
            debug_assert!(place >= table.indexed, "an indexed block is full and is never written to");
            let to = self.take().expect("the available blocks were counted");
            table.blocks[at] = to.0;
            self.let_go(from);
            copies.push(Copy { from, to });
        }
        Ok(copies)
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
        let full = computed.len() / self.block_len();
        while let Some(index) = &mut self.prefix
            && !table.unindexable
            && table.indexed < full
        {
            let place = table.indexed;
            let tokens = &computed[place * self.groups.block_len()..][..self.groups.block_len()];
            let before = match place.checked_sub(1) {
                Some(before) => Before::After(table.first_group(before)),
                None => Before::Start(scope),
            };
            let block = table.first_group(place);
            match index.insert(block, before, tokens) {
                Insertion::Added => self.put_beside(table, place, block),
                Insertion::Known(twin) => {
                    self.hold(twin);
                    let at = place * table.groups();
                    table.blocks[at] = twin.0;
                    self.let_go(block);
                    self.put_beside(table, place, twin);
                }
                Insertion::Taken => {
                    table.unindexable = true;
                    return;
                }
            }
            table.indexed += 1;
        }
    }

    /// Lets the blocks of groups with windows be found beside the indexed one of the first group, or takes those that are there.
    fn put_beside(&mut self, table: &mut BlockTable, place: usize, first: BlockId) {
        for group in 1..table.groups() {
            let at = place * table.groups() + group;
            let block = table.blocks[at];
            if block == GIVEN_BACK {
                continue;
            }
            match self.windows.beside(first)[group - 1] {
                None => self.windows.put(first, group - 1, BlockId(block)),
                Some(twin) => {
                    self.hold(twin);
                    table.blocks[at] = twin.0;
                    self.let_go(BlockId(block));
                }
            }
        }
        self.show_windows(first);
    }

    /// Of which groups with windows there are blocks beside an indexed one, and which of these tables hold, by bits.
    fn window_bits(&self, first: BlockId) -> (u32, u32) {
        let (mut there, mut held) = (0, 0);
        for (bit, block) in self.windows.beside(first).iter().enumerate() {
            let Some(block) = block else { continue };
            there |= 1 << bit;
            held |= u32::from(self.holders[block.index()] > 0) << bit;
        }
        (there, held)
    }

    /// Tells the directory about the blocks beside an indexed one.
    fn show_windows(&self, first: BlockId) {
        if self.groups.count() > 1
            && let Some(index) = &self.prefix
        {
            let (there, held) = self.window_bits(first);
            index.set_windows(first, there, held);
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
            && tokens == table.indexed * self.groups.block_len()
            && let Some(last) = table.indexed.checked_sub(1)
        {
            let block = table.first_group(last);
            states.keep(&mut table.state, block, rolls, index);
        }
    }

    /// Takes a table back with all its blocks, and its state.
    pub fn release(&mut self, mut table: BlockTable) {
        let state = std::mem::take(&mut table.state);
        if let Some(states) = &mut self.states {
            states.release(state);
        }
        // The end of a text first: it is given up before its beginning, which other texts may share.
        for block in std::mem::take(&mut table.blocks).into_iter().rev().filter(|&block| block != GIVEN_BACK) {
            self.outlasts[block as usize] |= table.outlasts;
            self.let_go(BlockId(block));
        }
    }

    /// Which of the cached blocks are given up first: those that were given back the longest ago. One of a text that somebody waited for
    /// counts as given back later, by as many blocks as would fill the pool several times. So batches leave online texts alone, but not for
    /// ever.
    fn rank(&self, block: BlockId) -> u64 {
        let head_start = HEAD_START * self.holders.len() as u64;
        self.ticks + if self.outlasts[block.index()] { head_start } else { 0 }
    }

    fn take(&mut self) -> Option<BlockId> {
        let block = match self.free.pop() {
            Some(block) => block,
            None => {
                let (_, block) = self.idle.pop_first()?;
                self.forget(block);
                block
            }
        };
        debug_assert_eq!(self.holders[block.index()], 0, "an available block has no holder");
        self.holders[block.index()] = 1;
        self.outlasts[block.index()] = false;
        Some(block)
    }

    /// What an idle block holds is not found again.
    fn forget(&mut self, block: BlockId) {
        if let Some(first) = self.windows.place_of(block) {
            self.windows.remove(block);
            self.show_windows(first);
            return;
        }
        // Who holds a block of a group with a window holds the first group's beside it.
        for beside in self.windows.remove_all(block) {
            let was_idle = self.idle.remove(&(self.idle_since[beside.index()], beside));
            debug_assert!(was_idle, "a block beside an idle one is idle");
            self.free.push(beside);
        }
        let index = self.prefix.as_mut().expect("only the prefix index keeps idle blocks");
        index.remove(block);
        if let Some(states) = &mut self.states {
            states.remove(block, index);
        }
    }

    fn hold(&mut self, block: BlockId) {
        let holders = &mut self.holders[block.index()];
        *holders += 1;
        if *holders == 1 {
            let was_idle = self.idle.remove(&(self.idle_since[block.index()], block));
            debug_assert!(was_idle, "only used and cached blocks can be shared");
            self.show_held(block, true);
        }
    }

    fn let_go(&mut self, block: BlockId) {
        let holders = &mut self.holders[block.index()];
        *holders = holders.checked_sub(1).expect("a block is given back as often as it was taken");
        if *holders > 0 {
            return;
        }
        let is_indexed = self.prefix.as_ref().is_some_and(|index| index.contains(block));
        if is_indexed || self.windows.place_of(block).is_some() {
            self.show_held(block, false);
            self.ticks += 1;
            let rank = self.rank(block);
            self.idle_since[block.index()] = rank;
            self.idle.insert((rank, block));
        } else {
            self.free.push(block);
        }
    }

    /// Tells the directory that a block has got its first holder, or has lost its last one.
    fn show_held(&self, block: BlockId, is_held: bool) {
        match self.windows.place_of(block) {
            Some(first) => self.show_windows(first),
            None => self.prefix.iter().for_each(|index| index.set_held(block, is_held)),
        }
    }
}
