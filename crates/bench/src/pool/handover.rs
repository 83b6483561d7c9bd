//! The worker pool: how long a task takes from the caller to the worker thread and its result back.

use super::Options;
use crate::{BenchError, Samples};
use parkade_pool::{
    Capacity, Cost, Drain, Executor, Lot, Outcome, PolicyConfig, PoolConfig, Step, StepContext, TaskId, TaskSpec,
    Units, WorkerPool,
};
use std::time::{Duration, Instant};

pub(super) struct Measured {
    pub submit_us: Samples,
    pub taken_us: Samples,
    pub round_trip_us: Samples,
    pub tasks_per_second: f64,
}

/// Completes each task in its next step, with the time that it took to get here.
struct Echo {
    taken: Vec<(TaskId, Duration)>,
}

impl Executor for Echo {
    /// When it was submitted.
    type Task = Instant;
    type Output = Duration;

    fn admit(&mut self, id: TaskId, submitted: Instant) {
        self.taken.push((id, submitted.elapsed()));
    }

    // Nothing is parked: all tasks are alike and keep what they start with.
    fn park(&mut self, _: TaskId) {}

    fn resume(&mut self, _: TaskId) {}

    fn cancel(&mut self, id: TaskId) {
        self.taken.retain(|(other, _)| *other != id);
    }

    fn step(&mut self, ctx: &mut StepContext<'_, Self>) -> Step {
        for (id, waited) in self.taken.drain(..) {
            ctx.complete(id, waited);
        }
        Step::Again
    }
}

pub(super) fn measure(options: &Options) -> Result<Measured, BenchError> {
    let failed = |reason: String| BenchError::Pool(reason);
    let mut lot = PolicyConfig::new(Capacity::new([("slots", 256)]));
    (lot.limits.max_waiting, lot.limits.max_waiting_tokens) = (1 << 20, u64::MAX / 1_000);
    let lot = Lot::new(lot).map_err(|error| failed(error.to_string()))?;
    let pool = WorkerPool::start(PoolConfig::new(lot), vec![Echo { taken: Vec::new() }]);
    let pool = pool.map_err(|error| failed(error.to_string()))?;
    let spec = TaskSpec::new("bench", Cost::fixed(Units::from([1])));
    let us = |time: Duration| time.as_secs_f64() * 1e6;

    let (mut submit, mut taken, mut round_trip) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.handovers {
        let start = Instant::now();
        let ticket = pool.submit(&spec, start).map_err(|rejected| failed(rejected.error.to_string()))?;
        submit.push(us(start.elapsed()));
        let Outcome::Completed(waited) = ticket.wait() else {
            return Err(failed("a task that does nothing did not complete".to_string()));
        };
        round_trip.push(us(start.elapsed()));
        taken.push(us(waited));
    }

    let start = Instant::now();
    let mut tickets = Vec::with_capacity(options.handovers);
    for _ in 0..options.handovers {
        tickets.push(pool.submit(&spec, start).map_err(|rejected| failed(rejected.error.to_string()))?);
    }
    let completed = tickets.into_iter().filter_map(|ticket| ticket.wait().completed()).count();
    let tasks_per_second = completed as f64 / start.elapsed().as_secs_f64();
    pool.shutdown(Drain::within(Duration::from_secs(10)));
    let samples = |values: Vec<f64>| values.into_iter().collect();
    Ok(Measured {
        submit_us: samples(submit),
        taken_us: samples(taken),
        round_trip_us: samples(round_trip),
        tasks_per_second,
    })
}
