//! What makes an answer good.

use std::fmt;
use std::time::Duration;

use super::outcome::{Observation, Outcome};

/// What an answer must keep to count as good. A limit that is not set is kept by every complete answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slo {
    /// The longest time to the first text.
    pub ttft: Option<Duration>,
    /// The longest mean time between two tokens of one answer.
    pub per_token: Option<Duration>,
}

impl Slo {
    /// Whether an answer kept it.
    pub fn kept_by(&self, seen: &Observation) -> bool {
        let within = |time: Option<Duration>, limit: Option<Duration>| match (time, limit) {
            (Some(time), Some(limit)) => time <= limit,
            _ => true,
        };
        // An answer without any text has kept no promise on its first text.
        seen.outcome == Outcome::Completed
            && (self.ttft.is_none() || seen.ttft().is_some())
            && within(seen.ttft(), self.ttft)
            && within(seen.time_per_token(), self.per_token)
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ttft, self.per_token) {
            (None, None) => write!(f, "none: every complete answer is good"),
            (Some(ttft), None) => write!(f, "TTFT {} ms", ttft.as_millis()),
            (None, Some(gap)) => write!(f, "{} ms a token", gap.as_millis()),
            (Some(ttft), Some(gap)) => write!(f, "TTFT {} ms, {} ms a token", ttft.as_millis(), gap.as_millis()),
        }
    }
}
