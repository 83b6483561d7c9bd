//! What can be told: places in line, estimated waits, statistics.

use std::time::Duration;

use super::Lot;
use super::task::{State, Task};
use super::tenant::NO_SHARE;
use crate::policy::Measured;
use crate::{Class, ClassStats, Outlook, PerClass, PolicyStats, TaskId, TaskState, Time, Units, Work};

/// Up to how many tenants that wait a newcomer's wait is estimated from what each of them has; with more, from their sum.
const TENANTS_ASKED: usize = 64;

/// Numbers of one tenant that has tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantStats {
    /// Its name.
    pub name: String,
    /// Waiting tasks.
    pub waiting: u64,
    /// Tokens of the waiting tasks.
    pub waiting_tokens: u64,
    /// Running and parked tasks.
    pub active: u64,
}

impl Lot {
    /// What can be told about a task; `None` if it has ended. Costs O(n) in its tenant's waiting tasks and in the
    /// number of tenants of its class, so it is for people who ask and not for every step.
    pub(super) fn outlook(&self, id: TaskId) -> Option<Outlook> {
        let task = self.table.get(id)?;
        let state = self.state_of(id)?;
        let waits = state == TaskState::Waiting;
        let wait = || {
            let own = self.lines[task.class].share(task.share).waiting.iter().take_while(|spot| spot.task != id.index);
            let own = own.map(|spot| self.table.at(spot.task).work).fold(Work::default(), |mut sum, work| {
                super::line::add(&mut sum, work);
                sum
            });
            let seconds = self.wait_behind(task, own)?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        Some(Outlook {
            state,
            class: task.class,
            submitted: task.submitted,
            ahead: waits.then(|| self.tasks_ahead(id.index)),
            own_ahead: waits.then(|| self.own_tasks_ahead(id.index)),
            wait: waits.then(wait).flatten(),
            decoded: task.decoded,
            parkings: task.parkings,
        })
    }

    /// Where a task is; `None` if it has ended. Costs O(1).
    pub(super) fn state_of(&self, id: TaskId) -> Option<TaskState> {
        Some(match self.table.get(id)?.state {
            State::Waiting => TaskState::Waiting,
            State::Parked => TaskState::Parked,
            State::Starting | State::Running | State::Parking | State::Resuming => TaskState::Running,
        })
    }

    /// How many tasks will probably be admitted before this one: those of its tenant that stand before it, of each
    /// other tenant as many as its weight lets it have meanwhile, and those of higher classes.
    fn tasks_ahead(&self, index: u32) -> u64 {
        let task = self.table.at(index);
        let line = &self.lines[task.class];
        let own = line.share(task.share).waiting.iter().take_while(|spot| spot.task != index).count() as u64;
        let weight = u64::from(line.share(task.share).weight);
        let others = line.turns.iter().filter(|turn| turn.share != task.share).map(|turn| {
            let other = line.share(turn.share);
            (other.waiting.len() as u64).min(((own + 1) * u64::from(other.weight)).div_ceil(weight))
        });
        let higher = Class::ALL.into_iter().filter(|&class| class > task.class);
        let higher = higher.map(|class| (self.lines[class].waiting + self.lines[class].parked.len()) as u64);
        own + others.sum::<u64>() + line.parked.len() as u64 + higher.sum::<u64>()
    }

    /// How many of its own tenant's tasks will probably be admitted before this one.
    fn own_tasks_ahead(&self, index: u32) -> u64 {
        let task = self.table.at(index);
        let shares = &self.tenants.at(task.tenant).shares;
        let own = self.lines[task.class].share(task.share).waiting.iter().take_while(|spot| spot.task != index).count();
        let higher = Class::ALL.into_iter().filter(|&class| class > task.class && shares[class] != NO_SHARE);
        let higher: usize = higher.map(|class| self.lines[class].share(shares[class]).waiting.len()).sum();
        let parked = self.lines.iter().filter(|(class, _)| *class >= task.class).flat_map(|(_, line)| &line.parked);
        let parked = parked.filter(|spot| self.table.at(spot.task).tenant == task.tenant).count();
        (own + higher + parked) as u64
    }

    /// Seconds that a task which comes now will probably wait; `None` while no rates have been measured.
    pub(super) fn wait_of_newcomer(&self, task: &Task) -> Option<f64> {
        if self.counters.waiting == 0 && task.need().saturating_add(task.promise()).fits_in(self.ledger.unpromised()) {
            return Some(0.0);
        }
        let share = self.tenants.at(task.tenant).shares[task.class];
        let own = if share == NO_SHARE {
            Work::default()
        } else {
            let share = self.lines[task.class].share(share);
            if task.start_deadline() == Time::NEVER { share.work() } else { share.dated }
        };
        self.wait_behind(task, own)
    }

    /// Seconds until a task starts that has `own` of its own tenant before it. The other tenants of its class have
    /// meanwhile what their weights give them, at most what they have waiting; what is parked resumes before; so have
    /// the higher classes their share, and their burst; the workers divide all this; and somebody has to end first.
    /// Costs O(parked), and O(1) in the tenants.
    fn wait_behind(&self, task: &Task, own: Work) -> Option<f64> {
        let line = &self.lines[task.class];
        let tenant = self.tenants.at(task.tenant);
        let share = tenant.shares[task.class];
        let own_total = if share == NO_SHARE { Work::default() } else { line.share(share).work() };
        let own = self.rate.seconds(own)?;
        let weight = f64::from(tenant.policy.weight);
        let wanting = share != NO_SHARE && line.share(share).wants;
        let others = if line.turns.len() <= TENANTS_ASKED {
            // Each has its part, and at most what it has waiting: one that floods does not speak for those that have little.
            let turns = line.turns.iter().filter(|turn| turn.share != share).map(|turn| {
                let other = line.share(turn.share);
                Some(self.rate.seconds(other.work())?.min(own * f64::from(other.weight) / weight))
            });
            turns.sum::<Option<f64>>()?
        } else {
            let weights = line.weight_wanting as f64 - if wanting { weight } else { 0.0 };
            let waiting = (self.rate.seconds(line.work)? - self.rate.seconds(own_total)?).max(0.0);
            waiting.min(own * weights / weight)
        };
        let parked = self.rate.seconds(self.parked_work(task.class))?;
        let mut ahead = own + others + parked;
        let class_weight = f64::from(self.limits.class_weights[task.class]);
        let burst = self.rate.seconds(Work::new(self.limits.class_burst, 0)).unwrap_or(0.0);
        for higher in Class::ALL.into_iter().filter(|&class| class > task.class) {
            let mut work = self.parked_work(higher);
            super::line::add(&mut work, self.lines[higher].work);
            let waiting = self.rate.seconds(work)?;
            let entitled = ahead * f64::from(self.limits.class_weights[higher]) / class_weight + burst;
            ahead += waiting.min(entitled);
        }
        let first_end = self.forecast.first_end().and_then(|steps| self.rate.alone(steps)).unwrap_or(0.0);
        Some(ahead / self.workers() + first_end)
    }

    /// What the parked tasks of a class that may resume still have to do, their prompts again included.
    fn parked_work(&self, class: Class) -> Work {
        self.lines[class].parked.iter().fold(Work::default(), |mut sum, spot| {
            let task = self.table.at(spot.task);
            let rest = task.work.decode.saturating_sub(task.decoded);
            super::line::add(&mut sum, Work::new(task.work.prefill.saturating_add(task.decoded), rest));
            sum
        })
    }

    /// How many do the work of which one's rates are measured.
    fn workers(&self) -> f64 {
        self.orders.len() as f64
    }

    /// Seconds from its start to a task's first token and to its end.
    pub(super) fn seconds_of(&self, task: &Task) -> (Option<f64>, Option<f64>) {
        let delay = if self.running.is_empty() { 0.0 } else { self.lines[task.class].delay.bound() };
        let first_token = self.rate.seconds(Work::new(task.work.prefill, 0)).map(|alone| alone + delay);
        let decode = self.rate.alone(task.work.decode);
        (first_token, first_token.zip(decode).map(|(first_token, decode)| first_token + decode))
    }

    /// Seconds until everything that is here has been done.
    pub(super) fn seconds_to_empty(&self) -> Option<f64> {
        let mut rest = Work::default();
        for (class, line) in self.lines.iter() {
            super::line::add(&mut rest, line.work);
            super::line::add(&mut rest, self.parked_work(class));
        }
        for &index in &self.running {
            let task = self.table.at(index);
            super::line::add(&mut rest, Work::new(0, task.work.decode.saturating_sub(task.decoded)));
        }
        Some(self.rate.seconds(rest)? / self.workers())
    }

    /// The numbers. Costs O(running + parked).
    pub(super) fn stats(&self) -> PolicyStats {
        let mut classes = PerClass::from_fn(|class| {
            let line = &self.lines[class];
            ClassStats {
                waiting: line.waiting as u64,
                waiting_tokens: line.work.total(),
                running: 0,
                parked: u64::from(line.live) - line.waiting as u64,
            }
        });
        for &index in &self.running {
            let class = self.table.at(index).class;
            classes[class].running += 1;
            classes[class].parked -= 1;
        }
        let measured = Measured {
            capacity: self.capacity.total(),
            in_use: self.ledger.in_use(),
            free: self.ledger.free(),
            available: self.available(),
            rates: self.rate.rates(),
            tenants: self.tenants.len(),
        };
        PolicyStats::new(&self.counters, classes, measured)
    }

    fn available(&self) -> Units {
        let unpromised = self.ledger.unpromised();
        // With nobody running, nothing grows: the first one is let in if it fits at all.
        if self.running.is_empty() { unpromised } else { unpromised.saturating_sub(self.forecast.peak()) }
    }

    /// The numbers of one tenant; `None` if it has no tasks and is forgotten.
    pub fn tenant_stats(&self, tenant: &str) -> Option<TenantStats> {
        self.tenants.find(tenant).map(tenant_stats)
    }

    /// The numbers of every tenant that has tasks.
    pub fn all_tenant_stats(&self) -> Vec<TenantStats> {
        self.tenants.iter().filter(|tenant| tenant.in_flight() > 0).map(tenant_stats).collect()
    }
}

fn tenant_stats(tenant: &super::tenant::Tenant) -> TenantStats {
    TenantStats {
        name: tenant.name.to_string(),
        waiting: tenant.waiting,
        waiting_tokens: tenant.waiting_tokens,
        active: tenant.active,
    }
}
