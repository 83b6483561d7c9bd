//! Places in line and estimated waits.

use super::Lot;
use super::queue::NO_SHARE;
use super::task::Task;
use crate::{Class, Time, Work};

/// Up to how many tenants that wait a newcomer's wait is estimated from what each of them has; with more, from their sum.
const TENANTS_ASKED: usize = 64;

impl Lot {
    /// The tasks of a waiting task's tenant that stand before it in its class.
    fn own_before(&self, index: u32) -> impl Iterator<Item = &Task> {
        let waiting = self.queue.share(self.tasks.at(index)).waiting.iter();
        waiting.take_while(move |spot| spot.task != index).map(|spot| self.tasks.at(spot.task))
    }

    /// How many tasks will probably be admitted before this one: those of its tenant that stand before it, of each
    /// other tenant as many as its weight lets it have meanwhile, and those of higher classes.
    pub(super) fn tasks_ahead(&self, index: u32) -> u64 {
        let task = self.tasks.at(index);
        let queue = self.queue.class(task.class);
        let own = self.own_before(index).count() as u64;
        let weight = u64::from(self.queue.share(task).weight);
        let others = queue.turns.iter().filter(|turn| turn.share != task.share).map(|turn| {
            let other = queue.share(turn.share);
            (other.waiting.len() as u64).min(((own + 1) * u64::from(other.weight)).div_ceil(weight))
        });
        let higher = Class::ALL.into_iter().filter(|&class| class > task.class).map(|class| self.queue.class(class));
        let higher = higher.map(|queue| (queue.waiting + queue.parked.len()) as u64);
        own + others.sum::<u64>() + queue.parked.len() as u64 + higher.sum::<u64>()
    }

    /// How many of its own tenant's tasks will probably be admitted before this one.
    pub(super) fn own_tasks_ahead(&self, index: u32) -> u64 {
        let task = self.tasks.at(index);
        let shares = self.queue.tenant(task).shares().filter(|&(class, _)| class > task.class);
        let higher = shares.map(|(class, share)| self.queue.class(class).share(share).waiting.len());
        let classes = Class::ALL.into_iter().filter(|&class| class >= task.class);
        let parked = classes.flat_map(|class| &self.queue.class(class).parked);
        let parked = parked.filter(|spot| self.tasks.at(spot.task).tenant == task.tenant);
        (self.own_before(index).count() + higher.sum::<usize>() + parked.count()) as u64
    }

    /// Seconds until a waiting task will probably start; `None` while no rates have been measured.
    pub(super) fn wait_of(&self, index: u32) -> Option<f64> {
        let own = self.own_before(index).fold(Work::default(), |sum, before| sum.plus(before.work));
        self.wait_behind(self.tasks.at(index), own)
    }

    /// Seconds that a task which comes now will probably wait; `None` while no rates have been measured.
    pub(super) fn wait_of_newcomer(&self, task: &Task) -> Option<f64> {
        let taken = task.need().saturating_add(task.promise());
        if self.tasks.counters.waiting == 0 && taken.fits_in(self.memory.ledger().unpromised()) {
            return Some(0.0);
        }
        let share = self.queue.tenant(task).shares[task.class];
        let own = if share == NO_SHARE {
            Work::default()
        } else {
            let share = self.queue.class(task.class).share(share);
            if task.start_deadline() == Time::NEVER { share.work() } else { share.dated }
        };
        self.wait_behind(task, own)
    }

    /// Seconds until a task starts that has `own` of its own tenant before it. The other tenants of its class have
    /// meanwhile what their weights give them, at most what they have waiting; what is parked resumes before; so have
    /// the higher classes their share, and their burst; the workers divide all this; and somebody has to end first.
    /// Costs O(parked), and O(1) in the tenants.
    fn wait_behind(&self, task: &Task, own: Work) -> Option<f64> {
        let (rate, limits) = (&self.speed.rate, &self.config.limits);
        let (queue, tenant) = (self.queue.class(task.class), self.queue.tenant(task));
        let share = tenant.shares[task.class];
        let own_total = if share == NO_SHARE { Work::default() } else { queue.share(share).work() };
        let own = rate.seconds(own)?;
        let weight = f64::from(tenant.policy.weight);
        let wanting = share != NO_SHARE && queue.share(share).wants;
        let others = if queue.turns.len() <= TENANTS_ASKED {
            // Each has its part, and at most what it has waiting: one that floods does not speak for those that have little.
            let turns = queue.turns.iter().filter(|turn| turn.share != share).map(|turn| {
                let other = queue.share(turn.share);
                Some(rate.seconds(other.work())?.min(own * f64::from(other.weight) / weight))
            });
            turns.sum::<Option<f64>>()?
        } else {
            let weights = queue.weight_wanting as f64 - if wanting { weight } else { 0.0 };
            let waiting = (rate.seconds(queue.work)? - rate.seconds(own_total)?).max(0.0);
            waiting.min(own * weights / weight)
        };
        let parked = rate.seconds(self.parked_work(task.class))?;
        let mut ahead = own + others + parked;
        let class_weight = f64::from(limits.class_weights[task.class]);
        let burst = rate.seconds(Work::new(limits.class_burst, 0)).unwrap_or(0.0);
        for higher in Class::ALL.into_iter().filter(|&class| class > task.class) {
            let waiting = rate.seconds(self.parked_work(higher).plus(self.queue.class(higher).work))?;
            let entitled = ahead * f64::from(limits.class_weights[higher]) / class_weight + burst;
            ahead += waiting.min(entitled);
        }
        let first_end = self.memory.first_end().and_then(|steps| rate.alone(steps)).unwrap_or(0.0);
        Some(ahead / self.workers() + first_end)
    }

    /// What the parked tasks of a class that may resume still have to do, their prompts again included.
    fn parked_work(&self, class: Class) -> Work {
        let parked = self.queue.class(class).parked.iter().map(|spot| self.tasks.at(spot.task));
        let rest = |task: &Task| Work::new(task.work.prefill.saturating_add(task.decoded), task.rest());
        parked.fold(Work::default(), |sum, task| sum.plus(rest(task)))
    }

    /// Seconds until everything that is here has been done.
    pub(super) fn seconds_to_empty(&self) -> Option<f64> {
        let classes = Class::ALL.map(|class| self.queue.class(class).work.plus(self.parked_work(class)));
        let running = self.memory.holders().iter().map(|&index| Work::new(0, self.tasks.at(index).rest()));
        let rest = classes.into_iter().chain(running).fold(Work::default(), Work::plus);
        Some(self.speed.rate.seconds(rest)? / self.workers())
    }

    /// How many do the work of which one's rates are measured.
    fn workers(&self) -> f64 {
        self.outbox.orders.len() as f64
    }
}
