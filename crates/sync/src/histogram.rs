//! Durations in fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, inclusive; a last bucket holds what is longer.
pub const BOUNDS: [Duration; 12] = [
    Duration::from_nanos(250),
    Duration::from_micros(1),
    Duration::from_micros(4),
    Duration::from_micros(16),
    Duration::from_micros(64),
    Duration::from_micros(250),
    Duration::from_millis(1),
    Duration::from_millis(4),
    Duration::from_millis(16),
    Duration::from_millis(64),
    Duration::from_millis(250),
    Duration::from_secs(1),
];

/// Durations by bucket, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many durations fell into each bucket of [`BOUNDS`], and at last how many were longer than all.
    pub counts: [u64; BOUNDS.len() + 1],
    /// All durations together.
    pub sum: Duration,
}

impl Histogram {
    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds what another one holds.
    pub(crate) fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }
}

/// A histogram that threads write at once. It has cache lines of its own: what stands beside it is read all the time.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct SharedHistogram {
    // Relaxed throughout: each is a statistic of its own and orders nothing.
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

impl SharedHistogram {
    pub(crate) const fn new() -> Self {
        SharedHistogram { counts: [const { AtomicU64::new(0) }; BOUNDS.len() + 1], sum_ns: AtomicU64::new(0) }
    }

    pub(crate) fn observe(&self, duration: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < duration);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Histogram {
        Histogram {
            counts: self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, SharedHistogram};
    use std::time::Duration;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let histogram = SharedHistogram::new();
        let most = BOUNDS[BOUNDS.len() - 1];
        for duration in [Duration::ZERO, BOUNDS[0], BOUNDS[0] + Duration::from_nanos(1), most, 2 * most] {
            histogram.observe(duration);
        }
        let read = histogram.read();
        assert_eq!(read.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((read.count(), read.sum), (5, 3 * most + 2 * BOUNDS[0] + Duration::from_nanos(1)));
    }
}
