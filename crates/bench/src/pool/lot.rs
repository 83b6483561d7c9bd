//! The lot without threads: commands in, decisions out.

use super::Options;
use crate::machine::resident_bytes;
use crate::random::Random;
use crate::{BenchError, Samples};
use parkade_pool::{
    Capacity, Class, Cost, Decision, Ending, Lot, LotConfig, Progress, TaskId, TaskSpec, Time, Units, WaitingRoom, Work,
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
}

/// Blocks are no bottleneck here, slots are: so many tasks run as there are slots.
const BLOCKS_EACH: u64 = 96;

pub(super) fn measure(options: &Options, seed: u64) -> Result<Measured, BenchError> {
    let mut bench = Bench::new(options, seed)?;
    let before = resident_bytes(std::process::id());
    bench.fill(options.waiting)?;
    let after = resident_bytes(std::process::id());
    let grown = before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64);
    let bytes_each = grown.map(|bytes| bytes / options.waiting as f64);

    bench.decide(options.decisions)?;
    bench.fill(options.waiting)?;
    let rate = |count: usize, time: Duration| count as f64 / time.as_secs_f64();
    let (mut decisions, mut submissions, mut turns, mut steps) = (vec![], vec![], vec![], vec![]);
    for _ in 0..options.repeats {
        let deciding = bench.decide(options.decisions)?;
        let filling = bench.fill(options.waiting)?;
        decisions.push(rate(options.decisions, deciding));
        submissions.push(rate(options.decisions, filling));
        turns.push(rate(options.decisions, deciding + filling));
        let count = 2_000;
        steps.push(rate(count, bench.step(count)));
    }
    let mut each = Vec::with_capacity(options.decisions);
    for _ in 0..options.decisions {
        each.push(bench.decide(1)?.as_nanos() as f64);
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
    })
}

struct Bench {
    lot: Lot,
    running: Vec<TaskId>,
    tenants: Vec<Arc<str>>,
    random: Random,
    now: u64,
    /// Tasks that were taken; the waiting are these less those that were started.
    present: usize,
}

impl Bench {
    fn new(options: &Options, seed: u64) -> Result<Bench, BenchError> {
        let slots = options.running as u64;
        let mut config = LotConfig::new(Capacity::new([("blocks", slots * BLOCKS_EACH), ("slots", slots)]));
        config.limits.room = WaitingRoom::new(4 * options.waiting as u64, u64::MAX / 1_000);
        // Running tasks are not sent away, so that their number stays what it should be.
        config.limits.preempt = false;
        let lot = Lot::new(config).map_err(|error| BenchError::Pool(error.to_string()))?;
        let tenants = (0..options.tenants).map(|tenant| format!("tenant-{tenant}").into()).collect();
        let mut bench = Bench { lot, running: Vec::new(), tenants, random: Random::new(seed, 0), now: 0, present: 0 };
        while bench.running.len() < options.running {
            bench.submit()?;
            bench.take_up();
        }
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

    fn submit(&mut self) -> Result<(), BenchError> {
        let (now, spec) = (self.tick(), self.spec());
        self.lot.submit(now, &spec).map_err(|error| BenchError::Pool(error.to_string()))?;
        self.present += 1;
        Ok(())
    }

    /// Submits until `waiting` tasks wait; gives the time that the lot took for it.
    fn fill(&mut self, waiting: usize) -> Result<Duration, BenchError> {
        let missing = waiting.saturating_sub(self.present - self.running.len());
        let specs: Vec<TaskSpec> = (0..missing).map(|_| self.spec()).collect();
        let start = Instant::now();
        for spec in &specs {
            let now = self.tick();
            self.lot.submit(now, spec).map_err(|error| BenchError::Pool(error.to_string()))?;
        }
        self.present += missing;
        Ok(start.elapsed())
    }

    fn take_up(&mut self) {
        while let Some(decision) = self.lot.next_decision(0, true) {
            if let Decision::Start(id) = decision {
                self.running.push(id);
            }
        }
    }

    /// Ends `count` running tasks, one after the other; each time the lot chooses the next. Gives the time.
    fn decide(&mut self, count: usize) -> Result<Duration, BenchError> {
        let places: Vec<usize> = (0..count).map(|_| self.random.below(self.running.len())).collect();
        let start = Instant::now();
        for place in places {
            let now = self.tick();
            self.lot.ended(self.running[place], Ending::Completed);
            self.lot.settle(now);
            match self.lot.next_decision(0, true) {
                Some(Decision::Start(id)) => self.running[place] = id,
                other => {
                    return Err(BenchError::Pool(format!(
                        "a task ended and the lot decided {other:?}, not to start one"
                    )));
                }
            }
        }
        let time = start.elapsed();
        self.present -= count;
        Ok(time)
    }

    /// What the lot does for `count` steps of all running tasks in which nothing ends.
    fn step(&mut self, count: usize) -> Duration {
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

    /// The lot counted what was done: otherwise the figures are of something else.
    fn check(&self, options: &Options) -> Result<(), BenchError> {
        let stats = self.lot.stats();
        let waiting = (self.present - self.running.len()) as u64;
        if stats.running != options.running as u64 || stats.waiting != waiting {
            return Err(BenchError::Pool(format!(
                "the lot has {} running and {} waiting tasks; it should have {} and {waiting}",
                stats.running, stats.waiting, options.running
            )));
        }
        Ok(())
    }
}
