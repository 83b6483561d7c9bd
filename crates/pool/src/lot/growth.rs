//! Running tasks grow; when there is no room, somebody is parked.

use super::Lot;
use super::task::State;
use crate::{Growth, TaskId, Time, Units};

impl Lot {
    /// Grants a running task what it wants, or says who is parked so that it can be granted: only tasks with a worse claim, or
    /// the task itself.
    pub(super) fn grow_or_park(&mut self, now: Time, id: TaskId, amount: Units) -> Growth {
        let Some(task) = self.tasks.get(id).filter(|task| task.state.holds()) else { return Growth::Denied };
        if !task.need().saturating_add(amount).fits_in(self.capacity().total()) {
            return Growth::Denied;
        }
        if task.state == State::Parking {
            return self.park_until_there_is(id, amount);
        }
        if amount.fits_in(self.memory.room_to_grow(task)) {
            self.memory.grow(self.tasks.at_mut(id.index), amount);
            self.tasks.counters.grown += 1;
            return Growth::Granted;
        }
        if let Some(victims) = self.memory.victims_of_growth(id.index, amount, &self.tasks, now, &self.speed) {
            let park = |victim| {
                let id = self.tasks.id_of(victim);
                self.park_holder(victim);
                id
            };
            return Growth::ParkFirst(victims.into_iter().map(park).collect());
        }
        if self.tasks.at(id.index).parkable && self.memory.holders().len() > 1 {
            return self.park_until_there_is(id, amount);
        }
        Growth::Denied
    }

    fn park_until_there_is(&mut self, id: TaskId, amount: Units) -> Growth {
        self.tasks.at_mut(id.index).asked = amount;
        self.park_holder(id.index);
        Growth::ParkSelf
    }
}
