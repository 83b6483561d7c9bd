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
