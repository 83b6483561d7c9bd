//! The lot as a policy.

use std::collections::VecDeque;
use std::time::Duration;

use super::Lot;
use super::task::{State, Task};
use crate::{
    Class, ConfigError, Decision, Ending, Growth, Limits, Outlook, Placement, Policy, PolicyStats, PoolError, Progress,
    Standing, TaskId, TaskSpec, TaskState, Time, Units, Work,
};

impl Policy for Lot {
    fn employ(&mut self, workers: usize) {
        self.outbox.orders.resize_with(workers, VecDeque::new);
    }

    fn submit(&mut self, now: Time, spec: &TaskSpec) -> Result<(TaskId, Placement), PoolError> {
        self.tasks.counters.submitted += 1;
        self.judge(now, spec).inspect_err(|refusal| self.tasks.counters.refuse(refusal))
    }

    fn cancel(&mut self, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(id) else { return false };
        if task.stop.is_none() {
            self.stop(id, Ending::Cancelled);
        }
        true
    }

    fn cancel_waiting(&mut self) {
        for id in self.ids(|state, _| state == State::Waiting) {
            self.cancel(id);
        }
    }

    fn unpause(&mut self, id: TaskId) -> bool {
        let paused = self.tasks.get(id).is_some_and(|task| task.paused);
        if paused {
            self.tasks.at_mut(id.index).paused = false;
            self.line_up_parked(id.index);
        }
        paused
    }

    fn drain(&mut self) {
        self.draining = true;
    }

    fn reconfigure(&mut self, limits: Limits) -> Result<(), ConfigError> {
        limits.validate()?;
        self.queue.reconfigure(&limits);
        // Those that have been passed more often than they may be now are passed no more, and that is all.
        self.tasks.iter_mut().for_each(|task| task.bypassed = task.bypassed.min(limits.max_bypass));
        self.config.limits = limits;
        self.settled = false;
        Ok(())
    }

    /// From the first time on it is the truth, so it has to be told again after each step.
    fn observe(&mut self, free: Units) {
        self.settled &= !self.memory.observe(free);
    }

    fn report(&mut self, busy: Duration, progress: &[Progress]) {
        progress.iter().for_each(|step| self.count_progress(step));
        self.speed.record(busy, progress, self.config.limits.rate_memory);
    }

    fn count_progress(&mut self, progress: &Progress) {
        self.count_tokens(progress.task, progress.decode);
    }

    fn grow(&mut self, now: Time, id: TaskId, amount: Units, free: Option<Units>) -> Growth {
        if let Some(free) = free {
            self.observe(free);
        }
        self.grow_or_park(now, id, amount)
    }

    fn lend(&mut self, id: TaskId, amount: Units) -> bool {
        let may = |task: &Task| task.state == State::Running && !task.full && amount.fits_in(task.held.units());
        if !self.tasks.get(id).is_some_and(may) {
            return false;
        }
        self.memory.lend(self.tasks.at_mut(id.index), amount);
        self.settled = false;
        true
    }

    fn parked(&mut self, id: TaskId) {
        if self.tasks.get(id).is_some_and(|task| task.state == State::Parking) {
            // Not when it was told to: it may have ended before it was.
            self.tasks.counters.class_preemptions += 1;
            self.park_holder(id.index);
        }
    }

    fn pause(&mut self, id: TaskId) -> bool {
        let running = self.tasks.get(id).is_some_and(|task| matches!(task.state, State::Running | State::Parking));
        if running {
            self.tasks.at_mut(id.index).paused = true;
            self.park_holder(id.index);
        }
        running
    }

    fn ended(&mut self, id: TaskId, ending: Ending) -> Option<Ending> {
        self.end(id, ending)
    }

    fn settle(&mut self, now: Time) {
        self.decide(now);
    }

    fn next_deadline(&mut self) -> Option<Time> {
        self.tasks.next_deadline().map(|(deadline, _)| deadline)
    }

    fn next_decision(&mut self, worker: usize, take_new: bool) -> Option<Decision> {
        let decision = self.outbox.next(worker, take_new, &self.tasks)?;
        self.tasks.counters.resumptions += u64::from(matches!(decision, Decision::Resume(_)));
        if let Decision::Start(id) | Decision::Resume(id) = decision {
            self.tasks.set_state(id.index, State::Running);
            let task = self.tasks.at_mut(id.index);
            task.home = worker as u16;
            self.memory.arrived(task);
        }
        Some(decision)
    }

    fn has_orders(&self, worker: usize) -> bool {
        !self.outbox.orders[worker].is_empty()
    }

    fn waiting_starts(&self) -> usize {
        self.outbox.starts.len()
    }

    fn next_ended(&mut self) -> Option<(TaskId, Ending)> {
        self.outbox.ended.pop_front()
    }

    fn next_stop(&mut self) -> Option<TaskId> {
        self.outbox.stops.pop_front()
    }

    /// A first token of it is due before the steps of lower classes, or some of these have been told to park for it.
    fn urgent(&self) -> Option<Class> {
        self.sit_out_below().max(self.memory.makes_way_for())
    }

    fn standing(&self) -> Standing {
        let highest = self.memory.holders().iter().map(|&index| self.tasks.at(index).class).max();
        Standing {
            first_token: Class::ALL.into_iter().rev().find(|&class| self.memory.is_first_token_due(class)),
            highest,
            weight: highest.map_or(1, |class| self.config.limits.class_weights[class]),
        }
    }

    fn sitting_out(&self, worker: usize, out: &mut Vec<TaskId>) {
        out.clear();
        let Some(class) = self.sit_out_below() else { return };
        let lower = |&&index: &&u32| {
            let task = self.tasks.at(index);
            task.home as usize == worker && task.state == State::Running && task.standing < class
        };
        out.extend(self.memory.holders().iter().filter(lower).map(|&index| self.tasks.id_of(index)));
    }

    fn parks(&self) -> bool {
        true
    }

    fn has_classes(&self) -> bool {
        true
    }

    fn limits(&self) -> &Limits {
        &self.config.limits
    }

    fn is_draining(&self) -> bool {
        self.draining
    }

    fn present(&self) -> u64 {
        self.tasks.counters.present()
    }

    fn living(&self) -> Vec<TaskId> {
        self.ids(|_, _| true)
    }

    fn kept_by(&self, worker: usize) -> Vec<TaskId> {
        self.ids(|state, home| home == worker && !matches!(state, State::Waiting | State::Starting))
    }

    fn running_on(&self, worker: usize) -> Vec<TaskId> {
        self.running_tasks_of(worker).collect()
    }

    fn is_busy(&self, worker: usize) -> bool {
        self.running_tasks_of(worker).next().is_some()
    }

    fn state_of(&self, id: TaskId) -> Option<TaskState> {
        self.tasks.get(id).map(|task| match task.state {
            State::Waiting => TaskState::Waiting,
            State::Parked => TaskState::Parked,
            State::Starting | State::Running | State::Parking | State::Resuming => TaskState::Running,
        })
    }

    fn stop_of(&self, id: TaskId) -> Option<Ending> {
        self.tasks.get(id)?.stop
    }

    fn work_of(&self, id: TaskId) -> Work {
        self.tasks.get(id).map_or(Work::default(), |task| task.work)
    }

    fn outlook(&self, id: TaskId) -> Option<Outlook> {
        self.outlook_of(id)
    }

    fn stats(&self) -> PolicyStats {
        self.figures()
    }
}

impl Lot {
    /// The tasks whose state and home are wanted.
    fn ids(&self, wanted: impl Fn(State, usize) -> bool) -> Vec<TaskId> {
        let wanted = self.tasks.iter().filter(|(_, task)| wanted(task.state, task.home as usize));
        wanted.map(|(id, _)| id).collect()
    }

    fn running_tasks_of(&self, worker: usize) -> impl Iterator<Item = TaskId> {
        let here = move |&&index: &&u32| {
            let task = self.tasks.at(index);
            task.home as usize == worker && !task.state.in_transit()
        };
        self.memory.holders().iter().filter(here).map(|&index| self.tasks.id_of(index))
    }

    /// The class whose first tokens come before the steps of lower classes: running tasks that are defended as a
    /// lower class than this should sit out the next step. `None`: everybody takes part.
    ///
    /// A class that is ahead of its share has no such claim, so nobody sits out for ever.
    fn sit_out_below(&self) -> Option<Class> {
        let due = Class::ALL.into_iter().rev().filter(|&class| self.memory.is_first_token_due(class));
        due.into_iter().find(|&class| self.queue.comes_before_lower(class, &self.config.limits))
    }
}
