//! AVX-512 with VNNI: one register holds the sixteen lanes.

use super::avx2::{self, fold};
use super::{Kernel, RowKernel, Simd};
use std::arch::x86_64::*;

/// Proof that AVX-512 F, BW, DQ, VL and VNNI are there; made in [`enter`] only.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// Runs `kernel` compiled for AVX-512.
///
/// # Safety
/// The processor has AVX2, FMA, F16C and AVX-512 F, BW, DQ, VL and VNNI.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(crate) unsafe fn enter<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

/// One row block in a function of its own, so that its registers are allocated for it alone.
///
/// # Safety
/// As [`enter`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn block<K: RowKernel, const M: usize>(kernel: &mut K) {
    kernel.rows::<Avx512, M>(Avx512(()));
}

/// Wraps intrinsics whose only precondition is the processor.
macro_rules! lanes {
    ($($body:tt)*) => {
        // SAFETY: a value of Avx512 proves that the processor has the instructions.
        unsafe { $($body)* }
    };
}

impl Simd for Avx512 {
    type I = __m512i;
    type F = __m512;
    const ROWS: usize = 8;
    const SUMS: usize = 16;
    const WIDE_IS_CENTRED: bool = false;

    #[inline(always)]
    fn rows<K: RowKernel>(self, rows: usize, kernel: &mut K) {
        lanes! {
            match rows {
                1 => block::<K, 1>(kernel),
                2 => block::<K, 2>(kernel),
                3 => block::<K, 3>(kernel),
                4 => block::<K, 4>(kernel),
                5 => block::<K, 5>(kernel),
                6 => block::<K, 6>(kernel),
                7 => block::<K, 7>(kernel),
                8 => block::<K, 8>(kernel),
                _ => panic!("a row block has 1 to 8 rows"),
            }
        }
    }

    #[inline(always)]
    fn prefetch(self, from: *const u8) {
        lanes!(_mm_prefetch::<_MM_HINT_T0>(from.cast()))
    }

    #[inline(always)]
    fn int(self, value: i32) -> __m512i {
        lanes!(_mm512_set1_epi32(value))
    }
    #[inline(always)]
    unsafe fn load_int(self, from: *const u8) -> __m512i {
        lanes!(_mm512_loadu_si512(from.cast()))
    }
    #[inline(always)]
    unsafe fn load_i8_pairs(self, from: *const i8) -> __m512i {
        lanes!(_mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast())))
    }
    #[inline(always)]
    fn pair_low(self, pairs: __m512i) -> __m512i {
        lanes!(_mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(pairs)))
    }
    #[inline(always)]
    fn pair_high(self, pairs: __m512i) -> __m512i {
        lanes!(_mm512_srai_epi32::<16>(pairs))
    }
    #[inline(always)]
    fn add_int(self, a: __m512i, b: __m512i) -> __m512i {
        lanes!(_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub_int(self, a: __m512i, b: __m512i) -> __m512i {
        lanes!(_mm512_sub_epi32(a, b))
    }
    #[inline(always)]
    fn mul_int(self, a: __m512i, b: __m512i) -> __m512i {
        lanes!(_mm512_mullo_epi32(a, b))
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self, a: __m512i) -> __m512i {
        lanes!(_mm512_slli_epi32::<BITS>(a))
    }
    #[inline(always)]
    fn clamp_i8(self, a: __m512i) -> __m512i {
        lanes!(_mm512_max_epi32(_mm512_min_epi32(a, _mm512_set1_epi32(127)), _mm512_set1_epi32(-127)))
    }
    #[inline(always)]
    unsafe fn store_i8(self, a: __m512i, to: *mut i8) {
        lanes!(_mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(a)))
    }
    #[inline(always)]
    fn low_nibbles(self, a: __m512i) -> __m512i {
        lanes!(_mm512_and_si512(a, _mm512_set1_epi8(15)))
    }
    #[inline(always)]
    fn high_nibbles(self, a: __m512i) -> __m512i {
        lanes!(_mm512_and_si512(_mm512_srli_epi16::<4>(a), _mm512_set1_epi8(15)))
    }
    #[inline(always)]
    fn table(self, levels: &[u8; 16]) -> __m512i {
        lanes!(_mm512_broadcast_i32x4(_mm_loadu_si128(levels.as_ptr().cast())))
    }
    #[inline(always)]
    fn look_up(self, table: __m512i, nibbles: __m512i) -> __m512i {
        lanes!(_mm512_shuffle_epi8(table, nibbles))
    }
    #[inline(always)]
    fn dot(self, sum: __m512i, codes: __m512i, x: i32) -> __m512i {
        lanes!(_mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(x)))
    }
    #[inline(always)]
    fn dot_wide(self, sum: __m512i, codes: __m512i, x: i32) -> __m512i {
        self.dot(sum, codes, x)
    }
    #[inline(always)]
    fn dot_pairs(self, sum: __m512i, pairs: __m512i, x: i32) -> __m512i {
        lanes!(_mm512_dpwssd_epi32(sum, pairs, _mm512_set1_epi32(x)))
    }
    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        lanes!(_mm512_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512i {
        lanes!(_mm512_cvtps_epi32(a))
    }
    #[inline(always)]
    fn bits_to_float(self, a: __m512i) -> __m512 {
        lanes!(_mm512_castsi512_ps(a))
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const u16, to: *mut u16, stride: usize) {
        lanes!(avx2::transpose(from, to, stride));
    }

    #[inline(always)]
    fn float(self, value: f32) -> __m512 {
        lanes!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        lanes!(_mm512_loadu_ps(from))
    }
    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> __m512 {
        lanes!(_mm512_cvtph_ps(_mm256_loadu_si256(from.cast())))
    }
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> __m512 {
        lanes! {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn store(self, a: __m512, to: *mut f32) {
        lanes!(_mm512_storeu_ps(to, a))
    }
    #[inline(always)]
    unsafe fn store_f16(self, a: __m512, to: *mut u16) {
        lanes!(_mm256_storeu_si256(to.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a)))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        lanes!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        lanes!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        lanes!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        lanes!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        lanes!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        lanes!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        lanes!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        lanes!(_mm512_abs_ps(a))
    }
    #[inline(always)]
    fn select_less(self, a: __m512, b: __m512, then: __m512, other: __m512) -> __m512 {
        lanes!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), other, then))
    }

    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        lanes! {
            let (low, high) = (_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            fold!(_mm256_add_ps(low, high), _mm_add_ps, _mm_add_ss)
        }
    }
    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        lanes! {
            let (low, high) = (_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            fold!(_mm256_max_ps(low, high), _mm_max_ps, _mm_max_ss)
        }
    }
}
