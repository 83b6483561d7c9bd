//! Tenants: who they are, what they may have, what they have now.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::class_queue::ClassQueue;
use crate::{Class, Limits, PerClass, TenantPolicy};

/// How many tenants without tasks are remembered for what they have been served. Names cost nothing to invent, so
/// beyond this the one that has been gone longest is forgotten, debts and all.
const MOST_IDLE: usize = 256;

/// A tenant without a share in a class.
pub(crate) const NO_SHARE: u32 = u32::MAX;

/// One tenant.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) name: Arc<str>,
    pub(crate) policy: TenantPolicy,
    pub(crate) shares: PerClass<u32>,
    pub(crate) waiting: u64,
    pub(crate) waiting_tokens: u64,
    /// Running or parked.
    pub(crate) active: u64,
    idle_listed: bool,
}

impl Tenant {
    pub(crate) fn in_flight(&self) -> u64 {
        self.waiting + self.active
    }

    /// The classes in which it has a share, with the share's number there.
    pub(crate) fn shares(&self) -> impl Iterator<Item = (Class, u32)> {
        self.shares.iter().filter(|(_, share)| **share != NO_SHARE).map(|(class, &share)| (class, share))
    }

    /// Whether one more of its tasks may run.
    pub(crate) fn may_run(&self) -> bool {
        self.policy.max_running.is_none_or(|limit| self.active < limit)
    }
}

/// All tenants that have tasks, or debts that are not yet forgotten. Names come from requests, so those that are
/// gone must not be kept.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    by_name: HashMap<Arc<str>, u32>,
    places: Vec<Option<Tenant>>,
    free: Vec<u32>,
    idle: VecDeque<u32>,
}

impl Tenants {
    pub(crate) fn at(&self, index: u32) -> &Tenant {
        self.places[index as usize].as_ref().expect("a task's tenant is known")
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Tenant {
        self.places[index as usize].as_mut().expect("a task's tenant is known")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tenant> {
        self.places.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Tenant> {
        self.places.iter_mut().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Tenant> {
        self.by_name.get(name).map(|&index| self.at(index))
    }

    /// The tenant of this name, new if need be.
    pub(crate) fn know(&mut self, name: &Arc<str>, limits: &Limits) -> u32 {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let tenant = Tenant {
            name: Arc::clone(name),
            policy: *limits.policy(name),
            shares: PerClass::from_fn(|_| NO_SHARE),
            waiting: 0,
            waiting_tokens: 0,
            active: 0,
            idle_listed: false,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            (self.places.len() - 1) as u32
        });
        self.places[index as usize] = Some(tenant);
        self.by_name.insert(Arc::clone(name), index);
        index
    }

    /// Notes that a tenant may have nothing left, and forgets some of those that are gone.
    pub(crate) fn sweep(&mut self, index: u32, classes: &mut PerClass<ClassQueue>) {
        let tenant = self.at_mut(index);
        if tenant.in_flight() == 0 && !tenant.idle_listed {
            tenant.idle_listed = true;
            self.idle.push_back(index);
        }
        // Two for each one that can be listed: the list shrinks whenever there is something to forget.
        for _ in 0..2 {
            let Some(&index) = self.idle.front() else { return };
            let returned = self.at(index).in_flight() > 0;
            let crowded = self.idle.len() > MOST_IDLE;
            if !returned && !crowded && !self.owes_nothing(index, classes) {
                return;
            }
            self.idle.pop_front();
            if returned {
                self.at_mut(index).idle_listed = false;
            } else {
                self.forget(index, classes);
            }
        }
    }

    /// Whether forgetting a tenant loses nothing: where it starts when it comes back would be the same.
    fn owes_nothing(&self, index: u32, classes: &PerClass<ClassQueue>) -> bool {
        self.at(index).shares().all(|(class, share)| classes[class].owes_nothing(share))
    }

    fn forget(&mut self, index: u32, classes: &mut PerClass<ClassQueue>) {
        let tenant = self.places[index as usize].take().expect("an idle tenant is known");
        for (class, share) in tenant.shares() {
            classes[class].drop_share(share);
        }
        self.by_name.remove(&tenant.name);
        self.free.push(index);
    }
}
