//! What carries a state from token to token, with the projection behind it.

mod short_convolution;

use parkade_kernels::{Team, WeightType};

use self::short_convolution::ShortConvolution;
use super::linear::{Linear, multiply};
use super::residual::Residual;
use super::scratch::{Scratch, room};
use crate::batch::Sequences;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::{Plan, StatePlan};

/// The part of a layer that carries a state.
pub(crate) struct StateLayer {
    /// Where in a slot the layer's state begins.
    start: usize,
    body: Body,
    residual: Residual,
    output: Linear,
    embedding: usize,
}

/// What it computes: rows as wide as the input of the projection behind it.
enum Body {
    ShortConvolution(ShortConvolution),
}

impl StateLayer {
    /// Loads that of a layer.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &Plan,
        state: &StatePlan,
    ) -> Result<StateLayer, ModelError> {
        let (body, width, output) = match *state {
            StatePlan::ShortConvolution { taps, channels } => {
                let body = ShortConvolution::load(loader, layer, embedding, taps, channels)?;
                (Body::ShortConvolution(body), channels, "shortconv.out_proj")
            }
        };
        let norms = (Some("attn_norm"), "post_attention_norm", "attn_output_norm");
        Ok(StateLayer {
            start: plan.state_start(layer),
            body,
            residual: Residual::load(loader, layer, norms.0, norms.1, norms.2, plan, embedding)?,
            output: Linear::load(loader, &in_layer(layer, output), width, embedding, Presence::Optional)?,
            embedding,
        })
    }

    /// The matrices that every row meets.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let own = match &self.body {
            Body::ShortConvolution(body) => body.linears(),
        };
        own.into_iter().chain([&self.output])
    }

    /// Takes the rows into the states of their sequences.
    pub(crate) fn run(&self, team: &Team, sequences: &mut Sequences<'_>, s: &mut Scratch) {
        let types: Vec<WeightType> = self.linears().map(Linear::ty).collect();
        self.residual.read(team, s, &types[..types.len() - 1]);
        match &self.body {
            Body::ShortConvolution(body) => body.run(team, sequences, self.start, s),
        }
        s.states.width = self.output.inputs();
    }

    /// Adds the result to the hidden states of the rows that are left.
    pub(crate) fn finish(&self, team: &Team, s: &mut Scratch) {
        let (rows, width) = (s.rows, self.output.inputs());
        s.activations.set(team, &s.states.out[..rows * width], rows, width, &[self.output.ty()]);
        multiply(team, &s.activations, [(&self.output, room(&mut s.delta, rows * self.embedding))]);
        self.residual.add(team, s);
    }
}
