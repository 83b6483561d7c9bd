//! Places in line and estimated waits.

use super::Lot;
use super::queue::tenants::NO_SHARE;
use super::task::Task;
use crate::{Class, Time, Work};

/// Up to how many tenants that wait a newcomer's wait is estimated from what each of them has; with more, from their sum.
const TENANTS_ASKED: usize = 64;

impl Lot {
    /// How many tasks will probably be admitted before this one: those of its tenant that stand before it, of each
    /// other tenant as many as its weight lets it have meanwhile, and those of higher classes.
    pub(super) fn tasks_ahead(&self, index: u32) -> u64 {
        let task = self.tasks.at(index);
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
    pub(super) fn own_tasks_ahead(&self, index: u32) -> u64 {
        let task = self.tasks.at(index);
        let shares = &self.tenants.at(task.tenant).shares;
        let own = self.lines[task.class].share(task.share).waiting.iter().take_while(|spot| spot.task != index).count();
        let higher = Class::ALL.into_iter().filter(|&class| class > task.class && shares[class] != NO_SHARE);
        let higher: usize = higher.map(|class| self.lines[class].share(shares[class]).waiting.len()).sum();
        let parked = self.lines.iter().filter(|(class, _)| *class >= task.class).flat_map(|(_, line)| &line.parked);
        let parked = parked.filter(|spot| self.tasks.at(spot.task).tenant == task.tenant).count();
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
    pub(super) fn wait_behind(&self, task: &Task, own: Work) -> Option<f64> {
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
            super::queue::class_queue::add(&mut work, self.lines[higher].work);
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
            let task = self.tasks.at(spot.task);
            let rest = task.work.decode.saturating_sub(task.decoded);
            super::queue::class_queue::add(&mut sum, Work::new(task.work.prefill.saturating_add(task.decoded), rest));
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
            super::queue::class_queue::add(&mut rest, line.work);
            super::queue::class_queue::add(&mut rest, self.parked_work(class));
        }
        for &index in &self.running {
            let task = self.tasks.at(index);
            super::queue::class_queue::add(&mut rest, Work::new(0, task.work.decode.saturating_sub(task.decoded)));
        }
        Some(self.rate.seconds(rest)? / self.workers())
    }
}
