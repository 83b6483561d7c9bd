//! The queue of one class: who waits in it, tenant by tenant, and who of it is parked.
//!
//! Each tenant's share has its waiting tasks in order; a set orders the shares that have something waiting by their
//! virtual counters. So the first of the class is the first of the first share, wherever it came in.

use std::collections::BTreeSet;

use super::shares::{Floor, Virtual};
use super::tenant_queue::{Spot, TenantQueue};
use crate::lot::audit::{check, equal};
use crate::lot::task::{State, Task};
use crate::{TaskId, Time, Work};

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

    fn work_until(&mut self, deadline: Time) -> &mut Work {
        if deadline == Time::NEVER { &mut self.undated } else { &mut self.dated }
    }

    pub(crate) fn work(&self) -> Work {
        self.dated.plus(self.undated)
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

    /// A share for a tenant that is new in this class.
    pub(crate) fn new_share(&mut self, weight: u32) -> u32 {
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

    pub(crate) fn drop_share(&mut self, index: u32) {
        debug_assert_eq!(self.share(index).live, 0);
        self.free.push(index);
    }

    /// A task of this share has come.
    pub(crate) fn join(&mut self, share: u32) {
        self.live += 1;
        self.shares[share as usize].live += 1;
    }

    /// A task of this share has ended.
    pub(crate) fn part(&mut self, share: u32) {
        self.live -= 1;
        self.shares[share as usize].live -= 1;
        if self.live == 0 {
            self.floor.forget();
        }
    }

    /// Puts a task into the waiting room. `moment` orders shares that begin to want something.
    pub(crate) fn add_waiting(&mut self, index: u32, spot: Spot, work: Work, may_run: bool, moment: u64) {
        self.waiting += 1;
        self.work = self.work.plus(work);
        let share = &mut self.shares[index as usize];
        share.waiting.insert(spot);
        let sum = share.work_until(spot.deadline);
        *sum = sum.plus(work);
        self.set_wanting(index, may_run, moment);
    }

    /// Takes a task out of the waiting room.
    pub(crate) fn remove_waiting(&mut self, index: u32, spot: Spot, work: Work) {
        self.waiting -= 1;
        self.work = self.work.minus(work);
        let share = &mut self.shares[index as usize];
        assert!(share.waiting.remove(&spot), "a waiting task has its spot");
        let sum = share.work_until(spot.deadline);
        *sum = sum.minus(work);
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

    /// A task of it is about to be served: newcomers start from the smallest counter that waits now.
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

    /// `here`: the tasks of the class.
    pub(crate) fn audit<'a, I: Iterator<Item = (TaskId, &'a Task)>>(&self, here: impl Fn() -> I) -> Result<(), String> {
        equal("tasks of the class", self.live as usize, here().count())?;
        let waiting = || here().filter(|(_, task)| task.state == State::Waiting);
        equal("waiting spots", self.waiting, waiting().count())?;
        equal("waiting prefill", self.work.prefill, waiting().map(|(_, task)| task.work.prefill).sum())?;
        equal("waiting decode", self.work.decode, waiting().map(|(_, task)| task.work.decode).sum())?;
        for (id, task) in waiting() {
            let stands = self.share(task.share).waiting.contains(&Spot::of(id.index, task));
            check(stands, || format!("{id} waits and has no spot"))?;
        }
        let parked = || here().filter(|(_, task)| task.may_resume());
        equal("parked spots", self.parked.len(), parked().count())?;
        for (id, task) in parked() {
            check(self.parked.contains(&Spot::of(id.index, task)), || format!("{id} is parked and has no spot"))?;
        }
        for turn in &self.turns {
            let share = self.share(turn.share);
            let has_tasks = share.wants && !share.waiting.is_empty();
            check(has_tasks, || format!("a turn for a share without tasks: {share:?}"))?;
            equal("a share's counter", turn.counter, share.counter)?;
            check(share.counter >= self.floor.get(), || format!("{share:?} is below the floor"))?;
        }
        let weights = self.turns.iter().map(|turn| u64::from(self.share(turn.share).weight)).sum();
        equal("weights of wanting shares", self.weight_wanting, weights)?;
        equal("turns", self.turns.len(), self.shares.iter().filter(|share| share.wants).count())
    }
}
