//! `strftime_now`: today's date for templates that tell the model about it. The time zone is UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The present moment by Python's `strftime`.
#[must_use]
pub fn strftime_now(format: &str) -> String {
    strftime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO), format)
}

/// A moment, given as the time since 1970, by Python's `strftime`. Unknown codes stay as they are.
fn strftime(since_1970: Duration, format: &str) -> String {
    let days = since_1970.as_secs() / 86_400;
    let (year, month, day) = date_of(days);
    let second_of_day = since_1970.as_secs() % 86_400;
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    let hour12 = (hour + 11) % 12 + 1;
    let weekday = (days + 4) % 7;
    let day_of_year = days - days_before(year, 1, 1) + 1;

    let mut out = String::with_capacity(format.len() + 16);
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let Some(mut code) = rest.next() else {
            out.push('%');
            break;
        };
        // glibc's `%-d`: without the padding.
        let padded = code != '-';
        if !padded {
            let Some(next) = rest.next() else {
                out.push_str("%-");
                break;
            };
            code = next;
        }
        let number = |value: u64, width: usize| {
            if padded { format!("{value:0width$}") } else { value.to_string() }
        };
        out.push_str(&match code {
            'Y' => year.to_string(),
            'y' => number(year % 100, 2),
            'm' => number(month, 2),
            'd' => number(day, 2),
            'e' => {
                if padded {
                    format!("{day:2}")
                } else {
                    day.to_string()
                }
            }
            'B' => MONTHS[month as usize - 1].to_owned(),
            'b' | 'h' => MONTHS[month as usize - 1][..3].to_owned(),
            'A' => DAYS[weekday as usize].to_owned(),
            'a' => DAYS[weekday as usize][..3].to_owned(),
            'w' => weekday.to_string(),
            'j' => number(day_of_year, 3),
            'H' => number(hour, 2),
            'I' => number(hour12, 2),
            'M' => number(minute, 2),
            'S' => number(second, 2),
            'f' => format!("{:06}", since_1970.subsec_micros()),
            'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            'F' => format!("{year}-{month:02}-{day:02}"),
            'T' => format!("{hour:02}:{minute:02}:{second:02}"),
            'D' => format!("{month:02}/{day:02}/{:02}", year % 100),
            'Z' => "UTC".to_owned(),
            'z' => "+0000".to_owned(),
            '%' => "%".to_owned(),
            other if padded => format!("%{other}"),
            other => format!("%-{other}"),
        });
    }
    out
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    // Years begin in March here, so that the leap day is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    days - 719_469
}

/// Year, month and day of a number of days since 1970-01-01.
fn date_of(days: u64) -> (u64, u64, u64) {
    // A guess that is never too early, put right by counting.
    let mut year = 1970 + days / 365;
    while days_before(year, 1, 1) > days {
        year -= 1;
    }
    let mut month = 12;
    while days_before(year, month, 1) > days {
        month -= 1;
    }
    (year, month, days - days_before(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_pythons_strftime_does() {
        let all = "%Y-%m-%d %H:%M:%S %y %e %-d %B %b %A %a %j %I %p %% %q %-q %F %T %D %w %f";
        let cases = [
            (
                0,
                "1970-01-01 00:00:00 70  1 1 January Jan Thursday Thu 001 12 AM % %q %-q 1970-01-01 00:00:00 01/01/70 4 000000",
            ),
            (
                951_826_509,
                "2000-02-29 12:15:09 00 29 29 February Feb Tuesday Tue 060 12 PM % %q %-q 2000-02-29 12:15:09 02/29/00 2 000000",
            ),
            (
                1_735_689_599,
                "2024-12-31 23:59:59 24 31 31 December Dec Tuesday Tue 366 11 PM % %q %-q 2024-12-31 23:59:59 12/31/24 2 000000",
            ),
            (
                4_107_542_400,
                "2100-03-01 00:00:00 00  1 1 March Mar Monday Mon 060 12 AM % %q %-q 2100-03-01 00:00:00 03/01/00 1 000000",
            ),
        ];
        for (seconds, expected) in cases {
            assert_eq!(strftime(Duration::from_secs(seconds), all), expected);
        }
        assert_eq!(strftime(Duration::ZERO, "%"), "%");
        assert_eq!(strftime(Duration::ZERO, "%-"), "%-");
    }

    #[test]
    fn every_day_of_four_centuries_is_its_own_date() {
        let mut last = (1969, 12, 31);
        for days in 0..146_097 {
            let date = date_of(days);
            assert!(date > last && days_before(date.0, date.1, date.2) == days, "{date:?}");
            last = date;
        }
        assert_eq!(last, (2369, 12, 31));
    }
}
