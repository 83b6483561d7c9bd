//! What is reported about tasks: taken up, progress, ended, not wanted any more.

use std::time::Duration;

use super::Lot;
use super::task::{State, Stop};
use crate::{Class, Ending, Progress, TaskId, Time, Work};

impl Stop {
    pub(super) fn ending(self) -> Ending {
        match self {
            Stop::Cancelled => Ending::Cancelled,
            Stop::Expired => Ending::Expired,
        }
    }
}

impl Lot {
    /// Nobody wants this task any more. One that waits has ended with this; one that an executor has ends when the
    /// executor says so. False if there is no such task.
    pub(super) fn cancel(&mut self, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(id) else { return false };
        if task.stop.is_none() {
            self.stop(id, Stop::Cancelled);
        }
        true
    }

    /// The tasks that a worker has, running or parked.
    pub(crate) fn kept_by(&self, worker: usize) -> Vec<TaskId> {
        let with_executor = |state| !matches!(state, State::Waiting | State::Starting);
        let kept = self.tasks.iter().filter(|(_, task)| task.home as usize == worker && with_executor(task.state));
        kept.map(|(id, _)| id).collect()
    }

    /// Cancels what has not been admitted yet.
    pub(super) fn cancel_waiting(&mut self) {
        let waiting = self.tasks.iter().filter(|(_, task)| task.state == State::Waiting);
        for id in waiting.map(|(id, _)| id).collect::<Vec<_>>() {
            self.cancel(id);
        }
    }

    /// A worker has a task: the executor's next count of free units will include it.
    pub(super) fn arrive(&mut self, id: TaskId, worker: usize) {
        let task = self.tasks.at_mut(id.index);
        debug_assert!(task.state.in_transit());
        task.state = State::Running;
        task.home = worker as u16;
        self.ledger.arrived(&task.held);
    }

    /// An executor's step took `busy` and did this for its tasks. Tasks that have ended since they were worked for are
    /// named too: their tokens took time. They are not counted again, see [`Policy::count_progress`].
    pub(super) fn report(&mut self, busy: Duration, progress: &[Progress]) {
        let (mut prefill, mut decode, mut streams) = (0_u64, 0_u64, 0_u64);
        for step in progress {
            prefill = prefill.saturating_add(step.prefill);
            decode = decode.saturating_add(step.decode);
            streams += u64::from(step.decode > 0);
            self.count_progress(step);
        }
        self.reported |= prefill.saturating_add(decode) > 0;
        self.rate.record(busy, prefill, decode, streams, self.limits.rate_memory);
    }

    /// Charges one task's tokens to its tenant and class. For the last step of a task, which has to be counted before
    /// [`Policy::ended`] and so before the step itself can be reported; [`Policy::report`] counts the tasks that are still here.
    pub(super) fn count_progress(&mut self, progress: &Progress) {
        let (id, tokens) = (progress.task, progress.decode);
        // It may have been parked since, later in the same step; what it was given before that counts all the same.
        let known = self.tasks.get(id).filter(|task| tokens > 0 && task.state != State::Waiting);
        let Some(task) = known else { return };
        let (class, share, holds, first) = (task.class, task.share, task.state.holds(), task.decoded == 0);
        let spot = self.spot(id.index);
        let task = self.tasks.at_mut(id.index);
        task.decoded = task.decoded.saturating_add(tokens);
        task.revise_prediction();
        if holds {
            self.lines[class].first_tokens_due -= u32::from(first);
            self.forecast_stale = true;
        } else if self.lines[class].parked.remove(&spot) {
            // Its place depends on which deadline counts, and that changes with the first token.
            let spot = self.spot(id.index);
            self.lines[class].parked.insert(spot);
            self.settled = false;
        }
        if first {
            self.first_tokens.push(id);
        }
        self.charge(class, share, Work::new(0, tokens));
    }

    /// Learns how long first tokens take among the others, from those that have come since the last time.
    pub(super) fn note_first_tokens(&mut self, now: Time) {
        for id in std::mem::take(&mut self.first_tokens) {
            let Some(task) = self.tasks.get(id).filter(|task| task.parkings == 0) else { continue };
            let alone = self.rate.seconds(Work::new(task.work.prefill, 0)).unwrap_or(0.0);
            let took = now.since(task.started).as_secs_f64();
            self.lines[task.class].delay.record((took - alone).max(0.0));
        }
    }

    /// An executor is done with a task and holds nothing for it any more. Returns how it ended, which is `ending`
    /// unless the task was stopped by the lot; `None` if there is no such task (any more).
    pub(super) fn ended(&mut self, id: TaskId, ending: Ending) -> Option<Ending> {
        let task = self.tasks.get(id)?;
        let ending = match (ending, task.stop) {
            (Ending::Cancelled, Some(stop)) => stop.ending(),
            _ => ending,
        };
        let waited = task.state == State::Waiting;
        match task.state {
            State::Waiting => self.leave_waiting_room(id.index),
            State::Parked => {
                let (class, spot) = (task.class, self.spot(id.index));
                self.lines[class].parked.remove(&spot);
                self.counters.parked -= 1;
            }
            _ => self.cease_to_hold(id.index),
        }
        if waited {
            self.forget_task(id);
        } else {
            self.forget_active(id);
        }
        self.counters.end(ending);
        Some(ending)
    }

    /// Forgets a task that had been admitted.
    pub(super) fn forget_active(&mut self, id: TaskId) {
        let tenant = self.tasks.at(id.index).tenant;
        let could_run = self.tenants.at(tenant).may_run();
        self.tenants.at_mut(tenant).active -= 1;
        if !could_run && self.tenants.at(tenant).may_run() {
            self.show_tenant(tenant);
        }
        self.forget_task(id);
    }

    /// Forgets a task that stands in no line and holds nothing.
    pub(super) fn forget_task(&mut self, id: TaskId) {
        let task = self.tasks.remove(id);
        debug_assert!(task.held.units().is_zero() && task.held.promise().is_zero(), "units are given back first");
        self.lines[task.class].leave(task.share);
        if self.lines.iter().all(|(_, line)| line.live == 0) {
            self.class_floor.forget();
        }
        self.tenants.sweep(task.tenant, &mut self.lines);
    }

    /// The class whose first tokens come before the steps of lower classes: running tasks that are defended as a
    /// lower class than this should sit out the next step. `None`: everybody takes part.
    ///
    /// A class that is ahead of its share has no such claim, so nobody sits out for ever.
    pub(super) fn sit_out_below(&self) -> Option<Class> {
        Class::ALL.into_iter().rev().filter(|&class| self.lines[class].first_tokens_due > 0).find(|&class| {
            let lower = Class::ALL.into_iter().filter(|&lower| lower < class && self.lines[lower].live > 0);
            let behind = lower.map(|lower| self.lines[lower].counter.max(self.class_floor.get())).min();
            behind.is_some_and(|behind| !self.is_ahead(class, behind))
        })
    }

    /// The highest class that should not wait for a step in flight: a first token of it is due before the steps of
    /// lower classes, or some of these have been told to park for it.
    pub(super) fn urgent(&self) -> Option<Class> {
        let making_way = if self.leaving.is_zero() { None } else { self.making_way };
        self.sit_out_below().max(making_way)
    }

    /// The running tasks of a worker that should sit out its next step.
    pub(super) fn sitting_out(&self, worker: usize, out: &mut Vec<TaskId>) {
        out.clear();
        let Some(class) = self.sit_out_below() else { return };
        let lower = |&&index: &&u32| {
            let task = self.tasks.at(index);
            task.home as usize == worker && task.state == State::Running && task.standing < class
        };
        out.extend(self.running.iter().filter(lower).map(|&index| self.tasks.id_of(index)));
    }

    /// The running tasks that a worker has.
    pub(super) fn running_on(&self, worker: usize) -> impl Iterator<Item = TaskId> {
        let here = move |&&index: &&u32| {
            let task = self.tasks.at(index);
            task.home as usize == worker && !task.state.in_transit()
        };
        self.running.iter().filter(here).map(|&index| self.tasks.id_of(index))
    }
}
