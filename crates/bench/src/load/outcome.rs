//! What became of a request, as its client saw it.

use super::Class;
use std::time::Duration;

/// The one end that a request came to. Which of these are a server's breach of promise is said by
/// [`exactly_one_end`](Self::exactly_one_end).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer came, with its finish reason and the stream's proper end.
    Completed,
    /// 429 or 503: the server does not want the request now.
    Refused(Answer),
    /// 503 `deadline_exceeded` for a request that had been in line, as `x-parkade-queue-ms` says or the time shows (it came
    /// at or after the deadline that the request carried): its time ran out there.
    Expired(Answer),
    /// Any other status that is no success: the request itself was at fault, or the server broke.
    Rejected(Answer),
    /// The stream began and then told of an error, with this code.
    Failed(String),
    /// The stream ended without an end: the connection closed in the middle of the answer.
    Cut,
    /// The stream broke the protocol, or told of two ends.
    Malformed(String),
    /// No connection, or it closed without any answer.
    Unreachable(String),
    /// Nothing more came for as long as the client was ready to wait.
    Unanswered,
    /// The client itself went away, as it was told to.
    Vanished,
}

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The error's `code`, else its `type`, else empty.
    pub code: String,
    /// The header `retry-after`.
    pub retry_after: Option<String>,
    /// The header `x-should-retry`.
    pub should_retry: Option<bool>,
    /// The header `x-parkade-queue-ms` is there: the request had been taken into line.
    pub was_in_line: bool,
}

impl Outcome {
    /// Whether the client was told exactly one end (or did not wait for it).
    pub fn exactly_one_end(&self) -> bool {
        match self {
            Outcome::Completed
            | Outcome::Refused(_)
            | Outcome::Expired(_)
            | Outcome::Rejected(_)
            | Outcome::Failed(_)
            | Outcome::Vanished => true,
            Outcome::Cut | Outcome::Malformed(_) | Outcome::Unreachable(_) | Outcome::Unanswered => false,
        }
    }
}

/// One request from its intended moment to its end. All moments count from the start of the run.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Its number in the run.
    pub index: usize,
    /// The class that it asked for.
    pub class: Class,
    /// The tenant that it came from.
    pub tenant: Option<String>,
    /// When it should be sent. Latencies count from here: if the generator or the server was late, the client waited.
    pub intended: Duration,
    /// When it was sent.
    pub sent: Duration,
    /// When it ended.
    pub ended: Duration,
    /// When each piece of text arrived.
    pub pieces: Vec<Duration>,
    /// Tokens of the answer, as the server counts them; else the number of pieces.
    pub output_tokens: usize,
    /// Tokens of the prompt, if the server told.
    pub prompt_tokens: Option<usize>,
    /// How many of them came from the server's prefix cache, if it told.
    pub cached_tokens: Option<usize>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Observation {
    /// Time to the first text, from the intended moment.
    pub fn ttft(&self) -> Option<Duration> {
        Some(self.pieces.first()?.saturating_sub(self.intended))
    }

    /// The whole time, from the intended moment.
    pub fn latency(&self) -> Duration {
        self.ended.saturating_sub(self.intended)
    }

    /// The mean time between two output tokens. `None` for answers of fewer than two tokens.
    pub fn time_per_token(&self) -> Option<Duration> {
        let (first, last) = (self.pieces.first()?, self.pieces.last()?);
        let gaps = u32::try_from(self.output_tokens.checked_sub(1)?).ok()?;
        (gaps > 0 && last > first).then(|| (*last - *first) / gaps)
    }

    /// The gaps between pieces of text.
    pub fn gaps(&self) -> impl Iterator<Item = Duration> + '_ {
        self.pieces.windows(2).map(|pair| pair[1] - pair[0])
    }
}
