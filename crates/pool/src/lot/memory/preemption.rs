//! Who is parked first: the lowest class, in it the one with the most slack to its deadlines (that of a first token until it has
//! come), then the youngest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::forecast::Line;
use crate::lot::Lot;
use crate::lot::task::State;
use crate::{Class, Time};

/// Smaller is parked earlier.
pub(in crate::lot) type Defence = (Class, Reverse<u64>, Reverse<u64>);

impl Lot {
    /// How well a running task is defended against being parked.
    pub(in crate::lot) fn defence(&self, index: u32, now: Time) -> Defence {
        let task = self.tasks.at(index);
        let slack_to = |deadline: Time, rest: u64| match deadline {
            Time::NEVER => u64::MAX,
            deadline => {
                let rest = self.rate.alone(rest).unwrap_or(0.0) * 1e9;
                deadline.as_nanos().saturating_sub(now.as_nanos()).saturating_sub(rest as u64)
            }
        };
        let whole = slack_to(task.deadline, task.work.decode.saturating_sub(task.decoded));
        // A first token that has come needs no more defence.
        let first_token = if task.decoded == 0 { slack_to(task.first_token_deadline, 0) } else { u64::MAX };
        (task.standing, Reverse(whole.min(first_token)), Reverse(task.arrival))
    }

    /// The fewest running tasks of lower classes that have to be parked for this one to fit; `None` if even all
    /// of them would not be enough.
    pub(in crate::lot) fn victims_for(&self, index: u32, now: Time) -> Option<Vec<u32>> {
        let class = self.tasks.at(index).class;
        let lower = |&other: &u32| {
            let task = self.tasks.at(other);
            task.state == State::Running && task.parkable && task.stop.is_none() && task.standing < class
        };
        let candidates = self.running.iter().copied().filter(lower);
        let mut candidates: BinaryHeap<_> =
            candidates.map(|victim| Reverse((self.defence(victim, now), victim))).collect();
        // Nearly always one is enough. If not, twice as many are tried, until some number is enough.
        let (mut victims, mut too_few) = (Vec::new(), 0);
        loop {
            let wanted = (2 * too_few).max(1);
            victims.extend(
                std::iter::from_fn(|| candidates.pop()).take(wanted - too_few).map(|Reverse((_, victim))| victim),
            );
            if self.fits_when_parked(index, &victims) {
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
            if self.fits_when_parked(index, &victims[..middle]) {
                enough = middle;
            } else {
                too_few = middle;
            }
        }
        victims.truncate(enough);
        Some(victims)
    }

    /// Whether a waiting or parked task would fit once these tasks, and those that have already been told to, are parked.
    pub(in crate::lot) fn fits_when_parked(&self, index: u32, victims: &[u32]) -> bool {
        let mut room = self.ledger.free().saturating_add(self.leaving);
        let mut promised = self.ledger.promised().saturating_sub(self.leaving_promises);
        for &victim in victims {
            let held = &self.tasks.at(victim).held;
            room = room.saturating_add(held.units());
            promised = promised.saturating_sub(held.promise());
        }
        let room = room.min(self.capacity.total()).saturating_sub(promised);
        self.fits_in(self.tasks.at(index), room, |other| {
            self.tasks.at(other).state == State::Parking || victims.contains(&other)
        })
    }

    /// What a running task does to the forecast.
    pub(in crate::lot) fn forecast_line(&self, index: u32) -> Line {
        let task = self.tasks.at(index);
        Line {
            steps: task.steps(),
            task: index,
            held: task.held.units().saturating_add(task.held.promise()),
            growth: task.expected_growth(),
        }
    }
}
