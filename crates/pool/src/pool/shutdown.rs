//! Emptying a pool: first politely, then not, and never without an end.

use std::time::Duration;

use super::executor::Executor;
use super::outcome::Outcome;
use super::{WorkerPool, shared::State};
use crate::DrainWaiting;

/// How a pool is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long tasks may go on; then they are cancelled.
    pub limit: Duration,
    /// How long cancelled tasks may take to stop; then they are given up, and their threads left behind.
    pub grace: Duration,
    /// What becomes of those that wait.
    pub waiting: DrainWaiting,
}

impl Drain {
    /// Everything may finish within this limit; what is cancelled then has five seconds to stop.
    pub fn within(limit: Duration) -> Drain {
        Drain { limit, grace: Duration::from_secs(5), waiting: DrainWaiting::Finish }
    }
}

/// How the emptying went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Everything ended within the limit.
    pub in_time: bool,
    /// Tasks that were cancelled because the limit came.
    pub cancelled: u64,
    /// Tasks that did not even stop: their tickets say cancelled, their threads may still run.
    pub given_up: u64,
}

impl<E: Executor> WorkerPool<E> {
    /// Refuses new tasks from now on; what is here goes on.
    pub fn drain(&self) {
        self.shared.command(|state| state.policy.drain());
    }

    /// Whether new tasks are refused.
    pub fn is_draining(&self) -> bool {
        self.shared.read(|state| state.policy.is_draining())
    }

    /// Empties the pool and ends its threads: new tasks are refused, those that are here may finish within the limit,
    /// the rest is cancelled. Every task gets its one outcome. Blocks for at most the limit and twice the grace.
    pub fn shutdown(&self, drain: Drain) -> ShutdownReport {
        self.shared.command(|state| {
            state.policy.drain();
            if drain.waiting == DrainWaiting::Refuse {
                state.policy.cancel_waiting();
            }
        });
        let empty = |state: &State<E>| state.policy.is_empty();
        let in_time = self.shared.wait_until_quiet(self.shared.clock.now().checked_add(drain.limit), empty);
        let mut report = ShutdownReport { in_time, cancelled: 0, given_up: 0 };
        if !in_time {
            report.cancelled = self.shared.command(|state| {
                let before = state.policy.present();
                state.policy.cancel_all();
                before
            });
            self.shared.wait_until_quiet(self.shared.clock.now().checked_add(drain.grace), empty);
        }
        self.stop_threads();
        let gone = |state: &State<E>| state.alive == 0;
        let stopped = self.shared.wait_until_quiet(self.shared.clock.now().checked_add(drain.grace), gone);
        for slot in self.shared.command(State::take_all_slots) {
            report.given_up += u64::from(slot.settle(Outcome::Cancelled));
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        if stopped {
            for thread in threads {
                // A worker's own panic has been logged and its tasks have been seen to.
                let _ = thread.join();
            }
        }
        report
    }

    /// Cancels everything without waiting for it.
    pub(super) fn abandon(&self) {
        self.shared.command(|state| {
            state.policy.drain();
            state.policy.cancel_all();
        });
        self.stop_threads();
    }

    fn stop_threads(&self) {
        self.shared.command(|state| state.stopping = true);
        self.shared.ring_all();
    }
}
