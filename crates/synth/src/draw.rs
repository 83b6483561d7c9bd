//! The values of a tensor, in its type.
//!
//! Types of blocks are not rounded from floats: their integers are drawn, all as likely, and the scales so that the values have the
//! deviation that is asked for. So a block is one that the type allows and not one that a quantiser would have made, and costs little.

use half::{bf16, f16};
use parkade_kernels::WeightType;

use crate::random::Random;

/// The types that can be drawn.
pub(crate) const TYPES: &[WeightType] = &[
    WeightType::F32,
    WeightType::F16,
    WeightType::BF16,
    WeightType::Q4_0,
    WeightType::Q4_1,
    WeightType::Q5_0,
    WeightType::Q5_1,
    WeightType::Q8_0,
    WeightType::Q2K,
    WeightType::Q3K,
    WeightType::Q4K,
    WeightType::Q5K,
    WeightType::Q6K,
    WeightType::IQ4NL,
    WeightType::IQ4XS,
    WeightType::MXFP4,
];

/// How a tensor's values are distributed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Draw {
    /// Around `mean`, nearly normal.
    Normal { mean: f32, deviation: f32 },
    /// All as likely.
    Uniform { from: f32, to: f32 },
    /// Just these.
    Exactly(Vec<f32>),
}

impl Draw {
    /// The bytes of `count` values, a whole number of blocks. What is no [`Draw::Normal`] around 0 is never in a type of blocks.
    pub(crate) fn bytes(&self, ty: WeightType, count: usize, random: &mut Random) -> Vec<u8> {
        let blocks = count / ty.block_len();
        let mut out = Vec::with_capacity(blocks * ty.block_bytes());
        for at in 0..blocks {
            let value = match self {
                Draw::Normal { deviation, .. } if ty.block_len() > 1 => {
                    block(ty, *deviation, random, &mut out);
                    continue;
                }
                Draw::Normal { mean, deviation } => mean + deviation * random.normal(),
                Draw::Uniform { from, to } => from + (to - from) * random.uniform(),
                Draw::Exactly(values) => values[at % values.len()],
            };
            match ty {
                WeightType::F16 => out.extend(f16::from_f32(value).to_le_bytes()),
                WeightType::BF16 => out.extend(bf16::from_f32(value).to_le_bytes()),
                _ => out.extend(value.to_le_bytes()),
            }
        }
        out
    }
}

/// Appends one block whose values have this standard deviation, and mean 0 over all blocks.
fn block(ty: WeightType, deviation: f32, random: &mut Random, out: &mut Vec<u8>) {
    // Scales differ from block to block.
    let deviation = deviation * (0.75 + 0.5 * random.uniform());
    // Integers are not centred in most types; the sign of the scale makes up for it.
    let sign = if random.next() & 1 == 0 { 1.0 } else { -1.0 };
    let half = |x: f32| f16::from_f32(x).to_le_bytes();
    match ty {
        WeightType::Q8_0 => {
            out.extend(half(deviation / 73.3));
            let start = out.len();
            random.bytes(32, out);
            // -128 is no value that a quantiser writes.
            out[start..].iter_mut().for_each(|byte| *byte = if *byte == 0x80 { 0 } else { *byte });
        }
        WeightType::Q4_0 => scaled(sign * deviation / 4.64, 16, random, out),
        WeightType::Q5_0 => scaled(sign * deviation / 9.25, 20, random, out),
        WeightType::IQ4NL => scaled(sign * deviation / 67.4, 16, random, out),
        WeightType::Q4_1 => with_minimum(deviation / 4.61, -7.5, 16, random, out),
        WeightType::Q5_1 => with_minimum(deviation / 9.23, -15.5, 20, random, out),
        WeightType::Q2K => {
            // Scales and minima of 4 bits, all from 8 up.
            let start = out.len();
            random.bytes(80, out);
            out[start..start + 16].iter_mut().for_each(|byte| *byte |= 0x88);
            out.extend([half(deviation / 13.98), half(1.5 * deviation / 13.98)].concat());
        }
        WeightType::Q3K => {
            random.bytes(108, out);
            out.extend(half(sign * deviation / 43.3));
        }
        WeightType::Q4K => scales_and_minima(deviation / 243.6, 7.5, 128, random, out),
        WeightType::Q5K => scales_and_minima(deviation / 490.4, 15.5, 160, random, out),
        WeightType::Q6K => {
            random.bytes(192, out);
            let start = out.len();
            random.bytes(16, out);
            // 64 to 95, with either sign.
            out[start..]
                .iter_mut()
                .for_each(|byte| *byte = if *byte < 0x80 { *byte & 0x1f | 0x40 } else { *byte & 0x1f | 0xa0 });
            out.extend(half(sign * deviation / 1479.0));
        }
        WeightType::MXFP4 => {
            // Scales are powers of two: of the two around the one that is wanted, as often as the mean square asks for.
            let scale = deviation / 5.852;
            let below = scale.log2().floor();
            let above = ((scale / below.exp2()).powi(2) - 1.0) / 3.0;
            let exponent = below + f32::from(random.uniform() < above);
            out.push((exponent as i32 + 128).clamp(2, 254) as u8);
            random.bytes(16, out);
        }
        WeightType::IQ4XS => scaled(sign * deviation / 1246.0, 134, random, out),
        _ => unreachable!("{} is none of the types of blocks that can be drawn", ty.name()),
    }
}

/// A scale and integers.
fn scaled(scale: f32, integers: usize, random: &mut Random, out: &mut Vec<u8>) {
    out.extend(f16::from_f32(scale).to_le_bytes());
    random.bytes(integers, out);
}

/// A scale, a minimum of so many scales, and integers.
fn with_minimum(scale: f32, minimum: f32, integers: usize, random: &mut Random, out: &mut Vec<u8>) {
    out.extend(f16::from_f32(scale).to_le_bytes());
    scaled(scale * minimum, integers, random, out);
}

/// A scale and that of the minima, then both of 6 bits for each 32 values, all from 32 up, and integers.
fn scales_and_minima(scale: f32, middle: f32, integers: usize, random: &mut Random, out: &mut Vec<u8>) {
    out.extend(f16::from_f32(scale).to_le_bytes());
    out.extend(f16::from_f32(scale * middle).to_le_bytes());
    let start = out.len();
    random.bytes(12 + integers, out);
    out[start..start + 8].iter_mut().for_each(|byte| *byte |= 0xa0);
}

#[cfg(test)]
mod tests {
    use parkade_kernels::dequantize;

    use super::*;

    #[test]
    fn values_of_every_type_have_the_mean_and_the_deviation_that_are_asked_for() {
        for &ty in TYPES {
            let draw = Draw::Normal { mean: 0.0, deviation: 0.25 };
            let bytes = draw.bytes(ty, 1 << 18, &mut Random::of(7, "test"));
            let mut values = vec![0.0; 1 << 18];
            dequantize(ty, &bytes, &mut values).unwrap();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            let square = values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32;
            assert!(mean.abs() < 0.005, "{}: {mean}", ty.name());
            assert!((square.sqrt() - 0.25).abs() < 0.01, "{}: {}", ty.name(), square.sqrt());
        }
    }

    #[test]
    fn floats_are_drawn_as_told() {
        let draw = |draw: Draw| {
            let bytes = draw.bytes(WeightType::F32, 4096, &mut Random::of(1, "t"));
            bytes.chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>()
        };
        let normal = draw(Draw::Normal { mean: 1.0, deviation: 0.15 });
        assert!((normal.iter().sum::<f32>() / 4096.0 - 1.0).abs() < 0.01);
        assert!(draw(Draw::Uniform { from: -2.0, to: -0.3 }).iter().all(|x| (-2.0..-0.3).contains(x)));
        assert_eq!(draw(Draw::Exactly(vec![1.0, 2.0]))[..3], [1.0, 2.0, 1.0]);
    }
}
