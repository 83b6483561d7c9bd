//! Sums since the start, and what there is now: every policy keeps them.

use crate::{Ending, PoolError};

#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) submitted: u64,
    pub(crate) refused: u64,
    pub(crate) refusals: Vec<(&'static str, u64)>,
    pub(crate) waiting: u64,
    pub(crate) waiting_tokens: u64,
    pub(crate) running: u64,
    pub(crate) parked: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) expired: u64,
    pub(crate) grown: u64,
    pub(crate) parkings: u64,
    pub(crate) preempted: u64,
    pub(crate) resumed: u64,
}

impl Counters {
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
