//! Who holds units, whether everybody's growth will fit, and who gives back for whom.

mod forecast;
mod ledger;
mod preemption;

use super::audit::{check, equal};
use super::task::{State, Task};
use super::tasks::Tasks;
use crate::{Class, PerClass, Units};
use forecast::{Amounts, Forecast, Line};
use ledger::Ledger;
pub(super) use ledger::Reservation;

/// The machine of units.
#[derive(Debug)]
pub(super) struct Memory {
    ledger: Ledger,
    forecast: Forecast,
    /// The forecast does not show the latest progress.
    forecast_is_stale: bool,
    /// Everybody who holds units.
    holders: Vec<u32>,
    /// Those of them that could be parked, by the class that they are defended as.
    parkable: PerClass<u32>,
    /// Those of them that have not had their first token.
    first_tokens_due: PerClass<u32>,
    leaving: Leaving,
}

/// What tasks hold that have been told to park.
#[derive(Debug, Default)]
struct Leaving {
    units: Units,
    promises: Units,
    /// The class that the last of them was told to make way for.
    class: Option<Class>,
}

impl Memory {
    pub(super) fn new(capacity: Units) -> Memory {
        Memory {
            ledger: Ledger::new(capacity),
            forecast: Forecast::default(),
            forecast_is_stale: false,
            holders: Vec::new(),
            parkable: PerClass::default(),
            first_tokens_due: PerClass::default(),
            leaving: Leaving::default(),
        }
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn holders(&self) -> &[u32] {
        &self.holders
    }

    /// Takes the executor's own count of free units. True if there are more now than before.
    pub(super) fn observe(&mut self, free: Units) -> bool {
        let before = self.ledger.free();
        self.ledger.observe(free);
        !self.ledger.free().fits_in(before)
    }

    /// What a task that comes now could have: not promised, and not what the running ones are expected to grow into.
    pub(super) fn available(&self) -> Units {
        let unpromised = self.ledger.unpromised();
        // With nobody running, nothing grows: the first one is let in if it fits at all.
        if self.holders.is_empty() { unpromised } else { unpromised.saturating_sub(self.forecast.peak()) }
    }

    /// Steps until the first running task is expected to end.
    pub(super) fn first_end(&self) -> Option<u64> {
        self.forecast.first_end()
    }

    pub(super) fn forecast_is_stale(&self) -> bool {
        self.forecast_is_stale
    }

    /// Brings the forecast up to date with what running tasks have done.
    pub(super) fn refresh_forecast(&mut self, tasks: &Tasks) {
        if std::mem::take(&mut self.forecast_is_stale) {
            self.forecast.rebuild(self.holders.iter().map(|&index| Line::of(index, tasks.at(index))));
        }
    }

    /// Whether a waiting or parked task fits now, with its predicted growth and everybody else's.
    pub(super) fn fits(&self, task: &Task) -> bool {
        self.fits_in(task, self.ledger.unpromised(), |_| false)
    }

    /// Whether it fits in `room` (free, not promised) if the running tasks that `leave` names were gone.
    fn fits_in(&self, task: &Task, room: Units, leave: impl Fn(u32) -> bool) -> bool {
        let taken = task.need().saturating_add(task.promise());
        let Some(room) = room.checked_sub(taken) else { return false };
        if self.holders.is_empty() {
            return true; // Alone it fits, or it would have been refused.
        }
        self.forecast.fits(&Line { held: taken, ..Line::of(u32::MAX, task) }, room, leave)
    }

    /// Gives a task its units, which fit.
    pub(super) fn hold(&mut self, index: u32, task: &mut Task) {
        task.held = self.ledger.reserve(task.need(), task.promise());
        task.running_at = self.holders.len() as u32;
        self.holders.push(index);
        self.first_tokens_due[task.class] += u32::from(task.decoded == 0);
        self.parkable[task.standing] += u32::from(task.parkable);
        if !self.forecast_is_stale {
            self.forecast.insert(&Line::of(index, task));
        }
    }

    /// A worker has the task: the next observation will include its units.
    pub(super) fn arrived(&mut self, task: &Task) {
        self.ledger.arrived(&task.held);
    }

    /// Takes a task's units back: it ends, or is parked.
    pub(super) fn give_back(&mut self, index: u32, tasks: &mut Tasks) {
        let task = tasks.at_mut(index);
        if !self.forecast_is_stale {
            self.forecast.remove(task.steps(), index);
        }
        let held = std::mem::take(&mut task.held);
        task.lent = Units::ZERO;
        self.first_tokens_due[task.class] -= u32::from(task.decoded == 0);
        self.parkable[task.standing] -= u32::from(task.parkable);
        if task.state == State::Parking {
            self.leaving.units = self.leaving.units.saturating_sub(held.units());
            self.leaving.promises = self.leaving.promises.saturating_sub(held.promise());
        }
        if task.state.in_transit() {
            self.ledger.release_in_transit(held);
        } else {
            self.ledger.release(held);
        }
        let position = task.running_at;
        self.holders.swap_remove(position as usize);
        if let Some(&moved) = self.holders.get(position as usize) {
            tasks.at_mut(moved).running_at = position;
        }
    }

    /// What a running task could grow by: what was set aside for it is there for it, what was set aside for others is not.
    pub(super) fn room_to_grow(&self, task: &Task) -> Units {
        let set_aside_for_others = self.ledger.promised().saturating_sub(task.held.promise());
        self.ledger.free().saturating_sub(set_aside_for_others)
    }

    /// Lets a running task grow by what fits.
    pub(super) fn grow(&mut self, task: &mut Task, amount: Units) {
        self.ledger.grow(&mut task.held, amount);
        let again = amount.min(task.lent);
        task.lent = task.lent.saturating_sub(again);
        task.grown = task.grown.saturating_add(amount.saturating_sub(again));
        // It goes on, so it has what it was parked for, even if that has turned out to be less.
        task.asked = Units::ZERO;
        let promise = task.promise();
        self.ledger.lower_promise(&mut task.held, promise);
        self.forecast_is_stale = true;
    }

    /// A running task does without some of what it holds.
    pub(super) fn lend(&mut self, task: &mut Task, amount: Units) {
        self.ledger.lend(&mut task.held, amount);
        task.lent = task.lent.saturating_add(amount);
        self.forecast_is_stale = true;
    }

    /// A holder has new tokens, and these may be its first.
    pub(super) fn progressed(&mut self, class: Class, first: bool) {
        self.first_tokens_due[class] -= u32::from(first);
        self.forecast_is_stale = true;
    }

    /// Whether running tasks of this class have not had their first token.
    pub(super) fn is_first_token_due(&self, class: Class) -> bool {
        self.first_tokens_due[class] > 0
    }

    pub(super) fn audit(&self, tasks: &Tasks) -> Result<(), String> {
        self.audit_units(tasks)?;
        equal("list of running tasks", self.holders.len() as u64, tasks.counters.running)?;
        for (at, &index) in self.holders.iter().enumerate() {
            equal("place among the running", tasks.at(index).running_at as usize, at)?;
        }
        for class in Class::ALL {
            let running = || self.holders.iter().map(|&index| tasks.at(index));
            let parkable = running().filter(|task| task.standing == class && task.parkable).count();
            equal("parkable tasks", self.parkable[class] as usize, parkable)?;
            let due = running().filter(|task| task.class == class && task.decoded == 0).count();
            equal("first tokens due", self.first_tokens_due[class] as usize, due)?;
        }
        if self.forecast_is_stale { Ok(()) } else { self.audit_forecast(tasks) }
    }

    fn audit_units(&self, tasks: &Tasks) -> Result<(), String> {
        let (mut held, mut promised, mut in_transit) = (Units::ZERO, Units::ZERO, Units::ZERO);
        let (mut leaving, mut leaving_promises) = (Units::ZERO, Units::ZERO);
        for (id, task) in tasks.iter() {
            let units = task.held.units();
            if task.state.holds() {
                held = held.checked_add(units).ok_or("held units overflow")?;
                promised = promised.saturating_add(task.held.promise());
                check(units == task.need(), || format!("{id} needs {:?} and holds {units:?}", task.need()))?;
                equal("what is set aside for a task", task.held.promise(), task.promise())?;
            } else {
                check(units.is_zero(), || format!("{id} is {:?} and holds {units:?}", task.state))?;
            }
            if task.state.in_transit() {
                in_transit = in_transit.saturating_add(units);
            }
            if task.state == State::Parking {
                leaving = leaving.saturating_add(units);
                leaving_promises = leaving_promises.saturating_add(task.held.promise());
            }
        }
        equal("units in use", self.ledger.in_use(), held)?;
        equal("promised units", self.ledger.promised(), promised)?;
        equal("units in transit", self.ledger.in_transit(), in_transit)?;
        equal("units of those told to park", self.leaving.units, leaving)?;
        equal("promises to those told to park", self.leaving.promises, leaving_promises)?;
        let (all, capacity) = (held.saturating_add(promised), self.ledger.capacity());
        check(all.fits_in(capacity), || format!("{held:?} in use and {promised:?} promised of {capacity:?}"))
    }

    fn audit_forecast(&self, tasks: &Tasks) -> Result<(), String> {
        equal("lines of the forecast", self.forecast.lines().count(), self.holders.len())?;
        let mut previous = (0, 0);
        for (steps, task, amounts) in self.forecast.lines() {
            let line = Line::of(task, tasks.at(task));
            equal("the end of a line of the forecast", steps, line.steps)?;
            equal("a line of the forecast", *amounts, Amounts::of(&line))?;
            check(previous <= (steps, task), || "the forecast is out of order".to_owned())?;
            previous = (steps, task);
        }
        Ok(())
    }
}
