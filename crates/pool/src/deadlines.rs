//! Which deadline comes next. Entries of tasks that have ended stay until they come up or outnumber the rest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{TaskId, Time};

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Time, TaskId)>>,
}

impl Deadlines {
    /// Remembers a deadline; "never" needs no remembering.
    pub(crate) fn add(&mut self, deadline: Time, task: TaskId) {
        if deadline != Time::NEVER {
            self.heap.push(Reverse((deadline, task)));
        }
    }

    /// The next deadline of a task that still has it.
    pub(crate) fn next(&mut self, holds: impl Fn(Time, TaskId) -> bool) -> Option<(Time, TaskId)> {
        while let Some(&Reverse((deadline, task))) = self.heap.peek() {
            if holds(deadline, task) {
                return Some((deadline, task));
            }
            self.heap.pop();
        }
        None
    }

    /// Drops what has outlived its task, when that is most of it.
    pub(crate) fn tidy(&mut self, living: usize, holds: impl Fn(Time, TaskId) -> bool) {
        if self.heap.len() > 64 + 3 * living {
            self.heap.retain(|&Reverse((deadline, task))| holds(deadline, task));
        }
    }
}
