//! Products as llama.cpp makes them on a CPU: activations are rounded to the format that belongs to the weights' type.

use half::{bf16, f16};
use parkade_kernels::WeightType;

/// Activations in the format for a type of weights: what the weights are multiplied with, and for types with a minimum, what
/// the minimum of each block is multiplied with.
pub struct Rounded {
    pub values: Vec<f64>,
    pub block_sums: Vec<f64>,
}

pub fn round(x: &[f64], ty: WeightType) -> Rounded {
    let x: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    let plain = |values: Vec<f64>| Rounded { values, block_sums: Vec::new() };
    match ty {
        WeightType::F32 => plain(x.iter().map(|&x| x.into()).collect()),
        WeightType::F16 => plain(x.iter().map(|&x| f16::from_f32(x).to_f64()).collect()),
        WeightType::BF16 => plain(x.iter().map(|&x| bf16::from_f32(x).to_f64()).collect()),
        _ if ty.block_len() == 256 => plain(x.chunks_exact(256).flat_map(q8_k).collect()),
        _ => {
            let blocks: Vec<_> = x.chunks_exact(32).map(q8_1).collect();
            Rounded {
                values: blocks.iter().flat_map(|(values, _)| values).copied().collect(),
                block_sums: blocks.iter().map(|&(_, sum)| sum).collect(),
            }
        }
    }
}

/// Q8_1, whose values are those of Q8_0: one f16 scale for 32 values, and the scaled sum as another f16.
fn q8_1(x: &[f32]) -> (Vec<f64>, f64) {
    let largest = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let factor = if largest == 0.0 { 0.0 } else { 127.0 / largest };
    let q: Vec<f32> = x.iter().map(|x| (x * factor).round_ties_even()).collect();
    let scale = largest / 127.0;
    let sum = f16::from_f32(scale * q.iter().sum::<f32>()).to_f64();
    let scale = f16::from_f32(scale).to_f64();
    (q.iter().map(|&q| scale * f64::from(q)).collect(), sum)
}

/// Q8_K: one f32 scale for 256 values, such that the largest becomes -127.
fn q8_k(x: &[f32]) -> Vec<f64> {
    let largest = x.iter().fold(0.0f32, |m, &x| if x.abs() > m.abs() { x } else { m });
    if largest == 0.0 {
        return vec![0.0; x.len()];
    }
    let factor = -127.0 / largest;
    let scale = f64::from(1.0 / factor);
    x.iter().map(|x| scale * f64::from((x * factor).round_ties_even().min(127.0))).collect()
}

/// The minimum of each block of a type that has one (as Q4_1), else nothing.
pub fn minimums(ty: WeightType, bytes: &[u8]) -> Vec<f32> {
    match ty {
        WeightType::Q4_1 | WeightType::Q5_1 => {
            bytes.chunks_exact(ty.block_bytes()).map(|b| f16::from_le_bytes([b[2], b[3]]).to_f32()).collect()
        }
        _ => Vec::new(),
    }
}
