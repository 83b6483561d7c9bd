//! Simulated traffic against the lot, with everything that goes wrong, checking every invariant after every command.
//!
//! `PARKADE_SIM_SCALE=20 cargo test --release -p parkade-pool --test simulation -- --nocapture` runs twenty times as
//! many requests as the default, on other seeds too; `PARKADE_SIM_SEED` picks another seed.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
mod support;

use parkade_pool::*;
use support::*;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn lot(blocks: u64, slots: u64) -> PolicyConfig {
    let mut config = PolicyConfig::new(Capacity::new([("blocks", blocks), ("slots", slots)]));
    (config.limits.max_waiting, config.limits.max_waiting_tokens) = (24, 4000);
    config.limits.class_burst = 400;
    config.limits.max_bypass = 4;
    config
}

const FAULTS: Faults = Faults { cancels: 30, failures: 10, pauses: 15, hidden: 20 };

/// Runs one kind of traffic in several lots, one after the other, each with a seed of its own.
fn simulate(name: &str, requests: u64, make: impl Fn(u64) -> Simulation) {
    let scale = setting("PARKADE_SIM_SCALE", 1);
    let seed = setting("PARKADE_SIM_SEED", 1);
    let (mut total, mut steps, mut refused, mut outcomes, mut parkings) = (0, 0, 0, [0_u64; 4], 0);
    for part in 0..10 * scale {
        let mut simulation = make(seed * 1_000_003 + part);
        simulation.run(requests / 10);
        total += simulation.requests;
        steps += simulation.steps;
        refused += simulation.refusals;
        parkings += simulation.lot.stats().preemptions;
        outcomes.iter_mut().zip(simulation.outcomes).for_each(|(sum, part)| *sum += part);
        assert!(
            simulation.lot.stats().tenants <= 256 + 40,
            "gone tenants are forgotten: {}",
            simulation.lot.stats().tenants
        );
    }
    let [completed, failed, cancelled, expired] = outcomes;
    println!(
        "{name}: {total} requests in {steps} steps: {completed} completed, {failed} failed, {cancelled} cancelled, \
         {expired} expired, {refused} refused; {parkings} parkings"
    );
    assert!(completed > 0 && parkings > 0, "the traffic tests something");
}

#[test]
fn poisson_traffic_with_faults() {
    simulate("poisson", 900_000, |seed| {
        let lengths = Lengths::Even { prompt: 30, answer: 12 };
        Simulation::new(seed, lot(60, 8), Traffic::new(Arrivals::Poisson(220.0), lengths, Tenants::Equal(5)), FAULTS)
    });
}

#[test]
fn bursts_with_full_reservation() {
    simulate("bursts, full", 600_000, |seed| {
        let mut config = lot(80, 8);
        config.reserve = Reserve::Full;
        let lengths = Lengths::Even { prompt: 20, answer: 8 };
        let arrivals = Arrivals::Bursts { size: 30, rate: 8.0 };
        Simulation::new(seed, config, Traffic::new(arrivals, lengths, Tenants::Equal(4)), FAULTS)
    });
}

#[test]
fn heavy_tails() {
    simulate("heavy tails", 900_000, |seed| {
        let mut traffic =
            Traffic::new(Arrivals::Poisson(260.0), Lengths::HeavyTailed { prompt: 120, answer: 40 }, Tenants::Equal(6));
        traffic.misestimate = 2;
        Simulation::new(seed, lot(64, 6), traffic, FAULTS)
    });
}

#[test]
fn a_flooding_tenant_and_ever_new_names() {
    for tenants in [Tenants::Flood(5), Tenants::Fresh] {
        simulate("adversarial tenants", 300_000, |seed| {
            let lengths = Lengths::Even { prompt: 24, answer: 8 };
            let mut config = lot(48, 6);
            config.limits.tenant.max_running = Some(4);
            config.limits.tenant.max_waiting = Some(12);
            Simulation::new(seed, config, Traffic::new(Arrivals::Poisson(300.0), lengths, tenants), FAULTS)
        });
    }
}

#[test]
fn without_an_own_count_the_ledger_decides() {
    simulate("ledger only", 300_000, |seed| {
        let lengths = Lengths::Even { prompt: 30, answer: 12 };
        let traffic = Traffic::new(Arrivals::Poisson(220.0), lengths, Tenants::Equal(5));
        let mut simulation = Simulation::new(seed, lot(60, 8), traffic, Faults { hidden: 0, ..FAULTS });
        simulation.observe = false;
        simulation
    });
}

/// Tenants that always have something waiting have been served nearly the same. The bound is that of the paper on
/// virtual token counters: twice what can be in service at once, and here the heaviest prompt.
#[test]
fn backlogged_tenants_are_served_alike() {
    let (slots, prompt, answer) = (6, 30, 12);
    let mut traffic = Traffic::new(Arrivals::Backlog(60), Lengths::Even { prompt, answer }, Tenants::Hungriest(4));
    traffic.classes = [0, 1, 0, 0];
    traffic.deadlines = 0;
    let mut config = lot(60, slots);
    (config.limits.max_waiting, config.limits.max_waiting_tokens) = (1000, 1 << 30);
    let mut simulation = Simulation::new(3, config, traffic, Faults::default());
    let bound = 2 * (prompt + slots * answer * 3 * 2);
    let mut largest = 0;
    while simulation.requests < 20_000 * setting("PARKADE_SIM_SCALE", 1) {
        simulation.turn();
        if simulation.served_tenants.len() == 4
            && simulation.lot.all_tenant_stats().iter().all(|tenant| tenant.waiting > 0)
        {
            let served = &simulation.served_tenants;
            let gap = served.iter().max().unwrap() - served.iter().min().unwrap();
            largest = largest.max(gap);
        }
    }
    let served = simulation.served_tenants.clone();
    println!("served {served:?}, largest gap {largest}, bound {bound}");
    assert!(largest <= bound, "gap {largest}, bound {bound}");
    assert!(served.iter().sum::<u64>() > 100 * bound, "long enough to mean something: {served:?}");
}

/// One that sends a hundred times as much as the others takes nothing from them: they get what they ask for.
#[test]
fn a_flood_takes_nothing_from_the_others() {
    let mut traffic =
        Traffic::new(Arrivals::Poisson(400.0), Lengths::Even { prompt: 24, answer: 8 }, Tenants::Flood(5));
    traffic.classes = [0, 1, 0, 0];
    traffic.deadlines = 0;
    let mut config = lot(48, 6);
    config.limits.tenant.max_waiting = Some(16);
    (config.limits.max_waiting, config.limits.max_waiting_tokens) = (200, 1 << 20);
    let mut simulation = Simulation::new(5, config, traffic, Faults::default());
    simulation.run(20_000 * setting("PARKADE_SIM_SCALE", 1));
    let stats = simulation.lot.stats();
    println!("served {:?}, refusals {:?}", simulation.served_tenants, stats.refusals);
    let tenants_refusals: u64 =
        stats.refusals.iter().filter(|(reason, _)| *reason != "tenant_queue_full").map(|(_, n)| n).sum();
    assert_eq!(tenants_refusals, 0, "only the flood is refused");
    // The others send a hundredth each, and each got within a tenth of the mean of them.
    let others = &simulation.served_tenants[1..];
    let mean = others.iter().sum::<u64>() / others.len() as u64;
    assert!(others.iter().all(|&served| served * 10 >= mean * 8), "{others:?}");
}

/// With all classes always waiting, each is served by its weight, and low is never left out for long.
#[test]
fn classes_that_always_wait_share_by_weight() {
    for preempt in [false, true] {
        let mut traffic =
            Traffic::new(Arrivals::Backlog(80), Lengths::Even { prompt: 20, answer: 8 }, Tenants::Equal(3));
        traffic.classes = [1, 1, 1, 1];
        traffic.deadlines = 0;
        let mut config = lot(60, 6);
        (config.limits.max_waiting, config.limits.max_waiting_tokens) = (4000, 1 << 30);
        config.limits.class_weights = PerClass::new(1, 2, 4, 8);
        config.limits.preempt = preempt;
        let mut simulation = Simulation::new(11, config, traffic, Faults::default());
        simulation.audit = false; // The line becomes long; others audit.
        let (mut low, mut longest) = (0, 0);
        let mut since_low = 0;
        while simulation.steps < 60_000 {
            top_up(&mut simulation);
            simulation.turn();
            since_low += 1;
            if simulation.served_classes[0] > low {
                low = simulation.served_classes[0];
                longest = longest.max(since_low);
                since_low = 0;
            }
        }
        let served = simulation.served_classes;
        let total: u64 = served.iter().sum();
        println!("preempt {preempt}: served {served:?} of {total}, low waited {longest} steps at most");
        for (class, weight) in [1, 2, 4, 8].into_iter().enumerate() {
            let share = served[class] as f64 / total as f64;
            let due = f64::from(weight) / 15.0;
            assert!((share / due - 1.0).abs() < 0.1, "class {class} has {share:.4} and is due {due:.4}");
        }
        assert!(longest < 2000, "low waited {longest} steps");
    }
}

/// Keeps each class supplied: what is sent evenly is served unevenly.
fn top_up(simulation: &mut Simulation) {
    let stats = simulation.lot.stats();
    simulation.traffic.classes = Class::ALL.map(|class| u64::from(stats.classes[class].waiting < 12));
    let hungry: u64 = simulation.traffic.classes.iter().sum();
    if hungry == 0 {
        simulation.traffic.classes = [1, 1, 1, 1];
    }
    simulation.traffic.arrivals = Arrivals::Backlog(simulation.lot.present() + u64::from(hungry > 0) * 12);
}

/// A task that does not fit is passed at most so many times by those behind it, and then runs.
#[test]
fn a_task_that_does_not_fit_is_passed_a_bounded_number_of_times() {
    let mut config = lot(20, 20);
    config.limits.max_bypass = 7;
    config.limits.preempt = false;
    let mut lot = Lot::new(config).unwrap();
    let task = |blocks: u64| TaskSpec::new("t", Cost::fixed(Units::from([blocks, 1])));
    let (first, _) = lot.submit(Time::ZERO, &task(4)).unwrap();
    let (large, _) = lot.submit(Time::ZERO, &task(18)).unwrap();
    let mut running = std::collections::VecDeque::from([first]);
    let mut passed = 0;
    for turn in 1..100 {
        let now = Time::from_nanos(turn);
        let _ = lot.submit(now, &task(4)).unwrap();
        while let Some(Decision::Start(id)) = lot.next_decision(0, true) {
            if id == large {
                assert_eq!(passed, 7, "as many as may, and no more");
                return;
            }
            passed += u64::from(id != first);
            running.push_back(id);
        }
        assert!(passed <= 7);
        if turn % 2 == 0
            && let Some(done) = running.pop_front()
        {
            lot.ended(done, Ending::Completed);
            lot.settle(now);
            lot.audit(now).unwrap();
        }
    }
    panic!("the large task never ran");
}
