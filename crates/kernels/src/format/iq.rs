//! The types of less than four bits with grids or three levels: IQ1, IQ2, IQ3 and TQ.

use super::grids;
use super::{Block, half_at};
use crate::WeightType;

/// As [`super::unpack`].
pub(super) fn unpack(ty: WeightType, bytes: &[u8], block: &mut Block) {
    match ty {
        WeightType::IQ1S => iq1_s(bytes, block),
        WeightType::IQ1M => iq1_m(bytes, block),
        WeightType::IQ2XXS => iq2_xxs(bytes, block),
        WeightType::IQ2XS => iq2_xs(bytes, block),
        WeightType::IQ2S => iq2_s(bytes, block),
        WeightType::IQ3XXS => iq3_xxs(bytes, block),
        WeightType::IQ3S => iq3_s(bytes, block),
        WeightType::TQ1_0 => tq1_0(bytes, block),
        WeightType::TQ2_0 => tq2_0(bytes, block),
        _ => unreachable!("{ty} has no grid and more than three levels"),
    }
}

/// The digits of a grid's point: eight of base 3, or four of base 8.
fn digits<const N: usize>(mut point: u16, base: u16) -> [u8; N] {
    std::array::from_fn(|_| {
        let digit = (point % base) as u8;
        point /= base;
        digit
    })
}

/// Codes of some weights: the digits of a point, and bit `j` of `flags` in code `j` as its bit 3.
fn put(codes: &mut [u8], digits: &[u8], flags: u8) {
    for (j, (code, digit)) in codes.iter_mut().zip(digits).enumerate() {
        *code = digit | (flags >> j & 1) << 3;
    }
}

/// Eight signs in seven bits: the last makes their number even.
fn even_signs(bits: u32) -> u8 {
    let seven = (bits & 127) as u8;
    seven | (seven.count_ones() as u8 & 1) << 7
}

/// `2 s + 1`, the scale that a small number stands for.
fn odd(s: u32) -> i8 {
    (2 * s + 1) as i8
}

fn word_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn short_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// For each 32 weights four places in the grid, and a word of four times seven signs and a scale.
fn iq2_xxs(bytes: &[u8], block: &mut Block) {
    block.d = half_at(bytes, 0).to_bits();
    for group in 0..8 {
        let at = 2 + group * 8;
        let word = word_at(bytes, at + 4);
        block.scales[group] = odd(word >> 28);
        for part in 0..4 {
            let point = digits::<8>(grids::IQ2_XXS[bytes[at + part] as usize], 3);
            put(&mut block.codes[group * 32 + part * 8..][..8], &point, even_signs(word >> (7 * part)));
        }
    }
}

/// For each 8 weights nine bits of place and seven signs; a scale for each 16.
fn iq2_xs(bytes: &[u8], block: &mut Block) {
    block.d = half_at(bytes, 0).to_bits();
    nibble_scales(&bytes[66..74], block);
    for (part, codes) in block.codes.chunks_exact_mut(8).enumerate() {
        let word = short_at(bytes, 2 + part * 2);
        put(codes, &digits::<8>(grids::IQ2_XS[word as usize & 511], 3), even_signs(u32::from(word) >> 9));
    }
}

/// For each 8 weights ten bits of place, two of them apart, and eight signs; a scale for each 16.
fn iq2_s(bytes: &[u8], block: &mut Block) {
    block.d = half_at(bytes, 0).to_bits();
    nibble_scales(&bytes[74..82], block);
    for (part, codes) in block.codes.chunks_exact_mut(8).enumerate() {
        let high = bytes[66 + part / 4] >> (2 * (part % 4)) & 3;
        let place = usize::from(bytes[2 + part]) | usize::from(high) << 8;
        put(codes, &digits::<8>(grids::IQ2_S[place], 3), bytes[34 + part]);
    }
}

/// Sixteen scales of four bits.
fn nibble_scales(packed: &[u8], block: &mut Block) {
    for (group, scale) in block.scales.iter_mut().enumerate() {
        *scale = odd(u32::from(packed[group / 2] >> (group % 2 * 4) & 15));
    }
}

/// For each 4 weights a place in the grid; for each 32 a word of four times seven signs and a scale.
fn iq3_xxs(bytes: &[u8], block: &mut Block) {
    block.d = half_at(bytes, 0).to_bits();
    for group in 0..8 {
        let word = word_at(bytes, 66 + group * 4);
        block.scales[group] = odd(word >> 28);
        for part in 0..8 {
            let point = digits::<4>(grids::IQ3_XXS[bytes[2 + group * 8 + part] as usize], 8);
            let signs = even_signs(word >> (7 * (part / 2))) >> (part % 2 * 4);
            put(&mut block.codes[group * 32 + part * 4..][..4], &point, signs);
        }
    }
}

/// For each 4 weights nine bits of place, one of them apart, and four signs; a scale for each 32.
fn iq3_s(bytes: &[u8], block: &mut Block) {
    block.d = half_at(bytes, 0).to_bits();
    for group in 0..8 {
        block.scales[group] = odd(u32::from(bytes[106 + group / 2] >> (group % 2 * 4) & 15));
    }
    for (part, codes) in block.codes.chunks_exact_mut(4).enumerate() {
        let high = bytes[66 + part / 8] >> (part % 8) & 1;
        let place = usize::from(bytes[2 + part]) | usize::from(high) << 8;
        put(codes, &digits::<4>(grids::IQ3_S[place], 8), bytes[74 + part / 2] >> (part % 2 * 4));
    }
}

/// For each 8 weights eleven bits of place, three of them apart; for each 32 a scale and a shift.
fn iq1_s(bytes: &[u8], block: &mut Block) {
    block.d = half_at(bytes, 0).to_bits();
    for group in 0..8 {
        let word = short_at(bytes, 34 + group * 2);
        block.scales[group] = odd(u32::from(word) >> 12 & 7);
        let down = if word >> 15 == 1 { 0xff } else { 0 };
        for part in 0..4 {
            let place = usize::from(bytes[2 + group * 4 + part]) | usize::from(word >> (3 * part) & 7) << 8;
            put(&mut block.codes[group * 32 + part * 8..][..8], &digits::<8>(grids::IQ1[place], 3), down);
        }
    }
}

/// As IQ1_S with a shift for each 8 weights and a scale for each 16. The block's scale is in four pieces among the scales.
fn iq1_m(bytes: &[u8], block: &mut Block) {
    let words: [u16; 4] = std::array::from_fn(|n| short_at(bytes, 48 + n * 2));
    block.d = words[0] >> 12 | words[1] >> 12 << 4 | words[2] >> 12 << 8 | words[3] >> 12 << 12;
    for (group, scale) in block.scales.iter_mut().enumerate() {
        *scale = odd(u32::from(words[group / 4] >> (3 * (group % 4)) & 7));
    }
    for (part, codes) in block.codes.chunks_exact_mut(8).enumerate() {
        let high = bytes[32 + part / 2] >> (part % 2 * 4) & 15;
        let place = usize::from(bytes[part]) | usize::from(high & 7) << 8;
        put(codes, &digits::<8>(grids::IQ1[place], 3), if high & 8 == 0 { 0 } else { 0xff });
    }
}

/// Five digits to base 3 in a byte, as a fraction of 256: multiplying brings one after the other above the point.
fn tq1_0(bytes: &[u8], block: &mut Block) {
    block.d = half_at(bytes, 52).to_bits();
    block.scales = [1; 16];
    let digit = |byte: u8, n: u32| ((u16::from(byte.wrapping_mul(3u8.pow(n))) * 3) >> 8) as u8;
    // 32 bytes of five digits, 16 bytes of five, 4 bytes of four; the same digit of all bytes is a run.
    let runs = [(0..32, 0, 5), (32..48, 160, 5), (48..52, 240, 4)];
    for (range, first, count) in runs {
        let width = range.len();
        for n in 0..count {
            for (at, &byte) in bytes[range.clone()].iter().enumerate() {
                block.codes[first + n as usize * width + at] = digit(byte, n);
            }
        }
    }
}

fn tq2_0(bytes: &[u8], block: &mut Block) {
    super::crumbs(&bytes[..64], &mut block.codes);
    block.scales = [1; 16];
    block.d = half_at(bytes, 64).to_bits();
}
