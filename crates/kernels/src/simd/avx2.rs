//! AVX2, FMA and F16C: a pair of registers holds the sixteen lanes.

use super::{Kernel, RowKernel, Simd};
use std::arch::x86_64::*;

/// Proof that AVX2, FMA and F16C are there; made in [`enter`] only.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Runs `kernel` compiled for AVX2.
///
/// # Safety
/// The processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn enter<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// One row block in a function of its own.
///
/// # Safety
/// As [`enter`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn block<K: RowKernel, const M: usize>(kernel: &mut K) {
    kernel.rows::<Avx2, M>(Avx2(()));
}

/// Wraps intrinsics whose only precondition is the processor.
macro_rules! lanes {
    ($($body:tt)*) => {
        // SAFETY: a value of Avx2 proves that the processor has the instructions.
        unsafe { $($body)* }
    };
}

type Int = [__m256i; 2];
type Float = [__m256; 2];

/// Applies an intrinsic to both halves.
macro_rules! both {
    ($f:ident, $($arg:expr),+) => {
        lanes!([$f($($arg[0]),+), $f($($arg[1]),+)])
    };
}

/// Reduces eight lanes with `$f` (on four) and `$first` (on the first of four), in the tree of
/// [`Simd::sum`].
macro_rules! fold {
    ($eight:expr, $f:ident, $first:ident) => {{
        let eight = $eight;
        let four = $f(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
        let two = $f(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32($first(two, _mm_shuffle_ps::<1>(two, two)))
    }};
}
pub(super) use fold;

/// [`Simd::transpose`], for AVX-512 as well.
///
/// # Safety
/// The processor has AVX2; 256 numbers are readable, and the rows of `to` writable.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn transpose(from: *const u16, to: *mut u16, stride: usize) {
    // SAFETY: by the caller's promise; each register is a row of sixteen numbers.
    unsafe {
        let row = |i: usize| _mm256_loadu_si256(from.add(i * 16).cast());
        let (first, last) = (
            transpose_eight([0, 1, 2, 3, 4, 5, 6, 7].map(row)),
            transpose_eight([8, 9, 10, 11, 12, 13, 14, 15].map(row)),
        );
        for i in 0..8 {
            let low = _mm256_permute2x128_si256::<0x20>(first[i], last[i]);
            let high = _mm256_permute2x128_si256::<0x31>(first[i], last[i]);
            _mm256_storeu_si256(to.add(i * stride).cast(), low);
            _mm256_storeu_si256(to.add((i + 8) * stride).cast(), high);
        }
    }
}

/// Transposes the left and the right halves of eight rows, each by itself.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose_eight(x: [__m256i; 8]) -> [__m256i; 8] {
    let pairs = |i: usize| (_mm256_unpacklo_epi16(x[i], x[i + 1]), _mm256_unpackhi_epi16(x[i], x[i + 1]));
    let [(a, e), (b, f), (c, g), (d, h)] = [0, 2, 4, 6].map(pairs);
    let fours = |(a, b)| (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let [(a, b), (c, d), (e, f), (g, h)] = [(a, b), (c, d), (e, f), (g, h)].map(fours);
    let eights = |(a, b)| [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)];
    let [[a, b], [c, d], [e, f], [g, h]] = [(a, c), (b, d), (e, g), (f, h)].map(eights);
    [a, b, c, d, e, f, g, h]
}

impl Simd for Avx2 {
    type I = Int;
    type F = Float;
    const ROWS: usize = 4;
    const SUMS: usize = 6;
    const WIDE_IS_CENTRED: bool = true;

    #[inline(always)]
    fn rows<K: RowKernel>(self, rows: usize, kernel: &mut K) {
        lanes! {
            match rows {
                1 => block::<K, 1>(kernel),
                2 => block::<K, 2>(kernel),
                3 => block::<K, 3>(kernel),
                4 => block::<K, 4>(kernel),
                _ => panic!("a row block has 1 to 4 rows"),
            }
        }
    }

    #[inline(always)]
    fn prefetch(self, from: *const u8) {
        lanes!(_mm_prefetch::<_MM_HINT_T0>(from.cast()))
    }

    #[inline(always)]
    fn int(self, value: i32) -> Int {
        lanes!([_mm256_set1_epi32(value); 2])
    }
    #[inline(always)]
    unsafe fn load_int(self, from: *const u8) -> Int {
        lanes!([_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())])
    }
    #[inline(always)]
    unsafe fn load_i8_pairs(self, from: *const i8) -> Int {
        lanes! {[
            _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())),
            _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(16).cast())),
        ]}
    }
    #[inline(always)]
    fn pair_low(self, pairs: Int) -> Int {
        lanes!(pairs.map(|half| _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(half))))
    }
    #[inline(always)]
    fn pair_high(self, pairs: Int) -> Int {
        lanes!([_mm256_srai_epi32::<16>(pairs[0]), _mm256_srai_epi32::<16>(pairs[1])])
    }
    #[inline(always)]
    fn add_int(self, a: Int, b: Int) -> Int {
        both!(_mm256_add_epi32, a, b)
    }
    #[inline(always)]
    fn sub_int(self, a: Int, b: Int) -> Int {
        both!(_mm256_sub_epi32, a, b)
    }
    #[inline(always)]
    fn mul_int(self, a: Int, b: Int) -> Int {
        both!(_mm256_mullo_epi32, a, b)
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self, a: Int) -> Int {
        let count = lanes!(_mm_cvtsi32_si128(BITS as i32));
        lanes!([_mm256_sll_epi32(a[0], count), _mm256_sll_epi32(a[1], count)])
    }
    #[inline(always)]
    fn clamp_i8(self, a: Int) -> Int {
        let (low, high) = (self.int(-127), self.int(127));
        let a = both!(_mm256_min_epi32, a, high);
        both!(_mm256_max_epi32, a, low)
    }
    #[inline(always)]
    unsafe fn store_i8(self, a: Int, to: *mut i8) {
        lanes! {
            // the packs work within 128-bit halves, so the quarters come out as 0 2 1 3
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a[0], a[1]));
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(to.cast(), bytes);
        }
    }
    #[inline(always)]
    fn low_nibbles(self, a: Int) -> Int {
        let mask = lanes!([_mm256_set1_epi8(15); 2]);
        both!(_mm256_and_si256, a, mask)
    }
    #[inline(always)]
    fn high_nibbles(self, a: Int) -> Int {
        let shifted = lanes!([_mm256_srli_epi16::<4>(a[0]), _mm256_srli_epi16::<4>(a[1])]);
        self.low_nibbles(shifted)
    }
    #[inline(always)]
    fn table(self, levels: &[u8; 16]) -> Int {
        lanes!([_mm256_broadcastsi128_si256(_mm_loadu_si128(levels.as_ptr().cast())); 2])
    }
    #[inline(always)]
    fn look_up(self, table: Int, nibbles: Int) -> Int {
        both!(_mm256_shuffle_epi8, table, nibbles)
    }
    #[inline(always)]
    fn dot(self, sum: Int, codes: Int, x: i32) -> Int {
        lanes! {
            // codes below 128 keep the pair sums below 2 * 127 * 127, inside i16
            let (x, ones) = (_mm256_set1_epi32(x), _mm256_set1_epi16(1));
            let half = |sum, codes| {
                _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), ones))
            };
            [half(sum[0], codes[0]), half(sum[1], codes[1])]
        }
    }
    #[inline(always)]
    fn dot_wide(self, sum: Int, codes: Int, x: i32) -> Int {
        lanes! {
            // w = code - 128; |w| * (x with the sign of w) keeps the pair sums within 2 * 128 * 127
            let (x, ones) = (_mm256_set1_epi32(x), _mm256_set1_epi16(1));
            let flip = _mm256_set1_epi8(-128);
            let half = |sum, codes| {
                let w = _mm256_xor_si256(codes, flip);
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones))
            };
            [half(sum[0], codes[0]), half(sum[1], codes[1])]
        }
    }
    #[inline(always)]
    fn dot_pairs(self, sum: Int, pairs: Int, x: i32) -> Int {
        let x = self.int(x);
        let products = both!(_mm256_madd_epi16, pairs, x);
        self.add_int(sum, products)
    }
    #[inline(always)]
    fn to_float(self, a: Int) -> Float {
        both!(_mm256_cvtepi32_ps, a)
    }
    #[inline(always)]
    fn round(self, a: Float) -> Int {
        both!(_mm256_cvtps_epi32, a)
    }
    #[inline(always)]
    fn bits_to_float(self, a: Int) -> Float {
        both!(_mm256_castsi256_ps, a)
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const u16, to: *mut u16, stride: usize) {
        lanes!(transpose(from, to, stride));
    }

    #[inline(always)]
    fn float(self, value: f32) -> Float {
        lanes!([_mm256_set1_ps(value); 2])
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Float {
        lanes!([_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))])
    }
    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> Float {
        lanes! {[
            _mm256_cvtph_ps(_mm_loadu_si128(from.cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(from.add(8).cast())),
        ]}
    }
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> Float {
        lanes! {
            let wide = [
                _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast())),
                _mm256_cvtepu16_epi32(_mm_loadu_si128(from.add(8).cast())),
            ];
            self.bits_to_float([_mm256_slli_epi32::<16>(wide[0]), _mm256_slli_epi32::<16>(wide[1])])
        }
    }
    #[inline(always)]
    unsafe fn store(self, a: Float, to: *mut f32) {
        lanes! {
            _mm256_storeu_ps(to, a[0]);
            _mm256_storeu_ps(to.add(8), a[1]);
        }
    }
    #[inline(always)]
    unsafe fn store_f16(self, a: Float, to: *mut u16) {
        lanes! {
            _mm_storeu_si128(to.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a[0]));
            _mm_storeu_si128(to.add(8).cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a[1]));
        }
    }
    #[inline(always)]
    fn add(self, a: Float, b: Float) -> Float {
        both!(_mm256_add_ps, a, b)
    }
    #[inline(always)]
    fn sub(self, a: Float, b: Float) -> Float {
        both!(_mm256_sub_ps, a, b)
    }
    #[inline(always)]
    fn mul(self, a: Float, b: Float) -> Float {
        both!(_mm256_mul_ps, a, b)
    }
    #[inline(always)]
    fn div(self, a: Float, b: Float) -> Float {
        both!(_mm256_div_ps, a, b)
    }
    #[inline(always)]
    fn fma(self, a: Float, b: Float, c: Float) -> Float {
        both!(_mm256_fmadd_ps, a, b, c)
    }
    #[inline(always)]
    fn max(self, a: Float, b: Float) -> Float {
        both!(_mm256_max_ps, a, b)
    }
    #[inline(always)]
    fn min(self, a: Float, b: Float) -> Float {
        both!(_mm256_min_ps, a, b)
    }
    #[inline(always)]
    fn abs(self, a: Float) -> Float {
        let sign = self.float(-0.0);
        both!(_mm256_andnot_ps, sign, a)
    }
    #[inline(always)]
    fn select_less(self, a: Float, b: Float, then: Float, other: Float) -> Float {
        lanes! {
            let less = [
                _mm256_cmp_ps::<_CMP_LT_OQ>(a[0], b[0]),
                _mm256_cmp_ps::<_CMP_LT_OQ>(a[1], b[1]),
            ];
            [
                _mm256_blendv_ps(other[0], then[0], less[0]),
                _mm256_blendv_ps(other[1], then[1], less[1]),
            ]
        }
    }

    #[inline(always)]
    fn sum(self, a: Float) -> f32 {
        lanes!(fold!(_mm256_add_ps(a[0], a[1]), _mm_add_ps, _mm_add_ss))
    }
    #[inline(always)]
    fn largest(self, a: Float) -> f32 {
        lanes!(fold!(_mm256_max_ps(a[0], a[1]), _mm_max_ps, _mm_max_ss))
    }
}
