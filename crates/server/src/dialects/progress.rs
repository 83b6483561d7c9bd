//! How much of a prompt is computed, as llama.cpp's `prompt_progress` says it.

use parkade_core::PromptProgress;
use serde::Serialize;

use super::timings::Stopwatch;

/// Its members.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct PromptReport {
    /// Tokens of the prompt.
    total: usize,
    /// Of these, the ones from the prefix cache.
    cache: usize,
    /// How many are there, those from the cache included.
    processed: usize,
    /// How long it took.
    time_ms: u64,
}

impl PromptReport {
    /// What the engine tells, by the clock of its stream.
    pub fn new(told: &PromptProgress, watch: &Stopwatch) -> Self {
        let time_ms = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self { total: told.tokens, cache: told.cached, processed: told.computed, time_ms }
    }
}
