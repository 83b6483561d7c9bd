//! Reaching a pool from places that neither know what it runs nor may keep it alive.

use std::sync::Weak;

use super::executor::Executor;
use super::shared::Shared;
use crate::{Ending, TaskId};

/// What can be done from outside without knowing what the pool runs.
pub(super) trait Control: Send + Sync {
    fn cancel(&self, id: TaskId) -> bool;
    fn stop_of(&self, id: TaskId) -> Option<Ending>;
    fn unpause(&self, id: TaskId) -> bool;
    fn wake(&self);
    fn is_alive(&self) -> bool;
}

impl<E: Executor> Control for Shared<E> {
    fn cancel(&self, id: TaskId) -> bool {
        let now = self.now();
        self.command(|state| {
            let known = state.policy.cancel(id);
            state.policy.settle(now);
            known
        })
    }

    fn stop_of(&self, id: TaskId) -> Option<Ending> {
        self.read(|state| state.policy.stop_of(id))
    }

    fn unpause(&self, id: TaskId) -> bool {
        let now = self.now();
        self.command(|state| {
            let paused = state.policy.unpause(id);
            state.policy.settle(now);
            paused
        })
    }

    fn wake(&self) {
        self.nudge_all();
    }

    fn is_alive(&self) -> bool {
        self.read(|state| state.alive > 0)
    }
}

/// A weak handle to a pool that cancels, unpauses and wakes: for streams, which cancel when they are dropped and wake
/// their sequence when they are read. Once the pool is gone it does nothing.
#[derive(Clone)]
pub struct PoolHandle {
    pool: Weak<dyn Control>,
}

impl PoolHandle {
    pub(super) fn new(pool: Weak<dyn Control>) -> PoolHandle {
        PoolHandle { pool }
    }

    /// See [`WorkerPool::cancel`](super::WorkerPool::cancel).
    pub fn cancel(&self, id: TaskId) -> bool {
        self.pool.upgrade().is_some_and(|pool| pool.cancel(id))
    }

    /// As what a task will end that is to stop; `None` if it is not, or has ended.
    pub fn stop_of(&self, id: TaskId) -> Option<Ending> {
        self.pool.upgrade().and_then(|pool| pool.stop_of(id))
    }

    /// See [`WorkerPool::unpause`](super::WorkerPool::unpause).
    pub fn unpause(&self, id: TaskId) -> bool {
        self.pool.upgrade().is_some_and(|pool| pool.unpause(id))
    }

    /// Whether a worker is left that could take tasks up.
    pub fn is_alive(&self) -> bool {
        self.pool.upgrade().is_some_and(|pool| pool.is_alive())
    }

    /// See [`WorkerPool::wake`](super::WorkerPool::wake).
    pub fn wake(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.wake();
        }
    }
}
