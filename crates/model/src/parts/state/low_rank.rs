//! Two matrices around a narrow middle.

use parkade_kernels::{Activations, Team, WeightType, for_each_row};

use super::super::linear::{Linear, multiply};
use super::super::scratch::{HEAVY, LIGHT, room};
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};

/// `up (function (down x)) + bias`.
pub(super) struct LowRank {
    down: Linear,
    up: Linear,
    bias: Option<Vec<f32>>,
}

impl LowRank {
    /// Loads `time_mix_{what}1`, `time_mix_{what}2`, and perhaps `time_mix_{what}0`. How narrow the middle is says the file's tensor.
    pub(super) fn load(
        loader: &Loader<'_>,
        layer: usize,
        what: &str,
        embedding: usize,
        bias: bool,
    ) -> Result<LowRank, ModelError> {
        let name = |part: usize| in_layer(layer, &format!("time_mix_{what}{part}"));
        let rank = loader.rows(&format!("{}.weight", name(1))).unwrap_or(1);
        let bias = bias.then(|| loader.floats(&format!("{}.weight", name(0)), &[embedding]));
        Ok(LowRank {
            down: Linear::load(loader, &name(1), embedding, rank, Presence::Never)?,
            up: Linear::load(loader, &name(2), rank, embedding, Presence::Never)?,
            bias: bias.transpose()?,
        })
    }

    pub(super) fn linears(&self) -> [&Linear; 2] {
        [&self.down, &self.up]
    }

    /// The type that its input must be set for.
    pub(super) fn ty(&self) -> WeightType {
        self.down.ty()
    }

    /// Sets `out` to what it makes of the activations, which are used up.
    pub(super) fn run(
        &self,
        team: &Team,
        rows: usize,
        activations: &mut Activations,
        narrow: &mut Vec<f32>,
        out: &mut Vec<f32>,
        function: Option<fn(f32) -> f32>,
    ) {
        let (rank, cols) = (self.down.outputs(), self.up.outputs());
        let narrow = room(narrow, rows * rank);
        multiply(team, activations, [(&self.down, &mut *narrow)]);
        if let Some(function) = function {
            each(team, narrow, function);
        }
        activations.set(team, narrow, rows, rank, &[self.up.ty()]);
        let out = room(out, rows * cols);
        multiply(team, activations, [(&self.up, &mut *out)]);
        if let Some(bias) = &self.bias {
            for_each_row(team, LIGHT, [(out, cols)], |_, [row]| {
                row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
            });
        }
    }
}

/// Replaces each value by that of a function that costs an exponential.
pub(super) fn each(team: &Team, x: &mut [f32], function: impl Fn(f32) -> f32 + Sync) {
    for_each_row(team, HEAVY, [(x, 1)], |_, [x]| x[0] = function(x[0]));
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
