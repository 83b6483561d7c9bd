use crate::CpuLevel;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::team::{Disjoint, Team};

/// The RMS norm of each row of `cols` values: `x / sqrt(mean(x^2) + eps) * weight`.
///
/// # Panics
/// If `x` is not a whole number of rows, `out` has another size, or `weight` has not `cols` values.
pub fn rms_norm(team: &Team, x: &[f32], cols: usize, weight: &[f32], eps: f32, out: &mut [f32]) {
    rms_norm_at(CpuLevel::current(), team, x, cols, weight, eps, out);
}

fn rms_norm_at(level: CpuLevel, team: &Team, x: &[f32], cols: usize, weight: &[f32], eps: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "x and out differ in size");
    assert_eq!(weight.len(), cols, "the norm's weight is not cols");
    if x.is_empty() {
        return;
    }
    assert!(cols > 0 && x.len().is_multiple_of(cols), "x is not a whole number of rows");
    let out = Disjoint::new(out);
    team.for_chunks(x.len() / cols, (32_768 / cols).max(1), &|rows| {
        for row in rows {
            let at = row * cols..(row + 1) * cols;
            // SAFETY: each row is in one chunk.
            let out = unsafe { out.part(at.clone()) };
            dispatch(level, Norm { x: &x[at], weight, eps, out });
        }
    });
}

struct Norm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for Norm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        rms_norm_row(s, self.x, self.weight, self.eps, self.out);
    }
}

#[inline(always)]
pub(crate) fn rms_norm_row<S: Simd>(s: S, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert!(weight.len() == x.len() && out.len() == x.len());
    let mut squares = [s.float(0.0); 2];
    let mut pairs = x.chunks_exact(2 * LANES);
    for pair in &mut pairs {
        // SAFETY: pair has 32 floats.
        let (a, b) = unsafe { (s.load(pair.as_ptr()), s.load(pair.as_ptr().add(LANES))) };
        squares = [s.fma(a, a, squares[0]), s.fma(b, b, squares[1])];
    }
    for (half, rest) in pairs.remainder().chunks(LANES).enumerate() {
        // SAFETY: rest has rest.len() <= 16 floats.
        let a = unsafe { s.load_part(rest.as_ptr(), rest.len()) };
        squares[half] = s.fma(a, a, squares[half]);
    }
    let mean = s.sum(s.add(squares[0], squares[1])) / x.len() as f32;
    let factor = s.float(1.0 / (mean + eps).sqrt());
    for ((x, weight), out) in x.chunks(LANES).zip(weight.chunks(LANES)).zip(out.chunks_mut(LANES)) {
        let n = x.len();
        // SAFETY: the three chunks have n <= 16 floats each.
        unsafe {
            if n == LANES {
                let scaled = s.mul(s.load(x.as_ptr()), factor);
                s.store(s.mul(scaled, s.load(weight.as_ptr())), out.as_mut_ptr());
            } else {
                let scaled = s.mul(s.load_part(x.as_ptr(), n), factor);
                let y = s.mul(scaled, s.load_part(weight.as_ptr(), n));
                s.store_part(y, out.as_mut_ptr(), n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Numbers, bits};

    #[test]
    fn rows_are_normalised_alike_at_every_level() {
        let mut numbers = Numbers(1);
        for cols in [1, 15, 16, 17, 33, 64, 100, 576] {
            let (x, weight) = (numbers.floats(5 * cols), numbers.floats(cols));
            let mut first = vec![0.0; x.len()];
            rms_norm_at(CpuLevel::Scalar, &Team::new(1), &x, cols, &weight, 1e-5, &mut first);
            for (x, y) in x.chunks(cols).zip(first.chunks(cols)) {
                let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / cols as f64;
                for ((&x, &y), &weight) in x.iter().zip(y).zip(&weight) {
                    let want = f64::from(x) / (mean + 1e-5).sqrt() * f64::from(weight);
                    assert!((f64::from(y) - want).abs() < 1e-5, "{cols}: {y} for {want}");
                }
            }
            for &level in CpuLevel::available() {
                let mut out = vec![0.0; x.len()];
                rms_norm_at(level, &Team::new(3), &x, cols, &weight, 1e-5, &mut out);
                assert_eq!(bits(&out), bits(&first), "{} columns at {}", cols, level.name());
            }
        }
    }
}
