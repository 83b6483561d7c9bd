use crate::CpuLevel;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::team::{Disjoint, Team};

/// A norm of rows.
///
/// A weight (and a bias) has as many values as a row, or those of several rows, which are then used in turn: heads may have weights each of
/// their own.
#[derive(Debug, Clone, Copy)]
pub enum Norm<'a> {
    /// `x / sqrt(mean(x^2) + eps) * weight`.
    Rms {
        /// Factors of the values.
        weight: &'a [f32],
        /// What keeps the root from zero.
        eps: f32,
    },
    /// `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * weight + bias`.
    Layer {
        /// Factors of the values.
        weight: &'a [f32],
        /// What is added to them.
        bias: Option<&'a [f32]>,
        /// What keeps the root from zero.
        eps: f32,
    },
}

impl<'a> Norm<'a> {
    /// Panics unless weight and bias fit rows of `cols` values.
    pub(crate) fn check(self, cols: usize) {
        let (Norm::Rms { weight, .. } | Norm::Layer { weight, .. }) = self;
        let whole = cols > 0 && !weight.is_empty() && weight.len().is_multiple_of(cols);
        assert!(whole || weight.len() == cols, "the norm's weight is not cols");
        if let Norm::Layer { bias: Some(bias), .. } = self {
            assert_eq!(bias.len(), weight.len(), "the norm's bias is not as its weight");
        }
    }

    /// The norm of one row.
    pub(crate) fn of_row(self, row: usize, cols: usize) -> Norm<'a> {
        let own = |values: &'a [f32]| &values[row % (values.len() / cols) * cols..][..cols];
        match self {
            Norm::Rms { weight, eps } => Norm::Rms { weight: own(weight), eps },
            Norm::Layer { weight, bias, eps } => Norm::Layer { weight: own(weight), bias: bias.map(own), eps },
        }
    }
}

/// The norm of each row of `cols` values.
///
/// # Panics
/// If `x` is not a whole number of rows, `out` has another size, or the norm's weight or bias fits no row.
pub fn norm(team: &Team, x: &[f32], cols: usize, norm: Norm<'_>, out: &mut [f32]) {
    norm_at(CpuLevel::current(), team, x, cols, norm, out);
}

fn norm_at(level: CpuLevel, team: &Team, x: &[f32], cols: usize, norm: Norm<'_>, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "x and out differ in size");
    norm.check(cols);
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
            dispatch(level, Row { x: &x[at], norm: norm.of_row(row, cols), out });
        }
    });
}

struct Row<'a> {
    x: &'a [f32],
    norm: Norm<'a>,
    out: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        norm_row(s, self.x, self.norm, self.out);
    }
}

/// The norm of one row, whose weight has as many values.
#[inline(always)]
pub(crate) fn norm_row<S: Simd>(s: S, x: &[f32], norm: Norm<'_>, out: &mut [f32]) {
    match norm {
        Norm::Rms { weight, eps } => rms_norm_row(s, x, weight, eps, out),
        Norm::Layer { weight, bias, eps } => layer_norm_row(s, x, weight, bias, eps, out),
    }
}

/// The sum of the values, or of their squares, always in the same order.
#[inline(always)]
fn total<S: Simd, const SQUARES: bool>(s: S, x: &[f32]) -> f32 {
    let mut sums = [s.float(0.0); 2];
    let mut pairs = x.chunks_exact(2 * LANES);
    for pair in &mut pairs {
        // SAFETY: pair has 32 floats.
        let (a, b) = unsafe { (s.load(pair.as_ptr()), s.load(pair.as_ptr().add(LANES))) };
        sums =
            if SQUARES { [s.fma(a, a, sums[0]), s.fma(b, b, sums[1])] } else { [s.add(a, sums[0]), s.add(b, sums[1])] };
    }
    for (half, rest) in pairs.remainder().chunks(LANES).enumerate() {
        // SAFETY: rest has rest.len() <= 16 floats.
        let a = unsafe { s.load_part(rest.as_ptr(), rest.len()) };
        sums[half] = if SQUARES { s.fma(a, a, sums[half]) } else { s.add(a, sums[half]) };
    }
    s.sum(s.add(sums[0], sums[1]))
}

#[inline(always)]
fn rms_norm_row<S: Simd>(s: S, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert!(weight.len() == x.len() && out.len() == x.len());
    let mean = total::<S, true>(s, x) / x.len() as f32;
    let factor = s.float(1.0 / (mean + eps).sqrt());
    for ((x, weight), out) in x.chunks(LANES).zip(weight.chunks(LANES)).zip(out.chunks_mut(LANES)) {
        let n = x.len();
        // SAFETY: the three chunks have n <= 16 floats each.
        unsafe {
            let scaled = s.mul(s.load_first(x.as_ptr(), n), factor);
            s.store_first(s.mul(scaled, s.load_first(weight.as_ptr(), n)), out.as_mut_ptr(), n);
        }
    }
}

#[inline(always)]
fn layer_norm_row<S: Simd>(s: S, x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    assert!(weight.len() == x.len() && out.len() == x.len());
    assert!(bias.is_none_or(|bias| bias.len() == x.len()));
    let mean = s.float(total::<S, false>(s, x) / x.len() as f32);
    for (x, out) in x.chunks(LANES).zip(out.chunks_mut(LANES)) {
        let n = x.len();
        // SAFETY: both chunks have n <= 16 floats.
        unsafe { s.store_first(s.sub(s.load_first(x.as_ptr(), n), mean), out.as_mut_ptr(), n) };
    }
    let variance = total::<S, true>(s, out) / x.len() as f32;
    let factor = s.float(1.0 / (variance + eps).sqrt());
    for (i, (out, weight)) in out.chunks_mut(LANES).zip(weight.chunks(LANES)).enumerate() {
        let n = out.len();
        // SAFETY: the chunks have n <= 16 floats each, and so has the bias at their place.
        unsafe {
            let scaled = s.mul(s.load_first(out.as_ptr(), n), factor);
            let mut y = s.mul(scaled, s.load_first(weight.as_ptr(), n));
            if let Some(bias) = bias {
                y = s.add(y, s.load_first(bias.as_ptr().add(i * LANES), n));
            }
            s.store_first(y, out.as_mut_ptr(), n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Numbers, bits};

    const EPS: f32 = 1e-5;

    /// The definition, in double precision, of one row with the weights of its own.
    fn definition(x: &[f32], norm: Norm<'_>) -> Vec<f64> {
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let mut x: Vec<f64> = x.iter().map(|&x| x.into()).collect();
        if let Norm::Layer { .. } = norm {
            let mean = mean(&x);
            x.iter_mut().for_each(|x| *x -= mean);
        }
        let root = (mean(&x.iter().map(|x| x * x).collect::<Vec<_>>()) + f64::from(EPS)).sqrt();
        let (Norm::Rms { weight, .. } | Norm::Layer { weight, .. }) = norm;
        let bias = |i: usize| match norm {
            Norm::Layer { bias: Some(bias), .. } => f64::from(bias[i]),
            _ => 0.0,
        };
        x.iter().enumerate().map(|(i, x)| x / root * f64::from(weight[i]) + bias(i)).collect()
    }

    #[test]
    fn rows_are_normalised_alike_at_every_level() {
        let mut numbers = Numbers(1);
        for cols in [1, 15, 16, 17, 33, 64, 100, 576] {
            // a row of its own for each of two, in turn
            let (x, weight, bias) = (numbers.floats(5 * cols), numbers.floats(2 * cols), numbers.floats(2 * cols));
            let one = &weight[..cols];
            for kind in [
                Norm::Rms { weight: one, eps: EPS },
                Norm::Rms { weight: &weight, eps: EPS },
                Norm::Layer { weight: one, bias: None, eps: EPS },
                Norm::Layer { weight: &weight, bias: Some(&bias), eps: EPS },
            ] {
                let mut first = vec![0.0; x.len()];
                norm_at(CpuLevel::Scalar, &Team::new(1), &x, cols, kind, &mut first);
                for (row, (x, y)) in x.chunks(cols).zip(first.chunks(cols)).enumerate() {
                    for (want, &y) in definition(x, kind.of_row(row, cols)).into_iter().zip(y) {
                        assert!((f64::from(y) - want).abs() < 1e-5, "{cols}: {y} for {want}");
                    }
                }
                for &level in CpuLevel::available() {
                    let mut out = vec![0.0; x.len()];
                    norm_at(level, &Team::new(3), &x, cols, kind, &mut out);
                    assert_eq!(bits(&out), bits(&first), "{} columns at {}", cols, level.name());
                }
            }
        }
    }
}
