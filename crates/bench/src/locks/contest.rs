//! Threads that want one lock, again and again.

use super::latencies::Latencies;
use super::sides::{Lock, ParkadeMutex, ParkadeRwLock, ParkingLotMutex, ParkingLotRwLock, SIDES, StdMutex, StdRwLock};
use crate::Samples;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Steps of a long section: each multiplies and adds, and needs the one before. Together about a microsecond.
const STEPS: u32 = 500;

/// What is done with which lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) kind: Kind,
    pub(super) long: bool,
    pub(super) threads: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mutex,
    Reads,
    Writes,
    /// One in twenty is a write.
    Mixed,
}

impl Kind {
    pub(super) const ALL: [Kind; 4] = [Kind::Mutex, Kind::Reads, Kind::Writes, Kind::Mixed];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Mutex => "mutex",
            Kind::Reads => "rwlock, reads",
            Kind::Writes => "rwlock, writes",
            Kind::Mixed => "rwlock, 95 % reads",
        }
    }

    /// For names of figures.
    pub(super) fn key(self) -> &'static str {
        match self {
            Kind::Mutex => "mutex",
            Kind::Reads => "rwlock_reads",
            Kind::Writes => "rwlock_writes",
            Kind::Mixed => "rwlock_mixed",
        }
    }
}

impl Case {
    pub(super) fn section(self) -> &'static str {
        if self.long { "long" } else { "short" }
    }
}

/// One side in one case, over all rounds.
#[derive(Debug)]
pub(super) struct Measured {
    /// Acquisitions a second, one for each round.
    pub(super) rates: Vec<f64>,
    /// How evenly the threads came to their turns, one for each round.
    pub(super) jain: Samples,
    pub(super) latencies: Latencies,
}

/// All sides in one case, in turns.
pub(super) fn measure(case: Case, rounds: usize, run_for: Duration) -> [Measured; SIDES.len()] {
    let mut jain = [const { Vec::new() }; SIDES.len()];
    let mut sides =
        SIDES.map(|_| Measured { rates: Vec::new(), jain: Samples::default(), latencies: Latencies::new() });
    for round in 0..rounds {
        for turn in 0..SIDES.len() {
            let side = (round + turn) % SIDES.len();
            let (counts, rate, _) = run::<false>(side, case, run_for);
            sides[side].rates.push(rate);
            jain[side].push(jains_index(&counts));
            let (_, _, latencies) = run::<true>(side, case, run_for);
            sides[side].latencies.merge(&latencies);
        }
    }
    for (side, jain) in sides.iter_mut().zip(jain) {
        side.jain = jain.into_iter().collect();
    }
    sides
}

/// 1 if all threads came to as many turns, `1 / threads` if one had them all.
fn jains_index(counts: &[u64]) -> f64 {
    let sum: f64 = counts.iter().map(|count| *count as f64).sum();
    let squares: f64 = counts.iter().map(|count| (*count as f64).powi(2)).sum();
    sum * sum / (counts.len() as f64 * squares)
}

/// Acquisitions of each thread, all of them a second, and if `TIMED` how long each took.
type Run = (Vec<u64>, f64, Latencies);

fn run<const TIMED: bool>(side: usize, case: Case, run_for: Duration) -> Run {
    match (case.kind, side) {
        (Kind::Mutex, 0) => run_section::<StdMutex<u64>, 1, TIMED>(case, run_for),
        (Kind::Mutex, 1) => run_section::<ParkingLotMutex<u64>, 1, TIMED>(case, run_for),
        (Kind::Mutex, _) => run_section::<ParkadeMutex<u64>, 1, TIMED>(case, run_for),
        (_, 0) => run_mix::<StdRwLock<u64>, TIMED>(case, run_for),
        (_, 1) => run_mix::<ParkingLotRwLock<u64>, TIMED>(case, run_for),
        (_, _) => run_mix::<ParkadeRwLock<u64>, TIMED>(case, run_for),
    }
}

fn run_mix<L: Lock, const TIMED: bool>(case: Case, run_for: Duration) -> Run {
    match case.kind {
        Kind::Reads => run_section::<L, 0, TIMED>(case, run_for),
        Kind::Mutex | Kind::Writes => run_section::<L, 1, TIMED>(case, run_for),
        Kind::Mixed => run_section::<L, 20, TIMED>(case, run_for),
    }
}

fn run_section<L: Lock, const WRITE_EACH: u32, const TIMED: bool>(case: Case, run_for: Duration) -> Run {
    match case.long {
        false => run_threads::<L, WRITE_EACH, false, TIMED>(case.threads, run_for),
        true => run_threads::<L, WRITE_EACH, true, TIMED>(case.threads, run_for),
    }
}

/// Keeps what threads share apart from what only one of them writes.
#[repr(align(128))]
struct Apart<T>(T);

fn run_threads<L: Lock, const WRITE_EACH: u32, const LONG: bool, const TIMED: bool>(
    threads: usize,
    run_for: Duration,
) -> Run {
    // A new lock for each run: where it lies is a part of how fast it is.
    let lock = Box::new(Apart(L::new()));
    let stop = Box::new(Apart(AtomicBool::new(false)));
    let start = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let work = || {
            start.wait();
            acquire::<L, WRITE_EACH, LONG, TIMED>(&lock.0, &stop.0)
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        start.wait();
        let begin = Instant::now();
        std::thread::sleep(run_for);
        // Relaxed: each thread stops when it sees it.
        stop.0.store(true, Ordering::Relaxed);
        let seconds = begin.elapsed().as_secs_f64();
        let mut latencies = Latencies::new();
        let counts: Vec<u64> = all
            .into_iter()
            .map(|thread| {
                let (count, own) = thread.join().expect("no section panics");
                latencies.merge(&own);
                count
            })
            .collect();
        let sum: u64 = counts.iter().sum();
        (counts, sum as f64 / seconds, latencies)
    })
}

/// One thread: each `WRITE_EACH`th acquisition is a write, none if that is 0.
fn acquire<L: Lock, const WRITE_EACH: u32, const LONG: bool, const TIMED: bool>(
    lock: &L,
    stop: &AtomicBool,
) -> (u64, Latencies) {
    let mut latencies = Latencies::new();
    let mut count = 0;
    let mut turn = 0;
    loop {
        turn = if turn + 1 >= WRITE_EACH { 0 } else { turn + 1 };
        let asked = TIMED.then(Instant::now);
        let waited = if WRITE_EACH > 0 && turn == 0 {
            let mut number = lock.write();
            let waited = asked.map(|asked| asked.elapsed());
            *number = section::<LONG>(*number);
            waited
        } else {
            let number = lock.read();
            let waited = asked.map(|asked| asked.elapsed());
            black_box(section::<LONG>(*number));
            waited
        };
        count += 1;
        if let Some(waited) = waited {
            latencies.add(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX));
        }
        if stop.load(Ordering::Relaxed) {
            return (count, latencies);
        }
    }
}

/// What is done with the lock held.
#[inline(always)]
fn section<const LONG: bool>(number: u64) -> u64 {
    if LONG { long_section(number) } else { number.wrapping_add(1) }
}

/// Out of line, so that it is the same code for all sides.
#[inline(never)]
fn long_section(number: u64) -> u64 {
    (0..STEPS).fold(number, |number, _| {
        black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    })
}

#[cfg(test)]
mod tests {
    use super::jains_index;

    #[test]
    fn the_index_is_1_for_equals_and_a_share_for_one_who_has_all() {
        assert_eq!(jains_index(&[5, 5, 5, 5]), 1.0);
        assert_eq!(jains_index(&[8, 0, 0, 0]), 0.25);
        assert!((jains_index(&[1, 3]) - 0.8).abs() < 1e-12);
    }
}
