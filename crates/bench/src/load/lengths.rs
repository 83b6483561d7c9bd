//! How long prompts and answers are.

use crate::random::Random;
use std::fmt;
use std::str::FromStr;

/// A distribution of lengths in tokens.
///
/// Written as `128` (always), `64-256` (uniform), `exp:100` (exponential, mean 100) or `lognormal:100:0.8` (median 100,
/// sigma 0.8: many short, few very long ones, as in recorded traffic). The last two are cut at 16 times the middle, so
/// that one sample cannot decide a whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lengths {
    /// Always the same.
    Fixed(usize),
    /// Each length between the two, ends included, equally often.
    Uniform(usize, usize),
    /// Exponential with this mean.
    Exponential(f64),
    /// Log-normal with this median and sigma.
    LogNormal(f64, f64),
}

impl Lengths {
    /// Draws a length; at least 1.
    pub fn draw(&self, random: &mut Random) -> usize {
        let cut = |value: f64, middle: f64| value.round().clamp(1.0, 16.0 * middle) as usize;
        match *self {
            Lengths::Fixed(length) => length,
            Lengths::Uniform(low, high) => low + random.below(high - low + 1),
            Lengths::Exponential(mean) => cut(random.exponential(mean), mean),
            Lengths::LogNormal(median, sigma) => cut(median * (sigma * random.normal()).exp(), median),
        }
    }
}

impl FromStr for Lengths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is no length: write 128, 64-256, exp:100 or lognormal:100:0.8");
        let count = |part: &str| part.parse::<usize>().ok().filter(|n| (1..=1_000_000).contains(n)).ok_or_else(bad);
        let middle = |part: &str| {
            let value = part.parse::<f64>().ok();
            value.filter(|v| (1.0..=1e6).contains(v)).ok_or_else(bad)
        };
        if let Some(mean) = text.strip_prefix("exp:") {
            return Ok(Lengths::Exponential(middle(mean)?));
        }
        if let Some(rest) = text.strip_prefix("lognormal:") {
            let (median, sigma) = rest.split_once(':').ok_or_else(bad)?;
            let sigma = sigma.parse::<f64>().ok().filter(|s| (0.0..=4.0).contains(s));
            return Ok(Lengths::LogNormal(middle(median)?, sigma.ok_or_else(bad)?));
        }
        match text.split_once('-') {
            None => Ok(Lengths::Fixed(count(text)?)),
            Some((low, high)) => {
                let (low, high) = (count(low)?, count(high)?);
                if low <= high { Ok(Lengths::Uniform(low, high)) } else { Err(bad()) }
            }
        }
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lengths::Fixed(length) => write!(f, "{length}"),
            Lengths::Uniform(low, high) => write!(f, "{low}-{high}"),
            Lengths::Exponential(mean) => write!(f, "exp:{mean}"),
            Lengths::LogNormal(median, sigma) => write!(f, "lognormal:{median}:{sigma}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lengths;
    use crate::random::Random;
    use crate::stats::Samples;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["128", "64-256", "exp:100", "lognormal:100:0.8"] {
            assert_eq!(text.parse::<Lengths>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_forms_that_exist() {
        for text in
            ["", "0", "-5", "9-3", "0-3", "exp:", "exp:nan", "lognormal:100", "lognormal:9:99", "many", "99999999"]
        {
            let error = text.parse::<Lengths>().expect_err(text);
            assert!(error.contains("64-256"), "{error}");
        }
    }

    #[test]
    fn draws_follow_the_distribution() {
        let draw = |text: &str| -> Samples {
            let lengths: Lengths = text.parse().expect(text);
            let mut random = Random::new(5, 0);
            (0..20_000).map(|_| lengths.draw(&mut random) as f64).collect()
        };
        let uniform = draw("64-256");
        assert_eq!((uniform.min(), uniform.max()), (Some(64.0), Some(256.0)));
        assert!((uniform.mean().expect("samples") - 160.0).abs() < 2.0);
        assert!((draw("exp:100").mean().expect("samples") - 100.0).abs() < 3.0);
        let lognormal = draw("lognormal:100:0.8");
        assert!((lognormal.median().expect("samples") - 100.0).abs() < 3.0);
        assert!(lognormal.max().is_some_and(|max| max <= 1600.0));
        assert_eq!(draw("7").mean(), Some(7.0));
    }
}
