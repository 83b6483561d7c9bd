//! The invariants, checked from scratch. Tests call this after every command, and debug builds after every decision.

use super::Lot;
use super::admission::Choice;
use super::task::{State, Task};
use crate::Time;

impl Lot {
    /// Checks every invariant; costs O(n log n). After [`Policy::settle`](crate::Policy::settle) it also checks, with `now`, that no task that
    /// may be admitted and fits has been forgotten.
    ///
    /// # Errors
    /// The first invariant that does not hold, in words.
    pub fn audit(&self, now: Time) -> Result<(), String> {
        self.tasks.audit(self.config.limits.max_bypass)?;
        self.queue.audit(&self.tasks)?;
        self.memory.audit(&self.tasks)?;
        self.outbox.audit(&self.tasks)?;
        if self.settled { self.audit_nobody_forgotten(now) } else { Ok(()) }
    }

    fn audit_nobody_forgotten(&self, now: Time) -> Result<(), String> {
        // Without asking the policy: where everything is free, whatever may run runs.
        if self.memory.holders().is_empty() && self.memory.ledger().free() == self.capacity().total() {
            let may_run = |task: &Task| match task.state {
                State::Waiting => self.queue.tenant(task).may_run(),
                _ => task.may_resume(),
            };
            let forgotten = self.tasks.iter().find(|(_, task)| may_run(task));
            check(forgotten.is_none(), || format!("nothing runs, and nobody looks at {forgotten:?}"))?;
        }
        if self.memory.forecast_is_stale() {
            return Ok(());
        }
        match self.choose(now, &mut Vec::new()) {
            Choice::Admit(index) => {
                Err(format!("{} fits and was forgotten: {:?}", self.tasks.id_of(index), self.tasks.at(index)))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

pub(super) fn equal<T: PartialEq + std::fmt::Debug>(what: &str, kept: T, counted: T) -> Result<(), String> {
    check(kept == counted, || format!("{what}: kept {kept:?}, counted {counted:?}"))
}
