//! What the tests share: a generator of numbers and of weights.

use crate::WeightType;
use half::{bf16, f16};

/// A small generator (splitmix64): the same numbers on every machine.
pub(crate) struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// From -1 to 1.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

/// Where the f16 scales of a block are.
fn scales_at(ty: WeightType) -> &'static [usize] {
    match ty {
        WeightType::F32 | WeightType::F16 | WeightType::BF16 => &[],
        WeightType::MXFP4 | WeightType::NVFP4 | WeightType::IQ1M => &[],
        WeightType::Q4_0 | WeightType::Q5_0 | WeightType::Q8_0 | WeightType::Q1_0 => &[0],
        WeightType::IQ1S | WeightType::IQ2XXS | WeightType::IQ2XS | WeightType::IQ2S => &[0],
        WeightType::IQ3XXS | WeightType::IQ3S | WeightType::IQ4NL | WeightType::IQ4XS => &[0],
        WeightType::TQ1_0 => &[52],
        WeightType::TQ2_0 => &[64],
        WeightType::Q4_1 | WeightType::Q5_1 | WeightType::Q4K | WeightType::Q5K => &[0, 2],
        WeightType::Q2K => &[80, 82],
        WeightType::Q3K => &[108],
        WeightType::Q6K => &[208],
    }
}

/// `n` weights: all codes and small scales occur, the f16 scales are moderate.
pub(crate) fn weights(ty: WeightType, n: usize, numbers: &mut Numbers) -> Vec<u8> {
    match ty {
        WeightType::F32 => numbers.floats(n).iter().flat_map(|x| x.to_le_bytes()).collect(),
        WeightType::F16 => numbers.floats(n).iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        WeightType::BF16 => numbers.floats(n).iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        _ => {
            let mut bytes: Vec<u8> = (0..ty.row_bytes(n).unwrap()).map(|_| numbers.next() as u8).collect();
            for block in bytes.chunks_exact_mut(ty.block_bytes()) {
                for &at in scales_at(ty) {
                    let scale = f16::from_f32(numbers.float() * 0.02);
                    block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
                }
                match ty {
                    WeightType::MXFP4 => block[0] = 118 + numbers.below(6) as u8,
                    WeightType::IQ1M => {
                        // its f16 is in the high nibbles of four words
                        let scale = f16::from_f32(numbers.float() * 0.02).to_bits();
                        for n in 0..4 {
                            block[49 + n * 2] = block[49 + n * 2] & 15 | ((scale >> (4 * n) & 15) as u8) << 4;
                        }
                    }
                    _ => {}
                }
            }
            bytes
        }
    }
}

/// The squared error relative to the squared reference.
pub(crate) fn nmse(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let error: f64 = got.iter().zip(want).map(|(&g, w)| (f64::from(g) - w).powi(2)).sum();
    error / want.iter().map(|w| w * w).sum::<f64>().max(1e-30)
}

pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}
