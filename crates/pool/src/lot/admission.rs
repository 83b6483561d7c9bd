//! What follows from what the lot knows: who expires, who is admitted, who has to be parked for whom.

use std::ops::ControlFlow;

use super::Lot;
use super::task::{State, Task};
use crate::{Class, Decision, Ending, Time, Work};

/// How many passed deadlines one call looks after; the rest follows with the next, for which
/// [`Policy::next_deadline`](crate::Policy::next_deadline) asks at once. So a burst of expiries does not hold up everything else.
const EXPIRIES_AT_ONCE: usize = 256;

/// Up to how many tasks debug builds check every invariant after each decision.
#[cfg(debug_assertions)]
const AUDITED: u64 = 64;

/// What to do with the waiting and parked tasks now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Give this task its units; those in `Lot::passed` stood before it.
    Admit(u32),
    /// This task's deadline cannot be met any more.
    Expire(u32),
    /// Park these, so that the first in line, of this class, fits.
    Preempt(Class, Vec<u32>),
    /// Nothing that may be admitted fits.
    Nothing,
}

impl Lot {
    /// Decides everything that follows from what has changed: ends what has expired, admits what fits, in the order
    /// of the policy, and has tasks parked for higher classes.
    ///
    /// # Panics
    /// In debug builds, if an invariant does not hold and few tasks are here, so that looking at all of them is cheap.
    pub(super) fn decide(&mut self, now: Time) {
        self.speed.learn(now, &self.tasks);
        self.expire_due(now);
        self.memory.refresh_forecast(&self.tasks);
        let mut passed = std::mem::take(&mut self.passed);
        loop {
            self.queue.lift_returning_classes();
            match self.choose(now, &mut passed) {
                Choice::Admit(index) => {
                    for &other in &passed {
                        self.tasks.at_mut(other).bypassed += 1;
                    }
                    self.admit(now, index);
                }
                Choice::Expire(index) => self.stop(self.tasks.id_of(index), Ending::Expired),
                Choice::Preempt(class, victims) => {
                    victims.into_iter().for_each(|victim| self.tell_to_park(victim, class));
                    break;
                }
                Choice::Nothing => break,
            }
        }
        self.passed = passed;
        self.settled = true;
        #[cfg(debug_assertions)]
        if self.tasks.counters.present() <= AUDITED
            && let Err(broken) = self.audit(now)
        {
            panic!("{broken}");
        }
    }

    fn expire_due(&mut self, now: Time) {
        self.tasks.tidy_deadlines();
        for _ in 0..EXPIRIES_AT_ONCE {
            match self.tasks.next_deadline() {
                Some((deadline, id)) if deadline <= now => self.stop(id, Ending::Expired),
                _ => break,
            }
        }
    }

    /// Looks through the waiting and parked tasks in the order of the policy. Needs a fresh forecast.
    pub(super) fn choose(&self, now: Time, passed: &mut Vec<u32>) -> Choice {
        passed.clear();
        let limits = &self.config.limits;
        // Where nobody can fit, only the first in line matters: it may be hopeless, or send others away.
        let somebody_may_fit = self.queue.least_need().fits_in(self.memory.ledger().unpromised());
        let mut left = if somebody_may_fit { limits.lookahead } else { 1 };
        let look = |index| {
            if left == 0 {
                return ControlFlow::Break(Choice::Nothing);
            }
            left -= 1;
            self.look(index, now, passed)
        };
        match self.queue.look_through(limits, look) {
            ControlFlow::Break(choice) => choice,
            ControlFlow::Continue(()) => Choice::Nothing,
        }
    }

    /// What is to be done for this task, or nothing for all behind it; else the next one may be looked at.
    fn look(&self, index: u32, now: Time, passed: &mut Vec<u32>) -> ControlFlow<Choice> {
        let (task, limits) = (self.tasks.at(index), &self.config.limits);
        if self.is_hopeless(task, now) {
            return ControlFlow::Break(Choice::Expire(index));
        }
        if self.memory.fits(task) {
            return ControlFlow::Break(Choice::Admit(index));
        }
        let first_in_line = passed.is_empty();
        if first_in_line && limits.preempt && self.memory.could_preempt(task.class) {
            if self.memory.fits_when_parked(task, &self.tasks, &[]) {
                return ControlFlow::Break(Choice::Nothing); // What it needs is on its way.
            }
            if let Some(victims) = self.memory.victims_for(task, &self.tasks, now, &self.speed) {
                return ControlFlow::Break(Choice::Preempt(task.class, victims));
            }
        }
        if task.bypassed >= limits.max_bypass {
            return ControlFlow::Break(Choice::Nothing);
        }
        passed.push(index);
        ControlFlow::Continue(())
    }

    /// Whether a task's deadline has passed, or would pass even if it started now.
    fn is_hopeless(&self, task: &Task, now: Time) -> bool {
        if task.state != State::Waiting {
            return task.deadline <= now;
        }
        task.start_deadline() <= now || self.check_deadline(now, task, Some(0.0)).is_err()
    }

    /// Gives a waiting or parked task its units.
    fn admit(&mut self, now: Time, index: u32) {
        let (id, task) = (self.tasks.id_of(index), self.tasks.at(index));
        let (class, share, tenant) = (task.class, task.share, task.tenant);
        let passed_over = self.queue.raise_floors(class);
        match task.state {
            State::Waiting => {
                self.queue.remove_waiting(index, task);
                self.queue.charge(class, share, Work::new(task.work.prefill, 0), &self.config.limits);
                self.tasks.start(index, now);
                self.queue.add_active(tenant);
                self.outbox.starts.push_back(id);
            }
            State::Parked => {
                self.queue.remove_parked(index, task);
                self.outbox.orders[task.home as usize].push_back(Decision::Resume(id));
                self.tasks.set_state(index, State::Resuming);
            }
            state => unreachable!("only waiting and parked tasks are admitted, not {state:?}"),
        }
        let task = self.tasks.at_mut(index);
        task.bypassed = 0;
        task.standing = passed_over.unwrap_or(class);
        self.memory.hold(index, task);
    }

    fn tell_to_park(&mut self, index: u32, class: Class) {
        let id = self.tasks.id_of(index);
        self.tasks.set_state(index, State::Parking);
        let task = self.tasks.at(index);
        self.memory.make_way(task, class);
        self.outbox.orders[task.home as usize].push_back(Decision::Park(id));
    }
}
