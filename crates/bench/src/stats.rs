//! Percentiles, exact and from all samples.

/// Samples in ascending order. Nothing is put in buckets: a percentile is always a value that was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    sorted: Vec<f64>,
}

impl Samples {
    /// All samples of several sets.
    pub fn merged<'a>(sets: impl IntoIterator<Item = &'a Samples>) -> Samples {
        sets.into_iter().flat_map(Samples::iter).collect()
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        self.sorted.iter().copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The nearest-rank percentile: the smallest sample that at least `percent` of all samples do not exceed.
    /// `None` without samples.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let rank = (percent / 100.0 * self.sorted.len() as f64).ceil() as usize;
        self.sorted.get(rank.max(1).min(self.sorted.len()).checked_sub(1)?).copied()
    }

    /// The middle sample, or the mean of the middle two.
    pub fn median(&self) -> Option<f64> {
        let n = self.sorted.len();
        let upper = *self.sorted.get(n / 2)?;
        Some(match n % 2 {
            0 => (self.sorted[n / 2 - 1] + upper) / 2.0,
            _ => upper,
        })
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> Option<f64> {
        match self.sorted.len() {
            0 => None,
            n => Some(self.sorted.iter().sum::<f64>() / n as f64),
        }
    }

    /// The smallest sample.
    pub fn min(&self) -> Option<f64> {
        self.sorted.first().copied()
    }

    /// The largest sample.
    pub fn max(&self) -> Option<f64> {
        self.sorted.last().copied()
    }

    /// The share of samples that are at most each of `points` samples spread evenly over the ranks, as (value, percent):
    /// the distribution's curve, thinned for a plot.
    pub fn curve(&self, points: usize) -> Vec<(f64, f64)> {
        let n = self.sorted.len();
        let steps = points.min(n);
        (1..=steps)
            .map(|step| {
                let rank = step * n / steps;
                (self.sorted[rank - 1], 100.0 * rank as f64 / n as f64)
            })
            .collect()
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(samples: I) -> Self {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Samples { sorted }
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn percentiles_are_measured_values_by_nearest_rank() {
        let samples: Samples = [15.0, 50.0, 35.0, 20.0, 40.0].into_iter().collect();
        let wanted = [(0.0, 15.0), (5.0, 15.0), (30.0, 20.0), (40.0, 20.0), (50.0, 35.0), (100.0, 50.0)];
        for (percent, value) in wanted {
            assert_eq!(samples.percentile(percent), Some(value), "p{percent}");
        }
    }

    #[test]
    fn the_99th_of_100_is_the_second_largest_not_the_largest() {
        let samples: Samples = (1..=100).rev().map(f64::from).collect();
        assert_eq!(samples.percentile(99.0), Some(99.0));
        assert_eq!(samples.percentile(99.1), Some(100.0));
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!([4.0, 1.0, 3.0, 2.0].into_iter().collect::<Samples>().median(), Some(2.5));
        assert_eq!([3.0, 1.0, 2.0].into_iter().collect::<Samples>().median(), Some(2.0));
    }

    #[test]
    fn no_samples_have_no_statistics() {
        let none = Samples::default();
        assert_eq!((none.percentile(50.0), none.median(), none.mean(), none.max()), (None, None, None, None));
        assert!(none.curve(10).is_empty());
    }

    #[test]
    fn the_curve_ends_at_the_maximum_and_100_percent() {
        let samples: Samples = (0..1000).map(f64::from).collect();
        let curve = samples.curve(50);
        assert_eq!(curve.len(), 50);
        assert_eq!(curve.last(), Some(&(999.0, 100.0)));
        assert!(curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
    }
}
