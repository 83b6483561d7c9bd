//! How long a newcomer is likely to wait.

use std::time::Duration;

/// A live estimate from what was measured: rates of prompt and answer tokens, and the length of recent answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Estimate {
    pub(super) prefill_rate: Option<f64>,
    pub(super) decode_rate: Option<f64>,
    /// Moving average over answers that ended.
    answer: Option<f64>,
}

/// Tokens that are still to be worked off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Work {
    pub(super) prompt: f64,
    pub(super) answer: f64,
}

impl Estimate {
    /// Notes the length of an answer.
    pub(super) fn note_answer(&mut self, tokens: usize) {
        let tokens = tokens as f64;
        self.answer = Some(self.answer.map_or(tokens, |mean| mean + (tokens - mean) / 16.0));
    }

    /// The work of a request with `n` answers of at most `most` tokens.
    pub(super) fn work(&self, prompt: usize, most: usize, n: usize) -> Work {
        Work { prompt: prompt as f64, answer: self.answer.map_or(most as f64, |mean| mean.min(most as f64)) * n as f64 }
    }

    /// What `answers` that run have still to come, if they are half done on average.
    pub(super) fn half_done(&self, answers: usize) -> Work {
        Work { prompt: 0.0, answer: self.answer.unwrap_or(0.0) / 2.0 * answers as f64 }
    }

    /// The time for some work, as far as the rates are known.
    pub(super) fn time(&self, work: Work) -> Duration {
        let share = |tokens: f64, rate: Option<f64>| rate.filter(|&rate| rate > 0.0).map_or(0.0, |rate| tokens / rate);
        let seconds = share(work.prompt, self.prefill_rate) + share(work.answer, self.decode_rate);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// The time as a client is told it: whole seconds from 1 to 120.
    pub(super) fn retry_after(&self, work: Work) -> Duration {
        Duration::from_secs(self.time(work).as_secs_f64().ceil().clamp(1.0, 120.0) as u64)
    }
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        self.prompt += other.prompt;
        self.answer += other.answer;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_the_work_over_the_rates() {
        let mut estimate = Estimate { prefill_rate: Some(100.0), decode_rate: Some(20.0), ..Estimate::default() };
        assert_eq!(estimate.time(estimate.work(500, 40, 2)), Duration::from_secs(5 + 4));
        estimate.note_answer(10);
        assert_eq!(estimate.time(estimate.work(500, 40, 2)), Duration::from_secs(5 + 1));
        assert_eq!(estimate.retry_after(estimate.work(1, 1, 1)), Duration::from_secs(1));
        assert_eq!(estimate.retry_after(estimate.work(1_000_000, 1, 1)), Duration::from_secs(120));
        assert_eq!(Estimate::default().retry_after(Work { prompt: 9.0, answer: 9.0 }), Duration::from_secs(1));
    }
}
