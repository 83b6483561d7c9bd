//! A machine in simulated time: sequences with blocks and slots, steps that take as long as their tokens, and traffic
//! of all kinds. Everything follows from the seed.

mod machine;
mod traffic;

use std::time::Duration;

use parkade_pool::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

pub use machine::Machine;
pub use traffic::{Arrivals, Lengths, Tenants, Traffic};

/// Seeded dice.
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(ChaCha8Rng::seed_from_u64(seed))
    }

    /// From 0 to `bound`, without it.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    /// True this many times in a thousand.
    pub fn per_mille(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    /// Evenly from 0 to 1, without 0.
    pub fn unit(&mut self) -> f64 {
        (self.below(1 << 53) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// What goes wrong, in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A step in which somebody cancels a random task.
    pub cancels: u64,
    /// A step in which a running task fails (or panics).
    pub failures: u64,
    /// A step in which a slow reader has its sequence paused.
    pub pauses: u64,
    /// A step in which part of the free blocks is not really free.
    pub hidden: u64,
}

/// One simulation.
pub struct Simulation {
    pub lot: Lot,
    pub machine: Machine,
    pub traffic: Traffic,
    pub faults: Faults,
    pub now: Time,
    pub dice: Dice,
    /// Tasks that were taken and have not ended.
    living: Vec<TaskId>,
    paused: Vec<TaskId>,
    pub requests: u64,
    pub outcomes: [u64; 4],
    pub refusals: u64,
    pub steps: u64,
    /// Priced tokens served, by class.
    pub served_classes: [u64; 4],
    /// Priced tokens served, by number of the tenant.
    pub served_tenants: Vec<u64>,
    /// Growth that was denied.
    pub denied: u64,
    /// Whether the lot is told the machine's own count.
    pub observe: bool,
    pub audit: bool,
}

impl Simulation {
    pub fn new(seed: u64, config: PolicyConfig, traffic: Traffic, faults: Faults) -> Simulation {
        let total = config.capacity.total();
        Simulation {
            lot: Lot::new(config).expect("the configuration is right"),
            machine: Machine::new(total),
            traffic,
            faults,
            now: Time::ZERO,
            dice: Dice::new(seed),
            living: Vec::new(),
            paused: Vec::new(),
            requests: 0,
            outcomes: [0; 4],
            refusals: 0,
            steps: 0,
            served_classes: [0; 4],
            served_tenants: Vec::new(),
            denied: 0,
            observe: true,
            audit: true,
        }
    }

    /// Runs until this many requests have come and everything has ended.
    pub fn run(&mut self, requests: u64) {
        while self.requests < requests {
            self.turn();
        }
        self.traffic.stop();
        self.faults = Faults::default();
        let mut turns = 0;
        while !self.lot.is_empty() {
            self.turn();
            turns += 1;
            assert!(turns < 200_000, "stuck at {:?}: {:?}", self.now, self.lot.stats());
        }
        let stats = self.lot.stats();
        assert_eq!(stats.in_use, Units::ZERO, "units were lost");
        assert_eq!(self.machine.used(), Units::ZERO, "the machine still holds something");
        assert_eq!(stats.submitted, self.requests);
        assert_eq!(self.requests, self.refusals + self.outcomes.iter().sum::<u64>(), "each request has one outcome");
        assert!(self.living.is_empty());
    }

    /// One turn of a worker's loop.
    pub fn turn(&mut self) {
        self.arrive();
        self.take_decisions();
        let busy = self.step();
        self.now = self.now.after(busy);
        self.inject();
        self.settle();
        self.steps += 1;
        if self.audit
            && let Err(broken) = self.lot.audit(self.now)
        {
            panic!("after {} requests: {broken}", self.requests);
        }
    }

    fn arrive(&mut self) {
        while let Some(mut arrival) = self.traffic.next(self.now, &self.lot, &mut self.dice) {
            self.requests += 1;
            let sequence = arrival.sequence.take().expect("made with the arrival");
            match self.lot.submit(self.now, &arrival.spec) {
                Ok((id, placement)) => {
                    self.living.push(id);
                    self.machine.hand_over(id, sequence);
                    let runs = self.lot.state_of(id) == Some(TaskState::Running);
                    assert_eq!(placement == Placement::Admitted, runs);
                }
                Err(refusal) => {
                    self.refusals += 1;
                    if let Some(after) = refusal.retry_after() {
                        assert!((1..=120).contains(&after.as_secs()) && after.subsec_nanos() == 0);
                    }
                }
            }
            // At once: the next one may be given the place of one that ended.
            self.take_ended();
            self.check();
        }
    }

    fn take_decisions(&mut self) {
        while let Some(decision) = self.lot.next_decision(0, true) {
            match decision {
                Decision::Start(id) => {
                    let sequence = self.machine.admit(id);
                    assert!(self.now < sequence.start_deadline, "an expired task was started");
                    let (class, tenant, price) = (sequence.class, sequence.tenant, sequence.prompt);
                    self.serve(class, tenant, price);
                }
                Decision::Resume(id) => self.machine.resume(id),
                Decision::Park(id) => {
                    self.machine.park(id);
                    self.lot.parked(id);
                }
                Decision::Cancel(id) => {
                    self.machine.drop(id);
                    let ending = self.lot.ended(id, Ending::Cancelled).expect("it had not ended");
                    self.end(id, ending);
                }
            }
            self.settle();
        }
    }

    fn serve(&mut self, class: Class, tenant: usize, tokens: u64) {
        self.served_classes[class as usize] += tokens;
        if self.served_tenants.len() <= tenant {
            self.served_tenants.resize(tenant + 1, 0);
        }
        self.served_tenants[tenant] += tokens;
    }

    /// Prefills and decodes; grows, and parks whom the lot names.
    fn step(&mut self) -> Duration {
        let mut sitting_out = Vec::new();
        self.lot.sitting_out(0, &mut sitting_out);
        let mut progress = Vec::new();
        let mut prefill_budget = 64;
        for id in self.machine.running() {
            if sitting_out.contains(&id) || !self.machine.is_running(id) {
                continue;
            }
            let sequence = self.machine.sequence(id);
            if sequence.computed < sequence.prompt + sequence.produced {
                let chunk = (sequence.prompt + sequence.produced - sequence.computed).min(prefill_budget);
                prefill_budget -= chunk;
                self.machine.sequence_mut(id).computed += chunk;
                progress.push(Progress { task: id, prefill: chunk, decode: 0 });
                continue;
            }
            if self.machine.needs_block(id) && !self.grow(id) {
                continue;
            }
            let sequence = self.machine.sequence_mut(id);
            sequence.produced += 1;
            sequence.computed += 1;
            let (class, tenant, done) = (sequence.class, sequence.tenant, sequence.produced >= sequence.answer);
            progress.push(Progress { task: id, prefill: 0, decode: 1 });
            self.serve(class, tenant, 2);
            if done {
                self.machine.drop(id);
                // As a worker does: the last token counts before the end, its time is reported with the whole step.
                let last = progress.iter().filter(|step| step.task == id);
                last.for_each(|step| self.lot.count_progress(step));
                assert_eq!(self.lot.ended(id, Ending::Completed), Some(Ending::Completed));
                self.end(id, Ending::Completed);
            }
        }
        let prefilled: u64 = progress.iter().map(|step| step.prefill).sum();
        let decoded: u64 = progress.iter().map(|step| step.decode).sum();
        let busy = Duration::from_micros(500 + prefilled * 100 + decoded * 400);
        self.lot.report(busy, &progress);
        busy
    }

    /// Asks for a block, now and then for several at once, but never for more than the answer will need.
    fn grow(&mut self, id: TaskId) -> bool {
        let blocks = if self.dice.below(4) == 0 { 1 + self.dice.below(3) } else { 1 };
        let blocks = blocks.min(self.machine.blocks_to_come(id));
        let parkable = self.machine.sequence(id).parkable;
        for _ in 0..1000 {
            let free = self.observe.then(|| self.machine.free());
            let answer = self.lot.grow(self.now, id, Units::from([blocks]), free);
            let set_aside = !parkable && self.faults.hidden == 0 && self.machine.hidden == 0;
            assert!(!set_aside || answer == Growth::Granted, "{id} was reserved in full and gets {answer:?}");
            match answer {
                Growth::Granted => {
                    self.machine.take_blocks(id, blocks);
                    return true;
                }
                Growth::ParkFirst(victims) => {
                    assert!(!victims.contains(&id) && !victims.is_empty());
                    victims.into_iter().for_each(|victim| self.machine.park(victim));
                }
                Growth::ParkSelf => {
                    self.machine.park(id);
                    return false;
                }
                Growth::Denied => {
                    self.denied += 1;
                    self.machine.drop(id);
                    self.lot.ended(id, Ending::Failed);
                    self.end(id, Ending::Failed);
                    return false;
                }
            }
        }
        panic!("{id} asked a thousand times");
    }

    fn inject(&mut self) {
        let Faults { cancels, failures, pauses, hidden } = self.faults;
        if self.dice.per_mille(cancels) && !self.living.is_empty() {
            let victim = self.living[self.dice.below(self.living.len() as u64) as usize];
            assert!(self.lot.cancel(victim));
        }
        let running = self.machine.running();
        if !running.is_empty() {
            let chosen = running[self.dice.below(running.len() as u64) as usize];
            if self.dice.per_mille(failures) {
                self.machine.drop(chosen);
                assert_eq!(self.lot.ended(chosen, Ending::Failed), Some(Ending::Failed));
                self.end(chosen, Ending::Failed);
            } else if self.dice.per_mille(pauses) && self.machine.sequence(chosen).parkable {
                self.machine.park(chosen);
                assert!(self.lot.pause(chosen));
                self.paused.push(chosen);
            }
        }
        if self.dice.below(8) == 0 || self.traffic.stopped() {
            self.paused.drain(..).for_each(|paused| {
                self.lot.unpause(paused);
            });
        }
        let total = self.lot.capacity().total().get(0);
        self.machine.hidden = if self.dice.per_mille(hidden) { self.dice.below(total / 4 + 1) } else { 0 };
    }

    fn settle(&mut self) {
        if self.observe {
            self.lot.observe(self.machine.free());
        }
        self.lot.settle(self.now);
        self.take_ended();
        self.check();
    }

    fn take_ended(&mut self) {
        while let Some((id, ending)) = self.lot.next_ended() {
            self.machine.forget(id);
            self.end(id, ending);
        }
    }

    fn end(&mut self, id: TaskId, ending: Ending) {
        let at = self.living.iter().position(|&other| other == id).expect("a task ends once");
        self.living.swap_remove(at);
        self.outcomes[ending as usize] += 1;
    }

    fn check(&self) {
        let used = self.machine.used();
        let total = self.lot.capacity().total();
        assert!(used.fits_in(total), "{used:?} in use of {total:?}");
    }
}
