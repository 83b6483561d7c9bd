//! The table of all tasks that live, waiting, running or parked.

use super::ledger::Reservation;
use crate::{Class, Cost, TaskId, TaskSpec, Time, Units, Work};

/// Where a task is in its life. See the diagram in the crate's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// In the waiting room.
    Waiting,
    /// Admitted, holds its units; no worker has taken it yet.
    Starting,
    /// With its executor.
    Running,
    /// With its executor, which has been told to park it; holds its units until that is done.
    Parking,
    /// With its executor, holds nothing.
    Parked,
    /// Parked, holds units again; its worker has not taken it up yet.
    Resuming,
}

impl State {
    /// Whether a task in this state holds units.
    pub(crate) fn holds(self) -> bool {
        matches!(self, State::Starting | State::Running | State::Parking | State::Resuming)
    }

    /// Whether its units are handed out but not yet with the executor.
    pub(crate) fn in_transit(self) -> bool {
        matches!(self, State::Starting | State::Resuming)
    }
}

/// How a task that is being stopped will have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    Expired,
}

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) generation: u32,
    pub(crate) state: State,
    pub(crate) class: Class,
    /// The class it is defended as when victims are chosen: higher than its own if it was admitted, for its class's
    /// share, while a higher class waited. Otherwise that class would have it parked again at once.
    pub(crate) standing: Class,
    /// Set when it has to end but its executor still has it.
    pub(crate) stop: Option<Stop>,
    /// Parked because its reader is slow: not resumed until told.
    pub(crate) paused: bool,
    pub(crate) parkable: bool,
    /// Reserved for its worst case.
    pub(crate) full: bool,
    /// The worker that has it.
    pub(crate) home: u16,
    pub(crate) tenant: u32,
    pub(crate) share: u32,
    /// Place in the list of running tasks.
    pub(crate) running_at: u32,
    /// How often it was passed by tasks behind it.
    pub(crate) bypassed: u32,
    pub(crate) parkings: u32,
    /// Order of arrival.
    pub(crate) arrival: u64,
    pub(crate) submitted: Time,
    /// When it was admitted.
    pub(crate) started: Time,
    pub(crate) deadline: Time,
    pub(crate) first_token_deadline: Time,
    pub(crate) rank: i64,
    pub(crate) cost: Cost,
    pub(crate) work: Work,
    /// Answer tokens so far.
    pub(crate) decoded: u64,
    /// What it has grown by.
    pub(crate) grown: Units,
    /// The growth that it was parked for, until it is granted. It is resumed when this is there too, and has it set aside.
    pub(crate) asked: Units,
    pub(crate) held: Reservation,
}

impl Task {
    pub(crate) fn new(spec: &TaskSpec, arrival: u64, now: Time, full: bool) -> Task {
        let mut cost = spec.cost;
        cost.worst_growth = Units::MAX.min(larger(cost.worst_growth, cost.expected_growth));
        Task {
            generation: 0,
            state: State::Waiting,
            class: spec.class,
            standing: spec.class,
            stop: None,
            paused: false,
            parkable: spec.parkable,
            full,
            home: 0,
            tenant: 0,
            share: 0,
            running_at: 0,
            bypassed: 0,
            parkings: 0,
            arrival,
            submitted: now,
            started: now,
            deadline: spec.deadline.unwrap_or(Time::NEVER),
            first_token_deadline: spec.first_token_deadline.unwrap_or(Time::NEVER),
            rank: spec.rank,
            cost,
            work: spec.work,
            decoded: 0,
            grown: Units::ZERO,
            asked: Units::ZERO,
            held: Reservation::default(),
        }
    }

    /// The deadline that counts before its first token.
    pub(crate) fn start_deadline(&self) -> Time {
        match self.decoded {
            0 => self.deadline.min(self.first_token_deadline),
            _ => self.deadline,
        }
    }

    /// What it needs in order to start or to resume.
    pub(crate) fn need(&self) -> Units {
        self.cost.now.saturating_add(self.grown)
    }

    /// What is set aside for it on top: its worst case, if it is reserved in full, and what it was parked for.
    pub(crate) fn promise(&self) -> Units {
        let worst = if self.full { self.cost.worst_growth.saturating_sub(self.grown) } else { Units::ZERO };
        larger(worst, self.asked)
    }

    /// What it is expected to take on top, as far as that is not set aside.
    pub(crate) fn expected_growth(&self) -> Units {
        if self.full {
            return Units::ZERO;
        }
        self.cost.expected_growth.saturating_sub(self.grown).saturating_sub(self.asked)
    }

    /// Answer tokens until it is expected to end.
    pub(crate) fn steps(&self) -> u64 {
        match self.work.decode {
            0 => u64::MAX,
            expected => expected.saturating_sub(self.decoded).max(1),
        }
    }

    /// A task that has outlived its prediction is predicted to go on for as long again.
    pub(crate) fn revise_prediction(&mut self) {
        while self.work.decode != 0 && self.decoded >= self.work.decode {
            self.work.decode = self.work.decode.saturating_mul(2);
            let doubled = self.cost.expected_growth.saturating_add(self.cost.expected_growth);
            self.cost.expected_growth = doubled.min(self.cost.worst_growth);
        }
    }
}

fn larger(a: Units, b: Units) -> Units {
    a.saturating_sub(b).saturating_add(b)
}

/// A slab: places are used again, and a generation tells the old tenant of a place from the new one.
#[derive(Debug, Default)]
pub(crate) struct Table {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all places are taken, and a box for each would be one more miss")]
enum Place {
    Free { next_generation: u32 },
    Taken(Task),
}

impl Table {
    pub(crate) fn insert(&mut self, mut task: Task) -> TaskId {
        match self.free.pop() {
            Some(index) => {
                let place = &mut self.places[index as usize];
                if let Place::Free { next_generation } = *place {
                    task.generation = next_generation;
                }
                let generation = task.generation;
                *place = Place::Taken(task);
                TaskId { index, generation }
            }
            None => {
                let index = u32::try_from(self.places.len()).expect("the waiting room is bounded below 2^32 tasks");
                let generation = task.generation;
                if self.places.len() == self.places.capacity() {
                    // By a quarter and not by doubling: a long line must not pay for as many again that are not there.
                    self.places.reserve_exact(64 + self.places.len() / 4);
                }
                self.places.push(Place::Taken(task));
                TaskId { index, generation }
            }
        }
    }

    pub(crate) fn remove(&mut self, id: TaskId) -> Task {
        let next_generation = id.generation.wrapping_add(1);
        let place = std::mem::replace(&mut self.places[id.index as usize], Place::Free { next_generation });
        self.free.push(id.index);
        match place {
            Place::Taken(task) if task.generation == id.generation => task,
            _ => unreachable!("only living tasks are removed"),
        }
    }

    pub(crate) fn get(&self, id: TaskId) -> Option<&Task> {
        match self.places.get(id.index as usize) {
            Some(Place::Taken(task)) if task.generation == id.generation => Some(task),
            _ => None,
        }
    }

    /// The task at a place that an index of the lot names, so it lives.
    pub(crate) fn at(&self, index: u32) -> &Task {
        match &self.places[index as usize] {
            Place::Taken(task) => task,
            Place::Free { .. } => unreachable!("an index of the lot names a task that has ended"),
        }
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Task {
        match &mut self.places[index as usize] {
            Place::Taken(task) => task,
            Place::Free { .. } => unreachable!("an index of the lot names a task that has ended"),
        }
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Task> {
        self.places.iter_mut().filter_map(|place| match place {
            Place::Taken(task) => Some(task),
            Place::Free { .. } => None,
        })
    }

    pub(crate) fn id_of(&self, index: u32) -> TaskId {
        TaskId { index, generation: self.at(index).generation }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        self.places.iter().enumerate().filter_map(|(index, place)| match place {
            Place::Taken(task) => Some((TaskId { index: index as u32, generation: task.generation }, task)),
            Place::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_does_not_name_the_next_task_in_its_place() {
        let spec = TaskSpec::new("t", Cost::default());
        let mut table = Table::default();
        let first = table.insert(Task::new(&spec, 0, Time::ZERO, false));
        table.remove(first);
        let second = table.insert(Task::new(&spec, 1, Time::ZERO, false));
        assert_eq!(first.index, second.index);
        assert!(table.get(first).is_none());
        assert!(table.get(second).is_some());
    }
}
