//! Running tasks grow; when there is no room, somebody is parked; what was parked resumes.

use super::Lot;
use super::task::{State, Stop};
use crate::{Decision, Growth, TaskId, Time, Units};

impl Lot {
    /// A running task wants `amount` on top of what it holds. `free` is what its executor could really give out now
    /// (see [`Policy::observe`]); without it the ledger decides alone.
    ///
    /// After [`Growth::ParkFirst`] the executor parks the victims, which makes their units really free, and asks again.
    pub(super) fn grow(&mut self, now: Time, id: TaskId, amount: Units, free: Option<Units>) -> Growth {
        if let Some(free) = free {
            self.observe(free);
        }
        let Some(task) = self.tasks.get(id).filter(|task| task.state.holds()) else { return Growth::Denied };
        let most = task.need().saturating_add(amount);
        if !most.fits_in(self.capacity.total()) {
            return Growth::Denied;
        }
        if task.state == State::Parking {
            self.tasks.at_mut(id.index).asked = amount;
            self.park_holder(id.index);
            return Growth::ParkSelf;
        }
        // What was set aside for this very task is there for it; what was set aside for others is not.
        let set_aside_for_others = self.ledger.promised().saturating_sub(task.held.promise());
        let room = self.ledger.free().saturating_sub(set_aside_for_others);
        if amount.fits_in(room) {
            let task = self.tasks.at_mut(id.index);
            self.ledger.grow(&mut task.held, amount);
            task.grown = task.grown.saturating_add(amount);
            // It goes on, so it has what it was parked for, even if that has turned out to be less.
            task.asked = Units::ZERO;
            let promise = task.promise();
            self.ledger.lower_promise(&mut task.held, promise);
            self.forecast_stale = true;
            self.counters.grown += 1;
            return Growth::Granted;
        }
        self.make_room(now, id, amount, room)
    }

    /// Chooses who is parked so that `id` can grow: only tasks with a worse claim than its own.
    fn make_room(&mut self, now: Time, id: TaskId, amount: Units, room: Units) -> Growth {
        let home = self.tasks.at(id.index).home;
        let own = self.defence(id.index, now);
        let short_of = amount.saturating_sub(room);
        let parkable = |&other: &u32| {
            let task = self.tasks.at(other);
            let with_executor = matches!(task.state, State::Running | State::Parking);
            let helps = task.held.units().min(short_of) != Units::ZERO;
            other != id.index && task.parkable && task.home == home && with_executor && helps
        };
        // Those that have been told to park anyway go first.
        let mut others: Vec<(bool, _, u32)> = self
            .running
            .iter()
            .copied()
            .filter(parkable)
            .map(|other| (self.tasks.at(other).state == State::Running, self.defence(other, now), other))
            .filter(|&(running, defence, _)| !running || defence < own)
            .collect();
        others.sort_unstable();
        let mut freed = Units::ZERO;
        let mut victims = Vec::new();
        for (_, _, other) in others {
            if amount.fits_in(room.saturating_add(freed)) {
                break;
            }
            let held = &self.tasks.at(other).held;
            freed = freed.saturating_add(held.units()).saturating_add(held.promise());
            victims.push(self.tasks.id_of(other));
        }
        if amount.fits_in(room.saturating_add(freed)) {
            for victim in &victims {
                self.park_holder(victim.index);
            }
            return Growth::ParkFirst(victims);
        }
        let task = self.tasks.at_mut(id.index);
        if task.parkable && self.running.len() > 1 {
            task.asked = amount;
            self.park_holder(id.index);
            return Growth::ParkSelf;
        }
        Growth::Denied
    }

    /// The executor has parked this task, as it was told to. Its units are back.
    pub(super) fn parked(&mut self, id: TaskId) {
        if self.tasks.get(id).is_some_and(|task| task.state == State::Parking) {
            self.park_holder(id.index);
        }
    }

    /// The executor has parked this running task of its own accord, because nobody takes what it makes. It is not
    /// resumed before [`Policy::unpause`]. False if it is not running.
    pub(super) fn pause(&mut self, id: TaskId) -> bool {
        let running = self.tasks.get(id).is_some_and(|task| matches!(task.state, State::Running | State::Parking));
        if running {
            self.tasks.at_mut(id.index).paused = true;
            self.park_holder(id.index);
        }
        running
    }

    /// Somebody takes what the task makes again: it may be resumed. False if it was not paused.
    pub(super) fn unpause(&mut self, id: TaskId) -> bool {
        let paused = self.tasks.get(id).is_some_and(|task| task.paused);
        if paused {
            self.tasks.at_mut(id.index).paused = false;
            self.line_up_parked(id.index);
        }
        paused
    }

    /// Takes the units of a task that stays alive.
    pub(super) fn park_holder(&mut self, index: u32) {
        self.cease_to_hold(index);
        let task = self.tasks.at_mut(index);
        task.state = State::Parked;
        task.parkings = task.parkings.saturating_add(1);
        self.counters.parked += 1;
        self.counters.parkings += 1;
        self.line_up_parked(index);
    }

    /// Lets a parked task stand in line, unless it has a reason not to.
    fn line_up_parked(&mut self, index: u32) {
        let task = self.tasks.at(index);
        if task.state == State::Parked && !task.paused && task.stop.is_none() {
            let spot = self.spot(index);
            self.lines[self.tasks.at(index).class].parked.insert(spot);
            self.note_need(index);
            self.settled = false;
        }
    }

    /// Has a task end: at once if no executor has it, else its executor is told.
    pub(super) fn stop(&mut self, id: TaskId, stop: Stop) {
        let task = self.tasks.at_mut(id.index);
        match task.state {
            State::Waiting => {
                self.leave_waiting_room(id.index);
                self.forget_task(id);
                self.counters.end(stop.ending());
                self.announce(id, stop.ending());
                return;
            }
            State::Starting => {
                self.cease_to_hold(id.index);
                self.forget_active(id);
                self.counters.end(stop.ending());
                self.announce(id, stop.ending());
                return;
            }
            State::Parked => {
                let (class, spot) = (task.class, self.spot(id.index));
                self.lines[class].parked.remove(&spot);
            }
            State::Resuming => {
                self.cease_to_hold(id.index);
                self.tasks.at_mut(id.index).state = State::Parked;
                self.counters.parked += 1;
            }
            State::Running | State::Parking => {}
        }
        let task = self.tasks.at_mut(id.index);
        task.stop = Some(stop);
        let home = task.home as usize;
        self.orders[home].push_back(Decision::Cancel(id));
        self.stops.push_back(id);
    }
}
