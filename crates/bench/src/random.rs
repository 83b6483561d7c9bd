//! Seeded random numbers: the same seed gives the same arrivals, lengths and prompts on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One stream of random numbers. Streams of one seed are independent, so that request 17 is the same whether or not
/// the requests before it were drawn.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream number `stream` of `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Random(rng)
    }

    /// Uniform in [0, 1), with all 53 bits of a double's mantissa.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform among 0..n.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "nothing to choose from");
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Exponential with this mean: the gap between two arrivals of a Poisson process.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// A Poisson process: the moments at which requests arrive, without end.
#[derive(Clone, Debug)]
pub struct Arrivals {
    random: Random,
    mean_gap: f64,
    at: f64,
}

impl Arrivals {
    /// `rate` arrivals a second on average.
    pub fn poisson(random: Random, rate: f64) -> Self {
        Arrivals { random, mean_gap: 1.0 / rate, at: 0.0 }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.at += self.random.exponential(self.mean_gap);
        Duration::try_from_secs_f64(self.at).ok()
    }
}

/// A seed for when none was given. Two runs must not send the same prompts, or the second would be answered from the
/// server's prefix cache.
pub fn fresh_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros() as u64 % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, Random};

    #[test]
    fn a_poisson_process_has_its_moments() {
        let rate = 20.0;
        let moments: Vec<f64> =
            Arrivals::poisson(Random::new(7, 0), rate).take(50_000).map(|at| at.as_secs_f64()).collect();
        let gaps: Vec<f64> =
            std::iter::once(moments[0]).chain(moments.windows(2).map(|pair| pair[1] - pair[0])).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean * rate - 1.0).abs() < 0.02, "mean gap {mean}");
        assert!((variance * rate * rate - 1.0).abs() < 0.05, "variance {variance}");

        // Counts in windows of one second: mean and variance are both the rate.
        let seconds = moments.last().copied().expect("50,000 arrivals") as usize;
        let mut counts = vec![0u32; seconds];
        for moment in moments.iter().filter(|moment| (**moment as usize) < seconds) {
            counts[*moment as usize] += 1;
        }
        let mean = counts.iter().sum::<u32>() as f64 / seconds as f64;
        let variance = counts.iter().map(|n| (f64::from(*n) - mean).powi(2)).sum::<f64>() / seconds as f64;
        assert!((mean / rate - 1.0).abs() < 0.03, "count mean {mean}");
        assert!((variance / rate - 1.0).abs() < 0.15, "count variance {variance}");
    }

    #[test]
    fn a_seed_repeats_and_streams_differ() {
        let draw = |seed, stream| -> Vec<usize> {
            let mut random = Random::new(seed, stream);
            (0..8).map(|_| random.below(1000)).collect()
        };
        assert_eq!(draw(3, 4), draw(3, 4));
        assert_ne!(draw(3, 4), draw(3, 5));
        assert_ne!(draw(3, 4), draw(4, 4));
    }

    #[test]
    fn normal_and_uniform_numbers_have_their_moments() {
        let mut random = Random::new(1, 1);
        let normal: Vec<f64> = (0..40_000).map(|_| random.normal()).collect();
        let mean = normal.iter().sum::<f64>() / normal.len() as f64;
        let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / normal.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        let mut hits = [0u32; 10];
        (0..40_000).for_each(|_| hits[random.below(10)] += 1);
        assert!(hits.iter().all(|n| (3_700..4_300).contains(n)), "{hits:?}");
    }
}
