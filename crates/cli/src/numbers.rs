//! Numbers among the settings. What one may be is said in plain words, whoever gave it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A parser of whole numbers in a range.
pub fn whole<T>(allowed: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse::<T>().ok().filter(|number| allowed.contains(number));
        number.ok_or_else(|| format!("expected a whole number from {} to {}", allowed.start(), allowed.end()))
    }
}

/// Parses a number with or without a fraction. Its range is the sampler's matter.
///
/// # Errors
/// What was expected.
pub fn decimal(text: &str) -> Result<f32, String> {
    let number = text.parse::<f32>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| "expected a number such as 0.7".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_in_its_range_and_all_else_is_told_what_is() {
        let threads = whole::<u32>(1..=1024);
        assert_eq!((threads("1"), threads("1024")), (Ok(1), Ok(1024)));
        for bad in ["0", "1025", "-1", "abc", "", " 1", "1.5", "1e3", "0x10", "99999999999999999999"] {
            assert_eq!(threads(bad), Err("expected a whole number from 1 to 1024".to_owned()), "{bad:?}");
        }
        assert_eq!((decimal("0.5"), decimal("-2"), decimal("1e-3")), (Ok(0.5), Ok(-2.0), Ok(0.001)));
        for bad in ["", "hot", "nan", "inf", "1e999", "1,5"] {
            assert_eq!(decimal(bad), Err("expected a number such as 0.7".to_owned()), "{bad:?}");
        }
    }
}
