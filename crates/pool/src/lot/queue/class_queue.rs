//! The line of one class: who waits in it, tenant by tenant, and who of it is parked.
//!
//! Each tenant's share has its waiting tasks in a row; a set orders the shares that have something waiting by their
//! virtual counters. So the first of the class is the first of the first share, wherever it came in.

use std::collections::BTreeSet;

use super::shares::{Floor, Virtual};
use super::tenant_queue::{Spot, TenantQueue};
use crate::lot::delay::Delay;
use crate::{Time, Work};

/// A tenant's part in one class.
#[derive(Debug, Default)]
pub(crate) struct Share {
    pub(crate) weight: u32,
    pub(crate) counter: Virtual,
    /// When it last got something to wait for; among equal counters the longest-waiting share goes first.
    pub(crate) since: u64,
    /// Tasks of it that live in this class.
    pub(crate) live: u32,
    pub(crate) waiting: TenantQueue,
    /// The waiting work, with deadlines and without.
    pub(crate) dated: Work,
    pub(crate) undated: Work,
    /// Whether it is in the set of shares that want to be served.
    pub(crate) wants: bool,
}

impl Share {
    fn turn(&self, index: u32) -> Turn {
        Turn { counter: self.counter, since: self.since, share: index }
    }

    pub(crate) fn work(&self) -> Work {
        Work::new(
            self.dated.prefill.saturating_add(self.undated.prefill),
            self.dated.decode.saturating_add(self.undated.decode),
        )
    }
}

/// Whose turn it is: smallest counter, then longest there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) counter: Virtual,
    pub(crate) since: u64,
    pub(crate) share: u32,
}

/// One class.
#[derive(Debug, Default)]
pub(crate) struct ClassQueue {
    /// Waiting tasks of all shares.
    pub(crate) waiting: usize,
    /// Parked tasks that may resume, in the order in which they will, whosever they are.
    pub(crate) parked: BTreeSet<Spot>,
    pub(crate) turns: BTreeSet<Turn>,
    /// Weights of the shares that want to be served.
    pub(crate) weight_wanting: u64,
    pub(crate) work: Work,
    /// Running tasks that have not had their first token.
    pub(crate) first_tokens_due: u32,
    /// What its first tokens wait for when they have been admitted.
    pub(crate) delay: Delay,
    /// The class's own counter among the classes.
    pub(crate) counter: Virtual,
    /// Tasks that live in it.
    pub(crate) live: u32,
    floor: Floor,
    shares: Vec<Share>,
    free: Vec<u32>,
}

impl ClassQueue {
    /// Whether it has something that could be served.
    pub(crate) fn wants(&self) -> bool {
        !self.parked.is_empty() || !self.turns.is_empty()
    }

    pub(crate) fn share(&self, index: u32) -> &Share {
        &self.shares[index as usize]
    }

    pub(crate) fn shares(&self) -> impl Iterator<Item = &Share> {
        self.shares.iter()
    }

    pub(crate) fn floor(&self) -> Virtual {
        self.floor.get()
    }

    /// Opens a share for a tenant that is new in this class.
    pub(crate) fn open(&mut self, weight: u32) -> u32 {
        let share = Share { weight, counter: self.floor.get(), ..Share::default() };
        match self.free.pop() {
            Some(index) => {
                self.shares[index as usize] = share;
                index
            }
            None => {
                self.shares.push(share);
                (self.shares.len() - 1) as u32
            }
        }
    }

    /// Whether a share has been served no more than a newcomer is taken to have been.
    pub(crate) fn owes_nothing(&self, index: u32) -> bool {
        self.share(index).counter <= self.floor.get()
    }

    pub(crate) fn close(&mut self, index: u32) {
        debug_assert_eq!(self.share(index).live, 0);
        self.free.push(index);
    }

    /// A task of this share has come.
    pub(crate) fn enter(&mut self, share: u32) {
        self.live += 1;
        self.shares[share as usize].live += 1;
    }

    /// A task of this share has ended.
    pub(crate) fn leave(&mut self, share: u32) {
        self.live -= 1;
        self.shares[share as usize].live -= 1;
        if self.live == 0 {
            self.floor.forget();
        }
    }

    /// Puts a task into the waiting room. `moment` orders shares that begin to want something.
    pub(crate) fn add_waiting(&mut self, index: u32, spot: Spot, work: Work, may_run: bool, moment: u64) {
        self.waiting += 1;
        add(&mut self.work, work);
        let share = &mut self.shares[index as usize];
        share.waiting.insert(spot);
        add(if spot.deadline == Time::NEVER { &mut share.undated } else { &mut share.dated }, work);
        self.set_wanting(index, may_run, moment);
    }

    /// Takes a task out of the waiting room.
    pub(crate) fn remove_waiting(&mut self, index: u32, spot: Spot, work: Work) {
        self.waiting -= 1;
        take(&mut self.work, work);
        let share = &mut self.shares[index as usize];
        assert!(share.waiting.remove(&spot), "a waiting task has its spot");
        take(if spot.deadline == Time::NEVER { &mut share.undated } else { &mut share.dated }, work);
        if share.waiting.is_empty() {
            self.set_wanting(index, false, 0);
        }
    }

    /// Says whether a share may be served: it has something waiting, and its tenant is not at a limit of its own.
    pub(crate) fn set_wanting(&mut self, index: u32, may_run: bool, moment: u64) {
        let floor = self.floor.get();
        let share = &mut self.shares[index as usize];
        let wants = may_run && !share.waiting.is_empty();
        if wants == share.wants {
            return;
        }
        share.wants = wants;
        if wants {
            share.counter = share.counter.max(floor);
            share.since = moment;
            self.turns.insert(share.turn(index));
            self.weight_wanting += u64::from(share.weight);
        } else {
            self.turns.remove(&share.turn(index));
            self.weight_wanting -= u64::from(share.weight);
        }
    }

    /// A task of the line is about to be served: newcomers start from the smallest counter that waits now.
    pub(crate) fn raise_floor(&mut self) {
        if let Some(first) = self.turns.first() {
            self.floor.rise(first.counter);
        }
    }

    /// Counts served tokens.
    pub(crate) fn charge(&mut self, index: u32, tokens: Virtual) {
        let share = &mut self.shares[index as usize];
        if share.wants {
            self.turns.remove(&share.turn(index));
        }
        share.counter = share.counter.plus(tokens);
        self.floor.note(share.counter);
        if share.wants {
            self.turns.insert(share.turn(index));
        }
    }

    pub(crate) fn set_weight(&mut self, index: u32, weight: u32) {
        let share = &mut self.shares[index as usize];
        if share.wants {
            self.weight_wanting = self.weight_wanting - u64::from(share.weight) + u64::from(weight);
        }
        share.weight = weight;
    }
}

pub(crate) fn add(sum: &mut Work, work: Work) {
    sum.prefill = sum.prefill.saturating_add(work.prefill);
    sum.decode = sum.decode.saturating_add(work.decode);
}

pub(crate) fn take(sum: &mut Work, work: Work) {
    sum.prefill = sum.prefill.saturating_sub(work.prefill);
    sum.decode = sum.decode.saturating_sub(work.decode);
}
