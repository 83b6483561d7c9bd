//! Who is parked first: the lowest class, in it the one with the most slack to its deadlines (that of a first token until it has
//! come), then the youngest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Memory;
use crate::lot::speed::Speed;
use crate::lot::task::{State, Task};
use crate::lot::tasks::Tasks;
use crate::{Class, Time, Units};

/// Smaller is parked earlier.
type Defence = (Class, Reverse<u64>, Reverse<u64>);

/// How well a running task is defended against being parked.
fn defence(task: &Task, now: Time, speed: &Speed) -> Defence {
    let slack_to = |deadline: Time, rest: u64| match deadline {
        Time::NEVER => u64::MAX,
        deadline => {
            let rest = speed.rate.alone(rest).unwrap_or(0.0) * 1e9;
            deadline.as_nanos().saturating_sub(now.as_nanos()).saturating_sub(rest as u64)
        }
    };
    let whole = slack_to(task.deadline, task.rest());
    // A first token that has come needs no more defence.
    let first_token = if task.decoded == 0 { slack_to(task.first_token_deadline, 0) } else { u64::MAX };
    (task.standing, Reverse(whole.min(first_token)), Reverse(task.arrival))
}

impl Memory {
    /// Whether running tasks of lower classes could be parked.
    pub(in crate::lot) fn could_preempt(&self, class: Class) -> bool {
        Class::ALL.iter().any(|&lower| lower < class && self.parkable[lower] > 0)
    }

    /// The fewest running tasks of lower classes that have to be parked for this one to fit; `None` if even all
    /// of them would not be enough.
    pub(in crate::lot) fn victims_for(&self, task: &Task, tasks: &Tasks, now: Time, speed: &Speed) -> Option<Vec<u32>> {
        let lower = |&other: &u32| {
            let other = tasks.at(other);
            other.state == State::Running && other.parkable && other.stop.is_none() && other.standing < task.class
        };
        let candidates = self.holders.iter().copied().filter(lower);
        let mut candidates: BinaryHeap<_> =
            candidates.map(|victim| Reverse((defence(tasks.at(victim), now, speed), victim))).collect();
        // Nearly always one is enough. If not, twice as many are tried, until some number is enough.
        let (mut victims, mut too_few) = (Vec::new(), 0);
        loop {
            let wanted = (2 * too_few).max(1);
            let more = std::iter::from_fn(|| candidates.pop()).take(wanted - too_few);
            victims.extend(more.map(|Reverse((_, victim))| victim));
            if self.fits_when_parked(task, tasks, &victims) {
                break;
            }
            if candidates.is_empty() {
                return None;
            }
            too_few = victims.len();
        }
        // More victims never fit worse, so the fewest are found by halving.
        let mut enough = victims.len();
        while too_few + 1 < enough {
            let middle = too_few.midpoint(enough);
            if self.fits_when_parked(task, tasks, &victims[..middle]) {
                enough = middle;
            } else {
                too_few = middle;
            }
        }
        victims.truncate(enough);
        Some(victims)
    }

    /// Whether a waiting or parked task would fit once these tasks, and those that have already been told to, are parked.
    pub(in crate::lot) fn fits_when_parked(&self, task: &Task, tasks: &Tasks, victims: &[u32]) -> bool {
        let mut room = self.ledger.free().saturating_add(self.leaving.units);
        let mut promised = self.ledger.promised().saturating_sub(self.leaving.promises);
        for &victim in victims {
            let held = &tasks.at(victim).held;
            room = room.saturating_add(held.units());
            promised = promised.saturating_sub(held.promise());
        }
        let room = room.min(self.ledger.capacity()).saturating_sub(promised);
        self.fits_in(task, room, |other| tasks.at(other).state == State::Parking || victims.contains(&other))
    }

    /// A running task is told to park for one of this class.
    pub(in crate::lot) fn make_way(&mut self, task: &Task, class: Class) {
        self.leaving.units = self.leaving.units.saturating_add(task.held.units());
        self.leaving.promises = self.leaving.promises.saturating_add(task.held.promise());
        self.leaving.class = Some(class);
    }

    /// The class that tasks make way for, while some have not parked yet.
    pub(in crate::lot) fn makes_way_for(&self) -> Option<Class> {
        self.leaving.class.filter(|_| !self.leaving.units.is_zero())
    }

    /// Those of a worker's tasks with a worse claim than `index` that have to be parked for it to grow by `amount`; `None` if
    /// even all of them would not be enough.
    pub(in crate::lot) fn victims_of_growth(
        &self,
        index: u32,
        amount: Units,
        tasks: &Tasks,
        now: Time,
        speed: &Speed,
    ) -> Option<Vec<u32>> {
        let task = tasks.at(index);
        let (own, room) = (defence(task, now, speed), self.room_to_grow(task));
        let short_of = amount.saturating_sub(room);
        let candidate = |&other: &u32| {
            let candidate = tasks.at(other);
            let with_executor = matches!(candidate.state, State::Running | State::Parking);
            let helps = candidate.held.units().min(short_of) != Units::ZERO;
            let can = other != index && candidate.parkable && candidate.home == task.home && with_executor && helps;
            can.then(|| (candidate.state == State::Running, defence(candidate, now, speed), other))
        };
        // Those that have been told to park anyway go first.
        let mut others: Vec<_> = self.holders.iter().filter_map(candidate).collect();
        others.retain(|&(running, defence, _)| !running || defence < own);
        others.sort_unstable();
        let (mut freed, mut victims) = (Units::ZERO, Vec::new());
        for (_, _, other) in others {
            if amount.fits_in(room.saturating_add(freed)) {
                break;
            }
            let held = &tasks.at(other).held;
            freed = freed.saturating_add(held.units()).saturating_add(held.promise());
            victims.push(other);
        }
        amount.fits_in(room.saturating_add(freed)).then_some(victims)
    }
}
