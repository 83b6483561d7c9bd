//! How many prompt tokens a step may take without holding up the answers that are streaming.

use std::time::Duration;

/// Measures steps and sizes the next one by time (stall-free batches as in Sarathi-Serve, Agrawal et al. 2024).
///
/// The time of a step is taken for the time of its decodes plus a time for each prompt token; both are moving averages.
///
/// This is not the policy's measure of speed. That one splits a step between both kinds of work in proportion, which is right for sums
/// over seconds. A budget needs what a prompt token adds to a step that decodes anyway, and after the last few steps.
#[derive(Clone, Debug)]
pub(crate) struct StepBudget {
    target: f64,
    cap: usize,
    /// Never fewer prompt tokens than this: a prompt always gets on.
    least: usize,
    /// Seconds of a step that only decodes.
    decode_step: Average,
    /// Seconds for each prompt token.
    prompt_token: Average,
}

/// A moving average: each new value counts for an eighth.
#[derive(Clone, Copy, Debug, Default)]
struct Average(Option<f64>);

impl Average {
    fn add(&mut self, value: f64) {
        self.0 = Some(self.0.map_or(value, |mean| mean + (value - mean) / 8.0));
    }
}

impl StepBudget {
    pub(crate) fn new(target: Duration, cap: usize, least: usize) -> Self {
        StepBudget {
            target: target.as_secs_f64(),
            cap,
            least: least.min(cap),
            decode_step: Average::default(),
            prompt_token: Average::default(),
        }
    }

    /// Notes a step of `decodes` decoding rows and `prompt_tokens` others.
    pub(crate) fn note(&mut self, decodes: usize, prompt_tokens: usize, took: Duration) {
        let took = took.as_secs_f64();
        if prompt_tokens == 0 {
            self.decode_step.add(took);
        } else {
            let decoding = if decodes == 0 { 0.0 } else { self.decode_step.0.unwrap_or(0.0) };
            self.prompt_token.add((took - decoding).max(0.0) / prompt_tokens as f64);
        }
    }

    /// How many prompt tokens the next step may take beside `decodes` decoding rows.
    pub(crate) fn budget(&self, decodes: usize) -> usize {
        let (true, Some(prompt_token)) = (decodes > 0, self.prompt_token.0) else {
            return self.cap;
        };
        let decoding = self.decode_step.0.unwrap_or(0.0);
        let room = (self.target - decoding).max(decoding);
        // The division may be by 0; the cast of what comes out then is the cap's business.
        ((room / prompt_token) as usize).clamp(self.least, self.cap)
    }

    /// How long so many prompt tokens take alone; nothing, before any were measured.
    pub(crate) fn prefill_time(&self, tokens: usize) -> Duration {
        Duration::try_from_secs_f64(tokens as f64 * self.prompt_token.0.unwrap_or(0.0)).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn prompts_take_the_whole_budget_while_nobody_streams_and_little_beside_streams() {
        let mut budget = StepBudget::new(100 * MS, 512, 16);
        assert_eq!(budget.budget(4), 512, "nothing was measured yet");
        for _ in 0..50 {
            budget.note(4, 0, 20 * MS);
            budget.note(4, 40, 60 * MS);
        }
        // 1 ms for each prompt token, 80 ms of room.
        assert!((78..=82).contains(&budget.budget(4)), "{}", budget.budget(4));
        assert_eq!(budget.budget(0), 512);
    }

    #[test]
    fn a_slow_model_gets_at_most_twice_its_step() {
        let mut budget = StepBudget::new(100 * MS, 512, 16);
        for _ in 0..50 {
            budget.note(1, 0, 400 * MS);
            budget.note(1, 100, 1400 * MS);
        }
        assert!((38..=42).contains(&budget.budget(1)), "{}", budget.budget(1));
    }

    #[test]
    fn a_prompt_always_gets_on() {
        let mut budget = StepBudget::new(MS, 512, 16);
        for _ in 0..50 {
            budget.note(1, 10, 1000 * MS);
        }
        assert_eq!(budget.budget(1), 16);
    }
}
