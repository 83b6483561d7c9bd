//! Numbers as JSON has them.

/// The smallest log-probability on the wire: JSON has no minus infinity, and OpenAI sends this instead.
const SMALLEST: f32 = -9999.0;

/// A number of single precision with no more digits than it takes to tell it from all others: 0.8, and not 0.800000011920929.
pub(crate) fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}

/// A log-probability.
pub(crate) fn logprob(logprob: f32) -> f64 {
    // A NaN compares as false and becomes the smallest too.
    if logprob > SMALLEST { shortest(logprob.min(0.0)) } else { f64::from(SMALLEST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_they_need() {
        assert_eq!((shortest(0.8), shortest(-2.0), shortest(1e-40)), (0.8, -2.0, 1e-40));
        assert_eq!((logprob(-0.1), logprob(f32::NEG_INFINITY), logprob(f32::NAN)), (-0.1, -9999.0, -9999.0));
    }
}
