//! llama.cpp's `timings`: how long an answer took, in milliseconds.

use std::time::{Duration, Instant};

use parkade_core::Usage;
use serde::Serialize;

/// What a request computed, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Timings {
    /// Tokens of the prompt that were not computed again.
    cache_n: usize,
    /// Those that were.
    prompt_n: usize,
    prompt_ms: f64,
    prompt_per_token_ms: f64,
    prompt_per_second: f64,
    predicted_n: usize,
    predicted_ms: f64,
    predicted_per_token_ms: f64,
    predicted_per_second: f64,
}

impl Timings {
    /// Of what was used so far. The prompt took from the end of the wait in line to the first token.
    pub fn of(usage: &Usage) -> Timings {
        let first = usage.first_token.unwrap_or(usage.total);
        let prompt = first.saturating_sub(usage.queue);
        let predicted = usage.total.saturating_sub(first);
        let computed = usage.prompt_tokens.saturating_sub(usage.cached_tokens);
        Timings {
            cache_n: usage.cached_tokens,
            prompt_n: computed,
            prompt_ms: milliseconds(prompt),
            prompt_per_token_ms: ratio(milliseconds(prompt), computed as f64),
            prompt_per_second: ratio(computed as f64, prompt.as_secs_f64()),
            predicted_n: usage.completion_tokens,
            predicted_ms: milliseconds(predicted),
            predicted_per_token_ms: ratio(milliseconds(predicted), usage.completion_tokens as f64),
            predicted_per_second: ratio(usage.completion_tokens as f64, predicted.as_secs_f64()),
        }
    }
}

/// Times an answer while it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    began: Instant,
    first_token: Option<Instant>,
}

impl Stopwatch {
    /// Begins now.
    pub fn start() -> Stopwatch {
        Stopwatch { began: Instant::now(), first_token: None }
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// There is a token.
    pub fn token(&mut self) {
        self.first_token.get_or_insert_with(Instant::now);
    }

    /// What was used until now.
    pub fn usage(&self, prompt_tokens: usize, completion_tokens: usize) -> Usage {
        Usage {
            prompt_tokens,
            completion_tokens,
            first_token: self.first_token.map(|at| at - self.began),
            total: self.began.elapsed(),
            ..Usage::default()
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A quotient; 0 where there is none, since JSON has no infinity.
fn ratio(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_ends_with_the_first_token_and_waiting_counts_for_neither() {
        let usage = Usage {
            prompt_tokens: 30,
            cached_tokens: 20,
            completion_tokens: 5,
            queue: Duration::from_millis(100),
            first_token: Some(Duration::from_millis(300)),
            total: Duration::from_millis(800),
            ..Usage::default()
        };
        let timings = Timings::of(&usage);
        assert_eq!((timings.cache_n, timings.prompt_n, timings.predicted_n), (20, 10, 5));
        assert_eq!((timings.prompt_ms, timings.predicted_ms), (200.0, 500.0));
        assert_eq!((timings.prompt_per_second, timings.predicted_per_token_ms), (50.0, 100.0));
        let nothing = Timings::of(&Usage::default());
        assert_eq!((nothing.prompt_per_second, nothing.predicted_per_token_ms), (0.0, 0.0));
    }
}
