#![allow(clippy::needless_range_loop, reason = "a row or register number indexes several arrays at once")]

use super::{AHEAD, MOST_ROWS};
use crate::simd::{F32, LANES, RowKernel, Simd};

/// One tile of a float type times some rows of f32: `sum = fma(weight, x, sum)` over k in order.
pub(super) struct ProductFloat<'a, const T: u8> {
    pub tile: &'a [u8],
    /// Rows of `cols` values.
    pub x: &'a [f32],
    pub cols: usize,
    pub sums: &'a mut [[f32; LANES]; MOST_ROWS],
}

impl<const T: u8> RowKernel for ProductFloat<'_, T> {
    #[inline(always)]
    fn rows<S: Simd, const M: usize>(&mut self, s: S) {
        let cols = self.cols;
        let line = if T == F32 { 4 * LANES } else { 2 * LANES };
        assert!(M <= MOST_ROWS && self.x.len() == M * cols && self.tile.len() >= cols * line);
        let mut sums = [s.float(0.0); M];
        for k in 0..cols {
            // SAFETY: the assertion above: line k lies in the tile, and each of the M rows has `cols`
            // values.
            unsafe {
                s.prefetch(self.tile.as_ptr().wrapping_add(k * line + AHEAD));
                let weights = s.load_as::<T>(self.tile.as_ptr(), k * LANES);
                for r in 0..M {
                    let x = *self.x.as_ptr().add(r * cols + k);
                    sums[r] = s.fma(weights, s.float(x), sums[r]);
                }
            }
        }
        for (out, sum) in self.sums.iter_mut().zip(sums) {
            *out = s.lanes(sum);
        }
    }
}
