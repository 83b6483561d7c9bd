#![allow(clippy::needless_range_loop, reason = "a row or register number indexes several arrays at once")]

use super::block32::dot;
use super::{AHEAD, MOST_ROWS};
use crate::format::Levels;
use crate::matrix::TileFormat;
use crate::quantize::Block256;
use crate::simd::{LANES, RowKernel, Simd};

/// One tile of a type with blocks of 256 times some rows of 8-bit activations.
///
/// Everything inside a block is exact integers: `sum over groups of scale * (dot - zero * sum of q)` and
/// `sum over groups of min * sum of q`; then `sum -= mins * d_x * m_w` and `sum += dots * d_x * d_w`.
pub(super) struct Product256<
    'a,
    const BITS: usize,
    const GROUP: usize,
    const MINS: bool,
    const CODEBOOK: bool,
    const ZERO_LOG2: u32,
> {
    pub tile: &'a [u8],
    /// Rows of `blocks` blocks.
    pub x: &'a [Block256],
    pub blocks: usize,
    /// What the codes mean, with `CODEBOOK`.
    pub levels: Option<&'static Levels>,
    pub sums: &'a mut [[f32; LANES]; MOST_ROWS],
}

impl<const BITS: usize, const GROUP: usize, const MINS: bool, const CODEBOOK: bool, const ZERO_LOG2: u32> RowKernel
    for Product256<'_, BITS, GROUP, MINS, CODEBOOK, ZERO_LOG2>
{
    #[inline(always)]
    fn rows<S: Simd, const M: usize>(&mut self, s: S) {
        let blocks = self.blocks;
        let size = TileFormat::block256(BITS, MINS, GROUP);
        let table = TileFormat::group_bytes(GROUP);
        let codes_at = size - TileFormat::code_bytes(BITS, 256);
        assert!(M <= MOST_ROWS && self.x.len() == M * blocks && self.tile.len() >= blocks * size);
        let wide = CODEBOOK || ZERO_LOG2 == 7;
        let (factor, look_up) = match self.levels.filter(|_| CODEBOOK) {
            Some(levels) => (levels.factor, s.table(&levels.centred)),
            None => (1.0, s.int(0)),
        };
        let mut sums = [s.float(0.0); M];
        for block in 0..blocks {
            // SAFETY: the assertion above: the block's `size` bytes lie in the tile, and each of the M
            // rows has `blocks` blocks.
            unsafe {
                let unit = self.tile.as_ptr().add(block * size);
                let x = self.x.as_ptr().add(block);
                let scales = unit.add(64).cast::<i8>();
                for line in 0..codes_at / 64 {
                    s.prefetch(unit.wrapping_add(line * 64 + AHEAD));
                }
                let mut dots = [s.int(0); M];
                if MINS {
                    let mins = table_dots::<S, GROUP, M>(s, scales.add(table), x, blocks);
                    let m = s.load_f16(unit.add(32).cast());
                    for r in 0..M {
                        let scaled = s.mul(s.to_float(mins[r]), s.float(-(*x.add(r * blocks)).d));
                        sums[r] = s.fma(scaled, m, sums[r]);
                    }
                }
                if ZERO_LOG2 > 0 && !(wide && S::WIDE_IS_CENTRED) {
                    let zeros = table_dots::<S, GROUP, M>(s, scales, x, blocks);
                    for r in 0..M {
                        dots[r] = s.sub_int(s.int(0), s.shift_left::<ZERO_LOG2>(zeros[r]));
                    }
                }
                for pair in 0..128 / GROUP {
                    let pairs = s.load_i8_pairs(scales.add(pair * 2 * LANES));
                    for second in 0..2 {
                        let group = pair * 2 + second;
                        let codes = unit.add(codes_at + TileFormat::code_bytes(BITS, group * GROUP));
                        let sub = group_dots::<S, BITS, GROUP, CODEBOOK, M>(s, wide, look_up, codes, x, blocks, group);
                        let scale = if second == 0 { s.pair_low(pairs) } else { s.pair_high(pairs) };
                        for r in 0..M {
                            dots[r] = s.add_int(dots[r], s.mul_int(sub[r], scale));
                        }
                    }
                }
                let d = s.load_f16(unit.cast());
                for r in 0..M {
                    let scaled = s.mul(s.to_float(dots[r]), s.float((*x.add(r * blocks)).d));
                    sums[r] = s.fma(scaled, d, sums[r]);
                }
            }
        }
        for (out, sum) in self.sums.iter_mut().zip(sums) {
            *out = s.lanes(if CODEBOOK { s.mul(sum, s.float(factor)) } else { sum });
        }
    }
}

/// The sum over groups of an integer of the table times the sum of q.
///
/// # Safety
/// `table` has the block's pairs; `x` and the following rows, each `stride` further, can be read.
#[inline(always)]
unsafe fn table_dots<S: Simd, const GROUP: usize, const M: usize>(
    s: S,
    table: *const i8,
    x: *const Block256,
    stride: usize,
) -> [S::I; M] {
    let mut dots = [s.int(0); M];
    for pair in 0..128 / GROUP {
        // SAFETY: by the caller's promise; there are 128 / GROUP pairs for each column and row.
        unsafe {
            let pairs = s.load_i8_pairs(table.add(pair * 2 * LANES));
            for r in 0..M {
                let x = x.add(r * stride);
                let sums =
                    if GROUP == 16 { (&raw const (*x).sums16).cast::<i32>() } else { (&raw const (*x).sums32).cast() };
                dots[r] = s.dot_pairs(dots[r], pairs, sums.add(pair).read_unaligned());
            }
        }
    }
    dots
}

/// The integer dot products of one group, zero point included.
///
/// # Safety
/// `codes` has the group's codes; `x` and the following rows, each `stride` further, can be read.
#[inline(always)]
unsafe fn group_dots<S: Simd, const BITS: usize, const GROUP: usize, const CODEBOOK: bool, const M: usize>(
    s: S,
    wide: bool,
    table: S::I,
    codes: *const u8,
    x: *const Block256,
    stride: usize,
    group: usize,
) -> [S::I; M] {
    let mut dots = [s.int(0); M];
    for line in 0..GROUP * BITS / 32 {
        // SAFETY: by the caller's promise; a line of 64 bytes has 8 k at 4 bits and 4 k at 8 bits.
        unsafe {
            let bytes = s.load_int(codes.add(line * 64));
            s.prefetch(codes.wrapping_add(line * 64 + AHEAD));
            if BITS == 4 {
                let (mut low, mut high) = (s.low_nibbles(bytes), s.high_nibbles(bytes));
                if CODEBOOK {
                    (low, high) = (s.look_up(table, low), s.look_up(table, high));
                }
                let word = group * GROUP / 4 + 2 * line;
                for r in 0..M {
                    let q = (&raw const (*x.add(r * stride)).q).cast::<i32>().add(word);
                    dots[r] = dot(s, wide, dots[r], low, q.read_unaligned());
                }
                for r in 0..M {
                    let q = (&raw const (*x.add(r * stride)).q).cast::<i32>().add(word + 1);
                    dots[r] = dot(s, wide, dots[r], high, q.read_unaligned());
                }
            } else {
                let word = group * GROUP / 4 + line;
                for r in 0..M {
                    let q = (&raw const (*x.add(r * stride)).q).cast::<i32>().add(word);
                    dots[r] = dot(s, wide, dots[r], bytes, q.read_unaligned());
                }
            }
        }
    }
    dots
}
