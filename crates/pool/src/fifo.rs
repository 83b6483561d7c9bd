//! First come, first served: each task's worst case is set aside before it starts, so nobody is ever parked and growth
//! never fails. Classes and tenants are all alike, and a deadline ends a task but refuses none.

use std::collections::VecDeque;
use std::time::Duration;

use crate::deadlines::Deadlines;
use crate::rates::{ServiceRate, retry_after};
use crate::slab::Slab;
use crate::{
    Capacity, ClassStats, ConfigError, Decision, Ending, Growth, Limits, Measure, Outlook, PerClass, Placement, Policy,
    PolicyConfig, PolicyStats, PoolError, Progress, TaskId, TaskSpec, TaskState, Time, Units, Work,
};

/// The policy of the scheduler `default`.
///
/// ```
/// use parkade_pool::*;
/// let mut fifo = Fifo::new(PolicyConfig::new(Capacity::new([("slots", 1)])))?;
/// fifo.employ(1);
/// let spec = TaskSpec::new("alice", Cost::fixed(Units::from([1])));
/// let now = Time::ZERO;
/// let (first, placed) = fifo.submit(now, &spec)?;
/// assert_eq!(placed, Placement::Admitted);
/// let (second, placed) = fifo.submit(now, &TaskSpec { class: Class::Critical, ..spec })?;
/// assert_eq!(placed, Placement::Waiting);
///
/// assert_eq!(fifo.next_decision(0, true), Some(Decision::Start(first)));
/// fifo.ended(first, Ending::Completed);
/// fifo.settle(now);
/// assert_eq!(fifo.next_decision(0, true), Some(Decision::Start(second)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Fifo {
    capacity: Capacity,
    limits: Limits,
    tasks: Slab<Task>,
    queue: VecDeque<TaskId>,
    /// What no admitted task has set aside.
    free: Units,
    /// Admitted, and no worker has them yet.
    starts: VecDeque<TaskId>,
    workers: Vec<Worker>,
    stops: VecDeque<TaskId>,
    ended: VecDeque<(TaskId, Ending)>,
    deadlines: Deadlines,
    rate: ServiceRate,
    counters: PolicyStats,
    draining: bool,
}

#[derive(Debug, Default)]
struct Worker {
    /// What it is to drop.
    drops: VecDeque<TaskId>,
    /// How many tasks it has.
    running: u64,
}

#[derive(Debug)]
struct Task {
    spec: TaskSpec,
    submitted: Time,
    stage: Stage,
    /// What it will have ended as, once its executor says so.
    stop: Option<Ending>,
    decoded: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Starting,
    Running { worker: usize },
}

impl Task {
    /// What it can come to hold.
    fn worst(&self) -> Units {
        worst(&self.spec)
    }

    /// What it probably has still to do.
    fn rest(&self) -> Work {
        match self.stage {
            Stage::Running { .. } => Work::new(0, self.spec.work.decode.saturating_sub(self.decoded)),
            Stage::Waiting | Stage::Starting => self.spec.work,
        }
    }
}

fn worst(spec: &TaskSpec) -> Units {
    let beyond = spec.cost.worst_growth.saturating_sub(spec.cost.expected_growth);
    spec.cost.now.saturating_add(spec.cost.expected_growth).saturating_add(beyond)
}

impl Fifo {
    /// Nobody is here. Of the limits, only how many tasks may wait counts.
    ///
    /// # Errors
    /// If the configuration makes no sense.
    pub fn new(config: PolicyConfig) -> Result<Fifo, ConfigError> {
        config.validate()?;
        Ok(Fifo {
            free: config.capacity.total(),
            capacity: config.capacity,
            limits: config.limits,
            tasks: Slab::default(),
            queue: VecDeque::new(),
            starts: VecDeque::new(),
            workers: (0..config.workers).map(|_| Worker::default()).collect(),
            stops: VecDeque::new(),
            ended: VecDeque::new(),
            deadlines: Deadlines::default(),
            rate: ServiceRate::default(),
            counters: PolicyStats::default(),
            draining: false,
        })
    }

    fn judge(&mut self, now: Time, spec: &TaskSpec) -> Result<(TaskId, Placement), PoolError> {
        if self.draining {
            return Err(PoolError::Draining { retry_after: self.retry_after() });
        }
        let worst = worst(spec);
        if let Some(unit) = worst.first_over(self.capacity.total()) {
            return Err(PoolError::TooLarge {
                unit: self.capacity.name(unit).to_owned(),
                needed: worst.get(unit),
                capacity: self.capacity.total().get(unit),
            });
        }
        if let Some(deadline) = spec.deadline.filter(|&deadline| deadline <= now) {
            return Err(PoolError::Expired { late: now.since(deadline) });
        }
        let starts = self.queue.is_empty() && worst.fits_in(self.free);
        let (waiting, limit) = (self.counters.waiting, self.limits.max_waiting);
        if !starts && waiting >= limit {
            return Err(PoolError::QueueFull {
                measure: Measure::Tasks,
                waiting,
                limit,
                retry_after: self.retry_after(),
            });
        }
        let task = Task { spec: spec.clone(), submitted: now, stage: Stage::Waiting, stop: None, decoded: 0 };
        let id = self.tasks.insert(task);
        self.deadlines.add(spec.deadline.unwrap_or(Time::NEVER), id);
        self.queue.push_back(id);
        self.counters.waiting += 1;
        self.counters.waiting_tokens = self.counters.waiting_tokens.saturating_add(spec.work.total());
        self.admit_first_ones();
        Ok((id, if starts { Placement::Admitted } else { Placement::Waiting }))
    }

    /// When everybody who is here now will have started.
    fn retry_after(&self) -> Duration {
        retry_after(self.wait_behind(self.queue.len()))
    }

    /// Seconds until the task at this place in the queue starts: until the first of those that run is done, and what waits
    /// before it; `None` while no rates have been measured.
    fn wait_behind(&self, place: usize) -> Option<f64> {
        let ahead = self.queue.iter().take(place).filter_map(|&id| self.tasks.get(id));
        let work = ahead.fold(Work::default(), |sum, task| sum.plus(task.spec.work));
        let running = self.tasks.iter().filter(|(_, task)| task.stage != Stage::Waiting);
        let first_end = running.map(|(_, task)| task.rest().decode).min().unwrap_or(0);
        Some(self.rate.seconds(work)? / self.workers.len() as f64 + self.rate.alone(first_end)?)
    }

    /// Sets aside what the first ones in the queue need, as far as it is there.
    fn admit_first_ones(&mut self) {
        while let Some(&id) = self.queue.front() {
            let task = self.tasks.get_mut(id).expect("who waits is here");
            let Some(free) = self.free.checked_sub(task.worst()) else { return };
            self.free = free;
            task.stage = Stage::Starting;
            let tokens = task.spec.work.total();
            self.queue.pop_front();
            self.starts.push_back(id);
            self.leave_queue(tokens);
            self.counters.running += 1;
        }
    }

    fn leave_queue(&mut self, tokens: u64) {
        self.counters.waiting -= 1;
        self.counters.waiting_tokens = self.counters.waiting_tokens.saturating_sub(tokens);
    }

    /// Has a task end: at once if no executor has it, else its executor is told.
    fn stop(&mut self, id: TaskId, ending: Ending) {
        let Some(task) = self.tasks.get_mut(id).filter(|task| task.stop.is_none()) else { return };
        match task.stage {
            Stage::Running { worker } => {
                task.stop = Some(ending);
                self.workers[worker].drops.push_back(id);
                self.stops.push_back(id);
            }
            Stage::Waiting | Stage::Starting => {
                self.forget(id, ending);
                self.ended.push_back((id, ending));
            }
        }
    }

    fn forget(&mut self, id: TaskId, ending: Ending) {
        let task = self.tasks.remove(id);
        match task.stage {
            Stage::Waiting => {
                self.queue.retain(|&other| other != id);
                self.leave_queue(task.spec.work.total());
            }
            Stage::Starting | Stage::Running { .. } => {
                self.free = self.free.saturating_add(task.worst());
                self.counters.running -= 1;
            }
        }
        if let Stage::Running { worker } = task.stage {
            self.workers[worker].running -= 1;
        }
        self.counters.end(ending);
    }

    fn ids(&self, wanted: impl Fn(&Task) -> bool) -> Vec<TaskId> {
        self.tasks.iter().filter(|(_, task)| wanted(task)).map(|(id, _)| id).collect()
    }

    #[cfg(debug_assertions)]
    fn audit(&self) {
        let count = |wanted: fn(&Task) -> bool| self.tasks.iter().filter(|(_, task)| wanted(task)).count() as u64;
        let waiting = count(|task| task.stage == Stage::Waiting);
        assert_eq!((self.counters.waiting, self.queue.len() as u64), (waiting, waiting));
        assert_eq!(self.counters.running, count(|task| task.stage != Stage::Waiting));
        let admitted = self.tasks.iter().filter(|(_, task)| task.stage != Stage::Waiting);
        let running = count(|task| matches!(task.stage, Stage::Running { .. }));
        assert_eq!(self.workers.iter().map(|worker| worker.running).sum::<u64>(), running);
        let held = admitted.fold(Units::ZERO, |sum, (_, task)| sum.saturating_add(task.worst()));
        assert_eq!(held.checked_add(self.free), Some(self.capacity.total()), "units are free or set aside");
        let PolicyStats { completed, failed, cancelled, expired, refused, .. } = self.counters;
        let ended = completed + failed + cancelled + expired + refused;
        assert_eq!(self.counters.submitted, self.counters.present() + ended);
        let first = self.queue.front().and_then(|&id| self.tasks.get(id));
        assert!(first.is_none_or(|task| !task.worst().fits_in(self.free)), "the first one that waits does not fit");
    }
}

fn holds_deadline(tasks: &Slab<Task>, deadline: Time, id: TaskId) -> bool {
    tasks.get(id).is_some_and(|task| task.stop.is_none() && task.spec.deadline == Some(deadline))
}

impl Policy for Fifo {
    fn employ(&mut self, workers: usize) {
        self.workers.resize_with(workers, Worker::default);
    }

    fn submit(&mut self, now: Time, spec: &TaskSpec) -> Result<(TaskId, Placement), PoolError> {
        self.counters.submitted += 1;
        self.judge(now, spec).inspect_err(|refusal| self.counters.refuse(refusal))
    }

    fn cancel(&mut self, id: TaskId) -> bool {
        let is_here = self.tasks.get(id).is_some();
        self.stop(id, Ending::Cancelled);
        is_here
    }

    fn cancel_waiting(&mut self) {
        for id in self.queue.clone() {
            self.stop(id, Ending::Cancelled);
        }
    }

    fn drain(&mut self) {
        self.draining = true;
    }

    fn reconfigure(&mut self, limits: Limits) -> Result<(), ConfigError> {
        limits.validate()?;
        self.limits = limits;
        Ok(())
    }

    /// What is set aside is the truth.
    fn observe(&mut self, _free: Units) {}

    fn report(&mut self, busy: Duration, progress: &[Progress]) {
        let work = progress.iter().fold(Work::default(), |sum, part| sum.plus(Work::new(part.prefill, part.decode)));
        let streams = progress.iter().filter(|part| part.decode > 0).count() as u64;
        self.rate.record(busy, work, streams, self.limits.rate_memory);
        progress.iter().for_each(|part| self.count_progress(part));
    }

    fn count_progress(&mut self, progress: &Progress) {
        if let Some(task) = self.tasks.get_mut(progress.task) {
            task.decoded = task.decoded.saturating_add(progress.decode);
        }
    }

    /// It was set aside before the task began.
    fn grow(&mut self, _now: Time, id: TaskId, _amount: Units, _free: Option<Units>) -> Growth {
        match self.tasks.get(id) {
            Some(Task { stage: Stage::Running { .. }, .. }) => {
                self.counters.grown += 1;
                Growth::Granted
            }
            _ => Growth::Denied,
        }
    }

    fn ended(&mut self, id: TaskId, ending: Ending) -> Option<Ending> {
        let stop = self.tasks.get(id)?.stop;
        let ending = stop.filter(|_| ending == Ending::Cancelled).unwrap_or(ending);
        self.forget(id, ending);
        Some(ending)
    }

    fn settle(&mut self, now: Time) {
        let tasks = &self.tasks;
        self.deadlines.tidy(self.counters.present() as usize, |at, id| holds_deadline(tasks, at, id));
        while let Some((deadline, id)) = self.deadlines.next(|at, id| holds_deadline(&self.tasks, at, id))
            && deadline <= now
        {
            self.stop(id, Ending::Expired);
        }
        self.admit_first_ones();
        #[cfg(debug_assertions)]
        self.audit();
    }

    fn next_deadline(&mut self) -> Option<Time> {
        let tasks = &self.tasks;
        self.deadlines.next(|at, id| holds_deadline(tasks, at, id)).map(|(deadline, _)| deadline)
    }

    fn next_decision(&mut self, worker: usize, take_new: bool) -> Option<Decision> {
        while let Some(id) = self.workers[worker].drops.pop_front() {
            if self.tasks.get(id).is_some() {
                return Some(Decision::Cancel(id));
            }
        }
        if !take_new {
            return None;
        }
        loop {
            let id = self.starts.pop_front()?;
            // It may have been cancelled meanwhile.
            if let Some(task) = self.tasks.get_mut(id) {
                task.stage = Stage::Running { worker };
                self.workers[worker].running += 1;
                return Some(Decision::Start(id));
            }
        }
    }

    fn has_orders(&self, worker: usize) -> bool {
        !self.workers[worker].drops.is_empty()
    }

    fn waiting_starts(&self) -> usize {
        self.starts.len()
    }

    fn next_ended(&mut self) -> Option<(TaskId, Ending)> {
        self.ended.pop_front()
    }

    fn next_stop(&mut self) -> Option<TaskId> {
        self.stops.pop_front()
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn is_draining(&self) -> bool {
        self.draining
    }

    fn present(&self) -> u64 {
        self.counters.present()
    }

    fn living(&self) -> Vec<TaskId> {
        self.ids(|_| true)
    }

    fn kept_by(&self, worker: usize) -> Vec<TaskId> {
        self.running_on(worker)
    }

    fn running_on(&self, worker: usize) -> Vec<TaskId> {
        self.ids(|task| task.stage == Stage::Running { worker })
    }

    fn is_busy(&self, worker: usize) -> bool {
        self.workers[worker].running > 0
    }

    fn state_of(&self, id: TaskId) -> Option<TaskState> {
        let waits = self.tasks.get(id)?.stage == Stage::Waiting;
        Some(if waits { TaskState::Waiting } else { TaskState::Running })
    }

    fn stop_of(&self, id: TaskId) -> Option<Ending> {
        self.tasks.get(id)?.stop
    }

    fn work_of(&self, id: TaskId) -> Work {
        self.tasks.get(id).map_or(Work::default(), |task| task.spec.work)
    }

    fn outlook(&self, id: TaskId) -> Option<Outlook> {
        let task = self.tasks.get(id)?;
        let place = self.queue.iter().position(|&other| other == id);
        let is_own =
            |other: &&TaskId| self.tasks.get(**other).is_some_and(|other| other.spec.tenant == task.spec.tenant);
        let wait = place.and_then(|place| Duration::try_from_secs_f64(self.wait_behind(place)?).ok());
        Some(Outlook {
            state: self.state_of(id)?,
            class: task.spec.class,
            submitted: task.submitted,
            ahead: place.map(|place| place as u64),
            own_ahead: place.map(|place| self.queue.iter().take(place).filter(is_own).count() as u64),
            wait,
            decoded: task.decoded,
            parkings: 0,
        })
    }

    fn stats(&self) -> PolicyStats {
        let mut classes = PerClass::<ClassStats>::default();
        for (_, task) in self.tasks.iter() {
            let class: &mut ClassStats = &mut classes[task.spec.class];
            match task.stage {
                Stage::Waiting => {
                    class.waiting += 1;
                    class.waiting_tokens = class.waiting_tokens.saturating_add(task.spec.work.total());
                }
                Stage::Starting | Stage::Running { .. } => class.running += 1,
            }
        }
        PolicyStats {
            classes,
            capacity: self.capacity.total(),
            in_use: self.capacity.total().saturating_sub(self.free),
            free: self.free,
            available: self.free,
            rates: self.rate.rates(),
            // All tenants are alike: none is remembered.
            tenants: 0,
            ..self.counters.clone()
        }
    }
}
