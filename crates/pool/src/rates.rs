//! How fast work is done, measured, and what follows for those who wait.

use std::time::Duration;

use crate::Work;

/// Tokens per second of the two kinds of work, over all running tasks together.
///
/// Both are ratios of decayed sums (tokens over busy time), which is an exponential average that a single odd step
/// cannot spoil. A step that mixes both kinds has one duration; it is split in proportion to what the rates so far
/// say each part should have taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceRate {
    prefill: Decayed,
    decode: Decayed,
    /// How many tasks decoded in a step, averaged: their number times the rate of one is the rate of all.
    streams: Decayed,
    /// How many steps in a row have taken far longer than the rates predict.
    odd_in_a_row: i32,
}

/// How many times as long as predicted a step may take before it is odd: the machine slept, or pages were read from
/// disk. It counts for this many times the prediction then, the next odd one in a row for the square of that, and so
/// on: one such step changes little, and a machine that has really become slow is believed after a few.
const ODD: f64 = 8.0;

#[derive(Clone, Debug, Default)]
struct Decayed {
    amount: f64,
    time: f64,
}

impl Decayed {
    fn add(&mut self, amount: f64, time: f64, memory: f64) {
        let keep = (-time / memory).exp();
        self.amount = self.amount * keep + amount;
        self.time = self.time * keep + time;
        // One step that is longer than the memory (the first one, say, which nothing predicted) must not outweigh many.
        let excess = (self.time / memory).max(1.0);
        self.amount /= excess;
        self.time /= excess;
    }

    fn ratio(&self) -> Option<f64> {
        (self.time > 0.0 && self.amount > 0.0).then(|| self.amount / self.time)
    }
}

/// The measured service rate, for people and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Prompt tokens per second of one worker's prefill time; zero until one was measured.
    pub prefill: f64,
    /// Answer tokens per second of one worker's decode time, all its tasks together; zero until one was measured.
    pub decode: f64,
}

impl ServiceRate {
    /// A step took `busy` and did this much, the answer tokens for `streams` tasks. What lies further back than `memory`, in
    /// busy time, counts for little.
    pub(crate) fn record(&mut self, busy: Duration, work: Work, streams: u64, memory: Duration) {
        if busy.is_zero() || work == Work::default() {
            return;
        }
        let Work { prefill, decode } = work;
        let seconds = self.credible(busy.as_secs_f64(), work);
        let prefill_cost = prefill as f64 / self.prefill.ratio().unwrap_or(1.0);
        let decode_cost = decode as f64 / self.decode.ratio().unwrap_or(1.0);
        let prefill_seconds = seconds * prefill_cost / (prefill_cost + decode_cost);
        let decode_seconds = seconds - prefill_seconds;
        let memory = memory.as_secs_f64();
        if prefill > 0 {
            self.prefill.add(prefill as f64, prefill_seconds, memory);
        }
        if decode > 0 {
            self.decode.add(decode as f64, decode_seconds, memory);
            self.streams.add(streams as f64 * decode_seconds, decode_seconds, memory);
        }
    }

    /// How much of a step's time counts, see [`ODD`].
    fn credible(&mut self, seconds: f64, work: Work) -> f64 {
        let Some(predicted) = self.seconds(work) else { return seconds };
        self.odd_in_a_row = if seconds > ODD * predicted { self.odd_in_a_row.saturating_add(1) } else { 0 };
        if self.odd_in_a_row == 0 { seconds } else { seconds.min(predicted * ODD.powi(self.odd_in_a_row)) }
    }

    pub(crate) fn rates(&self) -> Rates {
        Rates { prefill: self.prefill.ratio().unwrap_or(0.0), decode: self.decode.ratio().unwrap_or(0.0) }
    }

    /// Seconds that this much work keeps one worker busy; `None` until a rate that it needs has been measured.
    pub(crate) fn seconds(&self, work: Work) -> Option<f64> {
        let part = |tokens: u64, rate: &Decayed| match tokens {
            0 => Some(0.0),
            _ => Some(tokens as f64 / rate.ratio()?),
        };
        Some(part(work.prefill, &self.prefill)? + part(work.decode, &self.decode)?)
    }

    /// Seconds that one task needs for this many answer tokens among the usual company.
    pub(crate) fn alone(&self, decode: u64) -> Option<f64> {
        if decode == 0 {
            return Some(0.0);
        }
        let streams = self.streams.ratio()?.max(1.0);
        Some(decode as f64 * streams / self.decode.ratio()?)
    }
}

/// Whole seconds from 1 to 120, as `Retry-After` wants them. While nothing has been measured: the least.
pub(crate) fn retry_after(wait: Option<f64>) -> Duration {
    Duration::from_secs(wait.unwrap_or(0.0).ceil().clamp(1.0, 120.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(10);

    #[test]
    fn pure_steps_give_pure_rates() {
        let mut rate = ServiceRate::default();
        assert_eq!(rate.seconds(Work::new(10, 0)), None);
        rate.record(Duration::from_secs(1), Work::new(400, 0), 0, MEMORY);
        rate.record(Duration::from_secs(1), Work::new(0, 100), 10, MEMORY);
        assert!((rate.rates().prefill - 400.0).abs() < 1e-6);
        assert!((rate.rates().decode - 100.0).abs() < 1e-6);
        assert!((rate.seconds(Work::new(800, 50)).unwrap() - 2.5).abs() < 1e-6);
        // One of ten streams gets ten tokens a second.
        assert!((rate.alone(20).unwrap() - 2.0).abs() < 1e-6);
    }

    #[test]
    fn mixed_steps_find_the_rates_and_follow_a_change() {
        let mut rate = ServiceRate::default();
        let mut feed = |prefill_rate: f64, decode_rate: f64| {
            for step in 0..4000_u64 {
                let (prefill, decode) = (step % 7 * 16, 1 + step % 5);
                let seconds = prefill as f64 / prefill_rate + decode as f64 / decode_rate;
                rate.record(Duration::from_secs_f64(seconds), Work::new(prefill, decode), decode, MEMORY);
            }
            rate.rates()
        };
        for (prefill, decode) in [(500.0, 50.0), (2000.0, 120.0)] {
            let found = feed(prefill, decode);
            assert!((found.prefill / prefill - 1.0).abs() < 0.1, "{found:?}");
            assert!((found.decode / decode - 1.0).abs() < 0.1, "{found:?}");
        }
    }

    #[test]
    fn one_step_that_the_machine_slept_through_changes_little_and_a_lasting_slowness_is_followed_in_a_few() {
        let mut rate = ServiceRate::default();
        let step = |rate: &mut ServiceRate, millis| {
            rate.record(Duration::from_millis(millis), Work::new(0, 10), 1, MEMORY);
            rate.rates().decode
        };
        (0..200).for_each(|_| _ = step(&mut rate, 100));
        assert!((step(&mut rate, 60_000) / 100.0 - 1.0).abs() < 0.1, "{:?}", rate.rates());
        assert!((step(&mut rate, 100) / 100.0 - 1.0).abs() < 0.1, "{:?}", rate.rates());
        (0..5).for_each(|_| _ = step(&mut rate, 10_000));
        assert!(rate.rates().decode < 2.0, "{:?}", rate.rates());
    }

    #[test]
    fn a_slow_first_step_weighs_no_more_than_the_memory() {
        let mut rate = ServiceRate::default();
        rate.record(Duration::from_secs(600), Work::new(100, 0), 0, MEMORY);
        (0..10).for_each(|_| rate.record(Duration::from_secs(1), Work::new(100, 0), 0, MEMORY));
        assert!(rate.rates().prefill > 50.0, "{:?}", rate.rates());
    }

    #[test]
    fn retry_after_is_one_to_120_whole_seconds() {
        assert_eq!(retry_after(None), Duration::from_secs(1));
        assert_eq!(retry_after(Some(0.01)), Duration::from_secs(1));
        assert_eq!(retry_after(Some(7.2)), Duration::from_secs(8));
        assert_eq!(retry_after(Some(1e9)), Duration::from_secs(120));
        assert_eq!(retry_after(Some(f64::INFINITY)), Duration::from_secs(120));
    }
}
