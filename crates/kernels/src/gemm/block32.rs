#![allow(clippy::needless_range_loop, reason = "a row or register number indexes several arrays at once")]

use super::{AHEAD, MOST_ROWS};
use crate::format::Levels;
use crate::matrix::TileFormat;
use crate::quantize::Block32;
use crate::simd::{LANES, RowKernel, Simd};

/// One tile of a type with blocks of 32 times some rows of 8-bit activations.
///
/// Per block: `sum += (integer dot product) * d_x * d_w`, then `sum += m_w * (d_x * sum of q)`.
pub(super) struct Product32<
    'a,
    const BITS: usize,
    const MINS: bool,
    const CODEBOOK: bool,
    const ZERO_LOG2: u32,
    const SCALES: u8,
> {
    pub tile: &'a [u8],
    /// Rows of `blocks` blocks.
    pub x: &'a [Block32],
    pub blocks: usize,
    /// What the codes mean, with `CODEBOOK`. Their factor is 1.
    pub levels: Option<&'static Levels>,
    pub sums: &'a mut [[f32; LANES]; MOST_ROWS],
}

impl<const BITS: usize, const MINS: bool, const CODEBOOK: bool, const ZERO_LOG2: u32, const SCALES: u8> RowKernel
    for Product32<'_, BITS, MINS, CODEBOOK, ZERO_LOG2, SCALES>
{
    #[inline(always)]
    fn rows<S: Simd, const M: usize>(&mut self, s: S) {
        let blocks = self.blocks;
        let header = TileFormat::header32(MINS);
        let codes_len = TileFormat::code_bytes(BITS, 32);
        assert!(M <= MOST_ROWS && self.x.len() == M * blocks);
        assert!(self.tile.len() >= blocks.div_ceil(2) * header + blocks * codes_len);
        let (tile, x) = (self.tile.as_ptr(), self.x.as_ptr());
        let table = self.levels.filter(|_| CODEBOOK).map_or(s.int(0), |levels| s.table(&levels.centred));
        let mut sums = [s.float(0.0); M];
        // Products and mins nearly cancel: summed apart, as ggml does, neither is rounded to the other's size.
        let mut min_sums = [s.float(0.0); M];
        for block in 0..blocks {
            let (pair, second) = (block / 2, block % 2);
            // SAFETY: the assertions above: unit, scales and codes of each block lie in the tile, and
            // each of the M rows has `blocks` blocks.
            unsafe {
                let unit = tile.add(pair * (header + 2 * codes_len));
                let scales = unit.add(second * 2 * LANES).cast::<u16>();
                let codes = unit.add(header + second * codes_len);
                s.prefetch(scales.cast::<u8>().wrapping_add(AHEAD));
                let dots = block_dots::<S, BITS, CODEBOOK, ZERO_LOG2, M>(s, table, codes, x.add(block), blocks);
                let d = s.load_as::<SCALES>(scales.cast(), 0);
                for r in 0..M {
                    let x = &*x.add(r * blocks + block);
                    let scaled = s.mul(s.to_float(dots[r]), s.float(x.d));
                    sums[r] = s.fma(scaled, d, sums[r]);
                }
                if MINS {
                    let mins = s.load_f16(scales.add(2 * LANES));
                    for r in 0..M {
                        let x = &*x.add(r * blocks + block);
                        min_sums[r] = s.fma(mins, s.float(x.d_sum), min_sums[r]);
                    }
                }
            }
        }
        for ((out, sum), min_sum) in self.sums.iter_mut().zip(sums).zip(min_sums) {
            *out = s.lanes(if MINS { s.add(sum, min_sum) } else { sum });
        }
    }
}

/// The integer dot products of one block with its zero point taken off.
///
/// # Safety
/// `codes` has the block's codes; `x` and the following rows, each `stride` further, can be read.
#[inline(always)]
unsafe fn block_dots<S: Simd, const BITS: usize, const CODEBOOK: bool, const ZERO_LOG2: u32, const M: usize>(
    s: S,
    table: S::I,
    codes: *const u8,
    x: *const Block32,
    stride: usize,
) -> [S::I; M] {
    let wide = CODEBOOK || ZERO_LOG2 == 7;
    let mut dots = [s.int(0); M];
    // SAFETY: by the caller's promise; 4-bit codes take 4 lines of 64 bytes and 8-bit codes 8.
    unsafe {
        if ZERO_LOG2 > 0 && !(wide && S::WIDE_IS_CENTRED) {
            for r in 0..M {
                dots[r] = s.shift_left::<ZERO_LOG2>(s.int((*x.add(r * stride)).minus_sum));
            }
        }
        for line in 0..BITS {
            let bytes = s.load_int(codes.add(line * 64));
            s.prefetch(codes.wrapping_add(line * 64 + AHEAD));
            if BITS == 4 {
                let (mut low, mut high) = (s.low_nibbles(bytes), s.high_nibbles(bytes));
                if CODEBOOK {
                    (low, high) = (s.look_up(table, low), s.look_up(table, high));
                }
                for r in 0..M {
                    let q = (&raw const (*x.add(r * stride)).q).cast::<i32>();
                    dots[r] = dot(s, wide, dots[r], low, q.add(2 * line).read_unaligned());
                }
                for r in 0..M {
                    let q = (&raw const (*x.add(r * stride)).q).cast::<i32>();
                    dots[r] = dot(s, wide, dots[r], high, q.add(2 * line + 1).read_unaligned());
                }
            } else {
                for r in 0..M {
                    let q = (&raw const (*x.add(r * stride)).q).cast::<i32>();
                    dots[r] = dot(s, wide, dots[r], bytes, q.add(line).read_unaligned());
                }
            }
        }
    }
    dots
}

#[inline(always)]
pub(super) fn dot<S: Simd>(s: S, wide: bool, sum: S::I, codes: S::I, x: i32) -> S::I {
    if wide { s.dot_wide(sum, codes, x) } else { s.dot(sum, codes, x) }
}
