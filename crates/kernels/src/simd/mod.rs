//! Sixteen lanes at every level: the kernels are written once, generically, over [`Simd`], and each
//! level computes the same bits. Integer sums are exact; floats use the same operations in the same
//! order, fused where `fma` is written and nowhere else.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
#[cfg(test)]
mod tests;

use crate::CpuLevel;

pub(crate) const LANES: usize = 16;

/// Element types of [`Simd::load_as`].
pub(crate) const F32: u8 = 0;
pub(crate) const F16: u8 = 1;
pub(crate) const BF16: u8 = 2;

/// A kernel that can run at any level; `run` must be `#[inline(always)]` so that it is compiled with
/// the level's instructions.
pub(crate) trait Kernel {
    type Output;
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// A kernel over a block of `M` rows, see [`Simd::rows`].
pub(crate) trait RowKernel {
    fn rows<S: Simd, const M: usize>(&mut self, s: S);
}

/// Runs `kernel` with the instructions of `level`.
pub(crate) fn dispatch<K: Kernel>(level: CpuLevel, kernel: K) -> K::Output {
    assert!(level <= CpuLevel::best(), "the processor lacks {}", level.name());
    match level {
        CpuLevel::Scalar => kernel.run(scalar::Scalar),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the assertion above has checked the processor.
        CpuLevel::Avx2 => unsafe { avx2::enter(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the assertion above has checked the processor.
        CpuLevel::Avx512 => unsafe { avx512::enter(kernel) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("not available on this processor"),
    }
}

/// Runs `kernel` for `rows` rows (1 to [`Simd::ROWS`]) with the instructions of `level`.
///
/// # Panics
/// If `rows` is zero or more than [`max_rows`].
pub(crate) fn dispatch_rows<K: RowKernel>(level: CpuLevel, rows: usize, kernel: &mut K) {
    struct Rows<'a, K>(&'a mut K, usize);
    impl<K: RowKernel> Kernel for Rows<'_, K> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            s.rows(self.1, self.0);
        }
    }
    dispatch(level, Rows(kernel, rows));
}

/// The largest row block at `level`.
pub(crate) fn max_rows(level: CpuLevel) -> usize {
    match level {
        CpuLevel::Scalar => scalar::Scalar::ROWS,
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Avx2 => avx2::Avx2::ROWS,
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Avx512 => avx512::Avx512::ROWS,
        #[cfg(not(target_arch = "x86_64"))]
        _ => 1,
    }
}

/// The instructions of one level. A value of the type proves that the processor has them, so the
/// methods are safe except where they take pointers.
///
/// `I` is sixteen i32 (or 64 bytes, or 32 i16, as the method says); `F` is sixteen f32.
#[allow(clippy::missing_safety_doc, reason = "all unsafe methods read or write what their pointer names")]
pub(crate) trait Simd: Copy {
    type I: Copy;
    type F: Copy;

    /// The largest block of rows that keeps its sums in registers.
    const ROWS: usize;
    /// Registers that can hold sums of attention without spilling.
    const SUMS: usize;
    /// `dot_wide` subtracts the zero point 128 by itself.
    const WIDE_IS_CENTRED: bool;

    /// Calls `kernel.rows::<_, rows>` in a function of its own.
    fn rows<K: RowKernel>(self, rows: usize, kernel: &mut K);

    /// Asks for the cache line at `from`, which need not exist.
    fn prefetch(self, from: *const u8);

    fn int(self, value: i32) -> Self::I;
    /// 64 bytes.
    unsafe fn load_int(self, from: *const u8) -> Self::I;
    /// 32 i8 to 32 i16.
    unsafe fn load_i8_pairs(self, from: *const i8) -> Self::I;
    /// The lower i16 of each pair as i32.
    fn pair_low(self, pairs: Self::I) -> Self::I;
    /// The upper i16 of each pair as i32.
    fn pair_high(self, pairs: Self::I) -> Self::I;
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn mul_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn shift_left<const BITS: u32>(self, a: Self::I) -> Self::I;
    /// -127 to 127.
    fn clamp_i8(self, a: Self::I) -> Self::I;
    /// Stores the low byte of each lane.
    unsafe fn store_i8(self, a: Self::I, to: *mut i8);
    fn low_nibbles(self, bytes: Self::I) -> Self::I;
    fn high_nibbles(self, bytes: Self::I) -> Self::I;
    /// What [`look_up`](Self::look_up) takes: the sixteen bytes, over and over.
    fn table(self, levels: &[u8; 16]) -> Self::I;
    /// Each nibble (one a byte) to its byte of the table.
    fn look_up(self, table: Self::I, nibbles: Self::I) -> Self::I;
    /// `sum` plus, per lane, the dot product of four unsigned codes below 128 and the four i8 of `x`.
    fn dot(self, sum: Self::I, codes: Self::I, x: i32) -> Self::I;
    /// The same for any unsigned codes; with `WIDE_IS_CENTRED`, for `code - 128`.
    fn dot_wide(self, sum: Self::I, codes: Self::I, x: i32) -> Self::I;
    /// `sum` plus, per lane, the dot product of two i16 and the two i16 of `x`.
    fn dot_pairs(self, sum: Self::I, pairs: Self::I, x: i32) -> Self::I;
    fn to_float(self, a: Self::I) -> Self::F;
    /// To the nearest integer, ties to even; NaN and what does not fit give `i32::MIN`.
    fn round(self, a: Self::F) -> Self::I;
    /// The bits as they are.
    fn bits_to_float(self, a: Self::I) -> Self::F;

    /// Transposes sixteen rows of sixteen 16-bit numbers: the row `i` of `to`, which begins at `i * stride`, is the column `i` of `from`.
    #[inline(always)]
    unsafe fn transpose(self, from: *const u16, to: *mut u16, stride: usize) {
        for at in 0..LANES * LANES {
            // SAFETY: by the caller's promise.
            unsafe { *to.add(at % LANES * stride + at / LANES) = *from.add(at) };
        }
    }

    fn float(self, value: f32) -> Self::F;
    unsafe fn load(self, from: *const f32) -> Self::F;
    unsafe fn load_f16(self, from: *const u16) -> Self::F;
    unsafe fn load_bf16(self, from: *const u16) -> Self::F;
    unsafe fn store(self, a: Self::F, to: *mut f32);
    /// Nearest, ties to even.
    unsafe fn store_f16(self, a: Self::F, to: *mut u16);
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a > b ? a : b` (so `b` when either is NaN).
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a < b ? a : b` (so `b` when either is NaN).
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    fn abs(self, a: Self::F) -> Self::F;
    /// `a < b ? then : other`, false for NaN.
    fn select_less(self, a: Self::F, b: Self::F, then: Self::F, other: Self::F) -> Self::F;

    /// Loads sixteen elements of type `T` (one of the constants above), `index` elements on.
    #[inline(always)]
    unsafe fn load_as<const T: u8>(self, from: *const u8, index: usize) -> Self::F {
        // SAFETY: by the caller's promise.
        unsafe {
            match T {
                F32 => self.load(from.cast::<f32>().add(index)),
                F16 => self.load_f16(from.cast::<u16>().add(index)),
                _ => self.load_bf16(from.cast::<u16>().add(index)),
            }
        }
    }

    /// As [`Simd::load_first`], by way of memory.
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, n: usize) -> Self::F {
        debug_assert!(n <= LANES);
        let mut lanes = [0.0f32; LANES];
        // SAFETY: n floats are readable by the caller's promise, and n <= 16.
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), n);
            self.load(lanes.as_ptr())
        }
    }

    /// As [`Simd::store_first`], by way of memory.
    #[inline(always)]
    unsafe fn store_part(self, a: Self::F, to: *mut f32, n: usize) {
        debug_assert!(n <= LANES);
        let lanes = self.lanes(a);
        // SAFETY: n floats are writable by the caller's promise, and n <= 16.
        unsafe { std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n) };
    }

    /// Loads the first `n <= 16` floats; the other lanes are zero.
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> Self::F {
        // SAFETY: by the caller's promise.
        unsafe { if n == LANES { self.load(from) } else { self.load_part(from, n) } }
    }

    /// Stores the first `n <= 16` lanes.
    #[inline(always)]
    unsafe fn store_first(self, a: Self::F, to: *mut f32, n: usize) {
        // SAFETY: by the caller's promise.
        unsafe { if n == LANES { self.store(a, to) } else { self.store_part(a, to, n) } }
    }

    #[inline(always)]
    fn lanes(self, a: Self::F) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        // SAFETY: the array has sixteen places.
        unsafe { self.store(a, lanes.as_mut_ptr()) };
        lanes
    }

    #[inline(always)]
    fn first(self, a: Self::F) -> f32 {
        self.lanes(a)[0]
    }

    /// The sum of the lanes, always in the same tree: halves are added lane by lane until one is left.
    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        let mut lanes = self.lanes(a);
        for width in [8, 4, 2, 1] {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
        }
        lanes[0]
    }

    /// The largest lane, in the same tree.
    #[inline(always)]
    fn largest(self, a: Self::F) -> f32 {
        let mut lanes = self.lanes(a);
        for width in [8, 4, 2, 1] {
            for lane in 0..width {
                let (x, y) = (lanes[lane], lanes[lane + width]);
                lanes[lane] = if x > y { x } else { y };
            }
        }
        lanes[0]
    }

    /// e to the `x`, to about 1e-7 relative; exactly 1 at 0, exactly 0 below -86.9, infinite above 88.7.
    ///
    /// x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite), and a Taylor polynomial in r.
    #[inline(always)]
    fn exp(self, x: Self::F) -> Self::F {
        let (low, high) = (self.float(-86.9), self.float(88.7));
        let inside = self.min(high, self.max(low, x)); // a NaN stays NaN: it is the second operand
        let n = self.round(self.mul(inside, self.float(std::f32::consts::LOG2_E)));
        let nf = self.to_float(n);
        let r = self.fma(nf, self.float(-355.0 / 512.0), inside);
        let r = self.fma(nf, self.float(2.121_944_4e-4), r);
        let mut p = self.float(1.0 / 5040.0);
        for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            p = self.fma(p, r, self.float(c));
        }
        // 2^(n - 1), then 2: 2^128 is no float of its own
        let scale = self.bits_to_float(self.shift_left::<23>(self.add_int(n, self.int(126))));
        let y = self.mul(self.mul(p, scale), self.float(2.0));
        let y = self.select_less(x, low, self.float(0.0), y);
        self.select_less(high, x, self.float(f32::INFINITY), y)
    }

    /// The hyperbolic tangent, to about 1e-7 absolute: `(1 - t) / (1 + t)` with `t = exp(-2 |x|)`, and the sign of `x`.
    #[inline(always)]
    fn tanh(self, x: Self::F) -> Self::F {
        let (zero, one) = (self.float(0.0), self.float(1.0));
        let t = self.exp(self.mul(self.abs(x), self.float(-2.0)));
        let y = self.div(self.sub(one, t), self.add(one, t));
        self.select_less(x, zero, self.sub(zero, y), y)
    }
}
