//! What the reader of a stream is told while there is nothing to read: how its request stands in line, or that somebody is still there.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use parkade_core::RequestState;

use crate::access::Identity;
use crate::config::ServerConfig;
use crate::generate::Entry;
use crate::generate::in_flight::whole_seconds;
use crate::http::Frames;

/// Headers of a stream whose request still waits when its head goes out.
const POSITION: HeaderName = HeaderName::from_static("x-parkade-queue-position");
const WAIT_MS: HeaderName = HeaderName::from_static("x-parkade-estimated-wait-ms");

/// How a request that does not run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outlook {
    is_parked: bool,
    /// The next one in line is the first.
    position: Option<usize>,
    wait: Option<Duration>,
}

impl Outlook {
    fn of(entry: &Entry, identity: &Identity) -> Option<Self> {
        if entry.runs() {
            return None;
        }
        let progress = entry.progress().seen_by(identity);
        let position = progress.ahead.map(|ahead| ahead.saturating_add(1));
        match progress.state {
            RequestState::Waiting => Some(Self { is_parked: false, position, wait: progress.wait }),
            RequestState::Parked => Some(Self { is_parked: true, position: None, wait: progress.wait }),
            RequestState::Running | RequestState::Ended => None,
        }
    }

    fn comment(&self) -> String {
        let mut text = if self.is_parked { "parked".to_owned() } else { "queued".to_owned() };
        if let Some(position) = self.position {
            text.push_str(&format!(" {position}"));
        }
        if let Some(wait) = self.wait {
            text.push_str(&format!(", about {} s", whole_seconds(wait).as_secs()));
        }
        text
    }

    fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let position = self.position.map(|position| (POSITION, HeaderValue::from(position)));
        let milliseconds = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let wait = self.wait.map(|wait| (WAIT_MS, HeaderValue::from(milliseconds(wait))));
        position.into_iter().chain(wait)
    }
}

/// A stream's silence. The reader hears how its request stands, once in a while for as long as that does not run, and after that a line
/// now and then which keeps proxies from closing the connection.
pub(crate) struct Silence {
    entry: Arc<Entry>,
    identity: Identity,
    /// Between two lines of the one kind, and of the other.
    waiting: Duration,
    keep_alive: Duration,
    /// Since the last bytes of any kind.
    silent: Duration,
    /// Since the reader was told how its request stands.
    untold: Duration,
}

impl Silence {
    pub fn new(entry: Arc<Entry>, identity: &Identity, config: &ServerConfig) -> Self {
        let (waiting, keep_alive) = (config.waiting_comment, config.keep_alive_comment);
        Self { entry, identity: identity.clone(), waiting, keep_alive, silent: Duration::ZERO, untold: waiting }
    }

    /// How long to wait for an event before [`lasts`](Self::lasts) is to be called.
    pub fn patience(&self) -> Duration {
        let until_told = self.waiting.saturating_sub(self.untold);
        // Who does not wait is asked about that no more often.
        let until_told = if until_told.is_zero() { self.waiting } else { until_told };
        self.keep_alive.saturating_sub(self.silent).min(until_told)
    }

    /// No event has come for so long.
    pub fn lasts(&mut self, time: Duration, frames: &mut Frames) {
        self.silent = self.silent.saturating_add(time);
        self.untold = self.untold.saturating_add(time);
        if self.untold >= self.waiting
            && let Some(outlook) = Outlook::of(&self.entry, &self.identity)
        {
            frames.comment(&outlook.comment());
            (self.silent, self.untold) = (Duration::ZERO, Duration::ZERO);
        } else if self.silent >= self.keep_alive {
            frames.comment("keep-alive");
            self.silent = Duration::ZERO;
        }
    }

    /// An event has come.
    pub fn is_broken(&mut self) {
        self.silent = Duration::ZERO;
    }

    /// What the head says of a request that waits.
    pub fn headers(&self) -> HeaderMap {
        Outlook::of(&self.entry, &self.identity).iter().flat_map(Outlook::headers).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_says_what_is_known() {
        let comment = |is_parked, position, wait: Option<u64>| {
            Outlook { is_parked, position, wait: wait.map(Duration::from_millis) }.comment()
        };
        assert_eq!(comment(false, Some(3), Some(11_001)), "queued 3, about 12 s");
        assert_eq!(comment(false, Some(1), None), "queued 1");
        assert_eq!(comment(false, None, None), "queued");
        assert_eq!(comment(true, None, None), "parked");
        assert_eq!(comment(true, None, Some(0)), "parked, about 0 s");
    }
}
