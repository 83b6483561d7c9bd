//! What becomes of admitted tasks: progress, parking, ends.

use super::Lot;
use super::task::State;
use crate::{Decision, Ending, TaskId, Work};

impl Lot {
    /// Counts a task's answer tokens and charges them to its tenant and class.
    pub(super) fn count_tokens(&mut self, id: TaskId, tokens: u64) {
        // It may have been parked since, later in the same step; what it was given before that counts all the same.
        let known = self.tasks.get(id).filter(|task| tokens > 0 && task.state != State::Waiting);
        let Some(task) = known else { return };
        let (class, share, first) = (task.class, task.share, task.decoded == 0);
        if task.state.holds() {
            self.memory.progressed(class, first);
            self.tasks.at_mut(id.index).count_tokens(tokens);
        } else {
            // Its place depends on which deadline counts, and that changes with the first token.
            let stood_in_line = self.queue.remove_parked(id.index, task);
            self.tasks.at_mut(id.index).count_tokens(tokens);
            if stood_in_line {
                self.queue.add_parked(id.index, self.tasks.at(id.index));
                self.settled = false;
            }
        }
        if first {
            self.speed.note_first_token(id);
        }
        self.queue.charge(class, share, Work::new(0, tokens), &self.config.limits);
    }

    /// Takes the units of a task: it ends, or is parked.
    pub(super) fn give_back(&mut self, index: u32) {
        self.memory.give_back(index, &mut self.tasks);
        self.settled = false;
    }

    /// Takes the units of a task that stays alive.
    pub(super) fn park_holder(&mut self, index: u32) {
        self.give_back(index);
        self.tasks.set_state(index, State::Parked);
        let task = self.tasks.at_mut(index);
        task.parkings = task.parkings.saturating_add(1);
        self.tasks.counters.preemptions += 1;
        self.line_up_parked(index);
    }

    /// Lets a parked task stand in line, unless it has a reason not to.
    pub(super) fn line_up_parked(&mut self, index: u32) {
        let task = self.tasks.at(index);
        if task.may_resume() {
            self.queue.add_parked(index, task);
            self.queue.note_need(task, self.tasks.at_most_one_stands_in_line());
            self.settled = false;
        }
    }

    /// Has a task end: at once if no executor has it, else its executor is told.
    pub(super) fn stop(&mut self, id: TaskId, ending: Ending) {
        let task = self.tasks.at(id.index);
        match task.state {
            State::Waiting | State::Starting => {
                self.forget(id, ending);
                self.outbox.ended.push_back((id, ending));
                return;
            }
            State::Parked => _ = self.queue.remove_parked(id.index, task),
            State::Resuming => {
                self.give_back(id.index);
                self.tasks.set_state(id.index, State::Parked);
            }
            State::Running | State::Parking => {}
        }
        let task = self.tasks.at_mut(id.index);
        task.stop = Some(ending);
        self.outbox.orders[task.home as usize].push_back(Decision::Cancel(id));
        self.outbox.stops.push_back(id);
    }

    /// An executor is done with a task. One that was stopped ends as what it was stopped as.
    pub(super) fn end(&mut self, id: TaskId, ending: Ending) -> Option<Ending> {
        let stop = self.tasks.get(id)?.stop;
        let ending = stop.filter(|_| ending == Ending::Cancelled).unwrap_or(ending);
        self.forget(id, ending);
        Some(ending)
    }

    /// Takes a task from wherever it is, and counts how it ended.
    fn forget(&mut self, id: TaskId, ending: Ending) {
        let task = self.tasks.at(id.index);
        match task.state {
            State::Waiting => self.queue.remove_waiting(id.index, task),
            State::Parked => _ = self.queue.remove_parked(id.index, task),
            _ => self.give_back(id.index),
        }
        self.drop_task(id);
        self.tasks.counters.end(ending);
    }

    /// Forgets a task that stands in no line and holds nothing.
    pub(super) fn drop_task(&mut self, id: TaskId) {
        let task = self.tasks.remove(id);
        debug_assert!(task.held.units().is_zero() && task.held.promise().is_zero(), "units are given back first");
        if task.state != State::Waiting && self.queue.remove_active(task.tenant) {
            self.settled = false;
        }
        self.queue.part(&task);
    }
}
