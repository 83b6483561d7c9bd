use super::*;
use crate::testing::{Numbers, bits};

struct Exp<'a>(&'a [f32]);
impl Kernel for Exp<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let chunks = self.0.chunks_exact(LANES);
        // SAFETY: the chunks have sixteen floats.
        chunks.flat_map(|x| s.lanes(s.exp(unsafe { s.load(x.as_ptr()) }))).collect()
    }
}

#[test]
fn exp_is_close_and_the_same_at_every_level() {
    let mut numbers = Numbers(1);
    let mut x: Vec<f32> = (0..16 * 4000).map(|_| numbers.float() * 90.0).collect();
    x.extend([0.0, -0.0, 88.69, 88.71, -86.89, -86.91, f32::INFINITY, f32::NEG_INFINITY]);
    x.extend([f32::NAN, 1.0, -1.0, 1e-20, f32::MIN, f32::MAX, 0.3465736, -0.3465736]);
    let first = dispatch(CpuLevel::Scalar, Exp(&x));
    for (&x, &y) in x.iter().zip(&first) {
        let want = f64::from(x).exp();
        if x.is_nan() {
            assert!(y.is_nan());
        } else if x < -86.9 {
            assert_eq!(y, 0.0);
        } else if x > 88.7 {
            assert_eq!(y, f32::INFINITY);
        } else {
            assert!((f64::from(y) / want - 1.0).abs() < 3e-7, "exp({x}) = {y}");
        }
    }
    assert_eq!(first[16 * 4000], 1.0);
    for &level in CpuLevel::available() {
        assert_eq!(bits(&dispatch(level, Exp(&x))), bits(&first), "{}", level.name());
    }
}

struct Tanh<'a>(&'a [f32]);
impl Kernel for Tanh<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let chunks = self.0.chunks_exact(LANES);
        // SAFETY: the chunks have sixteen floats.
        chunks.flat_map(|x| s.lanes(s.tanh(unsafe { s.load(x.as_ptr()) }))).collect()
    }
}

#[test]
fn tanh_is_close_and_the_same_at_every_level() {
    let mut numbers = Numbers(2);
    let mut x: Vec<f32> = (0..16 * 4000).map(|i| numbers.float() * [0.01, 1.0, 10.0, 1000.0][i % 4]).collect();
    x.extend([0.0, -0.0, 43.4, 43.5, -43.5, 1e38, f32::INFINITY, f32::NEG_INFINITY]);
    x.extend([f32::NAN, 1.0, -1.0, 1e-20, f32::MIN, f32::MAX, 0.3, -0.3]);
    let first = dispatch(CpuLevel::Scalar, Tanh(&x));
    for (&x, &y) in x.iter().zip(&first) {
        let close = (f64::from(y) - f64::from(x).tanh()).abs() < 2e-7;
        assert!(close || (x.is_nan() && y.is_nan()), "tanh({x}) = {y}");
    }
    for &level in CpuLevel::available() {
        assert_eq!(bits(&dispatch(level, Tanh(&x))), bits(&first), "{}", level.name());
    }
}

/// Conversions and selections that the kernels rely on at the edges.
struct Edges;
impl Kernel for Edges {
    type Output = Vec<u32>;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<u32> {
        const X: [f32; LANES] = [
            0.5,
            1.5,
            -0.5,
            -2.5,
            3e9,
            -3e9,
            f32::NAN,
            f32::INFINITY,
            65504.0,
            65520.0,
            1e-8,
            6e-8,
            -0.0,
            2147483520.0,
            0.1,
            -7.0,
        ];
        let mut out = Vec::new();
        let mut halves = [0u16; LANES];
        // SAFETY: all arrays have sixteen places.
        unsafe {
            let x = s.load(X.as_ptr());
            out.extend(s.lanes(s.to_float(s.round(x))));
            out.extend(s.lanes(s.max(x, s.float(1.0))));
            out.extend(s.lanes(s.min(s.float(1.0), x)));
            out.extend(s.lanes(s.select_less(x, s.float(1.0), s.float(2.0), x)));
            s.store_f16(x, halves.as_mut_ptr());
            out.extend(s.lanes(s.load_f16(halves.as_ptr())));
            out.extend(s.lanes(s.load_bf16(halves.as_ptr())));
        }
        // which NaN it is does not matter
        out.iter().map(|x: &f32| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
    }
}

#[test]
fn edge_cases_are_the_same_at_every_level() {
    let first = dispatch(CpuLevel::Scalar, Edges);
    for &level in CpuLevel::available() {
        assert_eq!(dispatch(level, Edges), first, "{}", level.name());
    }
}

struct Transpose<'a>(&'a [u16]);
impl Kernel for Transpose<'_> {
    type Output = Vec<u16>;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<u16> {
        let mut out = vec![0; LANES * 20];
        // SAFETY: the input has 256 numbers, and the output sixteen rows of twenty.
        unsafe { s.transpose(self.0.as_ptr(), out.as_mut_ptr(), 20) };
        out
    }
}

#[test]
fn transposing_makes_rows_of_columns_at_every_level() {
    let x: Vec<u16> = (1..=256).collect();
    for &level in CpuLevel::available() {
        let out = dispatch(level, Transpose(&x));
        for (i, row) in out.chunks_exact(20).enumerate() {
            let column: Vec<u16> = x.iter().skip(i).step_by(LANES).copied().collect();
            assert_eq!((&row[..LANES], &row[LANES..]), (&column[..], &[0; 4][..]), "{} row {i}", level.name());
        }
    }
}
