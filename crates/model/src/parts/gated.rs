//! A feed-forward with a gate: `down (activation (gate x) * up x)`.

use parkade_kernels::{Team, WeightType};

use super::linear::{Linear, multiply};
use super::scratch::{Scratch, room};
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::Activation;

/// Its matrices.
pub(crate) struct Gated {
    width: usize,
    activation: Activation,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Gated {
    /// Loads the three matrices of a layer by their names: gate, up and down.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        [gate, up, down]: [&str; 3],
        embedding: usize,
        width: usize,
        activation: Activation,
    ) -> Result<Gated, ModelError> {
        let linear =
            |what, inputs, outputs| Linear::load(loader, &in_layer(layer, what), inputs, outputs, Presence::Optional);
        Ok(Gated {
            width,
            activation,
            gate: linear(gate, embedding, width)?,
            up: linear(up, embedding, width)?,
            down: linear(down, width, embedding)?,
        })
    }

    pub(crate) fn linears(&self) -> [&Linear; 3] {
        [&self.gate, &self.up, &self.down]
    }

    /// The types that the input must be set for.
    pub(crate) fn types(&self) -> [WeightType; 2] {
        [self.gate.ty(), self.up.ty()]
    }

    /// Values of a row of the result.
    pub(crate) fn outputs(&self) -> usize {
        self.down.outputs()
    }

    /// Sets `delta` to what it makes of the activations, which are used up.
    pub(crate) fn run(&self, team: &Team, s: &mut Scratch) {
        let inner = s.rows * self.width;
        let (gates, ups) = (room(&mut s.gate, inner), room(&mut s.up, inner));
        multiply(team, &s.activations, [(&self.gate, &mut *gates), (&self.up, &mut *ups)]);
        match self.activation {
            Activation::Silu => s.activations.set_swiglu(team, gates, ups, s.rows, self.width, &[self.down.ty()]),
        }
        multiply(team, &s.activations, [(&self.down, room(&mut s.delta, s.rows * self.outputs()))]);
    }
}
