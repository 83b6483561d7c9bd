//! Who is next.
//!
//! 1. Classes: the highest first, as long as it is not ahead of its share by more than the burst. Those that are
//!    ahead come after those that are not.
//! 2. Inside a class: tasks that were parked, then tenants by virtual token counter.
//! 3. Inside a tenant: earliest deadline, then rank, then arrival.
//!
//! The first that fits is admitted. One that does not fit may be passed by those behind it, but only a bounded
//! number of times; then nobody behind it is looked at any more, so that the units which come free are kept for it.
//! A parked task is never passed by newcomers of its own class.

use super::shares::Virtual;
use crate::lot::Lot;
use crate::{Class, Time};

/// How many tasks of one tenant are looked at before it is another tenant's turn.
const PER_TENANT: usize = 4;

/// What to do with the waiting and parked tasks now.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::lot) enum Choice {
    /// Give this task its units; those in `Lot::passed` stood before it.
    Admit(u32),
    /// This task's deadline cannot be met any more.
    Expire(u32),
    /// Park these, so that the first in line, of this class, fits.
    Preempt(Class, Vec<u32>),
    /// Nothing that may be admitted fits.
    Nothing,
}

/// What one look at a task says.
enum Look {
    Choose(Choice),
    Pass,
    Stop,
}

impl Lot {
    /// Looks through the waiting and parked tasks in the order of the policy. Needs a fresh forecast.
    pub(in crate::lot) fn choose(&self, now: Time, passed: &mut Vec<u32>) -> Choice {
        passed.clear();
        // Where nobody can fit, only the first in line matters: it may be hopeless, or send others away.
        let mut left = if self.somebody_may_fit() { self.limits.lookahead } else { 1 };
        let (classes, count) = self.class_order();
        for &class in &classes[..count] {
            let line = &self.lines[class];
            let passed_before = passed.len();
            for spot in line.parked.iter().take(PER_TENANT) {
                match self.look(spot.task, now, passed, &mut left) {
                    Look::Choose(choice) => return choice,
                    Look::Stop => return Choice::Nothing,
                    Look::Pass => {}
                }
            }
            if passed.len() > passed_before {
                continue; // Newcomers of this class do not pass its parked tasks.
            }
            for turn in &line.turns {
                for spot in line.share(turn.share).waiting.iter().take(PER_TENANT) {
                    match self.look(spot.task, now, passed, &mut left) {
                        Look::Choose(choice) => return choice,
                        Look::Stop => return Choice::Nothing,
                        Look::Pass => {}
                    }
                }
            }
        }
        Choice::Nothing
    }

    fn look(&self, index: u32, now: Time, passed: &mut Vec<u32>, left: &mut u32) -> Look {
        if *left == 0 {
            return Look::Stop;
        }
        *left -= 1;
        if self.is_hopeless(index, now) {
            return Look::Choose(Choice::Expire(index));
        }
        if self.fits(self.tasks.at(index)) {
            return Look::Choose(Choice::Admit(index));
        }
        let first_in_line = passed.is_empty();
        if first_in_line && self.could_preempt(self.tasks.at(index).class) {
            if self.fits_when_parked(index, &[]) {
                return Look::Stop; // What it needs is on its way.
            }
            if let Some(victims) = self.victims_for(index, now) {
                return Look::Choose(Choice::Preempt(self.tasks.at(index).class, victims));
            }
        }
        if self.tasks.at(index).bypassed >= self.limits.max_bypass {
            return Look::Stop;
        }
        passed.push(index);
        Look::Pass
    }

    /// The classes that want something, in the order in which they are looked at.
    fn class_order(&self) -> ([Class; Class::COUNT], usize) {
        let mut order = [Class::Low; Class::COUNT];
        let mut count = 0;
        let smallest = self.smallest_class_counter();
        for ahead in [false, true] {
            for class in Class::ALL.into_iter().rev().filter(|&class| self.lines[class].wants()) {
                if self.is_ahead(class, smallest) == ahead {
                    order[count] = class;
                    count += 1;
                }
            }
        }
        (order, count)
    }

    /// The smallest counter of the classes that want something.
    pub(in crate::lot) fn smallest_class_counter(&self) -> Virtual {
        let wanting = self.lines.iter().filter(|(_, line)| line.wants());
        wanting.map(|(_, line)| line.counter).min().unwrap_or_else(|| self.class_floor.get())
    }

    /// Whether a class has been served so much more than its share, compared to `other`, that it has to let others go first.
    pub(in crate::lot) fn is_ahead(&self, class: Class, other: Virtual) -> bool {
        let weight = self.limits.class_weights[class];
        self.lines[class].counter.tokens_ahead_of(other, weight) > self.limits.class_burst
    }
}
