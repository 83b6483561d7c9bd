//! The engine whole, in virtual time: policy, executor, stepper, streams, readers along, cancels, deadlines, parkings, slow readers, failures
//! and panics, in one thread and from one seed.
//!
//! The clock stands still but for what passes cost; what clients do in the middle of a pass happens in the middle of it. So a machine at
//! twice its capacity for hours is simulated in seconds, and a run that fails is repeated by its seed:
//!
//! ```text
//! PARKADE_SIMULATE_SEED=7 PARKADE_SIMULATE_REQUESTS=20000 cargo test -p parkade-core --test simulation
//! ```
//!
//! The audits of policy, stepper and block pool run after each decision and step, as in all tests; `World::check` adds what can be seen
//! from outside, and each client knows which tokens it has to get.
#![allow(clippy::unwrap_used)] // Everything in here is a test.

mod client;
mod forms;
mod machine;
mod world;

use std::sync::Arc;
use std::time::Duration;

use parkade_core::{Clock, Engine, EngineConfig, SchedulerKind, Turn};
use parkade_sync::Mutex;

use machine::{Machine, Syllables};
use world::World;

/// Requests at least, over all schedulers of this build.
const REQUESTS: usize = 1_000_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is {text}")))
}

fn config(scheduler: SchedulerKind) -> EngineConfig {
    EngineConfig {
        scheduler,
        max_seqs: 12,
        max_batched_tokens: 48,
        max_queue_depth: 40,
        stream_capacity: 16,
        slow_reader: Duration::from_millis(400),
        step_target: Duration::from_millis(8),
        ..EngineConfig::default()
    }
}

/// Runs one engine until it has had this many requests and all have ended.
fn simulate(scheduler: SchedulerKind, seed: u64, requests: usize) {
    let clock = Clock::by_hand();
    let world = Arc::new(Mutex::new("simulation.world", World::new(scheduler, seed, requests, clock.clone())));
    // Every other seed has a model that keeps states: as many as sequences, or some more for snapshots.
    let states = if seed % 2 == 1 { 12 + seed as usize % 12 / 2 } else { 0 };
    // Every third has layers that read only so many of the last tokens.
    let (blocks, windows) = if seed % 3 == 2 { (128, &[10, 30][..]) } else { (64, &[][..]) };
    let machine = Machine::new(blocks, windows, states, 4, 96, Arc::clone(&world));
    let (engine, mut worker) =
        Engine::by_hand(Box::new(machine), Arc::new(Syllables), config(scheduler), clock).unwrap();
    world.lock().opens(engine.clone());
    loop {
        let turn = worker.turn();
        let mut world = world.lock();
        world.check();
        match turn {
            Turn::Worked => {}
            Turn::Idle(until) if !world.waits(until) => break,
            Turn::Idle(_) => {}
            Turn::Stopped => panic!("nobody stopped it"),
        }
    }
    let mut world = world.lock();
    world.ends();
    println!("{}: seed {seed}: {}", scheduler.name(), world.report());
}

/// A failed assertion or a panic names what repeats it.
struct Named(SchedulerKind, u64, usize);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Named(scheduler, seed, requests) = self;
            eprintln!(
                "the simulation of {} failed: PARKADE_SIMULATE_SEED={seed} PARKADE_SIMULATE_REQUESTS={requests}",
                scheduler.name()
            );
        }
    }
}

#[test]
fn every_promise_is_kept_in_virtual_time() {
    let (seeds, requests) = match (number("PARKADE_SIMULATE_SEED"), number("PARKADE_SIMULATE_REQUESTS")) {
        (Some(seed), requests) => (seed..seed + 1, requests.unwrap_or(20_000) as usize),
        (None, requests) => (0..20, requests.map_or(REQUESTS, |requests| requests as usize)),
    };
    machine::silence_its_panics();
    let schedulers: Vec<SchedulerKind> = [SchedulerKind::Default, SchedulerKind::ParkingLot]
        .into_iter()
        .filter(|scheduler| scheduler.is_in_this_build())
        .collect();
    let each = requests.div_ceil(schedulers.len() * seeds.clone().count());
    for &scheduler in &schedulers {
        for seed in seeds.clone() {
            let _named = Named(scheduler, seed, each * schedulers.len());
            simulate(scheduler, seed, each);
        }
    }
}
