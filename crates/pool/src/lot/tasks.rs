//! The table of tasks: where each is in its life, how many are in which state, and which deadline comes next.

use std::ops::{Deref, DerefMut};

use super::audit::{check, equal};
use super::task::{State, Task};
use crate::deadlines::Deadlines;
use crate::slab::Slab;
use crate::{PolicyStats, TaskId, Time};

/// The slab of tasks, with deadlines and counts that follow each change of state.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    slab: Slab<Task>,
    deadlines: Deadlines,
    /// Sums since the start, and how many tasks are waiting, running and parked.
    pub(super) counters: PolicyStats,
}

impl Deref for Tasks {
    type Target = Slab<Task>;
    fn deref(&self) -> &Slab<Task> {
        &self.slab
    }
}

impl DerefMut for Tasks {
    fn deref_mut(&mut self) -> &mut Slab<Task> {
        &mut self.slab
    }
}

impl Tasks {
    /// A new task, which waits. Inline, since a task is large: it is built where it stays.
    #[inline]
    pub(super) fn insert(&mut self, task: Task) -> TaskId {
        self.counters.waiting += 1;
        self.counters.waiting_tokens += task.work.total();
        let deadline = task.start_deadline();
        let id = self.slab.insert(task);
        self.deadlines.add(deadline, id);
        id
    }

    /// Forgets a task, in whatever state it is.
    #[inline]
    pub(super) fn remove(&mut self, id: TaskId) -> Task {
        let task = self.slab.remove(id);
        self.leave_state(task.state, task.work.total());
        task
    }

    /// A task is in this state from now on.
    pub(super) fn set_state(&mut self, index: u32, state: State) {
        let task = self.slab.at_mut(index);
        let before = std::mem::replace(&mut task.state, state);
        let tokens = task.work.total();
        *self.count(state) += 1;
        self.leave_state(before, tokens);
    }

    fn leave_state(&mut self, state: State, tokens: u64) {
        *self.count(state) -= 1;
        if state == State::Waiting {
            self.counters.waiting_tokens -= tokens;
        }
    }

    fn count(&mut self, state: State) -> &mut u64 {
        match state {
            State::Waiting => &mut self.counters.waiting,
            State::Starting | State::Running | State::Parking | State::Resuming => &mut self.counters.running,
            State::Parked => &mut self.counters.parked,
        }
    }

    /// A waiting task has been admitted; from now on the deadline of its whole counts.
    pub(super) fn start(&mut self, index: u32, now: Time) {
        self.set_state(index, State::Starting);
        let id = self.slab.id_of(index);
        let task = self.slab.at_mut(index);
        task.started = now;
        if task.start_deadline() != task.deadline {
            self.deadlines.add(task.deadline, id);
        }
    }

    /// Whether fewer than two tasks wait or are parked.
    pub(super) fn at_most_one_stands_in_line(&self) -> bool {
        self.counters.waiting + self.counters.parked <= 1
    }

    /// The next deadline of a task that still has it.
    pub(super) fn next_deadline(&mut self) -> Option<(Time, TaskId)> {
        let Tasks { slab, deadlines, .. } = self;
        deadlines.next(|deadline, id| has_deadline(slab, deadline, id))
    }

    /// Drops deadlines that have outlived their tasks, when that is most of them.
    pub(super) fn tidy_deadlines(&mut self) {
        let Tasks { slab, deadlines, counters } = self;
        deadlines.tidy(counters.present() as usize, |deadline, id| has_deadline(slab, deadline, id));
    }

    pub(super) fn audit(&self, max_bypass: u32) -> Result<(), String> {
        for (id, task) in self.iter() {
            check(task.bypassed <= max_bypass, || format!("{id} was passed {} times", task.bypassed))?;
        }
        let count = |wanted: fn(State) -> bool| self.iter().filter(|(_, task)| wanted(task.state)).count() as u64;
        let counters = &self.counters;
        equal("waiting", counters.waiting, count(|state| state == State::Waiting))?;
        equal("running", counters.running, count(State::holds))?;
        equal("parked", counters.parked, count(|state| state == State::Parked))?;
        let waiting = self.iter().filter(|(_, task)| task.state == State::Waiting);
        equal("waiting tokens", counters.waiting_tokens, waiting.map(|(_, task)| task.work.total()).sum())?;
        let ended = counters.completed + counters.failed + counters.cancelled + counters.expired + counters.refused;
        equal("submitted", counters.submitted, counters.present() + ended)
    }
}

fn has_deadline(slab: &Slab<Task>, deadline: Time, id: TaskId) -> bool {
    slab.get(id).is_some_and(|task| {
        let counts = if task.state == State::Waiting { task.start_deadline() } else { task.deadline };
        task.stop.is_none() && counts == deadline
    })
}
