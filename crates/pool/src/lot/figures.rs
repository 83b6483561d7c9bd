//! What the lot tells of itself: one task, one tenant, the whole.

use std::time::Duration;

use super::Lot;
use super::task::State;
use crate::policy::Measured;
use crate::{ClassStats, Outlook, PerClass, PolicyStats, TaskId, TaskState, Units, Work};

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
        let task = self.tasks.get(id)?;
        let state = self.state_of(id)?;
        let waits = state == TaskState::Waiting;
        let wait = || {
            let own = self.lines[task.class].share(task.share).waiting.iter().take_while(|spot| spot.task != id.index);
            let own = own.map(|spot| self.tasks.at(spot.task).work).fold(Work::default(), |mut sum, work| {
                super::queue::class_queue::add(&mut sum, work);
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
        Some(match self.tasks.get(id)?.state {
            State::Waiting => TaskState::Waiting,
            State::Parked => TaskState::Parked,
            State::Starting | State::Running | State::Parking | State::Resuming => TaskState::Running,
        })
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
            let class = self.tasks.at(index).class;
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

fn tenant_stats(tenant: &super::queue::tenants::Tenant) -> TenantStats {
    TenantStats {
        name: tenant.name.to_string(),
        waiting: tenant.waiting,
        waiting_tokens: tenant.waiting_tokens,
        active: tenant.active,
    }
}
