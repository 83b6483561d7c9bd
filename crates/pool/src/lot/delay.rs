//! What first tokens wait for when their tasks have been admitted.

/// By how much first tokens come later than their prompts alone would take, because others are being computed too: mean
/// and mean deviation, smoothed as round-trip times are in RFC 6298.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delay(Option<(f64, f64)>);

impl Delay {
    pub(crate) fn record(&mut self, seconds: f64) {
        self.0 = Some(match self.0 {
            None => (seconds, seconds / 2.0),
            Some((mean, deviation)) => {
                (mean + (seconds - mean) / 8.0, deviation + ((seconds - mean).abs() - deviation) / 4.0)
            }
        });
    }

    /// What few will exceed.
    pub(crate) fn bound(self) -> f64 {
        self.0.map_or(0.0, |(mean, deviation)| (mean + 2.0 * deviation).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_bounded_from_above_and_forgotten_when_it_is_gone() {
        let mut delay = Delay::default();
        assert_eq!(delay.bound(), 0.0);
        let mut feed = |around: f64| {
            for turn in 0..200 {
                delay.record(around + 0.1 * f64::from(turn % 3 - 1));
            }
            delay.bound()
        };
        assert!((1.05..1.3).contains(&feed(1.0)));
        assert!((0.15..0.4).contains(&feed(0.1)));
    }
}
