//! Time as the lot sees it: an argument, never a clock.

use std::fmt;
use std::time::Duration;

/// A moment, in nanoseconds since the owner of the lot started.
///
/// The lot never asks what time it is; it is told with each command. So a simulation can run years in a second, and
/// the same commands always lead to the same decisions.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start.
    pub const ZERO: Time = Time(0);
    /// Later than any moment that happens: "no deadline".
    pub const NEVER: Time = Time(u64::MAX);

    /// This many nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// This long after the start; what does not fit in 64 bits of nanoseconds (585 years) is [`Time::NEVER`].
    pub fn from_start(elapsed: Duration) -> Time {
        Time(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from the start until now.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long ago `earlier` was; zero if it is still to come.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This much later, [`Time::NEVER`] at most.
    pub fn after(self, wait: Duration) -> Time {
        Time(self.0.saturating_add(Time::from_start(wait).0))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Time::NEVER => f.write_str("never"),
            Time(nanos) => write!(f, "{:?}", Duration::from_nanos(nanos)),
        }
    }
}
