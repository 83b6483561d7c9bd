//! The numbers of a policy: sums since the start, what there is now, and what has been measured.

use crate::{Ending, PerClass, PoolError, Rates, Units};

/// Numbers of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStats {
    /// Waiting tasks.
    pub waiting: u64,
    /// Tokens of the waiting tasks.
    pub waiting_tokens: u64,
    /// Tasks that hold units.
    pub running: u64,
    /// Parked tasks.
    pub parked: u64,
}

/// Numbers of a policy. `submitted = refused + waiting + running + parked + completed + failed + cancelled + expired`.
#[derive(Clone, Debug, Default)]
pub struct PolicyStats {
    /// Tasks that were submitted, refused ones included.
    pub submitted: u64,
    /// Tasks that were refused.
    pub refused: u64,
    /// Refusals by [`PoolError::reason`].
    pub refusals: Vec<(&'static str, u64)>,
    /// Tasks that wait now.
    pub waiting: u64,
    /// Their prompt and expected answer tokens.
    pub waiting_tokens: u64,
    /// Tasks that hold units now.
    pub running: u64,
    /// Tasks that are parked now.
    pub parked: u64,
    /// Tasks that completed.
    pub completed: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Tasks that expired.
    pub expired: u64,
    /// Granted growth requests.
    pub grown: u64,
    /// How often a running task was parked, for whatever reason.
    pub preemptions: u64,
    /// How often a running task was parked to make room for a higher class.
    pub class_preemptions: u64,
    /// How often a parked task was resumed.
    pub resumptions: u64,
    /// By class.
    pub classes: PerClass<ClassStats>,
    /// All units.
    pub capacity: Units,
    /// Units held by running tasks.
    pub in_use: Units,
    /// Units that nobody holds.
    pub free: Units,
    /// Of these, what a task that comes now could have: not promised, and not what the running ones are expected to grow into.
    pub available: Units,
    /// The measured service rate.
    pub rates: Rates,
    /// Tenants that are remembered.
    pub tenants: usize,
}

/// Every policy keeps its sums and the numbers of its tasks in one of these. Units, rates and what there is by class it knows
/// otherwise, and adds them for those who ask.
impl PolicyStats {
    /// How many tasks are here.
    pub(crate) fn present(&self) -> u64 {
        self.waiting + self.running + self.parked
    }

    pub(crate) fn refuse(&mut self, refusal: &PoolError) {
        self.refused += 1;
        let reason = refusal.reason();
        match self.refusals.iter_mut().find(|(name, _)| *name == reason) {
            Some((_, count)) => *count += 1,
            None => self.refusals.push((reason, 1)),
        }
    }

    pub(crate) fn end(&mut self, ending: Ending) {
        match ending {
            Ending::Completed => self.completed += 1,
            Ending::Failed => self.failed += 1,
            Ending::Cancelled => self.cancelled += 1,
            Ending::Expired => self.expired += 1,
        }
    }
}
