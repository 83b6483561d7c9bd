//! The lot: a scheduler of token work (prompt and answer tokens, first tokens). A synchronous, deterministic state machine:
//! commands and the time go in, decisions come out.
//!
//! | file | subject |
//! | --- | --- |
//! | `submit.rs` | the gate: taken, made to wait, or refused |
//! | `admission.rs` | `settle`: expire, choose, admit, preempt |
//! | `growth.rs` | growth of running tasks, parking, resuming |
//! | `lifecycle.rs` | what executors report: taken, progress, ended; cancellation |
//! | `queue/` | classes, tenants, fair shares, order: who is next, and who may pass whom |
//! | `memory/` | units held and promised; will the predicted peak fit; who is parked first |
//! | `figures.rs`, `wait_estimate.rs` | statistics; places in line and estimated waits |
//! | `task.rs`, `delay.rs` | one task; what first tokens wait for |
//! | `policy_impl.rs` | the lot as a [`Policy`](crate::Policy) |
//! | `audit.rs` | the invariants |

mod admission;
mod audit;
mod delay;
mod figures;
mod growth;
mod lifecycle;
mod memory;
mod policy_impl;
mod queue;
mod submit;
mod task;
mod wait_estimate;

use std::collections::VecDeque;

use crate::counters::Counters;
use crate::deadlines::Deadlines;
use crate::rates::ServiceRate;
use crate::tasks::Tasks;
use crate::{
    Capacity, Class, ConfigError, Decision, Ending, Limits, PerClass, PolicyConfig, Reserve, TaskId, Time, Units,
};
pub use figures::TenantStats;

use memory::forecast::Forecast;
use memory::ledger::Ledger;
use queue::class_queue::ClassQueue;
use queue::shares::Floor;
use queue::tenants::{NO_SHARE, Tenants};
use task::Task;

/// The parking lot.
///
/// Nothing in here waits, sleeps, spawns or looks at a clock. A command changes what the lot knows; [`Policy::settle`](crate::Policy::settle)
/// then decides what follows from it, and [`Policy::next_decision`](crate::Policy::next_decision) and
/// [`Policy::next_ended`](crate::Policy::next_ended) hand the decisions out.
///
/// ```
/// use parkade_pool::*;
/// let mut lot = Lot::new(PolicyConfig::new(Capacity::new([("slots", 1)])))?;
/// let spec = TaskSpec::new("alice", Cost::fixed(Units::from([1])));
/// let now = Time::ZERO;
/// let (first, placed) = lot.submit(now, &spec)?;
/// assert_eq!(placed, Placement::Admitted);
/// let (second, placed) = lot.submit(now, &spec)?;
/// assert_eq!(placed, Placement::Waiting);
///
/// assert_eq!(lot.next_decision(0, true), Some(Decision::Start(first)));
/// lot.ended(first, Ending::Completed);
/// lot.settle(now);
/// assert_eq!(lot.next_decision(0, true), Some(Decision::Start(second)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lot {
    capacity: Capacity,
    reserve: Reserve,
    limits: Limits,
    tasks: Tasks<Task>,
    tenants: Tenants,
    lines: PerClass<ClassQueue>,
    class_floor: Floor,
    /// Which classes wanted something when last looked at.
    class_wanted: PerClass<bool>,
    ledger: Ledger,
    forecast: Forecast,
    /// The forecast does not show the latest progress.
    forecast_stale: bool,
    /// Everybody who holds units.
    running: Vec<u32>,
    /// Running tasks that could be parked, by the class that they are defended as.
    parkable: PerClass<u32>,
    /// No task that waits or is parked needs less than this of any unit.
    least_need: Units,
    /// Held by tasks that have been told to park, and what is set aside for them.
    leaving: Units,
    leaving_promises: Units,
    /// The class that they leave for, while any are leaving.
    making_way: Option<Class>,
    deadlines: Deadlines,
    rate: ServiceRate,
    /// When the lot knew the time first after tokens had been reported, and whether some have been reported since.
    last_report: Time,
    reported: bool,
    counters: Counters,
    /// Tasks that have had their first token since the lot last knew the time.
    first_tokens: Vec<TaskId>,
    /// Numbers arrivals and other moments that must be told apart.
    moment: u64,
    starts: VecDeque<TaskId>,
    orders: Vec<VecDeque<Decision>>,
    /// Tasks that an executor was ordered to drop, for whoever tells them at once.
    stops: VecDeque<TaskId>,
    ended: VecDeque<(TaskId, Ending)>,
    /// Nothing that waits could be admitted when last looked, and no units have come back since.
    settled: bool,
    draining: bool,
    /// Tasks passed in the current choice; kept for its memory.
    passed: Vec<u32>,
}

impl Lot {
    /// An empty lot.
    ///
    /// # Errors
    /// If the configuration makes no sense.
    pub fn new(config: PolicyConfig) -> Result<Lot, ConfigError> {
        config.validate()?;
        Ok(Lot {
            ledger: Ledger::new(config.capacity.total()),
            forecast: Forecast::default(),
            orders: (0..config.workers).map(|_| VecDeque::new()).collect(),
            capacity: config.capacity,
            reserve: config.reserve,
            limits: config.limits,
            tasks: Tasks::default(),
            tenants: Tenants::default(),
            lines: PerClass::default(),
            class_floor: Floor::default(),
            class_wanted: PerClass::default(),
            forecast_stale: false,
            running: Vec::new(),
            parkable: PerClass::default(),
            least_need: Units::ZERO,
            leaving: Units::ZERO,
            leaving_promises: Units::ZERO,
            making_way: None,
            deadlines: Deadlines::default(),
            rate: ServiceRate::new(),
            last_report: Time::ZERO,
            reported: false,
            counters: Counters::default(),
            first_tokens: Vec::new(),
            moment: 0,
            starts: VecDeque::new(),
            stops: VecDeque::new(),
            ended: VecDeque::new(),
            settled: true,
            draining: false,
            passed: Vec::new(),
        })
    }

    /// The units that the lot counts.
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// The limits that hold now.
    fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Replaces limits and weights. What waits or runs stays where it is; new limits hold from the next decision.
    ///
    /// # Errors
    /// If the limits make no sense; then nothing changes.
    fn reconfigure(&mut self, limits: Limits) -> Result<(), ConfigError> {
        limits.validate()?;
        self.limits = limits;
        for tenant in self.tenants.iter_mut() {
            tenant.policy = *self.limits.policy(&tenant.name);
            for class in Class::ALL {
                let share = tenant.shares[class];
                if share != NO_SHARE {
                    self.lines[class].set_weight(share, tenant.policy.weight);
                    self.moment += 1;
                    self.lines[class].set_wanting(share, tenant.may_run(), self.moment);
                }
            }
        }
        // Those that have been passed more often than they may be now are passed no more, and that is all.
        let most = self.limits.max_bypass;
        self.tasks.iter_mut().for_each(|task| task.bypassed = task.bypassed.min(most));
        self.settled = false;
        Ok(())
    }

    /// Takes nothing new from now on.
    fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether it is being emptied.
    fn is_draining(&self) -> bool {
        self.draining
    }

    /// Takes the executor's own count of free units (what it could give out now, caches that it would evict
    /// included), after everything that it was told to take up has been taken up. From the first time on it is
    /// the truth, so it has to be told again after each step.
    fn observe(&mut self, free: Units) {
        let before = self.ledger.free();
        self.ledger.observe(free);
        if !self.ledger.free().fits_in(before) {
            self.settled = false;
        }
    }

    /// Units that were handed out to tasks which no worker has taken up yet.
    pub fn in_transit(&self) -> Units {
        self.ledger.in_transit()
    }

    /// The next thing for this worker to do. `take_new` says whether it has room for a task that nobody has started.
    fn next_decision(&mut self, worker: usize, take_new: bool) -> Option<Decision> {
        while let Some(decision) = self.orders[worker].pop_front() {
            if self.still_stands(decision) {
                if let Decision::Resume(id) = decision {
                    self.arrive(id, worker);
                }
                return Some(decision);
            }
        }
        if !take_new {
            return None;
        }
        loop {
            let id = self.starts.pop_front()?;
            if self.still_stands(Decision::Start(id)) {
                self.arrive(id, worker);
                return Some(Decision::Start(id));
            }
        }
    }

    /// How many tasks are here, waiting, running or parked.
    fn present(&self) -> u64 {
        self.counters.present()
    }

    /// How many admitted tasks no worker has taken up yet (some of them may have been cancelled meanwhile).
    fn waiting_starts(&self) -> usize {
        self.starts.len()
    }

    /// Whether [`Policy::next_decision`] has something for this worker that no other one can do.
    fn has_orders(&self, worker: usize) -> bool {
        !self.orders[worker].is_empty()
    }

    /// The next task that ended without an executor's doing: cancelled or expired before a worker took it.
    fn next_ended(&mut self) -> Option<(TaskId, Ending)> {
        self.ended.pop_front()
    }

    /// How a task will have ended that is to stop.
    pub(crate) fn stop_of(&self, id: TaskId) -> Option<Ending> {
        self.tasks.get(id)?.stop.map(task::Stop::ending)
    }

    /// Whether a decision made earlier still holds: its task may have ended or been parked otherwise meanwhile.
    fn still_stands(&self, decision: Decision) -> bool {
        use task::State;
        let (id, state) = match decision {
            Decision::Start(id) => (id, State::Starting),
            Decision::Resume(id) => (id, State::Resuming),
            Decision::Park(id) => (id, State::Parking),
            Decision::Cancel(id) => return self.tasks.get(id).is_some_and(|task| task.stop.is_some()),
        };
        self.tasks.get(id).is_some_and(|task| task.state == state)
    }
}
