use crate::CpuLevel;
use crate::simd::{Kernel, LANES, Simd, dispatch};
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

/// `x += factor * y`.
///
/// # Panics
/// If the sizes differ.
pub fn add_scaled(team: &Team, x: &mut [f32], y: &[f32], factor: f32) {
    assert_eq!(x.len(), y.len(), "x and y differ in size");
    let x = Disjoint::new(x);
    team.for_chunks(y.len(), 32_768, &|range| {
        // SAFETY: the chunks do not overlap.
        let x = unsafe { x.part(range.clone()) };
        for (x, y) in x.iter_mut().zip(&y[range]) {
            *x += factor * y;
        }
    });
}

/// `x *= factor`.
pub fn scale(team: &Team, x: &mut [f32], factor: f32) {
    let len = x.len();
    let x = Disjoint::new(x);
    team.for_chunks(len, 32_768, &|range| {
        // SAFETY: the chunks do not overlap.
        unsafe { x.part(range) }.iter_mut().for_each(|x| *x *= factor);
    });
}

/// `x = cap * tanh(x / cap)`: nothing is left above `cap`, and what is far below it stays as it was.
pub fn soft_cap(team: &Team, x: &mut [f32], cap: f32) {
    soft_cap_at(CpuLevel::current(), team, x, cap);
}

fn soft_cap_at(level: CpuLevel, team: &Team, x: &mut [f32], cap: f32) {
    let len = x.len();
    let x = Disjoint::new(x);
    team.for_chunks(len, 4_096, &|range| {
        // SAFETY: the chunks do not overlap.
        let x = unsafe { x.part(range) };
        dispatch(level, SoftCap { x, cap });
    });
}

struct SoftCap<'a> {
    x: &'a mut [f32],
    cap: f32,
}

impl Kernel for SoftCap<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (cap, factor) = (s.float(self.cap), s.float(1.0 / self.cap));
        for x in self.x.chunks_mut(LANES) {
            let n = x.len();
            // SAFETY: the chunk has n <= 16 floats.
            unsafe {
                let y = s.mul(s.tanh(s.mul(s.load_first(x.as_ptr(), n), factor)), cap);
                s.store_first(y, x.as_mut_ptr(), n);
            }
        }
    }
}

/// `x *= activation(gates)`.
///
/// # Panics
/// If the sizes differ.
pub fn gate(team: &Team, activation: Activation, gates: &[f32], x: &mut [f32]) {
    gate_at(CpuLevel::current(), team, activation, gates, x);
}

fn gate_at(level: CpuLevel, team: &Team, activation: Activation, gates: &[f32], x: &mut [f32]) {
    assert_eq!(x.len(), gates.len(), "gates and x differ in size");
    let x = Disjoint::new(x);
    team.for_chunks(gates.len(), 8_192, &|range| {
        // SAFETY: the chunks do not overlap.
        let x = unsafe { x.part(range.clone()) };
        dispatch(level, Gate { activation, gates: &gates[range], x });
    });
}

struct Gate<'a> {
    activation: Activation,
    gates: &'a [f32],
    x: &'a mut [f32],
}

impl Kernel for Gate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (gates, x) in self.gates.chunks(LANES).zip(self.x.chunks_mut(LANES)) {
            let n = x.len();
            // SAFETY: both chunks have n <= 16 floats.
            unsafe {
                let (gates, values) = (s.load_first(gates.as_ptr(), n), s.load_first(x.as_ptr(), n));
                s.store_first(self.activation.of_gate(s, gates, values), x.as_mut_ptr(), n);
            }
        }
    }
}

/// Where [`Activation::ClampedSilu`] clamps.
const CLAMP: f32 = 7.0;

/// The function inside of a feed-forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// GELU by its approximation with tanh, `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`. It is what ggml computes where a model says
    /// GELU. The exact one, by erf, is up to 5e-4 away.
    Gelu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `max(x, 0)^2`.
    ReluSquared,
    /// That of gpt-oss: `x / (1 + exp(-1.702 x))` with `x` at most 7. As a gate its factor is `1 + up`, with `up` from -7 to 7.
    ClampedSilu,
}

impl Activation {
    #[inline(always)]
    pub(crate) fn of<S: Simd>(self, s: S, x: S::F) -> S::F {
        let (zero, one) = (s.float(0.0), s.float(1.0));
        match self {
            Activation::Silu => s.div(x, s.add(one, s.exp(s.sub(zero, x)))),
            // (1 + tanh(u)) / 2 is 1 / (1 + exp(-2 u))
            Activation::Gelu => {
                const FACTOR: f32 = -2.0 * 0.797_884_6;
                let u = s.fma(s.mul(s.mul(x, x), s.float(0.044_715)), x, x);
                s.div(x, s.add(one, s.exp(s.mul(u, s.float(FACTOR)))))
            }
            Activation::Sigmoid => s.div(one, s.add(one, s.exp(s.sub(zero, x)))),
            Activation::ReluSquared => {
                let positive = s.max(x, zero);
                s.mul(positive, positive)
            }
            // The limit comes first, so that what is no number stays so.
            Activation::ClampedSilu => {
                let x = s.min(s.float(CLAMP), x);
                s.div(x, s.add(one, s.exp(s.mul(x, s.float(-1.702)))))
            }
        }
    }

    /// With `x` as the gate of `up`.
    #[inline(always)]
    fn of_gate<S: Simd>(self, s: S, x: S::F, up: S::F) -> S::F {
        let up = match self {
            Activation::ClampedSilu => s.add(s.max(s.float(-CLAMP), s.min(s.float(CLAMP), up)), s.float(1.0)),
            Activation::Silu | Activation::Gelu | Activation::Sigmoid | Activation::ReluSquared => up,
        };
        s.mul(self.of(s, x), up)
    }
}

/// `activation(gate) * up`.
#[inline(always)]
pub(crate) fn gated_row<S: Simd>(s: S, activation: Activation, gate: &[f32], up: &[f32], out: &mut [f32]) {
    assert!(up.len() == gate.len() && out.len() == gate.len());
    for ((gate, up), out) in gate.chunks(LANES).zip(up.chunks(LANES)).zip(out.chunks_mut(LANES)) {
        let n = gate.len();
        // SAFETY: the three chunks have n <= 16 floats each.
        unsafe {
            let (gate, up) = (s.load_first(gate.as_ptr(), n), s.load_first(up.as_ptr(), n));
            s.store_first(activation.of_gate(s, gate, up), out.as_mut_ptr(), n);
        }
    }
}

/// `activation(x)`.
#[inline(always)]
pub(crate) fn activated_row<S: Simd>(s: S, activation: Activation, x: &[f32], out: &mut [f32]) {
    assert!(out.len() == x.len());
    for (x, out) in x.chunks(LANES).zip(out.chunks_mut(LANES)) {
        let n = x.len();
        // SAFETY: both chunks have n <= 16 floats.
        unsafe { s.store_first(activation.of(s, s.load_first(x.as_ptr(), n)), out.as_mut_ptr(), n) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Numbers, bits};

    const ACTIVATIONS: [Activation; 5] =
        [Activation::Silu, Activation::Gelu, Activation::Sigmoid, Activation::ReluSquared, Activation::ClampedSilu];

    fn definition(activation: Activation, x: f32) -> f64 {
        let x = f64::from(x);
        match activation {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Gelu => {
                x / 2.0 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
            }
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::ReluSquared => x.max(0.0).powi(2),
            Activation::ClampedSilu => x.min(7.0) / (1.0 + (-1.702 * x.min(7.0)).exp()),
        }
    }

    /// With an `up`, gated.
    struct Row<'a>(Activation, &'a [f32], Option<&'a [f32]>, &'a mut [f32]);
    impl Kernel for Row<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            match self.2 {
                Some(up) => gated_row(s, self.0, self.1, up, self.3),
                None => activated_row(s, self.0, self.1, self.3),
            }
        }
    }

    #[test]
    fn activations_agree_with_the_definition_at_every_level() {
        let mut numbers = Numbers(1);
        for (n, activation) in [1, 16, 21, 1536].into_iter().flat_map(|n| ACTIVATIONS.map(|a| (n, a))) {
            let x: Vec<f32> = (0..n).map(|i| numbers.float() * [0.1, 3.0, 100.0][i % 3]).collect();
            let ups: Vec<f32> = numbers.floats(n).iter().map(|up| up * 10.0).collect();
            for up in [None, Some(&ups[..])] {
                let mut first = vec![0.0; n];
                dispatch(CpuLevel::Scalar, Row(activation, &x, up, &mut first));
                for (i, (&x, &y)) in x.iter().zip(&first).enumerate() {
                    let factor = up.map_or(1.0, |up| match activation {
                        Activation::ClampedSilu => 1.0 + up[i].clamp(-7.0, 7.0),
                        _ => up[i],
                    });
                    let want = definition(activation, x) * f64::from(factor);
                    let bound = 1e-6 * want.abs() + 1e-6 * f64::from(x.abs()).min(1e-4);
                    assert!((f64::from(y) - want).abs() <= bound, "{activation:?}({x}): {y} for {want}");
                }
                for &level in CpuLevel::available() {
                    let mut out = vec![0.0; n];
                    dispatch(level, Row(activation, &x, up, &mut out));
                    assert_eq!(bits(&out), bits(&first));
                }
            }
        }
    }

    #[test]
    fn values_are_gated_in_place_as_rows_are() {
        let mut numbers = Numbers(3);
        let (gates, x) = (numbers.floats(20_003), numbers.floats(20_003));
        for activation in ACTIVATIONS {
            let mut want = vec![0.0; x.len()];
            dispatch(CpuLevel::Scalar, Row(activation, &gates, Some(&x), &mut want));
            for &level in CpuLevel::available() {
                let mut out = x.clone();
                gate_at(level, &Team::new(3), activation, &gates, &mut out);
                assert_eq!(bits(&out), bits(&want));
            }
        }
    }

    #[test]
    fn values_are_capped_softly_at_every_level() {
        let mut numbers = Numbers(2);
        let x: Vec<f32> = (0..10_007).map(|_| numbers.float() * 40.0).collect();
        let mut first = x.clone();
        soft_cap_at(CpuLevel::Scalar, &Team::new(1), &mut first, 6.0);
        for (&x, &y) in x.iter().zip(&first) {
            let want = 6.0 * (f64::from(x) / 6.0).tanh();
            assert!((f64::from(y) - want).abs() < 2e-6, "{y} for {want}");
        }
        for &level in CpuLevel::available() {
            let mut out = x.clone();
            soft_cap_at(level, &Team::new(3), &mut out, 6.0);
            assert_eq!(bits(&out), bits(&first));
        }
    }

    #[test]
    fn sums_and_products_are_taken_in_place() {
        let team = Team::new(2);
        let mut x = vec![1.0; 100_000];
        let y: Vec<f32> = (0..100_000).map(|i| i as f32).collect();
        add_assign(&team, &mut x, &y);
        assert!(x.iter().enumerate().all(|(i, &x)| x == i as f32 + 1.0));
        add_scaled(&team, &mut x, &y, 2.0);
        assert!(x.iter().enumerate().all(|(i, &x)| x == 3.0 * i as f32 + 1.0));
        scale(&team, &mut x, 0.5);
        assert!(x.iter().enumerate().all(|(i, &x)| x == (3.0 * i as f32 + 1.0) * 0.5));
    }
}
