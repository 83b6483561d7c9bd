//! The lot as a policy.

use std::collections::VecDeque;
use std::time::Duration;

use super::Lot;
use crate::{
    Class, ConfigError, Decision, Ending, Growth, Limits, Outlook, Placement, Policy, PolicyStats, PoolError, Progress,
    TaskId, TaskSpec, TaskState, Time, Units, Work,
};

impl Policy for Lot {
    fn employ(&mut self, workers: usize) {
        self.orders.resize_with(workers, VecDeque::new);
    }

    fn submit(&mut self, now: Time, spec: &TaskSpec) -> Result<(TaskId, Placement), PoolError> {
        Lot::submit(self, now, spec)
    }

    fn cancel(&mut self, id: TaskId) -> bool {
        Lot::cancel(self, id)
    }

    fn cancel_waiting(&mut self) {
        Lot::cancel_waiting(self);
    }

    fn unpause(&mut self, id: TaskId) -> bool {
        Lot::unpause(self, id)
    }

    fn drain(&mut self) {
        Lot::drain(self);
    }

    fn reconfigure(&mut self, limits: Limits) -> Result<(), ConfigError> {
        Lot::reconfigure(self, limits)
    }

    fn observe(&mut self, free: Units) {
        Lot::observe(self, free);
    }

    fn report(&mut self, busy: Duration, progress: &[Progress]) {
        Lot::report(self, busy, progress);
    }

    fn count_progress(&mut self, progress: &Progress) {
        Lot::count_progress(self, progress);
    }

    fn grow(&mut self, now: Time, id: TaskId, amount: Units, free: Option<Units>) -> Growth {
        Lot::grow(self, now, id, amount, free)
    }

    fn parked(&mut self, id: TaskId) {
        Lot::parked(self, id);
    }

    fn pause(&mut self, id: TaskId) -> bool {
        Lot::pause(self, id)
    }

    fn ended(&mut self, id: TaskId, ending: Ending) -> Option<Ending> {
        Lot::ended(self, id, ending)
    }

    fn settle(&mut self, now: Time) {
        Lot::settle(self, now);
    }

    fn next_deadline(&mut self) -> Option<Time> {
        Lot::next_deadline(self)
    }

    fn next_decision(&mut self, worker: usize, take_new: bool) -> Option<Decision> {
        Lot::next_decision(self, worker, take_new)
    }

    fn has_orders(&self, worker: usize) -> bool {
        Lot::has_orders(self, worker)
    }

    fn waiting_starts(&self) -> usize {
        Lot::waiting_starts(self)
    }

    fn next_ended(&mut self) -> Option<(TaskId, Ending)> {
        Lot::next_ended(self)
    }

    fn next_stop(&mut self) -> Option<TaskId> {
        self.stops.pop_front()
    }

    fn urgent(&self) -> Option<Class> {
        Lot::urgent(self)
    }

    fn sitting_out(&self, worker: usize, out: &mut Vec<TaskId>) {
        Lot::sitting_out(self, worker, out);
    }

    fn parks(&self) -> bool {
        true
    }

    fn has_classes(&self) -> bool {
        true
    }

    fn limits(&self) -> &Limits {
        Lot::limits(self)
    }

    fn is_draining(&self) -> bool {
        Lot::is_draining(self)
    }

    fn present(&self) -> u64 {
        Lot::present(self)
    }

    fn living(&self) -> Vec<TaskId> {
        self.tasks.iter().map(|(id, _)| id).collect()
    }

    fn kept_by(&self, worker: usize) -> Vec<TaskId> {
        Lot::kept_by(self, worker)
    }

    fn running_on(&self, worker: usize) -> Vec<TaskId> {
        Lot::running_on(self, worker).collect()
    }

    fn is_busy(&self, worker: usize) -> bool {
        Lot::running_on(self, worker).next().is_some()
    }

    fn state_of(&self, id: TaskId) -> Option<TaskState> {
        Lot::state_of(self, id)
    }

    fn stop_of(&self, id: TaskId) -> Option<Ending> {
        Lot::stop_of(self, id)
    }

    fn work_of(&self, id: TaskId) -> Work {
        self.tasks.get(id).map_or(Work::default(), |task| task.work)
    }

    fn outlook(&self, id: TaskId) -> Option<Outlook> {
        Lot::outlook(self, id)
    }

    fn stats(&self) -> PolicyStats {
        Lot::stats(self)
    }
}
