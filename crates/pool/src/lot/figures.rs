//! What the lot tells of itself: one task, one tenant, the whole.

use std::time::Duration;

use super::Lot;
use super::queue::Tenant;
use crate::{ClassStats, Outlook, PerClass, Policy, PolicyStats, TaskId, TaskState};

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
    pub(super) fn outlook_of(&self, id: TaskId) -> Option<Outlook> {
        let (task, state) = (self.tasks.get(id)?, self.state_of(id)?);
        let waits = state == TaskState::Waiting;
        let wait = || Duration::try_from_secs_f64(self.wait_of(id.index)?).ok();
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

    /// The numbers. Costs O(running + parked).
    pub(super) fn figures(&self) -> PolicyStats {
        let mut classes = PerClass::from_fn(|class| {
            let queue = self.queue.class(class);
            ClassStats {
                waiting: queue.waiting as u64,
                waiting_tokens: queue.work.total(),
                running: 0,
                parked: u64::from(queue.live) - queue.waiting as u64,
            }
        });
        for &index in self.memory.holders() {
            let class = self.tasks.at(index).class;
            classes[class].running += 1;
            classes[class].parked -= 1;
        }
        PolicyStats {
            classes,
            capacity: self.capacity().total(),
            in_use: self.memory.ledger().in_use(),
            free: self.memory.ledger().free(),
            available: self.memory.available(),
            rates: self.speed.rate.rates(),
            tenants: self.queue.tenants().len(),
            ..self.tasks.counters.clone()
        }
    }

    /// The numbers of one tenant; `None` if it has no tasks and is forgotten.
    pub fn tenant_stats(&self, tenant: &str) -> Option<TenantStats> {
        self.queue.tenants().find(tenant).map(tenant_stats)
    }

    /// The numbers of every tenant that has tasks.
    pub fn all_tenant_stats(&self) -> Vec<TenantStats> {
        self.queue.tenants().iter().filter(|tenant| tenant.in_flight() > 0).map(tenant_stats).collect()
    }
}

fn tenant_stats(tenant: &Tenant) -> TenantStats {
    TenantStats {
        name: tenant.name.to_string(),
        waiting: tenant.waiting,
        waiting_tokens: tenant.waiting_tokens,
        active: tenant.active,
    }
}
