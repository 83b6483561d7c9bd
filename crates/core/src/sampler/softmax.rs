//! Exponentials and sums over a whole vocabulary, always in the same order: the same logits give the same bits on every machine.

use std::ops::Range;

/// Weights are summed in blocks of this many, which also lets a draw skip ahead.
const BLOCK: usize = 1024;
const LANES: usize = 16;

/// `e^x` for `x <= 0`, to about one unit in the last place; below -87 it is 0.
///
/// Range reduction and polynomial as in Cephes' `expf`; without branches or calls, so that loops over it become SIMD code.
#[inline]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    let clamped = if x > -87.0 { x } else { -87.0 };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + coefficient;
    }
    let mantissa = p * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    let value = mantissa * power;
    if x > -87.0 { value } else { 0.0 }
}

/// The largest of `values`, or `None` if one of them is not a number or none of them is finite.
pub(super) fn largest(values: &[f32]) -> Option<f32> {
    let mut best = [f32::NEG_INFINITY; LANES];
    let mut sane = [true; LANES];
    let mut take = |lane: usize, value: f32| {
        best[lane] = if value > best[lane] { value } else { best[lane] };
        sane[lane] &= !value.is_nan();
    };
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &value) in chunk.iter().enumerate() {
            take(lane, value);
        }
    }
    for (lane, &value) in rest.iter().enumerate() {
        take(lane, value);
    }
    let largest = best.into_iter().fold(f32::NEG_INFINITY, f32::max);
    (sane.into_iter().all(|sane| sane) && largest.is_finite()).then_some(largest)
}

/// The standard deviation of the values that are finite.
pub(super) fn deviation(values: &[f32]) -> f64 {
    let finite = || values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value));
    let count = finite().count().max(1) as f64;
    let mean = finite().sum::<f64>() / count;
    (finite().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt()
}

/// The sum of `e^((value - largest) * scale)` over all values.
pub(super) fn sum_of_exp(values: &[f32], largest: f32, scale: f32) -> f64 {
    values.chunks(BLOCK).map(|block| lane_sum(block, |value| exp((value - largest) * scale))).sum()
}

fn lane_sum(values: &[f32], weight: impl Fn(f32) -> f32) -> f64 {
    let mut sums = [0.0f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += weight(chunk[lane]);
        }
    }
    for (lane, &value) in rest.iter().enumerate() {
        sums[lane] += weight(value);
    }
    sums.into_iter().map(f64::from).sum()
}

/// Draws an index with a probability in proportion to its weight; `uniform` is from 0 up to, but without, 1.
///
/// # Panics
/// If all weights are 0.
pub(super) fn draw(weights: &[f32], uniform: f64) -> usize {
    let sums: Vec<f64> = weights.chunks(BLOCK).map(|block| lane_sum(block, |weight| weight)).collect();
    let mut target = uniform * sums.iter().sum::<f64>();
    let mut last_block = None;
    for (block, &sum) in sums.iter().enumerate() {
        if sum > 0.0 {
            last_block = Some(block);
            if target < sum {
                break;
            }
            target -= sum;
        }
    }
    let block = last_block.expect("some weight is above 0");
    let range: Range<usize> = block * BLOCK..weights.len().min((block + 1) * BLOCK);
    let mut last = None;
    for index in range {
        let weight = f64::from(weights[index]);
        if weight > 0.0 {
            last = Some(index);
            if target < weight {
                break;
            }
            target -= weight;
        }
    }
    // Rounding may leave a little of the target at the end; then the last possible token is drawn.
    last.expect("a block whose sum is above 0 has a weight above 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_the_last_bits() {
        for step in 0..=86_000 {
            let x = -(step as f32) / 1000.0;
            let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours - exact).abs() <= exact * 2e-7, "e^{x}: {ours} against {exact}");
        }
        assert_eq!((exp(0.0), exp(-87.5), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn the_largest_value_is_found_and_nonsense_is_noticed() {
        let mut values = vec![-3.0; 100];
        values[77] = 5.0;
        assert_eq!(largest(&values), Some(5.0));
        values[3] = f32::NEG_INFINITY;
        assert_eq!(largest(&values), Some(5.0));
        for bad in [f32::NAN, f32::INFINITY] {
            for place in [0, 50, 99] {
                let mut values = values.clone();
                values[place] = bad;
                assert_eq!(largest(&values), None);
            }
        }
        assert_eq!(largest(&[f32::NEG_INFINITY; 20]), None);
    }

    #[test]
    fn the_deviation_is_that_of_what_is_finite() {
        assert_eq!(deviation(&[1.0, 3.0, f32::NEG_INFINITY, 1.0, 3.0]), 1.0);
        assert_eq!((deviation(&[5.0]), deviation(&[])), (0.0, 0.0));
    }

    #[test]
    fn a_draw_hits_each_index_in_proportion_and_never_one_of_weight_0() {
        let mut weights = vec![0.0; 3000];
        (weights[5], weights[1500], weights[2999]) = (1.0, 2.0, 1.0);
        let hits: Vec<usize> = (0..8).map(|eighth| draw(&weights, f64::from(eighth) / 8.0)).collect();
        assert_eq!(hits, [5, 5, 1500, 1500, 1500, 1500, 2999, 2999]);
        assert_eq!(draw(&weights, 1.0 - f64::EPSILON), 2999);
    }
}
