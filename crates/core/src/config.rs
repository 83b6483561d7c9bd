//! The engine's settings.

use std::ops::RangeInclusive;
use std::time::Duration;

use parkade_pool::{Limits, Reserve};

use crate::error::EngineError;
use crate::parking_lot::{HistoryScope, ResultLimits};
use crate::refusal::Remedies;

/// Who decides which request runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SchedulerKind {
    /// First come, first served; a fixed number of sequences; each request's memory is reserved in full before it starts.
    #[default]
    Default,
    /// Admission by price, priorities, deadlines, parking. In builds with the feature `parking-lot-scheduler`.
    ParkingLot,
}

impl SchedulerKind {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SchedulerKind::Default => "default",
            SchedulerKind::ParkingLot => "parking-lot",
        }
    }

    /// Whether this build has it.
    pub const fn is_in_this_build(self) -> bool {
        match self {
            SchedulerKind::Default => true,
            SchedulerKind::ParkingLot => cfg!(feature = "parking-lot-scheduler"),
        }
    }

    /// What a server runs if nobody says: the parking lot, where it is there.
    pub const fn of_this_build() -> SchedulerKind {
        if SchedulerKind::ParkingLot.is_in_this_build() { SchedulerKind::ParkingLot } else { SchedulerKind::Default }
    }
}

impl std::str::FromStr for SchedulerKind {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<Self, EngineError> {
        match name {
            "default" => Ok(SchedulerKind::Default),
            "parking-lot" => Ok(SchedulerKind::ParkingLot),
            other => Err(EngineError::Config {
                field: "scheduler",
                value: format!("'{other}'"),
                allowed: "default or parking-lot".to_owned(),
            }),
        }
    }
}

/// The engine's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Who decides which request runs.
    pub scheduler: SchedulerKind,
    /// The most sequences that run at once; a request with `n` answers counts `n` times.
    pub max_seqs: usize,
    /// The most prompt tokens in one step. The steps are shorter while that keeps [`step_target`](Self::step_target).
    pub max_batched_tokens: usize,
    /// The most requests in line.
    pub max_queue_depth: usize,
    /// Whether the keys and values of past prompts are kept as long as nothing else needs the memory.
    pub prefix_cache: bool,
    /// How many events a stream holds for its reader before the request is paused.
    pub stream_capacity: usize,
    /// How long the reader of a paused request may take nothing before the request is parked, so that its memory serves others.
    /// Only the `parking-lot` scheduler parks.
    pub slow_reader: Duration,
    /// How long a step may take while answers are streaming: prefills share a step with them only up to this time (or
    /// to twice the time that the answers need alone, if that is longer).
    pub step_target: Duration,
    /// How much memory is set aside for an answer before its request starts. A scheduler that cannot park sets all aside.
    pub reserve: Reserve,
    /// From whose answers the expected length of the next one is learnt.
    pub history: HistoryScope,
    /// Which results of detached jobs are kept.
    pub results: ResultLimits,
    /// Which settings more of each resource comes from, for messages.
    pub remedies: Remedies,
    /// Weights and limits of the scheduler, which can be changed while it runs. [`max_queue_depth`](Self::max_queue_depth) stands for its
    /// `max_waiting`.
    pub limits: Limits,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            scheduler: SchedulerKind::Default,
            max_seqs: 64,
            max_batched_tokens: 512,
            max_queue_depth: 256,
            prefix_cache: true,
            stream_capacity: 256,
            slow_reader: Duration::from_secs(2),
            step_target: Duration::from_millis(100),
            reserve: Reserve::default(),
            history: HistoryScope::default(),
            results: ResultLimits::default(),
            remedies: Remedies::default(),
            limits: Limits::default(),
        }
    }
}

impl EngineConfig {
    /// What [`max_seqs`](Self::max_seqs) may be.
    pub const SEQS: RangeInclusive<usize> = 1..=1 << 16;
    /// What [`max_batched_tokens`](Self::max_batched_tokens) may be.
    pub const BATCHED_TOKENS: RangeInclusive<usize> = 1..=1 << 20;
    /// What [`max_queue_depth`](Self::max_queue_depth) may be.
    pub const QUEUE_DEPTH: RangeInclusive<usize> = 0..=1 << 24;

    /// Checks each value.
    ///
    /// # Errors
    /// The first one that makes no sense, with what is allowed.
    pub fn validate(&self) -> Result<(), EngineError> {
        let within = |field, value: usize, range: RangeInclusive<usize>| {
            if range.contains(&value) {
                return Ok(());
            }
            let allowed = format!("from {} to {}", range.start(), range.end());
            Err(EngineError::Config { field, value: value.to_string(), allowed })
        };
        within("max_seqs", self.max_seqs, Self::SEQS)?;
        within("max_batched_tokens", self.max_batched_tokens, Self::BATCHED_TOKENS)?;
        within("max_queue_depth", self.max_queue_depth, Self::QUEUE_DEPTH)?;
        within("stream_capacity", self.stream_capacity, 8..=1 << 20)?;
        self.limits.validate().map_err(EngineError::from)
    }
}
