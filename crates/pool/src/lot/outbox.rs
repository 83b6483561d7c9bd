//! What has been decided and not been handed out yet.

use std::collections::VecDeque;

use super::audit::check;
use super::task::State;
use super::tasks::Tasks;
use crate::{Decision, Ending, TaskId};

/// The queues of decisions.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Admitted tasks, for whichever worker has room.
    pub(super) starts: VecDeque<TaskId>,
    /// What each worker has to do.
    pub(super) orders: Vec<VecDeque<Decision>>,
    /// Tasks that an executor was ordered to drop, for whoever tells them at once.
    pub(super) stops: VecDeque<TaskId>,
    /// Tasks that ended without an executor's doing.
    pub(super) ended: VecDeque<(TaskId, Ending)>,
}

impl Outbox {
    pub(super) fn new(workers: usize) -> Outbox {
        let orders = vec![VecDeque::new(); workers];
        Outbox { starts: VecDeque::new(), orders, stops: VecDeque::new(), ended: VecDeque::new() }
    }

    /// The next thing for this worker to do, if that still stands.
    pub(super) fn next(&mut self, worker: usize, take_new: bool, tasks: &Tasks) -> Option<Decision> {
        let orders = &mut self.orders[worker];
        let order = std::iter::from_fn(|| orders.pop_front()).find(|&order| still_stands(order, tasks));
        let starts = if take_new { Some(&mut self.starts) } else { None };
        order.or_else(|| {
            let starts = starts?;
            std::iter::from_fn(|| starts.pop_front().map(Decision::Start)).find(|&start| still_stands(start, tasks))
        })
    }

    /// Whatever a worker has to learn of a task is on its way.
    pub(super) fn audit(&self, tasks: &Tasks) -> Result<(), String> {
        for (id, task) in tasks.iter() {
            let ordered = |decision| self.orders[task.home as usize].contains(&decision);
            let is_on_its_way = match task.state {
                State::Starting => self.starts.contains(&id),
                State::Resuming => ordered(Decision::Resume(id)),
                State::Waiting | State::Running | State::Parking | State::Parked => true,
            };
            check(is_on_its_way, || format!("{id} is {:?} and no worker will hear of it", task.state))?;
        }
        Ok(())
    }
}

/// Whether a decision made earlier still holds: its task may have ended or been parked otherwise meanwhile.
fn still_stands(decision: Decision, tasks: &Tasks) -> bool {
    let (id, state) = match decision {
        Decision::Start(id) => (id, State::Starting),
        Decision::Resume(id) => (id, State::Resuming),
        Decision::Park(id) => (id, State::Parking),
        Decision::Cancel(id) => return tasks.get(id).is_some_and(|task| task.stop.is_some()),
    };
    tasks.get(id).is_some_and(|task| task.state == state)
}
