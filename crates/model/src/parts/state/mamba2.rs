//! Mamba 2: a short convolution, and behind it a state of each head that fades as each token says.

use parkade_kernels::{
    Activation, Columns, Convolution, Convolved, KeyHeads, Recurrence, Team, Update, for_each_row, gate,
};

use super::super::linear::{Linear, multiply};
use super::super::norm::Norm;
use super::super::scratch::{HEAVY, Scratch, room};
use super::softplus;
use crate::batch::Sequences;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::{Plan, StateSpace};

/// Its weights.
pub(super) struct Mamba2 {
    space: StateSpace,
    /// The gates of the output.
    gates: Linear,
    /// Values, keys and queries, which are convolved.
    mixed: Linear,
    /// How far each head goes at a token.
    steps: Linear,
    convolution: Convolution,
    step_bias: Vec<f32>,
    /// How a head's state fades: `exp(step * fading)`.
    fading: Vec<f32>,
    skip: Vec<f32>,
    norm: Option<Norm>,
}

impl Mamba2 {
    /// Loads that of a layer.
    pub(super) fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &Plan,
        space: StateSpace,
    ) -> Result<Mamba2, ModelError> {
        let StateSpace { inner, heads, groups, .. } = space;
        let outputs = [inner, space.convolved(), heads];
        let input = in_layer(layer, "ssm_in");
        let [gates, mixed, steps] = Linear::load_fused(loader, &input, embedding, outputs, Presence::Never)?;
        let norm = [inner / groups, groups];
        Ok(Mamba2 {
            space,
            gates,
            mixed,
            steps,
            convolution: super::convolution(loader, layer, space.taps, space.convolved())?,
            step_bias: loader.floats(&in_layer(layer, "ssm_dt.bias"), &[heads])?,
            fading: loader.floats(&in_layer(layer, "ssm_a"), &[1, heads])?,
            skip: loader.floats(&in_layer(layer, "ssm_d"), &[1, heads])?,
            norm: Norm::load_if(Presence::Optional, loader, &in_layer(layer, "ssm_norm"), &norm, plan.norm)?,
        })
    }

    pub(super) fn linears(&self) -> Vec<&Linear> {
        vec![&self.gates, &self.mixed, &self.steps]
    }

    /// Makes the output of the activations.
    pub(super) fn run(&self, team: &Team, sequences: &mut Sequences<'_>, start: usize, s: &mut Scratch) {
        let StateSpace { inner, state, heads, groups, .. } = self.space;
        let (rows, width) = (s.rows, self.space.convolved());
        let own = &mut s.states;
        let gates = room(&mut own.gates, rows * inner);
        let projected = room(&mut own.projected, rows * width);
        let steps = room(&mut own.factor, rows * heads);
        multiply(
            team,
            &s.activations,
            [(&self.gates, &mut *gates), (&self.mixed, &mut *projected), (&self.steps, &mut *steps)],
        );
        let convolved = room(&mut own.convolved, rows * width);
        self.convolution.run(team, sequences.state_rows(start), Convolved::Silu(projected), convolved);
        let decay = room(&mut own.decay, rows * heads);
        for_each_row(team, HEAVY, [(&mut *steps, heads), (&mut *decay, heads)], |_, [steps, decay]| {
            for head in 0..heads {
                steps[head] = softplus(steps[head] + self.step_bias[head]);
                decay[head] = (steps[head] * self.fading[head]).exp();
            }
        });
        let columns = |first| Columns { x: convolved, width, first };
        let out = room(&mut own.out, rows * inner);
        Recurrence {
            heads,
            key_heads: groups,
            order: KeyHeads::Neighbours,
            key: state,
            value: inner / heads,
            queries: columns(inner + groups * state),
            keys: columns(inner),
            values: columns(0),
            update: Update::Add { decay, factor: steps, skip: &self.skip },
        }
        .run(team, sequences.state_rows(start + self.space.convolution_values()), out);
        gate(team, Activation::Silu, gates, out);
        if let Some(norm) = &self.norm {
            norm.replace(team, &mut own.out, rows * inner, &mut s.normed);
        }
    }
}
