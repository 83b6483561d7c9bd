//! The second half of a layer: a feed-forward with a gate.

use parkade_kernels::Team;

use super::linear::{Linear, multiply};
use super::residual::Residual;
use super::scratch::{Scratch, room};
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::{Activation, FeedForwardPlan, Plan};

/// `down (activation (gate x) * up x)`.
pub(crate) struct FeedForward {
    embedding: usize,
    width: usize,
    activation: Activation,
    residual: Residual,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    /// Loads the feed-forward of a layer.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &Plan,
    ) -> Result<FeedForward, ModelError> {
        let FeedForwardPlan::Gated { width, activation } = plan.layers[layer].feed_forward;
        let order = plan.layers[layer].norms;
        let linear =
            |what, inputs, outputs| Linear::load(loader, &in_layer(layer, what), inputs, outputs, Presence::Optional);
        Ok(FeedForward {
            embedding,
            width,
            activation,
            residual: Residual::load(loader, &in_layer(layer, "ffn_norm"), order, plan.norm, embedding)?,
            gate: linear("ffn_gate", embedding, width)?,
            up: linear("ffn_up", embedding, width)?,
            down: linear("ffn_down", width, embedding)?,
        })
    }

    pub(crate) fn linears(&self) -> [&Linear; 3] {
        [&self.gate, &self.up, &self.down]
    }

    /// Adds the result to the hidden states.
    pub(crate) fn run(&self, team: &Team, s: &mut Scratch) {
        let inner = s.rows * self.width;
        self.residual.read(team, s, &[self.gate.ty(), self.up.ty()]);
        let (gates, ups) = (room(&mut s.gate, inner), room(&mut s.up, inner));
        multiply(team, &s.activations, [(&self.gate, &mut *gates), (&self.up, &mut *ups)]);
        match self.activation {
            Activation::Silu => s.activations.set_swiglu(team, gates, ups, s.rows, self.width, &[self.down.ty()]),
        }
        multiply(team, &s.activations, [(&self.down, room(&mut s.delta, s.rows * self.embedding))]);
        self.residual.add(team, s);
    }
}
