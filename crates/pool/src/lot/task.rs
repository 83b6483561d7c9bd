//! One task of the lot, waiting, running or parked.

use super::memory::Reservation;
use crate::{Class, Cost, Ending, TaskSpec, Time, Units, Work};

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

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) state: State,
    pub(crate) class: Class,
    /// The class it is defended as when victims are chosen: higher than its own if it was admitted, for its class's
    /// share, while a higher class waited. Otherwise that class would have it parked again at once.
    pub(crate) standing: Class,
    /// As what it will have ended: set when it has to end but its executor still has it.
    pub(crate) stop: Option<Ending>,
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
    /// What it had and does without for now.
    pub(crate) lent: Units,
    /// The growth that it was parked for, until it is granted. It is resumed when this is there too, and has it set aside.
    pub(crate) asked: Units,
    pub(crate) held: Reservation,
}

impl Task {
    pub(crate) fn new(spec: &TaskSpec, arrival: u64, now: Time, full: bool) -> Task {
        let mut cost = spec.cost;
        cost.worst_growth = Units::MAX.min(larger(cost.worst_growth, cost.expected_growth));
        Task {
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
            lent: Units::ZERO,
            asked: Units::ZERO,
            held: Reservation::default(),
        }
    }

    /// Whether it is parked and waits for units.
    pub(crate) fn may_resume(&self) -> bool {
        self.state == State::Parked && !self.paused && self.stop.is_none()
    }

    /// The deadline that counts before its first token.
    pub(crate) fn start_deadline(&self) -> Time {
        match self.decoded {
            0 => self.deadline.min(self.first_token_deadline),
            _ => self.deadline,
        }
    }

    /// What it needs in order to start or to resume, and holds while it runs.
    pub(crate) fn need(&self) -> Units {
        self.cost.now.saturating_add(self.grown).saturating_sub(self.lent)
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

    /// Answer tokens that are expected and have not come; none if it has outlived the prediction.
    pub(crate) fn rest(&self) -> u64 {
        self.work.decode.saturating_sub(self.decoded)
    }

    /// Steps until it is expected to end.
    pub(crate) fn steps(&self) -> u64 {
        match self.work.decode {
            0 => u64::MAX,
            _ => self.rest().max(1),
        }
    }

    /// It has made tokens. A task that has outlived its prediction is predicted to go on for as long again.
    pub(crate) fn count_tokens(&mut self, tokens: u64) {
        self.decoded = self.decoded.saturating_add(tokens);
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
