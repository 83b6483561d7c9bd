//! What carries a state from token to token, with the projection behind it.

mod delta_net;
mod low_rank;
mod mamba2;
mod rwkv7;
mod short_convolution;

use parkade_kernels::{Convolution, Team, WeightType};

use self::delta_net::DeltaNet;
use self::mamba2::Mamba2;
pub(crate) use self::rwkv7::Rwkv7;
use self::short_convolution::ShortConvolution;
use super::linear::{Linear, multiply};
use super::residual::Residual;
use super::scratch::{Scratch, room};
use crate::batch::Sequences;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::{Plan, StatePlan};

/// What of a layer carries a state.
pub(crate) enum Carrying {
    /// A part, with the projection behind it.
    Part(Box<StateLayer>),
    /// All of the layer.
    Whole(Box<Rwkv7>),
}

impl Carrying {
    /// Loads that of a layer.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &Plan,
        state: &StatePlan,
    ) -> Result<Carrying, ModelError> {
        let (body, output) = match *state {
            StatePlan::ShortConvolution { taps, channels } => {
                let body = ShortConvolution::load(loader, layer, embedding, taps, channels)?;
                (Body::ShortConvolution(body), ("shortconv.out_proj", channels))
            }
            StatePlan::Mamba2(space) => {
                let body = Mamba2::load(loader, layer, embedding, plan, space)?;
                (Body::Mamba2(Box::new(body)), ("ssm_out", space.inner))
            }
            StatePlan::DeltaNet { space, order } => {
                let body = DeltaNet::load(loader, layer, embedding, plan, space, order)?;
                (Body::DeltaNet(Box::new(body)), ("ssm_out", space.inner))
            }
            StatePlan::Rwkv7 { head, width, .. } => {
                let whole = Rwkv7::load(loader, layer, embedding, plan, head, width)?;
                return Ok(Carrying::Whole(Box::new(whole)));
            }
        };
        StateLayer::load(loader, layer, embedding, plan, body, output).map(|part| Carrying::Part(Box::new(part)))
    }

    /// The matrices that every row meets.
    pub(crate) fn linears(&self) -> Vec<&Linear> {
        match self {
            Carrying::Part(part) => part.linears().collect(),
            Carrying::Whole(whole) => whole.linears(),
        }
    }

    /// Takes the rows into the states of their sequences.
    pub(crate) fn run(&self, team: &Team, sequences: &mut Sequences<'_>, s: &mut Scratch) {
        match self {
            Carrying::Part(part) => part.run(team, sequences, s),
            Carrying::Whole(whole) => whole.run(team, sequences, s),
        }
    }

    /// Adds what is left to the hidden states of the rows that are left.
    pub(crate) fn finish(&self, team: &Team, s: &mut Scratch) {
        match self {
            Carrying::Part(part) => part.finish(team, s),
            Carrying::Whole(_) => {}
        }
    }
}

/// The part of a layer that carries a state.
pub(crate) struct StateLayer {
    /// Where in a slot the layer's state begins.
    start: usize,
    body: Body,
    /// What the input of the body must be set for.
    types: Vec<WeightType>,
    residual: Residual,
    output: Linear,
    embedding: usize,
}

/// What it computes: rows as wide as the input of the projection behind it.
enum Body {
    ShortConvolution(ShortConvolution),
    Mamba2(Box<Mamba2>),
    DeltaNet(Box<DeltaNet>),
}

impl Body {
    fn linears(&self) -> Vec<&Linear> {
        match self {
            Body::ShortConvolution(body) => body.linears(),
            Body::Mamba2(body) => body.linears(),
            Body::DeltaNet(body) => body.linears(),
        }
    }
}

impl StateLayer {
    /// Loads that of a layer, whose result is `width` wide before the projection of that name.
    fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &Plan,
        body: Body,
        (output, width): (&str, usize),
    ) -> Result<StateLayer, ModelError> {
        let norms = (Some("attn_norm"), "post_attention_norm", "attn_output_norm");
        Ok(StateLayer {
            start: plan.state_start(layer),
            types: body.linears().into_iter().map(Linear::ty).collect(),
            body,
            residual: Residual::load(loader, layer, norms.0, norms.1, norms.2, plan, embedding)?,
            output: Linear::load(loader, &in_layer(layer, output), width, embedding, Presence::Optional)?,
            embedding,
        })
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.body.linears().into_iter().chain([&self.output])
    }

    /// Takes the rows into the states of their sequences.
    fn run(&self, team: &Team, sequences: &mut Sequences<'_>, s: &mut Scratch) {
        self.residual.read(team, s, &self.types);
        match &self.body {
            Body::ShortConvolution(body) => body.run(team, sequences, self.start, s),
            Body::Mamba2(body) => body.run(team, sequences, self.start, s),
            Body::DeltaNet(body) => body.run(team, sequences, self.start, s),
        }
        s.states.width = self.output.inputs();
    }

    /// Adds the result to the hidden states of the rows that are left.
    fn finish(&self, team: &Team, s: &mut Scratch) {
        let (rows, width) = (s.rows, self.output.inputs());
        s.activations.set(team, &s.states.out[..rows * width], rows, width, &[self.output.ty()]);
        multiply(team, &s.activations, [(&self.output, room(&mut s.delta, rows * self.embedding))]);
        self.residual.add(team, s);
    }
}

/// The convolution in front of a state.
fn convolution(loader: &Loader<'_>, layer: usize, taps: usize, channels: usize) -> Result<Convolution, ModelError> {
    let weights = loader.floats(&in_layer(layer, "ssm_conv1d.weight"), &[taps, channels])?;
    let bias = loader.floats_if(Presence::Optional, &in_layer(layer, "ssm_conv1d.bias"), &[channels])?;
    Ok(Convolution::new(taps, channels, &weights, bias))
}

/// `ln(1 + exp(x))`, which is `x` where that is large.
fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}
