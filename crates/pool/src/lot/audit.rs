//! The invariants, checked from scratch. Tests call this after every command, and debug builds after every decision.

use std::collections::HashMap;

use super::Lot;
use super::memory::forecast::Amounts;
use super::queue::tenants::NO_SHARE;
use super::task::{State, Task};
use crate::{Class, Time, Units};

impl Lot {
    /// Checks every invariant; costs O(n log n). After [`Policy::settle`](crate::Policy::settle) it also checks, with `now`, that no task that
    /// may be admitted and fits has been forgotten.
    ///
    /// # Errors
    /// The first invariant that does not hold, in words.
    pub fn audit(&self, now: Time) -> Result<(), String> {
        self.audit_units()?;
        self.audit_counts()?;
        self.audit_lines()?;
        self.audit_tenants()?;
        self.audit_forecast()?;
        if self.settled { self.audit_nobody_forgotten(now) } else { Ok(()) }
    }

    fn audit_units(&self) -> Result<(), String> {
        let (mut held, mut promised, mut in_transit) = (Units::ZERO, Units::ZERO, Units::ZERO);
        let (mut leaving, mut leaving_promises) = (Units::ZERO, Units::ZERO);
        for (id, task) in self.tasks.iter() {
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
        let total = self.capacity.total();
        equal("units in use", self.ledger.in_use(), held)?;
        equal("promised units", self.ledger.promised(), promised)?;
        equal("units in transit", self.ledger.in_transit(), in_transit)?;
        equal("units of those told to park", self.leaving, leaving)?;
        equal("promises to those told to park", self.leaving_promises, leaving_promises)?;
        check(held.fits_in(total), || format!("{held:?} in use of {total:?}"))?;
        let all = held.saturating_add(promised);
        check(all.fits_in(total), || format!("{all:?} reserved of {total:?}"))
    }

    fn audit_counts(&self) -> Result<(), String> {
        let count = |wanted: fn(State) -> bool| self.tasks.iter().filter(|(_, task)| wanted(task.state)).count() as u64;
        let counters = &self.counters;
        equal("waiting", counters.waiting, count(|state| state == State::Waiting))?;
        equal("running", counters.running, count(State::holds))?;
        equal("parked", counters.parked, count(|state| state == State::Parked))?;
        let ended = counters.completed + counters.failed + counters.cancelled + counters.expired + counters.refused;
        let present = counters.waiting + counters.running + counters.parked;
        equal("submitted", counters.submitted, present + ended)?;
        equal("list of running tasks", self.running.len() as u64, counters.running)?;
        for (at, &index) in self.running.iter().enumerate() {
            equal("place among the running", self.tasks.at(index).running_at as usize, at)?;
        }
        for class in Class::ALL {
            let running = || self.running.iter().map(|&index| self.tasks.at(index));
            let parkable = running().filter(|task| task.standing == class && task.parkable).count();
            equal("parkable tasks", self.parkable[class] as usize, parkable)?;
            let due = running().filter(|task| task.class == class && task.decoded == 0).count();
            equal("first tokens due", self.lines[class].first_tokens_due as usize, due)?;
        }
        Ok(())
    }

    fn audit_lines(&self) -> Result<(), String> {
        for (id, task) in self.tasks.iter() {
            let parked = task.state == State::Parked && !task.paused && task.stop.is_none();
            check(!(parked || task.state == State::Waiting) || self.least_need.fits_in(task.need()), || {
                format!("{id} needs less than the least: {task:?}")
            })?;
            check(task.bypassed <= self.limits.max_bypass, || format!("{id} was passed {} times", task.bypassed))?;
        }
        for class in Class::ALL {
            let line = &self.lines[class];
            let here = || self.tasks.iter().filter(move |(_, task)| task.class == class);
            equal("tasks of the class", line.live as usize, here().count())?;
            let waiting = || here().filter(|(_, task)| task.state == State::Waiting);
            equal("waiting spots", line.waiting, waiting().count())?;
            equal("waiting prefill", line.work.prefill, waiting().map(|(_, task)| task.work.prefill).sum())?;
            equal("waiting decode", line.work.decode, waiting().map(|(_, task)| task.work.decode).sum())?;
            for (id, task) in waiting() {
                check(line.share(task.share).waiting.contains(&self.spot(id.index)), || {
                    format!("{id} waits and has no spot")
                })?;
            }
            let resumable =
                || here().filter(|(_, task)| task.state == State::Parked && !task.paused && task.stop.is_none());
            equal("parked spots", line.parked.len(), resumable().count())?;
            for (id, _) in resumable() {
                check(line.parked.contains(&self.spot(id.index)), || format!("{id} is parked and has no spot"))?;
            }
            for turn in &line.turns {
                let share = line.share(turn.share);
                check(share.wants && !share.waiting.is_empty(), || {
                    format!("a turn for a share without tasks: {share:?}")
                })?;
                equal("a share's counter", turn.counter, share.counter)?;
                check(share.counter >= line.floor(), || format!("{share:?} is below the floor"))?;
            }
            let weights = line.turns.iter().map(|turn| u64::from(line.share(turn.share).weight)).sum();
            equal("weights of wanting shares", line.weight_wanting, weights)?;
            equal("turns", line.turns.len(), line.shares().filter(|share| share.wants).count())?;
        }
        Ok(())
    }

    fn audit_tenants(&self) -> Result<(), String> {
        let mut waiting: HashMap<u32, (u64, u64)> = HashMap::new();
        let mut active: HashMap<u32, u64> = HashMap::new();
        for (_, task) in self.tasks.iter() {
            if task.state == State::Waiting {
                let sums = waiting.entry(task.tenant).or_default();
                sums.0 += 1;
                sums.1 += task.work.total();
            } else {
                *active.entry(task.tenant).or_default() += 1;
            }
        }
        let total = |f: fn(&super::queue::tenants::Tenant) -> u64| self.tenants.iter().map(f).sum::<u64>();
        equal("waiting of all tenants", total(|tenant| tenant.waiting), self.counters.waiting)?;
        for (&index, &(tasks, tokens)) in &waiting {
            let tenant = self.tenants.at(index);
            equal("a tenant's waiting tasks", tenant.waiting, tasks)?;
            equal("a tenant's waiting tokens", tenant.waiting_tokens, tokens)?;
            for (class, &share) in tenant.shares.iter().filter(|(_, share)| **share != NO_SHARE) {
                let share = self.lines[class].share(share);
                let wants = !share.waiting.is_empty() && tenant.may_run();
                equal("whether a share wants to be served", share.wants, wants)?;
            }
        }
        for (&index, &tasks) in &active {
            let tenant = self.tenants.at(index);
            equal("a tenant's active tasks", tenant.active, tasks)?;
        }
        equal("active of all tenants", total(|tenant| tenant.active), active.values().sum())
    }

    fn audit_forecast(&self) -> Result<(), String> {
        if self.forecast_stale {
            return Ok(());
        }
        equal("lines of the forecast", self.forecast.lines().count(), self.running.len())?;
        let mut previous = (0, 0);
        for (steps, task, amounts) in self.forecast.lines() {
            let line = self.forecast_line(task);
            equal("the end of a line of the forecast", steps, line.steps)?;
            equal("a line of the forecast", *amounts, Amounts::of(&line))?;
            check(previous <= (steps, task), || "the forecast is out of order".to_owned())?;
            previous = (steps, task);
        }
        Ok(())
    }

    fn audit_nobody_forgotten(&self, now: Time) -> Result<(), String> {
        // Without asking the policy: where everything is free, whatever may run runs.
        if self.running.is_empty() && self.ledger.free() == self.capacity.total() {
            let may_run = |task: &&Task| match task.state {
                State::Waiting => self.tenants.at(task.tenant).may_run(),
                State::Parked => !task.paused && task.stop.is_none(),
                _ => false,
            };
            let forgotten = self.tasks.iter().find(|(_, task)| may_run(task));
            check(forgotten.is_none(), || format!("nothing runs, and nobody looks at {forgotten:?}"))?;
        }
        if self.forecast_stale {
            return Ok(());
        }
        use super::queue::order::Choice;
        match self.choose(now, &mut Vec::new()) {
            Choice::Admit(index) => {
                Err(format!("{} fits and was forgotten: {:?}", self.tasks.id_of(index), self.tasks.at(index)))
            }
            _ => Ok(()),
        }
    }
}

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, kept: T, counted: T) -> Result<(), String> {
    check(kept == counted, || format!("{what}: kept {kept:?}, counted {counted:?}"))
}
