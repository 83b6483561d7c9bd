//! How many decisions a second the lot makes on one core, and how much memory a waiting task costs.
//!
//! `cargo run --release -p parkade-pool --example decisions`
//!
//! The lot holds 100,000 waiting and 256 running tasks of all classes and 1,000 tenants, a fifth with deadlines. Each
//! turn one running task ends, another is admitted in its place and a new one is submitted; now and then a waiting
//! one is cancelled. Every answered command is one decision: ended, settled (with the admission that follows),
//! started, submitted, cancelled, grown. Each running task also reports progress every 64 turns; those reports are
//! counted apart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parkade_pool::*;

const WAITING: u64 = 100_000;
const RUNNING: u64 = 256;
const TURNS: u64 = 1_000_000;

/// SplitMix64: small, seeded, good enough to mix tasks.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

struct Traffic {
    random: Random,
    tenants: Vec<Arc<str>>,
}

impl Traffic {
    fn task(&mut self, now: Time) -> TaskSpec {
        let random = &mut self.random;
        let prompt = 16 + random.below(1000);
        let answer = 16 + random.below(400);
        let blocks = |tokens: u64| Units::from([tokens.div_ceil(16)]);
        let now_units = blocks(prompt).with(1, 1);
        let tenant = random.below(self.tenants.len() as u64) as usize;
        TaskSpec {
            class: Class::ALL[[0, 1, 1, 1, 1, 1, 1, 2, 2, 3][random.below(10) as usize]],
            rank: random.below(3) as i64,
            deadline: (random.below(5) == 0).then(|| now.after(Duration::from_secs(1 << 20))),
            work: Work::new(prompt, answer),
            ..TaskSpec::new(
                Arc::clone(&self.tenants[tenant]),
                Cost::growing(now_units, blocks(answer), blocks(answer * 4)),
            )
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    measure("slots bind", 256 * 300, false, true)?;
    measure("memory binds (predicted peaks)", 256 * 42, false, false)?;
    measure("slots bind, higher classes park lower ones", 256 * 300, true, false)?;
    Ok(())
}

/// The process's resident memory, where the system tells it.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024)
}

/// Does what the lot decides, as a worker would; says how much that was.
fn obey(lot: &mut Lot, now: Time, running: &mut Vec<TaskId>) -> u64 {
    let mut obeyed = 0;
    while let Some(decision) = lot.next_decision(0, true) {
        obeyed += 1;
        match decision {
            Decision::Start(id) | Decision::Resume(id) => running.push(id),
            Decision::Park(id) => {
                running.retain(|&other| other != id);
                lot.parked(id);
                lot.settle(now);
                obeyed += 1;
            }
            Decision::Cancel(id) => unreachable!("only waiting tasks are cancelled, and {id} is not one"),
        }
    }
    obeyed
}

fn measure(name: &str, blocks: u64, preempt: bool, first: bool) -> Result<(), Box<dyn std::error::Error>> {
    let capacity = Capacity::new([("blocks", blocks), ("sequences", RUNNING)]);
    let mut config = PolicyConfig::new(capacity);
    (config.limits.max_waiting, config.limits.max_waiting_tokens) = (WAITING * 2, u64::MAX / 2);
    config.limits.preempt = preempt;
    let mut lot = Lot::new(config)?;
    let tenants = (0..1000).map(|number| Arc::from(format!("tenant-{number}"))).collect();
    let mut traffic = Traffic { random: Random(7), tenants };
    let mut now = Time::ZERO;
    let mut running = Vec::new();
    let mut waiting = Vec::new();

    let before = resident_bytes();
    let began = Instant::now();
    while lot.stats().waiting < WAITING {
        for _ in 0..1000 {
            waiting.push(lot.submit(now, &traffic.task(now))?.0);
        }
        obey(&mut lot, now, &mut running);
    }
    let filled = began.elapsed();
    let bytes = resident_bytes()
        .zip(before)
        .map(|(now, before)| now.saturating_sub(before) - waiting.len() * size_of::<TaskId>());
    let submitted = waiting.len();

    let mut decisions = 0_u64;
    let mut reported = 0_u64;
    let mut admitted = 0_u64;
    let began = Instant::now();
    for turn in 0..TURNS {
        now = now.after(Duration::from_micros(50));
        let done = running.swap_remove(traffic.random.below(running.len() as u64) as usize);
        lot.ended(done, Ending::Completed);
        lot.settle(now);
        decisions += 2;
        waiting.push(lot.submit(now, &traffic.task(now))?.0);
        decisions += 1;
        let obeyed = obey(&mut lot, now, &mut running);
        admitted += obeyed;
        decisions += obeyed;
        if turn % 16 == 0 {
            // Cancelled from the middle of the line; the one that ends instead is replaced as well.
            let at = traffic.random.below(waiting.len() as u64) as usize;
            let id = waiting.swap_remove(at);
            if lot.state_of(id) == Some(TaskState::Waiting) && lot.cancel(id) {
                lot.next_ended();
                waiting.push(lot.submit(now, &traffic.task(now))?.0);
                decisions += 2;
            }
        }
        if turn % 64 == 0 {
            let progress: Vec<_> = running.iter().map(|&task| Progress { task, prefill: 0, decode: 1 }).collect();
            lot.report(Duration::from_millis(10), &progress);
            lot.grow(now, running[0], Units::from([1]), None);
            reported += progress.len() as u64;
            decisions += 1;
        }
    }
    let busy = began.elapsed();
    let stats = lot.stats();
    println!("{name}: {} waiting, {} running, {} tenants", stats.waiting, stats.running, stats.tenants);
    println!("  filling: {submitted} submits, {:.2} million a second", submitted as f64 / filled.as_secs_f64() / 1e6);
    println!(
        "  turning: {decisions} decisions ({admitted} by the lot itself) and {reported} reports of progress in {busy:.2?}: \
         {:.2} million decisions a second ({:.2} with the reports); a turn takes {:.0} ns",
        decisions as f64 / busy.as_secs_f64() / 1e6,
        (decisions + reported) as f64 / busy.as_secs_f64() / 1e6,
        busy.as_secs_f64() * 1e9 / TURNS as f64,
    );
    // Later lots take memory that earlier ones have given back, so only the first shows what it costs.
    if let (Some(bytes), true) = (bytes, first) {
        println!("  memory: {:.0} bytes a waiting task, tenants and all included", bytes as f64 / stats.waiting as f64);
    }
    Ok(())
}
