//! The lot without threads: commands in, decisions out.

use super::Options;
use crate::machine::resident_bytes;
use crate::random::Random;
use crate::{BenchError, Samples};
use parkade_pool::{
    Capacity, Class, Cost, Decision, Ending, Lot, Policy, PolicyConfig, Progress, TaskId, TaskSpec, Time, Units, Work,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rates are a second, one sample for each repeat.
pub(super) struct Measured {
    pub decisions: Samples,
    pub submissions: Samples,
    pub turns: Samples,
    pub steps: Samples,
    pub each_ns: Samples,
    pub bytes_each: Option<f64>,
    /// Decisions where memory binds and higher classes have lower ones parked.
    pub tight_decisions: Samples,
    /// How many decisions there follow from one end, on average.
    pub tight_per_end: Option<f64>,
}

/// What there is less of than is wanted.
#[derive(Clone, Copy, PartialEq)]
enum Scarce {
    /// Slots: so many tasks run as there are slots, and nobody is sent away.
    Slots,
    /// Memory, and a higher class may have lower ones parked, as in a server.
    Memory,
}

/// Blocks for each slot. With the tasks below, nobody ever waits for memory, or nearly everybody does.
const PLENTY: u64 = 96;
const TIGHT: u64 = 24;

pub(super) fn measure(options: &Options, seed: u64) -> Result<Measured, BenchError> {
    let mut bench = Bench::new(options, seed, Scarce::Slots)?;
    let before = resident_bytes(std::process::id());
    bench.fill(options.waiting)?;
    let after = resident_bytes(std::process::id());
    let grown = before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64);
    let bytes_each = grown.map(|bytes| bytes / options.waiting as f64);

    bench.decide(options.decisions)?;
    bench.fill(options.waiting)?;
    let rate = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
    let ends = options.decisions as u64;
    let (mut decisions, mut submissions, mut turns, mut steps) = (vec![], vec![], vec![], vec![]);
    for _ in 0..options.repeats {
        let (deciding, decided) = bench.decide(options.decisions)?;
        let filling = bench.fill(options.waiting)?;
        decisions.push(rate(decided, deciding));
        submissions.push(rate(ends, filling));
        turns.push(rate(ends, deciding + filling));
        let count = 2_000;
        steps.push(rate(count, bench.step(count)));
    }
    let mut each = Vec::with_capacity(options.decisions);
    for _ in 0..options.decisions {
        each.push(bench.decide(1)?.0.as_nanos() as f64);
    }
    bench.check(options)?;
    drop(bench);

    let mut bench = Bench::new(options, seed, Scarce::Memory)?;
    bench.fill(options.waiting)?;
    bench.decide(options.decisions)?;
    let (mut tight, mut made) = (vec![], 0);
    for _ in 0..options.repeats {
        bench.fill(options.waiting)?;
        let (time, decided) = bench.decide(options.decisions)?;
        tight.push(rate(decided, time));
        made += decided;
    }
    bench.check(options)?;
    let samples = |values: Vec<f64>| values.into_iter().collect();
    Ok(Measured {
        decisions: samples(decisions),
        submissions: samples(submissions),
        turns: samples(turns),
        steps: samples(steps),
        each_ns: samples(each),
        bytes_each,
        tight_decisions: samples(tight),
        tight_per_end: Some(made as f64 / (ends * options.repeats as u64) as f64),
    })
}

/// Decisions while ten thousand tasks wait: a task ends, others are chosen and started, new ones come.
pub struct LotPath(Bench);

impl LotPath {
    const WAITING: usize = 10_000;

    /// A full waiting room.
    ///
    /// # Errors
    /// If the lot refuses its tasks.
    pub fn new() -> Result<Self, BenchError> {
        let mut bench = Bench::sized(64, 100, Self::WAITING, 1, Scarce::Slots)?;
        bench.fill(Self::WAITING)?;
        Ok(LotPath(bench))
    }

    /// Ends so many tasks, and lets as many come. Gives how many decisions were made.
    ///
    /// # Errors
    /// If the lot breaks its promises.
    pub fn turn(&mut self, ends: usize) -> Result<u64, BenchError> {
        let (_, decided) = self.0.decide(ends)?;
        self.0.fill(Self::WAITING)?;
        Ok(decided)
    }
}

struct Bench {
    lot: Lot,
    scarce: Scarce,
    running: Vec<TaskId>,
    tenants: Vec<Arc<str>>,
    random: Random,
    now: u64,
}

impl Bench {
    /// A lot in which as many run as can.
    fn new(options: &Options, seed: u64, scarce: Scarce) -> Result<Bench, BenchError> {
        Bench::sized(options.running, options.tenants, options.waiting, seed, scarce)
    }

    fn sized(running: usize, tenants: usize, waiting: usize, seed: u64, scarce: Scarce) -> Result<Bench, BenchError> {
        let slots = running as u64;
        let blocks = if scarce == Scarce::Slots { PLENTY } else { TIGHT };
        let mut config = PolicyConfig::new(Capacity::new([("blocks", slots * blocks), ("slots", slots)]));
        (config.limits.max_waiting, config.limits.max_waiting_tokens) = (4 * waiting as u64, u64::MAX / 1_000);
        config.limits.preempt = scarce == Scarce::Memory;
        let lot = Lot::new(config).map_err(|error| BenchError::Pool(error.to_string()))?;
        let tenants = (0..tenants).map(|tenant| format!("tenant-{tenant}").into()).collect();
        let mut bench = Bench { lot, scarce, running: Vec::new(), tenants, random: Random::new(seed, 0), now: 0 };
        bench.fill(1)?;
        Ok(bench)
    }

    /// Time goes on a little with each command.
    fn tick(&mut self) -> Time {
        self.now += 1_000;
        Time::from_nanos(self.now)
    }

    fn spec(&mut self) -> TaskSpec {
        let random = &mut self.random;
        let class = match random.below(100) {
            0 => Class::Critical,
            1..=9 => Class::High,
            10..=79 => Class::Normal,
            _ => Class::Low,
        };
        let prompt = 16 + random.below(500) as u64;
        let answer = 16 + random.below(240) as u64;
        let blocks = |tokens: u64| tokens.div_ceil(16);
        let growth = Units::from([blocks(answer)]);
        let cost = Cost::growing(Units::from([blocks(prompt), 1]), growth, growth);
        // An hour and more: it orders the tasks and does not expire within the run.
        let wait = Duration::from_secs(3_600 + random.below(3_600) as u64);
        let deadline = (random.below(10) < 3).then(|| Time::from_nanos(self.now).after(wait));
        let tenant = Arc::clone(&self.tenants[random.below(self.tenants.len())]);
        TaskSpec { class, deadline, work: Work::new(prompt, answer), ..TaskSpec::new(tenant, cost) }
    }

    /// Submits until at least `waiting` tasks wait; gives the time that the lot took for it.
    fn fill(&mut self, waiting: usize) -> Result<Duration, BenchError> {
        let mut time = Duration::ZERO;
        loop {
            let missing = (waiting as u64).saturating_sub(self.lot.stats().waiting);
            if missing == 0 {
                return Ok(time);
            }
            let specs: Vec<TaskSpec> = (0..missing).map(|_| self.spec()).collect();
            let start = Instant::now();
            for spec in &specs {
                let now = self.tick();
                self.lot.submit(now, spec).map_err(|error| BenchError::Pool(error.to_string()))?;
            }
            time += start.elapsed();
            let now = self.tick();
            self.obey(now);
        }
    }

    /// Does what the lot decides, as a worker would; says how many decisions that were.
    fn obey(&mut self, now: Time) -> u64 {
        let mut obeyed = 0;
        while let Some(decision) = self.lot.next_decision(0, true) {
            obeyed += 1;
            match decision {
                Decision::Start(id) | Decision::Resume(id) => self.running.push(id),
                Decision::Park(id) => {
                    self.running.retain(|&other| other != id);
                    self.lot.parked(id);
                    self.lot.settle(now);
                }
                Decision::Cancel(id) => self.running.retain(|&other| other != id),
            }
        }
        obeyed
    }

    /// Ends `count` running tasks, one after the other; each time the lot decides what follows. Gives the time, and how many decisions it
    /// made.
    fn decide(&mut self, count: usize) -> Result<(Duration, u64), BenchError> {
        let draws: Vec<usize> = (0..count).map(|_| self.random.below(1 << 32)).collect();
        let mut decided = 0;
        let start = Instant::now();
        for draw in draws {
            if self.running.is_empty() {
                return Err(BenchError::Pool("tasks ended, others wait, and the lot started none".to_string()));
            }
            let place = draw % self.running.len();
            let ended = self.running.swap_remove(place);
            let now = self.tick();
            self.lot.ended(ended, Ending::Completed);
            self.lot.settle(now);
            decided += self.obey(now);
        }
        Ok((start.elapsed(), decided))
    }

    /// What the lot does for `count` steps of all running tasks in which nothing ends.
    fn step(&mut self, count: u64) -> Duration {
        let progress: Vec<Progress> =
            self.running.iter().map(|&task| Progress { task, prefill: 0, decode: 1 }).collect();
        let mut sitting_out = Vec::new();
        let start = Instant::now();
        for _ in 0..count {
            let now = self.tick();
            self.lot.report(Duration::from_millis(20), &progress);
            self.lot.settle(now);
            self.lot.sitting_out(0, &mut sitting_out);
        }
        start.elapsed()
    }

    /// The lot's books are in order, and the scene is the one that was to be measured: otherwise the figures are of something else.
    fn check(&mut self, options: &Options) -> Result<(), BenchError> {
        let now = self.tick();
        self.lot.settle(now);
        self.lot.audit(now).map_err(BenchError::Pool)?;
        let stats = self.lot.stats();
        let all_run = self.scarce == Scarce::Memory || stats.running == options.running as u64;
        if stats.running != self.running.len() as u64 || !all_run {
            let (known, wanted) = (self.running.len(), options.running);
            let problem =
                format!("the lot has {} running tasks; {known} are known and {wanted} were wanted", stats.running);
            return Err(BenchError::Pool(problem));
        }
        Ok(())
    }
}
