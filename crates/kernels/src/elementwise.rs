use crate::simd::{LANES, Simd};
use crate::team::{Disjoint, Team};

/// `x += y`.
///
/// # Panics
/// If the sizes differ.
pub fn add_assign(team: &Team, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "x and y differ in size");
    let x = Disjoint::new(x);
    team.for_chunks(y.len(), 32_768, &|range| {
        // SAFETY: the chunks do not overlap.
        let x = unsafe { x.part(range.clone()) };
        for (x, y) in x.iter_mut().zip(&y[range]) {
            *x += y;
        }
    });
}

/// `silu(gate) * up`.
#[inline(always)]
pub(crate) fn swiglu_row<S: Simd>(s: S, gate: &[f32], up: &[f32], out: &mut [f32]) {
    assert!(up.len() == gate.len() && out.len() == gate.len());
    let one = s.float(1.0);
    for ((gate, up), out) in gate.chunks(LANES).zip(up.chunks(LANES)).zip(out.chunks_mut(LANES)) {
        let n = gate.len();
        // SAFETY: the three chunks have n <= 16 floats each.
        unsafe {
            let (gate, up) = if n == LANES {
                (s.load(gate.as_ptr()), s.load(up.as_ptr()))
            } else {
                (s.load_part(gate.as_ptr(), n), s.load_part(up.as_ptr(), n))
            };
            let silu = s.div(gate, s.add(one, s.exp(s.sub(s.float(0.0), gate))));
            let y = s.mul(silu, up);
            if n == LANES { s.store(y, out.as_mut_ptr()) } else { s.store_part(y, out.as_mut_ptr(), n) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CpuLevel;
    use crate::simd::{Kernel, dispatch};
    use crate::testing::{Numbers, bits};

    struct SwiGlu<'a>(&'a [f32], &'a [f32], &'a mut [f32]);
    impl Kernel for SwiGlu<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            swiglu_row(s, self.0, self.1, self.2);
        }
    }

    #[test]
    fn swiglu_agrees_with_the_definition_at_every_level() {
        let mut numbers = Numbers(1);
        for n in [1, 16, 21, 1536] {
            let gate: Vec<f32> = numbers.floats(n).iter().map(|x| x * 100.0).collect();
            let up = numbers.floats(n);
            let mut first = vec![0.0; n];
            dispatch(CpuLevel::Scalar, SwiGlu(&gate, &up, &mut first));
            for ((&gate, &up), &y) in gate.iter().zip(&up).zip(&first) {
                let x = f64::from(gate);
                let want = x / (1.0 + (-x).exp()) * f64::from(up);
                assert!((f64::from(y) - want).abs() <= 1e-6 * want.abs() + 1e-30, "{y} for {want}");
            }
            for &level in CpuLevel::available() {
                let mut out = vec![0.0; n];
                dispatch(level, SwiGlu(&gate, &up, &mut out));
                assert_eq!(bits(&out), bits(&first));
            }
        }
    }

    #[test]
    fn sums_are_added_in_place() {
        let team = Team::new(2);
        let mut x = vec![1.0; 100_000];
        let y: Vec<f32> = (0..100_000).map(|i| i as f32).collect();
        add_assign(&team, &mut x, &y);
        assert!(x.iter().enumerate().all(|(i, &x)| x == i as f32 + 1.0));
    }
}
