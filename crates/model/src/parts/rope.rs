//! Rotary positions: the frequencies of the pairs of a head, with the ways in which models stretch them.

use std::f64::consts::PI;

use parkade_kernels::{RopeLayout, RopeTable};

use crate::config::{MAX_CONTEXT, MAX_HEAD_DIM, ModelConfig};
use crate::error::ModelError;
use crate::keys::Keys;
use crate::loader::{Loader, Presence};

/// Divisors of the rotary frequencies, one for each pair.
const ROPE_FREQS: &str = "rope_freqs.weight";
/// Those of LongRoPE, for contexts up to that of the training and for longer ones.
const LONG_ROPE: [&str; 2] = ["rope_factors_short.weight", "rope_factors_long.weight"];

/// How queries and keys are rotated.
#[derive(Debug, Clone, PartialEq)]
pub struct RopePlan {
    /// Which values of a head are rotated as a pair.
    pub layout: RopeLayout,
    /// Values of a head that are rotated, from its start; even.
    pub dimensions: usize,
    /// Base of the frequencies.
    pub freq_base: f32,
    /// How the frequencies are stretched for contexts longer than those of the training.
    pub scaling: RopeScaling,
    /// Whether the file's table of divisors (`rope_freqs.weight`) is for these rotations.
    pub divisors: Presence,
}

/// How the frequencies are stretched.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// Not at all (save by the file's own table of divisors).
    None,
    /// Positions are divided by `factor`.
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// YaRN (<https://arxiv.org/abs/2309.00071>): slow pairs are stretched, quick ones are not.
    Yarn(YarnScaling),
    /// LongRoPE (<https://arxiv.org/abs/2402.13753>): the file has two tables of divisors. Which of them is taken depends on the context that the
    /// model is served with, and not on the positions: keys in the cache were turned by it.
    Long {
        /// Whether the context is longer than that of the training.
        longer: bool,
        /// Factor of the rotated values.
        attn_factor: f32,
    },
    /// Llama 3.1: as YaRN in spirit, with bounds by wave length. Converters usually store the result as a table of divisors instead.
    Llama3 {
        /// The divisor of slow pairs.
        factor: f32,
        /// Wave lengths above `original_context / low` are stretched wholly.
        low: f32,
        /// Wave lengths below `original_context / high` are left as they are.
        high: f32,
        /// Context length of the training.
        original_context: usize,
    },
}

/// The numbers of YaRN.
#[derive(Debug, Clone, PartialEq)]
pub struct YarnScaling {
    /// The divisor of slow pairs.
    pub factor: f32,
    /// How much of the quick pairs' own frequency is kept: 1 in the paper.
    pub ext_factor: f32,
    /// Factor of the rotated values, besides YaRN's own.
    pub attn_factor: f32,
    /// Rotations over the original context from which a pair is quick.
    pub beta_fast: f32,
    /// Rotations over the original context up to which a pair is slow.
    pub beta_slow: f32,
    /// How much of YaRN's own factor of the rotated values is taken back; 0 is not at all, 1 is wholly.
    pub log_multiplier: f32,
    /// Context length of the training.
    pub original_context: usize,
}

impl RopePlan {
    /// Reads the numbers of a file's metadata.
    pub(crate) fn read(keys: &Keys<'_>, config: &ModelConfig, layout: RopeLayout) -> Result<RopePlan, ModelError> {
        let head_dim = config.head_dim;
        let dimensions = keys.optional_size("rope.dimension_count", MAX_HEAD_DIM)?.unwrap_or(head_dim);
        if dimensions > head_dim || !dimensions.is_multiple_of(2) {
            let expected = format!("an even number up to the head size {head_dim}");
            return Err(keys.wrong("rope.dimension_count", dimensions, expected));
        }
        let freq_base = keys.freq_base("rope.freq_base")?.unwrap_or(10_000.0);
        Ok(RopePlan { layout, dimensions, freq_base, scaling: scaling(keys, config)?, divisors: Presence::Optional })
    }

    /// The rotations up to a position, with the divisors of the file, if it has some.
    pub(crate) fn table(&self, loader: &Loader<'_>, positions: usize) -> Result<RopeTable, ModelError> {
        let divisors = |name| divisors(loader, name, self.dimensions / 2);
        let divisors = match self.scaling {
            RopeScaling::Long { longer, .. } => {
                // Both, so that both are known to be right.
                let [short, long] = LONG_ROPE.map(divisors);
                let (short, long) = (short?, long?);
                Some(if longer { long } else { short })
            }
            _ if self.divisors == Presence::Never => None,
            _ => loader.has(ROPE_FREQS).then(|| divisors(ROPE_FREQS)).transpose()?,
        };
        let frequencies = self.inverse_frequencies(divisors.as_deref());
        Ok(RopeTable::new(self.dimensions, frequencies, self.attn_factor(), self.layout, positions))
    }

    /// The angle in radians per position of each pair. `divisors` is the file's table, if it has one.
    pub fn inverse_frequencies(&self, divisors: Option<&[f32]>) -> Vec<f32> {
        let pairs = self.dimensions / 2;
        (0..pairs)
            .map(|pair| {
                let plain = f64::from(self.freq_base).powf(-2.0 * pair as f64 / self.dimensions as f64);
                let own = plain / divisors.map_or(1.0, |d| f64::from(d[pair]));
                self.stretched(pair, own) as f32
            })
            .collect()
    }

    /// Factor of the rotated values.
    pub fn attn_factor(&self) -> f32 {
        match &self.scaling {
            RopeScaling::Yarn(y) if y.ext_factor != 0.0 => {
                let growth = 0.1 * y.factor.ln();
                y.attn_factor * (1.0 + growth) / (1.0 + growth * y.log_multiplier)
            }
            RopeScaling::Yarn(y) => y.attn_factor,
            RopeScaling::Long { attn_factor, .. } => *attn_factor,
            _ => 1.0,
        }
    }

    fn stretched(&self, pair: usize, own: f64) -> f64 {
        match &self.scaling {
            RopeScaling::None | RopeScaling::Long { .. } => own,
            RopeScaling::Linear { factor } => own / f64::from(*factor),
            RopeScaling::Yarn(yarn) => {
                let (low, high) = self.yarn_bounds(yarn);
                let ramp = ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                let keep = (1.0 - ramp) * f64::from(yarn.ext_factor);
                own / f64::from(yarn.factor) * (1.0 - keep) + own * keep
            }
            RopeScaling::Llama3 { factor, low, high, original_context } => {
                let rotations = *original_context as f64 * own / (2.0 * PI);
                let (low, high) = (f64::from(*low), f64::from(*high));
                let keep = ((rotations - low) / (high - low)).clamp(0.0, 1.0);
                own / f64::from(*factor) * (1.0 - keep) + own * keep
            }
        }
    }

    /// The pairs between which YaRN goes over from own to stretched frequencies.
    fn yarn_bounds(&self, yarn: &YarnScaling) -> (f64, f64) {
        let dimensions = self.dimensions as f64;
        let pair_with = |rotations: f32| {
            let ratio = yarn.original_context as f64 / (f64::from(rotations) * 2.0 * PI);
            dimensions * ratio.ln() / (2.0 * f64::from(self.freq_base).ln())
        };
        let low = pair_with(yarn.beta_fast).floor().max(0.0);
        let high = pair_with(yarn.beta_slow).ceil().min(dimensions - 1.0);
        (low, high)
    }
}

fn scaling(keys: &Keys<'_>, config: &ModelConfig) -> Result<RopeScaling, ModelError> {
    let kind = keys.text("rope.scaling.type")?;
    if kind == Some("none") {
        return Ok(RopeScaling::None);
    }
    let factor = match keys.positive("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        // The key's old name, which meant linear scaling.
        None => keys.positive("rope.scale_linear")?,
    };
    let original_context = || {
        let length = keys.optional_size("rope.scaling.original_context_length", MAX_CONTEXT)?;
        Ok::<_, ModelError>(length.unwrap_or(config.trained_context))
    };
    let factor = factor.unwrap_or(1.0);
    match kind {
        None | Some("linear") if factor == 1.0 => Ok(RopeScaling::None),
        None | Some("linear") => Ok(RopeScaling::Linear { factor }),
        Some("yarn") => Ok(RopeScaling::Yarn(YarnScaling {
            factor,
            ext_factor: ext_factor(keys)?,
            attn_factor: match keys.positive("rope.scaling.yarn_attn_factor")? {
                Some(factor) => factor,
                None => keys.positive("rope.scaling.attn_factor")?.unwrap_or(1.0),
            },
            beta_fast: keys.positive("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            beta_slow: keys.positive("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            log_multiplier: keys.positive("rope.scaling.yarn_log_multiplier")?.unwrap_or(0.0),
            original_context: original_context()?,
        })),
        Some("longrope") => Ok(RopeScaling::Long {
            longer: config.context_length > original_context()?,
            attn_factor: keys.positive("rope.scaling.attn_factor")?.unwrap_or(1.0),
        }),
        Some("llama3") => {
            let low = keys.positive("rope.scaling.low_freq_factor")?.unwrap_or(1.0);
            let high = keys.positive("rope.scaling.high_freq_factor")?.unwrap_or(4.0);
            if high <= low {
                let expected = format!("more than low_freq_factor {low}");
                return Err(keys.wrong("rope.scaling.high_freq_factor", high, expected));
            }
            Ok(RopeScaling::Llama3 { factor, low, high, original_context: original_context()? })
        }
        Some(other) => {
            let expected = "none, linear, yarn, longrope or llama3".to_owned();
            Err(keys.wrong("rope.scaling.type", format!("{other:?}"), expected))
        }
    }
}

/// A table of divisors.
fn divisors(loader: &Loader<'_>, name: &str, pairs: usize) -> Result<Vec<f32>, ModelError> {
    let divisors = loader.floats(name, &[pairs])?;
    match divisors.iter().find(|d| !(d.is_finite() && **d > 0.0)) {
        Some(bad) => Err(ModelError::Config {
            key: name.to_owned(),
            found: bad.to_string(),
            expected: "positive numbers".to_owned(),
        }),
        None => Ok(divisors),
    }
}

/// 0 is a factor like others here.
fn ext_factor(keys: &Keys<'_>) -> Result<f32, ModelError> {
    let key = "rope.scaling.yarn_ext_factor";
    match keys.optional_float(key)? {
        Some(value) if !(0.0..=1.0).contains(&value) => Err(keys.wrong(key, value, "from 0 to 1".to_owned())),
        value => Ok(value.unwrap_or(1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(dimensions: usize, freq_base: f32, scaling: RopeScaling) -> RopePlan {
        RopePlan { layout: RopeLayout::Halves, dimensions, freq_base, scaling, divisors: Presence::Optional }
    }

    fn assert_near(frequencies: &[f32], expected: &[(usize, f64)]) {
        for &(pair, value) in expected {
            let error = (f64::from(frequencies[pair]) / value - 1.0).abs();
            assert!(error < 1e-6, "pair {pair}: {} instead of {value}", frequencies[pair]);
        }
    }

    #[test]
    fn plain_and_linear_frequencies_fall_by_powers() {
        let plain = rope(4, 100.0, RopeScaling::None);
        assert_near(&plain.inverse_frequencies(None), &[(0, 1.0), (1, 0.1)]);
        assert_near(&plain.inverse_frequencies(Some(&[2.0, 4.0])), &[(0, 0.5), (1, 0.025)]);
        let linear = rope(4, 100.0, RopeScaling::Linear { factor: 4.0 });
        assert_near(&linear.inverse_frequencies(None), &[(0, 0.25), (1, 0.025)]);
        assert_eq!(linear.attn_factor(), 1.0);
    }

    /// The numbers are those of the YaRN code of Hugging Face's transformers.
    #[test]
    fn yarn_keeps_quick_pairs_and_stretches_slow_ones() {
        let yarn = YarnScaling {
            factor: 4.0,
            ext_factor: 1.0,
            attn_factor: 1.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            log_multiplier: 0.0,
            original_context: 2048,
        };
        let config = rope(64, 10_000.0, RopeScaling::Yarn(yarn));
        let expected = [
            (0, 1.0),
            (5, 0.237_137_370_566_165_55),
            (10, 0.049_745_578_766_838_56),
            (13, 0.016_873_235_982_592_546),
            (17, 0.003_605_260_621_790_653_6),
            (20, 0.000_973_008_510_821_039_6),
            (25, 0.000_187_473_552_333_113_94),
            (31, 3.333_803_580_408_31e-5),
        ];
        assert_near(&config.inverse_frequencies(None), &expected);
        assert!((config.attn_factor() - 1.138_629_4).abs() < 1e-6);
    }

    /// The numbers are those of Llama 3.1 in Hugging Face's transformers.
    #[test]
    fn llama3_goes_over_between_two_wave_lengths() {
        let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_context: 8192 };
        let expected = [
            (0, 1.0),
            (20, 0.016_560_440_080_994_446),
            (28, 0.003_211_445_994_752_591),
            (30, 0.001_371_893_567_761_138_1),
            (32, 0.000_524_846_160_992_954_7),
            (35, 9.556_212_353_964_683e-5),
            (40, 3.428_102_195_952_591e-5),
            (63, 3.068_925_988_914_511e-7),
        ];
        assert_near(&rope(128, 500_000.0, scaling).inverse_frequencies(None), &expected);
    }
}
