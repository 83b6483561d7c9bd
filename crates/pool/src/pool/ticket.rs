//! How an outcome is waited for.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::handle::PoolHandle;
use super::outcome::Outcome;
use crate::handover::Pledge;
use crate::{Placement, TaskId};

/// The right to one task's outcome. It can be waited for, with or without a limit, or awaited.
///
/// Dropping it changes nothing for the task; see [`WorkerPool::submit_async`](super::WorkerPool::submit_async) for
/// a future that cancels.
#[must_use = "the outcome goes to whoever holds the ticket"]
pub struct Ticket<T> {
    id: TaskId,
    placement: Placement,
    pledge: Arc<Pledge<Outcome<T>>>,
    pool: PoolHandle,
}

impl<T> Ticket<T> {
    pub(super) fn new(
        id: TaskId,
        placement: Placement,
        pledge: Arc<Pledge<Outcome<T>>>,
        pool: PoolHandle,
    ) -> Ticket<T> {
        Ticket { id, placement, pledge, pool }
    }

    /// The task.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// What became of it when it was submitted.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Whether the outcome is there.
    pub fn is_done(&self) -> bool {
        self.pledge.is_kept()
    }

    /// Waits for the outcome.
    pub fn wait(self) -> Outcome<T> {
        self.pledge.wait(None).unwrap_or(Outcome::Cancelled)
    }

    /// Waits for the outcome, but not longer than this. After `None` nothing is lost: the task goes on, and the
    /// outcome can be waited for again. After `Some` there is nothing more to come.
    pub fn wait_timeout(&mut self, limit: Duration) -> Option<Outcome<T>> {
        match Instant::now().checked_add(limit) {
            Some(moment) => self.pledge.wait(Some(moment)),
            None => self.pledge.wait(None),
        }
    }

    /// Cancels the task; its outcome says whether that came in time. False if it has ended.
    pub fn cancel(&self) -> bool {
        self.pool.cancel(self.id)
    }
}

impl<T> Future for Ticket<T> {
    type Output = Outcome<T>;

    /// Pending until the task ends. Polled again after that, it says `Cancelled`.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<T>> {
        self.pledge.poll(context).map(|outcome| outcome.unwrap_or(Outcome::Cancelled))
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("id", &self.id).field("placement", &self.placement).finish_non_exhaustive()
    }
}

/// A ticket whose task is cancelled if it is dropped before the outcome is there.
pub(super) struct CancelOnDrop<T>(pub(super) Ticket<T>);

impl<T> Future for CancelOnDrop<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<T>> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        if !self.0.is_done() {
            self.0.cancel();
        }
    }
}
