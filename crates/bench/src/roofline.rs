//! The machine's own limits, measured: how fast it reads memory, and how fast it adds up products of bytes.
//!
//! A forward pass reads every weight once and multiplies it with every row, so one of the two limits is always the nearer one
//! (Williams, Waterman, Patterson: Roofline, 2009).

use parkade_kernels::{Team, dot_products};
use parkade_model::PassCost;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// What is read for the bandwidth: more than caches hold.
const BYTES: usize = 512 << 20;
/// How often each is measured, after one run to warm up. The best counts: it is a limit.
const REPEATS: usize = 5;
/// How long each thread multiplies in a repeat, at least.
const MULTIPLYING: Duration = Duration::from_millis(10);

/// The limits over so many threads.
#[derive(Clone, Copy, Debug)]
pub struct Roofline {
    /// Bytes a second that can be read from memory.
    pub read: f64,
    /// Products of two bytes a second.
    pub int8: f64,
}

/// How near a measurement came to the limits, each from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Of the read bandwidth. More than 1: weights stayed in a cache.
    pub(crate) read: f64,
    /// Of the int8 rate.
    pub(crate) int8: f64,
}

impl Shares {
    /// The limit that is nearer.
    pub(crate) fn nearer(self) -> f64 {
        self.read.max(self.int8)
    }
}

impl Roofline {
    /// Measures both limits with the threads of a team.
    #[must_use]
    pub fn measure(team: &Team) -> Roofline {
        Roofline { read: read_bandwidth(team, BYTES), int8: int8_rate(team, MULTIPLYING) }
    }

    /// What a pass that read `context_bytes` of keys and values beside its weights reached in so many seconds.
    pub(crate) fn shares(&self, cost: PassCost, context_bytes: usize, seconds: f64) -> Shares {
        Shares {
            read: (cost.weight_bytes + context_bytes) as f64 / seconds / self.read,
            int8: cost.products as f64 / seconds / self.int8,
        }
    }

    /// For people.
    pub(crate) fn line(&self, threads: usize) -> String {
        format!(
            "reads {:.1} GB/s, {:.0} G int8 products/s with {threads} threads, measured in this run",
            self.read / 1e9,
            self.int8 / 1e9
        )
    }
}

/// The best of some repeats of something that all threads do.
fn best(team: &Team, amount: f64, work: &(dyn Fn(usize) + Sync)) -> f64 {
    team.run(work);
    let rate = |_| {
        let start = Instant::now();
        team.run(work);
        amount / start.elapsed().as_secs_f64()
    };
    (0..REPEATS).map(rate).fold(0.0, f64::max)
}

fn read_bandwidth(team: &Team, bytes: usize) -> f64 {
    // Each thread has written what it reads: memory lies near it, and no two of its pages are one.
    let each = bytes / size_of::<u64>() / team.threads();
    let data: Vec<Vec<u64>> = (0..team.threads()).map(|thread| vec![thread as u64 + 1; each]).collect();
    best(team, (each * team.threads() * size_of::<u64>()) as f64, &|thread| {
        // Independent sums, so that additions do not wait for each other.
        let mut sums = [0u64; 16];
        for chunk in data[thread].chunks_exact(16) {
            for (sum, value) in sums.iter_mut().zip(chunk) {
                *sum = sum.wrapping_add(*value);
            }
        }
        black_box(sums);
    })
}

fn int8_rate(team: &Team, at_least: Duration) -> f64 {
    let mut rounds = 1_000;
    loop {
        let start = Instant::now();
        let products = dot_products(rounds);
        if start.elapsed() >= at_least {
            return best(team, products as f64 * team.threads() as f64, &|_| {
                black_box(dot_products(rounds));
            });
        }
        rounds *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_measured_and_shares_are_of_them() {
        let team = Team::new(2);
        assert!(read_bandwidth(&team, 4 << 20) > 0.0);
        assert!(int8_rate(&team, Duration::from_micros(100)) > 0.0);
        let roofline = Roofline { read: 10e9, int8: 100e9 };
        let cost = PassCost { weight_bytes: 3_000_000_000, products: 10_000_000_000 };
        let shares = roofline.shares(cost, 1_000_000_000, 0.5);
        assert_eq!((shares.read, shares.int8, shares.nearer()), (0.8, 0.2, 0.8));
    }
}
