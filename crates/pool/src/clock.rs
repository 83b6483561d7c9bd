//! What a pool and those around it call now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A clock: the system's, or one that stands still until somebody moves it. Clones show the same time.
///
/// ```
/// use std::time::Duration;
/// use parkade_pool::Clock;
///
/// let clock = Clock::by_hand();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now() - start, Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clock {
    by_hand: Option<Arc<Hand>>,
}

#[derive(Debug)]
struct Hand {
    start: Instant,
    /// Nanoseconds since then.
    passed: AtomicU64,
}

impl Clock {
    /// One that stands still until it is moved: for simulations.
    pub fn by_hand() -> Clock {
        Clock { by_hand: Some(Arc::new(Hand { start: Instant::now(), passed: AtomicU64::new(0) })) }
    }

    pub(crate) fn is_by_hand(&self) -> bool {
        self.by_hand.is_some()
    }

    /// Now.
    pub fn now(&self) -> Instant {
        match &self.by_hand {
            None => Instant::now(),
            Some(hand) => hand.start + Duration::from_nanos(hand.passed.load(Ordering::SeqCst)),
        }
    }

    /// How long ago that was.
    pub fn since(&self, moment: Instant) -> Duration {
        self.now().saturating_duration_since(moment)
    }

    /// Moves the time on.
    ///
    /// # Panics
    /// If it is the system's clock.
    pub fn advance(&self, time: Duration) {
        let hand = self.by_hand.as_ref().expect("nobody moves the system's clock");
        hand.passed.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}
