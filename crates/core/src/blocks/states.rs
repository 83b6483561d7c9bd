//! The states of sequences, for models with layers that keep one: who holds which slot, and which hold the state after a cached text.
//!
//! A slot is like a block: *free*, *used* by one or more tables, or *cached*: used by none, but with the state after an indexed block, from
//! where another text can go on. Such a snapshot is a slot that nobody writes any more, and it is given up, least recently used first,
//! when a sequence wants a slot.
//!
//! A pass reads a state from one slot and leaves it in another, or in the same. There are at least as many slots as sequences that may run,
//! and only the *spare* ones beyond that are given out to keep what a pass reads. So every sequence gets on.

use std::collections::BTreeSet;

use parkade_kernels::SlotPair;

use super::block::{BlockCounts, BlockId};
use super::prefix::PrefixIndex;

/// One sequence's state over all layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotId(u32);

impl SlotId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The state of one sequence.
#[derive(Debug, Default)]
pub(super) struct TableState {
    /// After the tokens that are computed; none before the first.
    now: Option<SlotId>,
    /// Where the pass that is under way leaves it, unless that is where it was; and after how many tokens it is then.
    next: Option<(SlotId, usize)>,
    /// The block whose snapshot is given up when the sequence makes its next one.
    rolling: Option<BlockId>,
}

impl TableState {
    pub(super) fn is_empty(&self) -> bool {
        self.now.is_none() && self.next.is_none()
    }

    fn slots(&self) -> impl Iterator<Item = SlotId> {
        self.now.into_iter().chain(self.next.map(|(slot, _)| slot))
    }

    /// What the pass that is under way reads and writes.
    pub(super) fn pair(&self) -> Option<SlotPair> {
        let to = self.next.map(|(slot, _)| slot).or(self.now)?;
        Some(SlotPair { from: self.now.map(|slot| slot.0), to: to.0 })
    }
}

/// All slots.
#[derive(Debug)]
pub(super) struct StateSlots {
    /// By slot: how many tables hold it.
    holders: Vec<u32>,
    /// By slot: the indexed block after which it is the state.
    block_of: Vec<Option<BlockId>>,
    /// By block: the slot with the state after it.
    slot_of: Vec<Option<SlotId>>,
    free: Vec<SlotId>,
    /// Cached slots, least recently used first.
    idle: BTreeSet<(u64, SlotId)>,
    /// By slot: when it was last given back, as in `idle`.
    idle_since: Vec<u64>,
    ticks: u64,
    /// Slots beyond one for each sequence.
    spare: usize,
    /// Tables that hold two slots, because a pass is under way that keeps what it reads.
    twofold: usize,
}

impl StateSlots {
    /// So many free slots, for at most `seqs` sequences at once.
    pub(super) fn new(slots: usize, blocks: usize, seqs: usize) -> Self {
        let last = u32::try_from(slots).expect("slots are numbered in 32 bits");
        StateSlots {
            holders: vec![0; slots],
            block_of: vec![None; slots],
            slot_of: vec![None; blocks],
            free: (0..last).rev().map(SlotId).collect(),
            idle: BTreeSet::new(),
            idle_since: vec![0; slots],
            ticks: 0,
            spare: slots.saturating_sub(seqs),
            twofold: 0,
        }
    }

    pub(super) fn counts(&self) -> BlockCounts {
        let (total, cached, free) = (self.holders.len(), self.idle.len(), self.free.len());
        BlockCounts { total, used: total - cached - free, cached, free }
    }

    /// Whether there is a snapshot after an indexed block.
    pub(super) fn has(&self, block: BlockId) -> bool {
        self.slot_of[block.index()].is_some()
    }

    /// Whether a sequence can take part in the next pass: it has a slot of its own, or one is available.
    pub(super) fn has_room(&self, state: &TableState) -> bool {
        state.now.is_some_and(|slot| self.holders[slot.index()] == 1) || self.is_available()
    }

    /// Whether a pass may keep the state that it begins with.
    pub(super) fn can_keep(&self, state: &TableState) -> bool {
        state.now.is_none() || (self.twofold < self.spare && self.is_available())
    }

    fn is_available(&self) -> bool {
        !self.free.is_empty() || !self.idle.is_empty()
    }

    /// Begins with the snapshot after a block.
    pub(super) fn attach(&mut self, state: &mut TableState, block: BlockId) {
        let slot = self.slot_of[block.index()].expect("the block was found for its snapshot");
        self.hold(slot);
        state.now = Some(slot);
    }

    /// Another table goes on from the same state.
    pub(super) fn share(&mut self, state: &TableState) -> TableState {
        debug_assert!(state.next.is_none(), "a state is shared between passes");
        state.now.into_iter().for_each(|slot| self.hold(slot));
        TableState { now: state.now, next: None, rolling: None }
    }

    /// Chooses where the next pass leaves the state, which is then the one after `tokens` tokens. A state that others go on from is never
    /// written; nor is one that `keeps` says to keep. A snapshot is kept if there is a slot to spare.
    pub(super) fn begin(&mut self, state: &mut TableState, tokens: usize, keeps: bool, index: Option<&PrefixIndex>) {
        debug_assert!(state.next.is_none(), "a sequence is in one pass at a time");
        if let Some(slot) = state.now.filter(|slot| self.holders[slot.index()] == 1 && !keeps) {
            let is_snapshot = self.block_of[slot.index()].is_some();
            if !is_snapshot || !self.can_keep(state) {
                self.forget(slot, index);
                return;
            }
        }
        self.twofold += usize::from(state.now.is_some());
        state.next = Some((self.take(index), tokens));
    }

    /// Goes on with the state that a pass has left, if that is the one after `tokens` tokens. False if it is another.
    pub(super) fn adopt(&mut self, state: &mut TableState, tokens: usize) -> bool {
        let Some((next, after)) = state.next else { return true };
        if after != tokens {
            return false;
        }
        state.next = None;
        if let Some(before) = state.now.replace(next) {
            self.twofold -= 1;
            self.let_go(before);
        }
        true
    }

    /// Goes on with the state before a pass, if that was kept and the one behind it was not adopted. Returns whether it is so.
    pub(super) fn step_back(&mut self, state: &mut TableState) -> bool {
        let Some((next, _)) = state.next.take() else { return false };
        self.twofold -= usize::from(state.now.is_some());
        self.let_go(next);
        true
    }

    /// Makes a table's state the snapshot after an indexed block, unless that has one. The one that the table has made before is given
    /// up if it was to roll along and nobody holds it.
    pub(super) fn keep(&mut self, state: &mut TableState, block: BlockId, rolls: bool, index: &PrefixIndex) {
        let slot = state.now.filter(|slot| !self.has(block) && self.block_of[slot.index()].is_none());
        let before = std::mem::replace(&mut state.rolling, slot.filter(|_| rolls).map(|_| block));
        let stale = before.filter(|&before| before != block).and_then(|before| self.slot_of[before.index()]);
        if let Some(stale) = stale.filter(|slot| self.holders[slot.index()] == 0) {
            self.free_idle(stale);
            self.forget(stale, Some(index));
        }
        if let Some(slot) = slot {
            self.block_of[slot.index()] = Some(block);
            self.slot_of[block.index()] = Some(slot);
            index.set_state(block, true);
        }
    }

    /// Gives up the snapshot after a block that leaves the index.
    pub(super) fn remove(&mut self, block: BlockId, index: &PrefixIndex) {
        let Some(slot) = self.slot_of[block.index()] else { return };
        if self.holders[slot.index()] == 0 {
            self.free_idle(slot);
        }
        self.forget(slot, Some(index));
    }

    /// Takes back what a table holds.
    pub(super) fn release(&mut self, state: TableState) {
        self.twofold -= usize::from(state.now.is_some() && state.next.is_some());
        state.slots().for_each(|slot| self.let_go(slot));
    }

    /// A slot of its own for a table.
    fn take(&mut self, index: Option<&PrefixIndex>) -> SlotId {
        let slot = self.free.pop().unwrap_or_else(|| {
            let (_, slot) = self.idle.pop_first().expect("who takes part has room");
            self.forget(slot, index);
            slot
        });
        debug_assert_eq!(self.holders[slot.index()], 0, "an available slot has no holder");
        self.holders[slot.index()] = 1;
        slot
    }

    /// A slot is no snapshot any more.
    fn forget(&mut self, slot: SlotId, index: Option<&PrefixIndex>) {
        if let Some(block) = self.block_of[slot.index()].take() {
            self.slot_of[block.index()] = None;
            index.into_iter().for_each(|index| index.set_state(block, false));
        }
    }

    fn free_idle(&mut self, slot: SlotId) {
        let was_idle = self.idle.remove(&(self.idle_since[slot.index()], slot));
        debug_assert!(was_idle, "a snapshot that no table holds is cached");
        self.free.push(slot);
    }

    fn hold(&mut self, slot: SlotId) {
        let holders = &mut self.holders[slot.index()];
        *holders += 1;
        if *holders == 1 {
            let was_idle = self.idle.remove(&(self.idle_since[slot.index()], slot));
            debug_assert!(was_idle, "only used and cached slots can be shared");
        }
    }

    fn let_go(&mut self, slot: SlotId) {
        let holders = &mut self.holders[slot.index()];
        *holders = holders.checked_sub(1).expect("a slot is given back as often as it was taken");
        if *holders > 0 {
            return;
        }
        if self.block_of[slot.index()].is_some() {
            self.ticks += 1;
            self.idle_since[slot.index()] = self.ticks;
            self.idle.insert((self.ticks, slot));
        } else {
            self.free.push(slot);
        }
    }

    /// Checks that every slot is in exactly one state and that the holders are the tables given.
    ///
    /// # Panics
    /// If a slot is lost or counted wrongly, or a snapshot belongs to a block that is not indexed.
    pub(super) fn audit<'a>(&self, tables: impl Iterator<Item = &'a TableState>, index: Option<&PrefixIndex>) {
        let mut held = vec![0u32; self.holders.len()];
        let mut twofold = 0;
        for state in tables {
            state.slots().for_each(|slot| held[slot.index()] += 1);
            twofold += usize::from(state.now.is_some() && state.next.is_some());
            if let Some((slot, _)) = state.next {
                assert!(
                    self.holders[slot.index()] == 1 && self.block_of[slot.index()].is_none(),
                    "{slot:?} is written"
                );
            }
        }
        assert_eq!(held, self.holders, "the holders of each state slot are the tables that name it");
        assert_eq!(twofold, self.twofold, "tables that hold two slots");
        let mut available = vec![false; self.holders.len()];
        for &slot in self.idle.iter().map(|(_, slot)| slot).chain(&self.free) {
            assert!(!std::mem::replace(&mut available[slot.index()], true), "{slot:?} is available twice");
        }
        for (slot, is_available) in available.into_iter().enumerate() {
            assert_eq!(is_available, self.holders[slot] == 0, "state slot {slot} is used or available");
            let Some(block) = self.block_of[slot] else { continue };
            assert_eq!(self.slot_of[block.index()].map(SlotId::index), Some(slot), "a snapshot knows its block");
            assert!(index.is_some_and(|index| index.contains(block)), "the block of a snapshot is indexed");
        }
        for slot in self.idle.iter().map(|(_, slot)| slot) {
            assert!(self.block_of[slot.index()].is_some(), "{slot:?} is cached for no text");
        }
        let snapshots = self.slot_of.iter().filter(|slot| slot.is_some()).count();
        assert_eq!(
            snapshots,
            self.block_of.iter().filter(|block| block.is_some()).count(),
            "snapshots by block and slot"
        );
    }
}
