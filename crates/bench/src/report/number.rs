//! How numbers are written for people.

use super::Cell;

/// Three or more significant digits, never more decimals than they need: 1234, 98.7, 1.23, 0.00123.
pub(super) fn format(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        s if !s.is_finite() => return value.to_string(),
        s if s >= 99.95 || s == 0.0 => 0,
        s if s >= 9.995 => 1,
        s if s >= 0.9995 => 2,
        s => (2.0 - s.log10().floor()).min(9.0) as usize,
    };
    format!("{value:.decimals$}")
}

/// A cell as text.
pub(super) fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Count(count) => count.to_string(),
        Cell::Number(value) => format(*value),
        Cell::Absent(()) => "-".to_string(),
    }
}

/// A moment as `2026-10-05 07:09:11 UTC`.
pub(super) fn moment(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Howard Hinnant's civil_from_days, for days since 1970 that are not negative: years begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + next;
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
}

#[cfg(test)]
mod tests {
    use super::{format, moment};

    #[test]
    fn numbers_keep_three_digits() {
        let wanted = [(0.0, "0"), (1234.5, "1234"), (99.96, "100"), (98.76, "98.8"), (9.876, "9.88")];
        for (value, text) in wanted {
            assert_eq!(format(value), text);
        }
        assert_eq!(format(0.012_345), "0.0123");
        assert_eq!(format(-2.5), "-2.50");
    }

    #[test]
    fn moments_are_civil_dates() {
        assert_eq!(moment(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(moment(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(moment(1_791_184_151), "2026-10-05 07:09:11 UTC");
    }
}
