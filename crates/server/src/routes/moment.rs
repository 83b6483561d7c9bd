//! Moments as people write them: seconds since 1970, or a date of ISO 8601.

/// A moment in milliseconds since 1970: `1764288000`, `2026-11-28`, `2026-11-28T01:30:00Z` or with an offset such as `+02:00`.
pub(super) fn parse(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1000);
    }
    let (date, time) = text.split_once(['T', 't', ' ']).map_or((text, None), |(date, time)| (date, Some(time)));
    let seconds = days(date)? * 86_400 + time.map_or(Some(0), seconds_of_day)?;
    seconds.checked_mul(1000)
}

/// A number of exactly so many digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    let are_digits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| text.parse().ok())?
}

/// Days since 1970 of a date, in the Gregorian calendar. Years begin in March here, so that a leap day is the last of one.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.splitn(3, '-');
    let mut next = |count| digits(parts.next()?, count);
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = if month > 2 { year } else { year - 1 };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    // 719468 days lie between the first of March of the year 0 and 1970.
    Some(year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468)
}

/// Seconds of a time of day, less its offset: fractions are cut off.
fn seconds_of_day(time: &str) -> Option<i64> {
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        None => (time, 0),
        Some(at) if time[at..].eq_ignore_ascii_case("z") => (&time[..at], 0),
        Some(at) => {
            let (hours, minutes) = time[at + 1..].split_once(':')?;
            let offset = within(hours, 23)? * 3600 + within(minutes, 59)? * 60;
            (&time[..at], if time[at..].starts_with('-') { -offset } else { offset })
        }
    };
    let mut parts = clock.splitn(3, ':');
    let (hours, minutes) = (within(parts.next()?, 23)?, within(parts.next()?, 59)?);
    let seconds = match parts.next() {
        None => 0,
        Some(text) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            digits(fraction, fraction.len()).filter(|_| !fraction.is_empty())?;
            within(whole, 60)?
        }
    };
    Some(hours * 3600 + minutes * 60 + seconds - offset)
}

fn within(text: &str, most: i64) -> Option<i64> {
    digits(text, 2).filter(|&number| number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_both_forms() {
        for (text, seconds) in [
            ("0", 0),
            ("1764288000", 1_764_288_000),
            ("1970-01-01", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29", 951_782_400),
            ("2000-03-01", 951_868_800),
            ("2025-11-28", 1_764_288_000),
            ("2025-11-28T01:30:00Z", 1_764_293_400),
            ("2025-11-28t01:30:00.250z", 1_764_293_400),
            ("2025-11-28 01:30", 1_764_293_400),
            ("2025-11-28T03:30:00+02:00", 1_764_293_400),
            ("2025-11-27T20:00:00-05:30", 1_764_293_400),
        ] {
            assert_eq!(parse(text), Some(seconds * 1000), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "now",
            "1.5",
            "9223372036854775807",
            "2025-11",
            "2025-13-01",
            "2025-02-29",
            "2025-00-10",
            "2025-1-1",
            "2025-11-28T",
            "2025-11-28T24:00",
            "2025-11-28T10",
            "2025-11-28T10:00:00+2",
            "2025-11-28T10:00:0",
            "2025-11-28T10:00:00.",
            "2025-11-28T10:00:00.x",
            "é025-11-28",
            "2025-11-28Té",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
