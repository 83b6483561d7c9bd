//! Who waits or is parked, in which order they are looked at, and who has been served how much: classes by their weights, in them
//! tenants by theirs, in these earliest deadline, then rank, then arrival.

mod class_queue;
mod order;
mod shares;
mod tenant_queue;
mod tenants;

use std::collections::HashMap;
use std::sync::Arc;

use super::audit::{check, equal};
use super::task::{State, Task};
use super::tasks::Tasks;
use crate::{Class, Limits, PerClass, Units, Work};
pub(super) use class_queue::{ClassQueue, Share};
use shares::{Floor, Virtual};
use tenant_queue::Spot;
use tenants::Tenants;
pub(super) use tenants::{NO_SHARE, Tenant};

/// The machine of turns. It knows tasks by their places in the table, and nothing of units but who needs the least.
#[derive(Debug, Default)]
pub(super) struct Queue {
    tenants: Tenants,
    classes: PerClass<ClassQueue>,
    /// Where a class starts that wants something again.
    floor: Floor,
    /// Which classes wanted something when last looked at.
    wanted: PerClass<bool>,
    /// No task that waits or is parked needs less than this of any unit.
    least_need: Units,
    /// Numbers arrivals and other moments that must be told apart.
    moment: u64,
}

impl Queue {
    pub(super) fn class(&self, class: Class) -> &ClassQueue {
        &self.classes[class]
    }

    /// The part of a task's tenant in its class.
    pub(super) fn share(&self, task: &Task) -> &Share {
        self.classes[task.class].share(task.share)
    }

    pub(super) fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    pub(super) fn tenant(&self, task: &Task) -> &Tenant {
        self.tenants.at(task.tenant)
    }

    pub(super) fn least_need(&self) -> Units {
        self.least_need
    }

    /// How many tenants have something waiting that may be served, each class by itself.
    pub(super) fn sharers(&self) -> u64 {
        self.classes.iter().map(|(_, class)| class.turns.len() as u64).sum()
    }

    pub(super) fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// The tenant of this name, new if need be.
    pub(super) fn know_tenant(&mut self, name: &Arc<str>, limits: &Limits) -> u32 {
        self.tenants.know(name, limits)
    }

    /// Notes that a tenant may have nothing left.
    pub(super) fn sweep(&mut self, tenant: u32) {
        self.tenants.sweep(tenant, &mut self.classes);
    }

    /// Counts a new task for its class and its tenant's share in it.
    pub(super) fn join(&mut self, task: &mut Task) {
        let tenant = self.tenants.at_mut(task.tenant);
        let (share, class) = (&mut tenant.shares[task.class], &mut self.classes[task.class]);
        if *share == NO_SHARE {
            *share = class.new_share(tenant.policy.weight);
        }
        task.share = *share;
        class.join(*share);
    }

    /// Forgets a task that stands in no line.
    pub(super) fn part(&mut self, task: &Task) {
        self.classes[task.class].part(task.share);
        if self.classes.iter().all(|(_, class)| class.live == 0) {
            self.floor.forget();
        }
        self.sweep(task.tenant);
    }

    /// Puts a task into the waiting room.
    pub(super) fn add_waiting(&mut self, index: u32, task: &Task) {
        let moment = self.next_moment();
        let tenant = self.tenants.at_mut(task.tenant);
        tenant.waiting += 1;
        tenant.waiting_tokens += task.work.total();
        self.classes[task.class].add_waiting(task.share, Spot::of(index, task), task.work, tenant.may_run(), moment);
    }

    /// Takes a task out of the waiting room, whatever becomes of it.
    pub(super) fn remove_waiting(&mut self, index: u32, task: &Task) {
        let tenant = self.tenants.at_mut(task.tenant);
        tenant.waiting -= 1;
        tenant.waiting_tokens -= task.work.total();
        self.classes[task.class].remove_waiting(task.share, Spot::of(index, task), task.work);
    }

    /// Lets a parked task stand in line.
    pub(super) fn add_parked(&mut self, index: u32, task: &Task) {
        self.classes[task.class].parked.insert(Spot::of(index, task));
    }

    /// False if it did not stand in line.
    pub(super) fn remove_parked(&mut self, index: u32, task: &Task) -> bool {
        self.classes[task.class].parked.remove(&Spot::of(index, task))
    }

    /// A task stands in line for units now. `alone`: no other waits or is parked.
    pub(super) fn note_need(&mut self, task: &Task, alone: bool) {
        self.least_need = if alone { task.need() } else { self.least_need.min(task.need()) };
    }

    /// One more of a tenant's tasks runs or is parked: it may have reached its limit.
    pub(super) fn add_active(&mut self, tenant: u32) {
        let known = self.tenants.at_mut(tenant);
        let could_run = known.may_run();
        known.active += 1;
        if could_run && !known.may_run() {
            self.show(tenant);
        }
    }

    /// One of them has ended. True if more may run because of that.
    pub(super) fn remove_active(&mut self, tenant: u32) -> bool {
        let known = self.tenants.at_mut(tenant);
        let could_run = known.may_run();
        known.active -= 1;
        let may_run_again = !could_run && known.may_run();
        if may_run_again {
            self.show(tenant);
        }
        may_run_again
    }

    /// Shows or hides a tenant's waiting tasks, as its own limit says.
    fn show(&mut self, tenant: u32) {
        let moment = self.next_moment();
        let tenant = self.tenants.at(tenant);
        for (class, share) in tenant.shares() {
            self.classes[class].set_wanting(share, tenant.may_run(), moment);
        }
    }

    /// Takes new weights and limits of tenants.
    pub(super) fn reconfigure(&mut self, limits: &Limits) {
        for tenant in self.tenants.iter_mut() {
            tenant.policy = *limits.policy(&tenant.name);
            for (class, share) in tenant.shares() {
                self.moment += 1;
                self.classes[class].set_weight(share, tenant.policy.weight);
                self.classes[class].set_wanting(share, tenant.may_run(), self.moment);
            }
        }
    }

    /// A task of this class is about to be served: newcomers start from the smallest counters that there are now.
    /// Tells the highest class that is passed over.
    pub(super) fn raise_floors(&mut self, class: Class) -> Option<Class> {
        let smallest = self.smallest_class_counter();
        self.floor.rise(smallest);
        self.classes[class].raise_floor();
        Class::ALL.into_iter().filter(|&higher| higher > class && self.classes[higher].wants()).max()
    }

    /// Counts served tokens against a share and its class.
    pub(super) fn charge(&mut self, class: Class, share: u32, work: Work, limits: &Limits) {
        let queue = &mut self.classes[class];
        queue.charge(share, Virtual::of(work, limits.prices, queue.share(share).weight));
        queue.counter = queue.counter.plus(Virtual::of(work, limits.prices, limits.class_weights[class]));
        self.floor.note(queue.counter);
    }

    /// Lifts classes that want something again to the smallest counter: absence earns no credit.
    pub(super) fn lift_returning_classes(&mut self) {
        for class in Class::ALL {
            let queue = &mut self.classes[class];
            let wants = queue.wants();
            if wants && !self.wanted[class] {
                queue.counter = queue.counter.max(self.floor.get());
            }
            self.wanted[class] = wants;
        }
    }

    /// Whether running tasks of lower classes may have to make way for this one: there are some, and it has not had more than
    /// its share compared to them.
    pub(super) fn comes_before_lower(&self, class: Class, limits: &Limits) -> bool {
        let lower = Class::ALL.into_iter().filter(|&lower| lower < class && self.classes[lower].live > 0);
        let behind = lower.map(|lower| self.classes[lower].counter.max(self.floor.get())).min();
        behind.is_some_and(|behind| !self.is_ahead(class, behind, limits))
    }

    pub(super) fn audit(&self, tasks: &Tasks) -> Result<(), String> {
        for (id, task) in tasks.iter() {
            check(
                !(task.may_resume() || task.state == State::Waiting) || self.least_need.fits_in(task.need()),
                || format!("{id} needs less than the least: {task:?}"),
            )?;
        }
        for (class, queue) in self.classes.iter() {
            queue.audit(|| tasks.iter().filter(move |(_, task)| task.class == class))?;
        }
        self.audit_tenants(tasks)
    }

    fn audit_tenants(&self, tasks: &Tasks) -> Result<(), String> {
        let mut waiting: HashMap<u32, (u64, u64)> = HashMap::new();
        let mut active: HashMap<u32, u64> = HashMap::new();
        for (_, task) in tasks.iter() {
            if task.state == State::Waiting {
                let sums = waiting.entry(task.tenant).or_default();
                sums.0 += 1;
                sums.1 += task.work.total();
            } else {
                *active.entry(task.tenant).or_default() += 1;
            }
        }
        let total = |part: fn(&Tenant) -> u64| self.tenants.iter().map(part).sum::<u64>();
        equal("waiting of all tenants", total(|tenant| tenant.waiting), tasks.counters.waiting)?;
        for (&index, &(tasks, tokens)) in &waiting {
            let tenant = self.tenants.at(index);
            equal("a tenant's waiting tasks", tenant.waiting, tasks)?;
            equal("a tenant's waiting tokens", tenant.waiting_tokens, tokens)?;
            for (class, share) in tenant.shares() {
                let share = self.classes[class].share(share);
                let wants = !share.waiting.is_empty() && tenant.may_run();
                equal("whether a share wants to be served", share.wants, wants)?;
            }
        }
        for (&index, &tasks) in &active {
            equal("a tenant's active tasks", self.tenants.at(index).active, tasks)?;
        }
        equal("active of all tenants", total(|tenant| tenant.active), active.values().sum())
    }
}
