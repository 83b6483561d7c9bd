//! A feed-forward with a gate, `down (activation (gate x) * up x)`, or without one, `down (activation (up x))`.

use parkade_kernels::{Team, WeightType, for_each_row};

use super::linear::{Linear, multiply};
use super::scratch::{LIGHT, Scratch, room};
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::Activation;

/// Its matrices.
pub(crate) struct Gated {
    width: usize,
    activation: Activation,
    cutoff: Option<f32>,
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    /// What the input must be set for.
    types: Vec<WeightType>,
}

impl Gated {
    /// Loads the three matrices of a layer by their names: gate, up and down. The first two may be one tensor, of the name of the second.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        [gate, up, down]: [&str; 3],
        embedding: usize,
        width: usize,
        activation: Activation,
    ) -> Result<Gated, ModelError> {
        let bias = Presence::Optional;
        let fused = in_layer(layer, up);
        let [gate, up] = if loader.has_shaped(&format!("{fused}.weight"), &[embedding, 2 * width]) {
            Linear::load_fused(loader, &fused, embedding, [width, width], bias)?
        } else {
            let linear = |what| Linear::load(loader, &in_layer(layer, what), embedding, width, bias);
            [linear(gate)?, linear(up)?]
        };
        let down = Linear::load(loader, &in_layer(layer, down), width, embedding, bias)?;
        Ok(Gated { width, activation, cutoff: None, types: vec![gate.ty(), up.ty()], gate: Some(gate), up, down })
    }

    /// Loads one without a gate.
    pub(crate) fn load_plain(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        width: usize,
        activation: Activation,
    ) -> Result<Gated, ModelError> {
        let bias = Presence::Optional;
        let up = Linear::load(loader, &in_layer(layer, "ffn_up"), embedding, width, bias)?;
        let down = Linear::load(loader, &in_layer(layer, "ffn_down"), width, embedding, bias)?;
        Ok(Gated { width, activation, cutoff: None, types: vec![up.ty()], gate: None, up, down })
    }

    /// The same with gates that are nothing up to so many standard deviations above their row's mean.
    pub(crate) fn with_cutoff(self, cutoff: Option<f32>) -> Gated {
        Gated { cutoff, ..self }
    }

    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.gate.iter().chain([&self.up, &self.down])
    }

    /// The types that the input must be set for.
    pub(crate) fn types(&self) -> &[WeightType] {
        &self.types
    }

    /// Values of a row of the result.
    pub(crate) fn outputs(&self) -> usize {
        self.down.outputs()
    }

    /// Sets `delta` to what it makes of the activations, which are used up.
    pub(crate) fn run(&self, team: &Team, s: &mut Scratch) {
        let (rows, cols, types) = (s.rows, self.width, [self.down.ty()]);
        let ups = room(&mut s.up, rows * cols);
        match &self.gate {
            Some(gate) => {
                let gates = room(&mut s.gate, rows * cols);
                multiply(team, &s.activations, [(gate, &mut *gates), (&self.up, &mut *ups)]);
                if let Some(deviations) = self.cutoff {
                    for_each_row(team, LIGHT, [(&mut *gates, cols)], |_, [gates]| cut(gates, deviations));
                }
                s.activations.set_gated(team, self.activation, gates, ups, rows, cols, &types);
            }
            None => {
                multiply(team, &s.activations, [(&self.up, &mut *ups)]);
                s.activations.set_activated(team, self.activation, ups, rows, cols, &types);
            }
        }
        multiply(team, &s.activations, [(&self.down, room(&mut s.delta, s.rows * self.outputs()))]);
    }
}

/// Takes off the mean and so many standard deviations, and what is below that.
fn cut(x: &mut [f32], deviations: f32) {
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
    let squares = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
    let cutoff = mean + f64::from(deviations) * (squares / x.len().saturating_sub(1).max(1) as f64).sqrt();
    x.iter_mut().for_each(|x| *x = (*x - cutoff as f32).max(0.0));
}
