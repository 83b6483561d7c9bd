//! The twin that every processor can run: the lanes are arrays.

use super::{LANES, RowKernel, Simd};
use half::{bf16, f16};

/// Plain Rust; always available.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

#[inline(always)]
fn zip<T: Copy, U: Copy, R>(a: [T; LANES], b: [U; LANES], f: impl Fn(T, U) -> R) -> [R; LANES] {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

#[inline(always)]
fn bytes(a: [i32; LANES], f: impl Fn(u8) -> u8) -> [i32; LANES] {
    a.map(|lane| i32::from_le_bytes(lane.to_le_bytes().map(&f)))
}

impl Simd for Scalar {
    type I = [i32; LANES];
    type F = [f32; LANES];
    const ROWS: usize = 1;
    const SUMS: usize = 4;
    const WIDE_IS_CENTRED: bool = false;

    fn rows<K: RowKernel>(self, rows: usize, kernel: &mut K) {
        assert_eq!(rows, 1, "the scalar level takes one row at a time");
        kernel.rows::<Scalar, 1>(self);
    }

    fn prefetch(self, _from: *const u8) {}

    fn int(self, value: i32) -> Self::I {
        [value; LANES]
    }
    unsafe fn load_int(self, from: *const u8) -> Self::I {
        // SAFETY: 64 bytes are readable by the caller's promise; an array of bytes has no alignment.
        let bytes = unsafe { from.cast::<[[u8; 4]; LANES]>().read() };
        bytes.map(i32::from_le_bytes)
    }
    unsafe fn load_i8_pairs(self, from: *const i8) -> Self::I {
        // SAFETY: 32 bytes are readable by the caller's promise.
        let pairs = unsafe { from.cast::<[[i8; 2]; LANES]>().read() };
        pairs.map(|[low, high]| i32::from(low) & 0xffff | i32::from(high) << 16)
    }
    fn pair_low(self, pairs: Self::I) -> Self::I {
        pairs.map(|pair| i32::from(pair as i16))
    }
    fn pair_high(self, pairs: Self::I) -> Self::I {
        pairs.map(|pair| pair >> 16)
    }
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I {
        zip(a, b, i32::wrapping_add)
    }
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I {
        zip(a, b, i32::wrapping_sub)
    }
    fn mul_int(self, a: Self::I, b: Self::I) -> Self::I {
        zip(a, b, i32::wrapping_mul)
    }
    fn shift_left<const BITS: u32>(self, a: Self::I) -> Self::I {
        a.map(|lane| lane << BITS)
    }
    fn clamp_i8(self, a: Self::I) -> Self::I {
        a.map(|lane| lane.clamp(-127, 127))
    }
    unsafe fn store_i8(self, a: Self::I, to: *mut i8) {
        // SAFETY: 16 bytes are writable by the caller's promise.
        unsafe { to.cast::<[i8; LANES]>().write(a.map(|lane| lane as i8)) };
    }
    fn low_nibbles(self, a: Self::I) -> Self::I {
        bytes(a, |byte| byte & 15)
    }
    fn high_nibbles(self, a: Self::I) -> Self::I {
        bytes(a, |byte| byte >> 4)
    }
    fn table(self, levels: &[u8; 16]) -> Self::I {
        std::array::from_fn(|lane| i32::from_le_bytes(std::array::from_fn(|byte| levels[lane % 4 * 4 + byte])))
    }
    fn look_up(self, table: Self::I, nibbles: Self::I) -> Self::I {
        bytes(nibbles, |code| table[code as usize / 4 % 4].to_le_bytes()[code as usize % 4])
    }
    fn dot(self, sum: Self::I, codes: Self::I, x: i32) -> Self::I {
        let x = x.to_le_bytes().map(|byte| i32::from(byte as i8));
        zip(sum, codes, |sum, codes| {
            let codes = codes.to_le_bytes().map(i32::from);
            sum + codes[0] * x[0] + codes[1] * x[1] + codes[2] * x[2] + codes[3] * x[3]
        })
    }
    fn dot_wide(self, sum: Self::I, codes: Self::I, x: i32) -> Self::I {
        self.dot(sum, codes, x)
    }
    fn dot_pairs(self, sum: Self::I, pairs: Self::I, x: i32) -> Self::I {
        let (low, high) = (i32::from(x as i16), x >> 16);
        zip(sum, pairs, |sum, pair| sum + i32::from(pair as i16) * low + (pair >> 16) * high)
    }
    fn to_float(self, a: Self::I) -> Self::F {
        a.map(|lane| lane as f32)
    }
    fn round(self, a: Self::F) -> Self::I {
        a.map(|lane| {
            let rounded = lane.round_ties_even();
            // as the processor's conversion: one "indefinite" value for all that does not fit
            if (-2_147_483_648.0..2_147_483_648.0).contains(&rounded) { rounded as i32 } else { i32::MIN }
        })
    }
    fn bits_to_float(self, a: Self::I) -> Self::F {
        a.map(|lane| f32::from_bits(lane as u32))
    }

    fn float(self, value: f32) -> Self::F {
        [value; LANES]
    }
    unsafe fn load(self, from: *const f32) -> Self::F {
        // SAFETY: 16 floats are readable by the caller's promise.
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }
    unsafe fn load_f16(self, from: *const u16) -> Self::F {
        // SAFETY: 16 halves are readable by the caller's promise.
        unsafe { from.cast::<[u16; LANES]>().read_unaligned() }.map(|h| f16::from_bits(h).to_f32())
    }
    unsafe fn load_bf16(self, from: *const u16) -> Self::F {
        // SAFETY: 16 halves are readable by the caller's promise.
        unsafe { from.cast::<[u16; LANES]>().read_unaligned() }.map(|h| bf16::from_bits(h).to_f32())
    }
    unsafe fn store(self, a: Self::F, to: *mut f32) {
        // SAFETY: 16 floats are writable by the caller's promise.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(a) };
    }
    unsafe fn store_f16(self, a: Self::F, to: *mut u16) {
        let halves = a.map(|lane| f16::from_f32(lane).to_bits());
        // SAFETY: 16 halves are writable by the caller's promise.
        unsafe { to.cast::<[u16; LANES]>().write_unaligned(halves) };
    }
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a + b)
    }
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a - b)
    }
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a * b)
    }
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a / b)
    }
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    fn abs(self, a: Self::F) -> Self::F {
        a.map(f32::abs)
    }
    fn select_less(self, a: Self::F, b: Self::F, then: Self::F, other: Self::F) -> Self::F {
        std::array::from_fn(|lane| if a[lane] < b[lane] { then[lane] } else { other[lane] })
    }
}
