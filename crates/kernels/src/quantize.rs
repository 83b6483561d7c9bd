//! Activations in ggml's quantised forms, one block a record so that a kernel needs one pointer a row.

use crate::simd::{LANES, Simd};

/// 32 activations as ggml's Q8_0 and Q8_1 hold them: `x = d * q` with `d` rounded to f16.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Block32 {
    pub q: [i8; 32],
    pub d: f32,
    /// The unrounded scale times the sum of `q`, rounded to f16: what a min is multiplied with.
    pub d_sum: f32,
    /// Minus the sum of `q`: what a zero point is multiplied with.
    pub minus_sum: i32,
}

/// 256 activations as ggml's Q8_K holds them: `x = d * q`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Block256 {
    pub q: [i8; 256],
    pub d: f32,
    /// Sums of `q` over runs of 16 and of 32.
    pub sums16: [i16; 16],
    pub sums32: [i16; 8],
}

impl Block32 {
    pub const ZERO: Block32 = Block32 { q: [0; 32], d: 0.0, d_sum: 0.0, minus_sum: 0 };
}

impl Block256 {
    pub const ZERO: Block256 = Block256 { q: [0; 256], d: 0.0, sums16: [0; 16], sums32: [0; 8] };
}

/// Quantises a row; `x` has 32 values for each block of `out`.
#[inline(always)]
pub(crate) fn quantize32<S: Simd>(s: S, x: &[f32], out: &mut [Block32]) {
    assert_eq!(x.len(), out.len() * 32);
    for (x, out) in x.chunks_exact(32).zip(out) {
        // SAFETY: x has 32 floats and q 32 bytes.
        unsafe {
            let halves = [s.load(x.as_ptr()), s.load(x.as_ptr().add(LANES))];
            let largest = s.largest(s.max(s.abs(halves[0]), s.abs(halves[1])));
            let factor = s.float(if largest > 0.0 { 127.0 / largest } else { 0.0 });
            let low = s.clamp_i8(s.round(s.mul(halves[0], factor)));
            let high = s.clamp_i8(s.round(s.mul(halves[1], factor)));
            s.store_i8(low, out.q.as_mut_ptr());
            s.store_i8(high, out.q.as_mut_ptr().add(LANES));
            let mut d = [0; LANES];
            s.store_f16(s.float(largest / 127.0), d.as_mut_ptr());
            out.d = s.first(s.load_f16(d.as_ptr()));
            // integers this small add up exactly as floats
            let sum = s.sum(s.to_float(s.add_int(low, high)));
            // ggml takes the scale before its rounding here, and rounds the product
            s.store_f16(s.float(largest / 127.0 * sum), d.as_mut_ptr());
            out.d_sum = s.first(s.load_f16(d.as_ptr()));
            out.minus_sum = -(sum as i32);
        }
    }
}

/// Quantises a row; `x` has 256 values for each block of `out`.
///
/// As in ggml the value of largest magnitude becomes -127 whatever its sign, so `d` may be negative.
#[inline(always)]
pub(crate) fn quantize256<S: Simd>(s: S, x: &[f32], out: &mut [Block256]) {
    assert_eq!(x.len(), out.len() * 256);
    for (x, out) in x.chunks_exact(256).zip(out) {
        // SAFETY: x has 256 floats and q 256 bytes.
        unsafe {
            let mut largest = s.float(0.0);
            for at in (0..256).step_by(LANES) {
                largest = s.max(s.abs(s.load(x.as_ptr().add(at))), largest);
            }
            let largest = s.largest(largest);
            // the first of equals decides the sign, as in ggml
            let signed = x.iter().copied().find(|value| value.abs() == largest).unwrap_or(0.0);
            let factor = if signed == 0.0 { 0.0 } else { -127.0 / signed };
            out.d = if factor == 0.0 { 0.0 } else { 1.0 / factor };
            for at in (0..256).step_by(LANES) {
                let x = s.load(x.as_ptr().add(at));
                let q = s.clamp_i8(s.round(s.mul(x, s.float(factor))));
                s.store_i8(q, out.q.as_mut_ptr().add(at));
            }
        }
        for (sum, q) in out.sums16.iter_mut().zip(out.q.chunks_exact(16)) {
            *sum = q.iter().map(|&q| i16::from(q)).sum();
        }
        for (sum, pair) in out.sums32.iter_mut().zip(out.sums16.chunks_exact(2)) {
            *sum = pair[0] + pair[1];
        }
    }
}
