//! The meaning of ggml's block formats: every quantised block is unpacked into one common form.
//!
//! A weight is `scale[group] * (value(code) - zero) + min[group]`, where `value` is the identity or the levels of a table. For the types
//! with blocks of 256 `scale` and `min` are themselves products of a small integer per group and one float per block. `dequantize` and
//! the tiles both start from here, so there is one place that knows the bit layouts.

mod grids;
mod iq;
mod levels;

use crate::WeightType;
use crate::error::KernelError;
use half::{bf16, f16};

pub(crate) use levels::{Levels, levels};

/// One quantised block in the common form; unused parts stay zero.
pub(crate) struct Block {
    /// Unsigned codes in order of k; the first `block_len` count.
    pub codes: [u8; 256],
    /// Scale of the block: the bits of an f16, or of a bf16 for MXFP4, whose scales are any power of two.
    pub d: u16,
    /// Min of the block (added once per weight in the 32-blocks, subtracted times `mins` in the K types).
    pub m: f16,
    /// Types with blocks of 256: integer scale of each group.
    pub scales: [i8; 16],
    /// K types: integer min of each group.
    pub mins: [i8; 16],
}

impl Block {
    pub fn new() -> Block {
        Block { codes: [0; 256], d: 0, m: f16::ZERO, scales: [0; 16], mins: [0; 16] }
    }
}

/// What is subtracted from a code before scaling.
pub(crate) fn zero_point(ty: WeightType) -> i32 {
    match ty {
        WeightType::Q4_0 | WeightType::Q1_0 => 8,
        WeightType::Q5_0 => 16,
        WeightType::Q8_0 => 128,
        WeightType::Q3K => 4,
        WeightType::Q6K => 32,
        _ => 0,
    }
}

/// Weights that share one integer scale inside a block of 256.
pub(crate) fn group_len(ty: WeightType) -> usize {
    match ty {
        WeightType::Q2K | WeightType::Q3K | WeightType::Q6K => 16,
        WeightType::IQ2XS | WeightType::IQ2S | WeightType::IQ1M => 16,
        _ => 32,
    }
}

pub(crate) fn half_at(bytes: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// Unpacks the block of type `ty` that `bytes` holds exactly. Not for the float types.
pub(crate) fn unpack(ty: WeightType, bytes: &[u8], block: &mut Block) {
    debug_assert_eq!(bytes.len(), ty.block_bytes());
    match ty {
        WeightType::F32 | WeightType::F16 | WeightType::BF16 | WeightType::NVFP4 => {
            unreachable!("float types have no blocks in the common form")
        }
        WeightType::Q4_0 | WeightType::IQ4NL => {
            block.d = half_at(bytes, 0).to_bits();
            nibbles(&bytes[2..18], &mut block.codes[..32]);
        }
        WeightType::Q4_1 => {
            block.d = half_at(bytes, 0).to_bits();
            block.m = half_at(bytes, 2);
            nibbles(&bytes[4..20], &mut block.codes[..32]);
        }
        WeightType::Q5_0 => {
            block.d = half_at(bytes, 0).to_bits();
            nibbles(&bytes[6..22], &mut block.codes[..32]);
            fifth_bits(&bytes[2..6], &mut block.codes[..32]);
        }
        WeightType::Q5_1 => {
            block.d = half_at(bytes, 0).to_bits();
            block.m = half_at(bytes, 2);
            nibbles(&bytes[8..24], &mut block.codes[..32]);
            fifth_bits(&bytes[4..8], &mut block.codes[..32]);
        }
        WeightType::Q8_0 => {
            block.d = half_at(bytes, 0).to_bits();
            for (code, &byte) in block.codes.iter_mut().zip(&bytes[2..34]) {
                *code = byte ^ 0x80; // i8 to u8 with zero point 128
            }
        }
        WeightType::Q2K => {
            for (group, &byte) in bytes[..16].iter().enumerate() {
                block.scales[group] = (byte & 15) as i8;
                block.mins[group] = (byte >> 4) as i8;
            }
            crumbs(&bytes[16..80], &mut block.codes);
            block.d = half_at(bytes, 80).to_bits();
            block.m = half_at(bytes, 82);
        }
        WeightType::Q3K => unpack_q3k(bytes, block),
        WeightType::Q4K => {
            block.d = half_at(bytes, 0).to_bits();
            block.m = half_at(bytes, 2);
            six_bit_pairs(&bytes[4..16], block);
            nibble_rows(&bytes[16..144], &mut block.codes);
        }
        WeightType::Q5K => {
            block.d = half_at(bytes, 0).to_bits();
            block.m = half_at(bytes, 2);
            six_bit_pairs(&bytes[4..16], block);
            nibble_rows(&bytes[48..176], &mut block.codes);
            for (k, code) in block.codes.iter_mut().enumerate() {
                *code |= ((bytes[16 + k % 32] >> (k / 32)) & 1) << 4;
            }
        }
        WeightType::Q6K => unpack_q6k(bytes, block),
        WeightType::IQ4XS => unpack_iq4xs(bytes, block),
        WeightType::MXFP4 => {
            block.d = e8m0_halved(bytes[0]);
            nibbles(&bytes[1..17], &mut block.codes[..32]);
        }
        WeightType::Q1_0 => unpack_q1_0(bytes, block),
        _ => iq::unpack(ty, bytes, block),
    }
}

/// A bit a weight: -1 or 1, with the zero point of Q4_0.
fn unpack_q1_0(bytes: &[u8], block: &mut Block) {
    block.d = half_at(bytes, 0).to_bits();
    for (k, code) in block.codes[..128].iter_mut().enumerate() {
        *code = 7 + (bytes[2 + k / 8] >> (k % 8) & 1) * 2;
    }
}

/// Half of `2^(exponent - 127)`, as the levels are doubled: the bits of a bf16.
fn e8m0_halved(exponent: u8) -> u16 {
    match exponent {
        0 => 0x0020, // below the normal numbers
        1 => 0x0040,
        _ => u16::from(exponent - 1) << 7,
    }
}

/// The weights of a block of NVFP4: four times 16 with a scale of eight bits (E4M3, of which the sign is not looked at).
fn nvfp4(bytes: &[u8], out: &mut [f32]) {
    let values = &levels(WeightType::NVFP4).expect("the type has levels").values;
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let byte = bytes[group];
        let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
        let scale = match (byte, exponent) {
            (0 | 0x7f, _) => 0.0,
            (_, 0) => mantissa * 2f32.powi(-9),
            _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
        };
        for (k, out) in out.iter_mut().enumerate() {
            let code = bytes[4 + group * 8 + k % 8] >> (k / 8 * 4) & 15;
            *out = scale * 0.5 * f32::from(values[code as usize]);
        }
    }
}

fn unpack_q3k(bytes: &[u8], block: &mut Block) {
    crumbs(&bytes[32..96], &mut block.codes);
    for (k, code) in block.codes.iter_mut().enumerate() {
        // bit k / 32 of byte k % 32 is the third bit of weight k
        *code |= ((bytes[k % 32] >> (k / 32)) & 1) << 2;
    }
    let packed = &bytes[96..108];
    for group in 0..16 {
        let low = if group < 8 { packed[group] & 15 } else { packed[group - 8] >> 4 };
        let high = (packed[8 + group % 4] >> (2 * (group / 4))) & 3;
        block.scales[group] = (low | (high << 4)) as i8 - 32;
    }
    block.d = half_at(bytes, 108).to_bits();
}

fn unpack_q6k(bytes: &[u8], block: &mut Block) {
    for (k, code) in block.codes.iter_mut().enumerate() {
        // each half of 128 weights: 64 bytes of low nibbles, 32 bytes of high bit pairs
        let (half, quarter, at) = (k / 128, k % 128 / 32, k % 32);
        let low = bytes[half * 64 + quarter % 2 * 32 + at] >> (quarter / 2 * 4) & 15;
        let high = bytes[128 + half * 32 + at] >> (quarter * 2) & 3;
        *code = low | high << 4;
    }
    for (scale, &byte) in block.scales.iter_mut().zip(&bytes[192..208]) {
        *scale = byte as i8;
    }
    block.d = half_at(bytes, 208).to_bits();
}

fn unpack_iq4xs(bytes: &[u8], block: &mut Block) {
    block.d = half_at(bytes, 0).to_bits();
    let high = u16::from_le_bytes([bytes[2], bytes[3]]);
    for group in 0..8 {
        let low = bytes[4 + group / 2] >> (group % 2 * 4) & 15;
        let high = (high >> (2 * group) & 3) as u8;
        block.scales[group] = (low | high << 4) as i8 - 32;
        let codes = &mut block.codes[group * 32..group * 32 + 32];
        nibbles(&bytes[8 + group * 16..24 + group * 16], codes);
    }
}

/// 16 bytes to 32 codes: the low nibbles are the first half, the high nibbles the second.
fn nibbles(bytes: &[u8], codes: &mut [u8]) {
    let (low, high) = codes.split_at_mut(16);
    for ((&byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = byte & 15;
        *high = byte >> 4;
    }
}

/// Bit k of the little-endian word is the fifth bit of code k.
fn fifth_bits(word: &[u8], codes: &mut [u8]) {
    for (k, code) in codes.iter_mut().enumerate() {
        *code |= (word[k / 8] >> (k % 8) & 1) << 4;
    }
}

/// 64 bytes to 256 two-bit codes: each half of 128 has 32 bytes, each bit pair is a run of 32.
fn crumbs(bytes: &[u8], codes: &mut [u8; 256]) {
    for (k, code) in codes.iter_mut().enumerate() {
        *code = bytes[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
    }
}

/// 128 bytes to 256 codes: each 32 bytes hold 32 low nibbles, then 32 high ones.
fn nibble_rows(bytes: &[u8], codes: &mut [u8; 256]) {
    for (row, codes) in bytes.chunks_exact(32).zip(codes.chunks_exact_mut(64)) {
        for (at, &byte) in row.iter().enumerate() {
            codes[at] = byte & 15;
            codes[at + 32] = byte >> 4;
        }
    }
}

/// Q4_K and Q5_K: eight 6-bit scales and eight 6-bit mins in 12 bytes.
fn six_bit_pairs(packed: &[u8], block: &mut Block) {
    for group in 0..8 {
        let (scale, min) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            let low = packed[group + 4];
            (low & 15 | packed[group - 4] >> 6 << 4, low >> 4 | packed[group] >> 6 << 4)
        };
        block.scales[group] = scale as i8;
        block.mins[group] = min as i8;
    }
}

/// Turns any whole number of blocks of `ty` into floats: the reference meaning of each format.
///
/// # Errors
/// If `bytes` is not a whole number of blocks, or `out` has not exactly one place per weight.
pub fn dequantize(ty: WeightType, bytes: &[u8], out: &mut [f32]) -> Result<(), KernelError> {
    let blocks = bytes.len() / ty.block_bytes();
    if !bytes.len().is_multiple_of(ty.block_bytes()) {
        return Err(KernelError::invalid(
            "bytes",
            bytes.len(),
            format!("{ty} comes in blocks of {} bytes", ty.block_bytes()),
        ));
    }
    if Some(out.len()) != blocks.checked_mul(ty.block_len()) {
        return Err(KernelError::invalid(
            "out",
            out.len(),
            format!("{blocks} blocks of {ty} hold {} weights each", ty.block_len()),
        ));
    }
    let pairs = bytes.chunks_exact(ty.block_bytes()).zip(out.chunks_exact_mut(ty.block_len()));
    match ty {
        WeightType::F32 => {
            pairs.for_each(|(b, o)| o[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        }
        WeightType::F16 => pairs.for_each(|(b, o)| o[0] = half_at(b, 0).to_f32()),
        WeightType::BF16 => {
            pairs.for_each(|(b, o)| o[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32());
        }
        WeightType::NVFP4 => pairs.for_each(|(b, o)| nvfp4(b, o)),
        _ => {
            let mut block = Block::new();
            for (bytes, out) in pairs {
                unpack(ty, bytes, &mut block);
                expand(ty, &block, out);
            }
        }
    }
    Ok(())
}

/// The floats of a block.
pub(crate) fn expand(ty: WeightType, block: &Block, out: &mut [f32]) {
    let m = block.m.to_f32();
    let d = match ty {
        WeightType::MXFP4 => bf16::from_bits(block.d).to_f32(),
        _ => f16::from_bits(block.d).to_f32(),
    };
    let levels = levels(ty);
    let factor = levels.map_or(1.0, |levels| levels.factor);
    let zero = zero_point(ty);
    for (k, out) in out.iter_mut().enumerate() {
        let code = block.codes[k];
        let value = levels.map_or(i32::from(code) - zero, |levels| levels.values[code as usize].into()) as f32;
        *out = if ty.tile_len() == 32 {
            value * d + m
        } else {
            let group = k / group_len(ty);
            let (scale, min) = (f32::from(block.scales[group]), f32::from(block.mins[group]));
            d * scale * value * factor - m * min
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(x: f32) -> [u8; 2] {
        f16::from_f32(x).to_le_bytes()
    }

    fn floats(ty: WeightType, bytes: &[u8]) -> Vec<f32> {
        let mut out = vec![f32::NAN; bytes.len() / ty.block_bytes() * ty.block_len()];
        dequantize(ty, bytes, &mut out).unwrap();
        out
    }

    #[test]
    fn float_types_are_read_as_they_are() {
        assert_eq!(floats(WeightType::F32, &1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(floats(WeightType::F16, &[half(-2.5), half(7.0)].concat()), [-2.5, 7.0]);
        assert_eq!(floats(WeightType::BF16, &[0x80, 0x3f, 0x00, 0xc0]), [1.0, -2.0]);
    }

    #[test]
    fn blocks_of_32_have_low_nibbles_first() {
        let nibbles: Vec<u8> = (0..16).map(|j| j | (15 - j) << 4).collect();
        let code = |k: usize| if k < 16 { k as f32 } else { 31.0 - k as f32 };
        let q4_0 = [&half(0.5)[..], &nibbles].concat();
        let q4_1 = [&half(0.5)[..], &half(-3.0), &nibbles].concat();
        let iq4 = [&half(2.0)[..], &nibbles].concat();
        // fifth bits of weights 0, 9 and 31
        let high = (1u32 | 1 << 9 | 1 << 31).to_le_bytes();
        let fifth = |k: usize| if [0, 9, 31].contains(&k) { 16.0 } else { 0.0 };
        let q5_0 = [&half(0.5)[..], &high, &nibbles].concat();
        let q5_1 = [&half(0.5)[..], &half(1.0), &high, &nibbles].concat();
        for k in 0..32 {
            assert_eq!(floats(WeightType::Q4_0, &q4_0)[k], 0.5 * (code(k) - 8.0));
            assert_eq!(floats(WeightType::Q4_1, &q4_1)[k], 0.5 * code(k) - 3.0);
            assert_eq!(floats(WeightType::Q5_0, &q5_0)[k], 0.5 * (code(k) + fifth(k) - 16.0));
            assert_eq!(floats(WeightType::Q5_1, &q5_1)[k], 0.5 * (code(k) + fifth(k)) + 1.0);
            assert_eq!(
                floats(WeightType::IQ4NL, &iq4)[k],
                2.0 * f32::from(levels(WeightType::IQ4NL).unwrap().values[code(k) as usize])
            );
        }
        let mut q8_0 = half(0.25).to_vec();
        q8_0.extend((0..32u8).map(|k| (k as i8 - 16) as u8));
        q8_0[2] = 0x80;
        assert_eq!(floats(WeightType::Q8_0, &q8_0)[..3], [-32.0, -3.75, -3.5]);
    }

    #[test]
    fn q6_k_joins_nibbles_and_bit_pairs() {
        let mut block = [0u8; 210];
        block[208..].copy_from_slice(&half(0.5));
        for (group, scale) in block[192..208].iter_mut().enumerate() {
            *scale = (group as i8 - 8) as u8;
        }
        block[64 + 32 + 5] = 0x9c; // second half: weight 128 + 37 low 12, weight 128 + 101 low 9
        block[128 + 32 + 5] = 0b11_00_10_01;
        let y = floats(WeightType::Q6K, &block);
        let want = |code: f32, k: usize| 0.5 * (k as f32 / 16.0 - 8.0).floor() * (code - 32.0);
        assert_eq!(y[128 + 5], want(16.0, 133));
        assert_eq!(y[128 + 37], want(12.0 + 32.0, 165));
        assert_eq!(y[128 + 69], want(0.0, 197));
        assert_eq!(y[128 + 101], want(9.0 + 48.0, 229));
        assert_eq!(y[0], want(0.0, 0));
    }

    #[test]
    fn k_scales_of_six_bits_are_put_together() {
        let mut block = [0u8; 144];
        block[..2].copy_from_slice(&half(1.0));
        block[2..4].copy_from_slice(&half(1.0));
        let (scales, mins) = ([1, 2, 3, 63, 17, 33, 62, 45], [5, 6, 7, 8, 49, 34, 19, 63]);
        for group in 0..4 {
            // the low four have six bits of their own; the high two bits of the others sit above them
            block[4 + group] = scales[group] | scales[group + 4] >> 4 << 6;
            block[8 + group] = mins[group] | mins[group + 4] >> 4 << 6;
            block[12 + group] = scales[group + 4] & 15 | (mins[group + 4] & 15) << 4;
        }
        block[16..].fill(0x21);
        for (k, y) in floats(WeightType::Q4K, &block).into_iter().enumerate() {
            let code = if k % 64 < 32 { 1.0 } else { 2.0 };
            assert_eq!(y, f32::from(scales[k / 32]) * code - f32::from(mins[k / 32]), "weight {k}");
        }
        // Q5_K: the same scales; the bit planes lie between scales and nibbles
        let mut five = [0u8; 176];
        five[..16].copy_from_slice(&block[..16]);
        five[16..48].fill(0b1000_0001);
        five[48..].fill(0x21);
        for (k, y) in floats(WeightType::Q5K, &five).into_iter().enumerate() {
            let high = if (32..224).contains(&k) { 0.0 } else { 16.0 };
            let code = if k % 64 < 32 { 1.0 } else { 2.0 } + high;
            assert_eq!(y, f32::from(scales[k / 32]) * code - f32::from(mins[k / 32]), "weight {k}");
        }
    }

    #[test]
    fn q2_k_and_q3_k_have_bit_planes_of_32() {
        let mut two = [0u8; 84];
        two[..16].copy_from_slice(&std::array::from_fn::<u8, 16, _>(|group| group as u8 | 0x30));
        two[16..48].fill(0b11_10_01_00);
        two[80..82].copy_from_slice(&half(1.0));
        two[82..84].copy_from_slice(&half(0.5));
        for (k, y) in floats(WeightType::Q2K, &two).into_iter().enumerate() {
            let code = if k < 128 { k / 32 } else { 0 } as f32;
            assert_eq!(y, (k / 16) as f32 * code - 1.5, "weight {k}");
        }
        let mut three = [0u8; 110];
        three[..32].fill(0b0000_0010); // third bit of weights 32 to 63
        three[32..64].fill(0b11_10_01_00);
        // scales: low nibbles 5 (groups 0-7) and 6 (8-15), high pairs 2, 3, 0, 1 for runs of four
        three[96..104].fill(0x65);
        three[104..108].fill(0b01_00_11_10);
        three[108..].copy_from_slice(&half(1.0));
        let scale = |group: usize| [37, 53, 6, 22][group / 4] as f32 - 32.0;
        for (k, y) in floats(WeightType::Q3K, &three).into_iter().enumerate() {
            let code = if k < 128 { k / 32 } else { 0 } as f32;
            let third = if (32..64).contains(&k) { 4.0 } else { 0.0 };
            assert_eq!(y, scale(k / 16) * (code + third - 4.0), "weight {k}");
        }
    }

    #[test]
    fn iq4_xs_scales_have_two_high_bits_apart() {
        let mut block = [0u8; 136];
        block[..2].copy_from_slice(&half(1.0));
        block[2..4].copy_from_slice(&0b11_10_01_00_11_10_01_00u16.to_le_bytes());
        block[4..8].fill(0x41);
        block[8..].fill(0x80);
        for (k, y) in floats(WeightType::IQ4XS, &block).into_iter().enumerate() {
            let group = k / 32;
            let scale = ([1, 4][group % 2] | (group % 4) << 4) as f32 - 32.0;
            let level = if k % 32 < 16 { -127.0 } else { 1.0 };
            assert_eq!(y, scale * level, "weight {k}");
        }
    }

    #[test]
    fn partial_blocks_and_wrong_outputs_are_errors() {
        for &ty in WeightType::ALL {
            let bytes = vec![0; ty.block_bytes() * 2];
            assert!(dequantize(ty, &bytes, &mut vec![0.0; ty.block_len() * 2]).is_ok());
            assert!(dequantize(ty, &bytes[1..], &mut vec![0.0; ty.block_len() * 2]).is_err());
            assert!(dequantize(ty, &bytes, &mut vec![0.0; ty.block_len() * 2 + 1]).is_err());
            assert!(dequantize(ty, &[], &mut []).is_ok());
            assert_eq!(WeightType::from_ggml_id(ty.ggml_id()), Some(ty));
            assert_eq!(ty.row_bytes(ty.block_len() * 3), Some(ty.block_bytes() * 3));
        }
        assert_eq!(WeightType::Q4K.row_bytes(255), None);
        assert_eq!(WeightType::F32.row_bytes(usize::MAX), None);
        assert_eq!(WeightType::from_ggml_id(999), None);
    }
}
