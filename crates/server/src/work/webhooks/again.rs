//! When an event that was not received is sent again.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// Seconds between an attempt and the next one; the last of them from then on.
const PAUSES: [u64; 8] = [5, 30, 2 * MINUTE, 10 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR];

/// How long after an event it is sent for the last time.
const LAST: Duration = Duration::from_secs(72 * HOUR);

/// How much longer a pause may be, in percent: what failed together is not sent again together.
const MOST_LONGER: u64 = 20;

/// How long after attempt `number` an event is sent again that was `age` ago; never, if that was the last one.
pub(super) fn pause(event: &str, number: u64, age: Duration) -> Option<Duration> {
    let left = LAST.checked_sub(age).filter(|left| !left.is_zero())?;
    let place = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
    let mut hasher = DefaultHasher::new();
    hasher.write(event.as_bytes());
    hasher.write_u64(number);
    let longer = hasher.finish() % (MOST_LONGER + 1);
    Some(Duration::from_millis(PAUSES[place] * (1000 + 10 * longer)).min(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_sent_again_ever_later_and_for_the_last_time_after_72_hours() {
        let mut age = Duration::ZERO;
        let mut pauses = Vec::new();
        while let Some(pause) = pause("evt_1", pauses.len() as u64 + 1, age) {
            pauses.push(pause);
            age += pause;
        }
        assert_eq!(age, LAST);
        assert!((12..=16).contains(&pauses.len()), "{pauses:?}");
        for (place, usual) in PAUSES.into_iter().enumerate() {
            let usual = Duration::from_secs(usual);
            assert!(pauses[place] >= usual && pauses[place] <= usual.mul_f64(1.2), "{pauses:?}");
        }
        assert_eq!(pause("evt_1", 1, LAST), None);
        assert_eq!(pause("evt_1", 1, LAST * 2), None);
    }

    #[test]
    fn what_failed_together_is_not_sent_again_together() {
        let pauses: std::collections::BTreeSet<_> =
            (0..100).map(|number| pause(&format!("evt_{number}"), 5, Duration::ZERO)).collect();
        assert!(pauses.len() > 10, "{pauses:?}");
    }
}
