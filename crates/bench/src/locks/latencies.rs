//! Durations in buckets so fine that a percentile is right to 3 %: a run takes too many to keep each.

/// Buckets of each doubling.
const EACH: usize = 32;

#[derive(Clone, Debug)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    /// The longest, exactly.
    pub(super) longest_ns: u64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Latencies { counts: vec![0; 64 * EACH], longest_ns: 0 }
    }

    #[inline]
    pub(super) fn add(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.longest_ns = self.longest_ns.max(ns);
    }

    pub(super) fn merge(&mut self, other: &Latencies) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }

    /// The nearest-rank percentile in nanoseconds: the least duration of its bucket.
    pub(super) fn percentile(&self, percent: f64) -> Option<f64> {
        let all: u64 = self.counts.iter().sum();
        let rank = ((percent / 100.0 * all as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(least(at) as f64)
    }
}

/// Up to `2 * EACH` each nanosecond has a bucket of its own.
fn bucket(ns: u64) -> usize {
    let doublings = (ns.max(1).ilog2() as usize).saturating_sub(EACH.ilog2() as usize);
    doublings * EACH + (ns >> doublings) as usize
}

/// The least duration in a bucket.
fn least(bucket: usize) -> u64 {
    let doublings = (bucket / EACH).saturating_sub(1);
    ((bucket - doublings * EACH) as u64) << doublings
}

#[cfg(test)]
mod tests {
    use super::{Latencies, bucket, least};

    #[test]
    fn a_bucket_is_at_most_3_percent_wide() {
        for ns in (0..5_000).chain((5_000..5_000_000_000).step_by(7_919_777)) {
            let (from, to) = (least(bucket(ns)), least(bucket(ns) + 1));
            assert!(from <= ns && ns < to, "{ns} is not in {from}..{to}");
            assert!((to - from - 1) as f64 <= 0.032 * from as f64, "{from}..{to}");
        }
        assert!(bucket(u64::MAX) < 64 * super::EACH);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut all = Latencies::new();
        assert_eq!(all.percentile(50.0), None);
        (1..=50).for_each(|ns| all.add(ns));
        let mut more = Latencies::new();
        more.add(1_000_000);
        all.merge(&more);
        assert_eq!((all.percentile(50.0), all.percentile(98.0)), (Some(26.0), Some(50.0)));
        assert!(all.percentile(100.0).is_some_and(|ns| (970_000.0..=1_000_000.0).contains(&ns)));
        assert_eq!(all.longest_ns, 1_000_000);
    }
}
