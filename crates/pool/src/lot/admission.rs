//! What follows from what the lot knows: who expires, who is admitted, who has to be parked for whom.

use super::Lot;
use super::memory::forecast::Line as ForecastLine;
use super::queue::order::Choice;
use super::queue::shares::Virtual;
use super::task::{State, Stop, Task};
use crate::tasks::Tasks;
use crate::{Class, Decision, Ending, TaskId, Time, Units, Work};

/// How many passed deadlines one call looks after; the rest follows with the next, for which [`Policy::next_deadline`]
/// asks at once. So a burst of expiries does not hold up everything else.
const EXPIRIES_AT_ONCE: usize = 256;

/// Up to how many tasks debug builds check every invariant after each decision.
#[cfg(debug_assertions)]
const AUDITED: u64 = 64;

impl Lot {
    /// Decides everything that follows from what has changed: ends what has expired, admits what fits, in the order
    /// of the policy, and has tasks parked for higher classes. To be called after each batch of commands.
    ///
    /// # Panics
    /// In debug builds, if an invariant does not hold and few tasks are here, so that looking at all of them is cheap.
    pub(super) fn settle(&mut self, now: Time) {
        if std::mem::take(&mut self.reported) {
            self.last_report = now;
        }
        self.note_first_tokens(now);
        self.expire_due(now);
        self.refresh_forecast();
        let mut passed = std::mem::take(&mut self.passed);
        loop {
            self.refresh_wanting_classes();
            match self.choose(now, &mut passed) {
                Choice::Admit(index) => {
                    for &other in &passed {
                        self.tasks.at_mut(other).bypassed += 1;
                    }
                    self.admit(now, index);
                }
                Choice::Expire(index) => self.expire(self.tasks.id_of(index)),
                Choice::Preempt(class, victims) => {
                    self.making_way = Some(class);
                    victims.into_iter().for_each(|victim| self.tell_to_park(victim));
                    break;
                }
                Choice::Nothing => break,
            }
        }
        self.passed = passed;
        self.settled = true;
        #[cfg(debug_assertions)]
        if self.present() <= AUDITED
            && let Err(broken) = self.audit(now)
        {
            panic!("{broken}");
        }
    }

    /// When [`Policy::settle`] has to be called again even if nothing happens: the next deadline.
    pub(super) fn next_deadline(&mut self) -> Option<Time> {
        let tasks = &self.tasks;
        self.deadlines.next(|deadline, id| holds_deadline(tasks, deadline, id)).map(|(deadline, _)| deadline)
    }

    fn expire_due(&mut self, now: Time) {
        let living = self.present() as usize;
        let tasks = &self.tasks;
        self.deadlines.tidy(living, |deadline, id| holds_deadline(tasks, deadline, id));
        for _ in 0..EXPIRIES_AT_ONCE {
            let tasks = &self.tasks;
            let next = self.deadlines.next(|deadline, id| holds_deadline(tasks, deadline, id));
            match next {
                Some((deadline, id)) if deadline <= now => self.expire(id),
                _ => break,
            }
        }
    }

    fn expire(&mut self, id: TaskId) {
        self.stop(id, Stop::Expired);
    }

    /// Whether a task's deadline has passed, or would pass even if it started now.
    pub(super) fn is_hopeless(&self, index: u32, now: Time) -> bool {
        let task = self.tasks.at(index);
        if task.state != State::Waiting {
            return task.deadline <= now;
        }
        task.start_deadline() <= now || self.check_deadline(now, task, Some(0.0)).is_err()
    }

    /// Whether any waiting or parked task could fit, by the least that they need. False is certain, true is not.
    pub(super) fn somebody_may_fit(&self) -> bool {
        self.least_need.fits_in(self.ledger.unpromised())
    }

    /// A task stands in line for units now.
    pub(super) fn note_need(&mut self, index: u32) {
        let need = self.tasks.at(index).need();
        let is_alone = self.counters.waiting + self.counters.parked <= 1;
        self.least_need = if is_alone { need } else { self.least_need.min(need) };
    }

    /// Whether a waiting or parked task fits now, with its predicted growth and everybody else's.
    pub(super) fn fits(&self, task: &Task) -> bool {
        self.fits_in(task, self.ledger.unpromised(), |_| false)
    }

    /// Whether it fits in `room` (free, not promised) if the running tasks that `leave` names were gone.
    pub(super) fn fits_in(&self, task: &Task, room: Units, leave: impl Fn(u32) -> bool) -> bool {
        let taken = task.need().saturating_add(task.promise());
        let Some(room) = room.checked_sub(taken) else { return false };
        if self.running.is_empty() {
            return true; // Alone it fits, or it would have been refused.
        }
        let line = ForecastLine { steps: task.steps(), task: u32::MAX, held: taken, growth: task.expected_growth() };
        self.forecast.fits(&line, room, leave)
    }

    /// Gives a waiting or parked task its units.
    fn admit(&mut self, now: Time, index: u32) {
        let id = self.tasks.id_of(index);
        let (class, share) = (self.tasks.at(index).class, self.tasks.at(index).share);
        let smallest = self.smallest_class_counter();
        self.class_floor.rise(smallest);
        self.lines[class].raise_floor();
        let passes_over = Class::ALL.into_iter().filter(|&higher| higher > class && self.lines[higher].wants()).max();
        match self.tasks.at(index).state {
            State::Waiting => {
                self.leave_waiting_room(index);
                let task = self.tasks.at_mut(index);
                task.state = State::Starting;
                task.started = now;
                let (work, deadline) = (Work::new(task.work.prefill, 0), task.deadline);
                let differs = task.start_deadline() != deadline;
                self.charge(class, share, work);
                if differs {
                    self.deadlines.add(deadline, id);
                }
                self.count_active(index);
                self.starts.push_back(id);
            }
            State::Parked => {
                let spot = self.spot(index);
                self.lines[class].parked.remove(&spot);
                let task = self.tasks.at_mut(index);
                task.state = State::Resuming;
                self.counters.parked -= 1;
                self.counters.resumed += 1;
                self.orders[task.home as usize].push_back(Decision::Resume(id));
            }
            state => unreachable!("only waiting and parked tasks are admitted, not {state:?}"),
        }
        let task = self.tasks.at_mut(index);
        task.bypassed = 0;
        task.standing = passes_over.unwrap_or(class).max(class);
        task.held = self.ledger.reserve(task.need(), task.promise());
        self.begin_to_hold(index);
    }

    /// Takes a task out of the waiting room, whatever becomes of it.
    pub(super) fn leave_waiting_room(&mut self, index: u32) {
        let spot = self.spot(index);
        let task = self.tasks.at(index);
        let work = task.work;
        let tenant = self.tenants.at_mut(task.tenant);
        tenant.waiting -= 1;
        tenant.waiting_tokens -= work.total();
        self.counters.waiting -= 1;
        self.counters.waiting_tokens -= work.total();
        self.lines[task.class].remove_waiting(task.share, spot, work);
    }

    /// A task has begun to run: its tenant may have reached its limit.
    fn count_active(&mut self, index: u32) {
        let tenant = self.tasks.at(index).tenant;
        let could_run = self.tenants.at(tenant).may_run();
        self.tenants.at_mut(tenant).active += 1;
        if could_run && !self.tenants.at(tenant).may_run() {
            self.show_tenant(tenant);
        }
    }

    /// Shows or hides a tenant's waiting tasks, as its own limit says.
    pub(super) fn show_tenant(&mut self, tenant: u32) {
        let moment = self.next_moment();
        let tenant = self.tenants.at(tenant);
        for (class, &share) in tenant.shares.iter() {
            if share != super::queue::tenants::NO_SHARE {
                self.lines[class].set_wanting(share, tenant.may_run(), moment);
            }
        }
        self.settled = false;
    }

    /// Counts served tokens against a tenant's share and its class.
    pub(super) fn charge(&mut self, class: Class, share: u32, work: Work) {
        let prices = self.limits.prices;
        let line = &mut self.lines[class];
        line.charge(share, Virtual::of(work, prices, line.share(share).weight));
        line.counter = line.counter.plus(Virtual::of(work, prices, self.limits.class_weights[class]));
        self.class_floor.note(line.counter);
    }

    /// Lifts classes that want something again to the smallest counter: absence earns no credit.
    fn refresh_wanting_classes(&mut self) {
        for class in Class::ALL {
            let wants = self.lines[class].wants();
            if wants && !self.class_wanted[class] {
                let line = &mut self.lines[class];
                line.counter = line.counter.max(self.class_floor.get());
            }
            self.class_wanted[class] = wants;
        }
    }

    /// Bookkeeping for a task that now holds units.
    fn begin_to_hold(&mut self, index: u32) {
        self.counters.running += 1;
        let position = self.running.len() as u32;
        self.running.push(index);
        let task = self.tasks.at_mut(index);
        task.running_at = position;
        let (class, standing, parkable, due) = (task.class, task.standing, task.parkable, task.decoded == 0);
        self.lines[class].first_tokens_due += u32::from(due);
        self.parkable[standing] += u32::from(parkable);
        if !self.forecast_stale {
            let line = self.forecast_line(index);
            self.forecast.insert(&line);
        }
    }

    /// Bookkeeping for a task that gives its units back: it ends, or is parked.
    pub(super) fn cease_to_hold(&mut self, index: u32) {
        if !self.forecast_stale {
            let steps = self.tasks.at(index).steps();
            self.forecast.remove(steps, index);
        }
        let task = self.tasks.at_mut(index);
        let held = std::mem::take(&mut task.held);
        let (state, position) = (task.state, task.running_at as usize);
        self.lines[task.class].first_tokens_due -= u32::from(task.decoded == 0);
        self.parkable[task.standing] -= u32::from(task.parkable);
        self.counters.running -= 1;
        self.running.swap_remove(position);
        if let Some(&moved) = self.running.get(position) {
            self.tasks.at_mut(moved).running_at = position as u32;
        }
        if state == State::Parking {
            self.leaving = self.leaving.saturating_sub(held.units());
            self.leaving_promises = self.leaving_promises.saturating_sub(held.promise());
        }
        if state.in_transit() {
            self.ledger.release_in_transit(held);
        } else {
            self.ledger.release(held);
        }
        self.settled = false;
    }

    fn tell_to_park(&mut self, index: u32) {
        let id = self.tasks.id_of(index);
        let task = self.tasks.at_mut(index);
        task.state = State::Parking;
        self.leaving = self.leaving.saturating_add(task.held.units());
        self.leaving_promises = self.leaving_promises.saturating_add(task.held.promise());
        self.orders[task.home as usize].push_back(Decision::Park(id));
        self.counters.preempted += 1;
    }

    /// Brings the forecast up to date with what running tasks have done.
    pub(super) fn refresh_forecast(&mut self) {
        if self.forecast_stale {
            let mut forecast = std::mem::take(&mut self.forecast);
            forecast.rebuild(self.running.iter().map(|&index| self.forecast_line(index)));
            self.forecast = forecast;
            self.forecast_stale = false;
        }
    }

    /// Hands an ended task's outcome to whoever asks with [`Policy::next_ended`].
    pub(super) fn announce(&mut self, id: TaskId, ending: Ending) {
        self.ended.push_back((id, ending));
    }
}

fn holds_deadline(tasks: &Tasks<Task>, deadline: Time, id: TaskId) -> bool {
    tasks.get(id).is_some_and(|task| {
        let counts = if task.state == State::Waiting { task.start_deadline() } else { task.deadline };
        task.stop.is_none() && counts == deadline
    })
}
