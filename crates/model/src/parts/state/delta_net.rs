//! Gated delta nets: a short convolution, and behind it a state of each head in which a key's value is replaced.

use std::ops::Range;

use parkade_kernels::{
    Activation, Columns, Convolution, Convolved, KeyHeads, Recurrence, Team, Update, for_each_row, gate,
};

use super::super::linear::{Linear, multiply};
use super::super::norm::Norm;
use super::super::scratch::{HEAVY, LIGHT, Scratch, of_row, room};
use super::low_rank::sigmoid;
use super::softplus;
use crate::batch::Sequences;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::{NormKind, Plan, StateSpace};

/// Its weights.
pub(super) struct DeltaNet {
    space: StateSpace,
    order: KeyHeads,
    /// Queries, keys and values, which are convolved.
    mixed: Linear,
    /// The gates of the output.
    gates: Linear,
    steps: Steps,
    convolution: Convolution,
    step_bias: Vec<f32>,
    /// How a head's state fades: `exp(step * fading)`.
    fading: Vec<f32>,
    /// Of queries and of keys.
    norms: [Norm; 2],
    norm: Norm,
}

/// What makes of a token how much of a key's value is replaced, and how far each head goes.
enum Steps {
    /// One matrix: for each head of keys, first those of its heads that replace, then those that go.
    Together(Linear),
    Apart {
        replaced: Linear,
        steps: Linear,
    },
}

impl Steps {
    fn load(loader: &Loader<'_>, layer: usize, embedding: usize, heads: usize) -> Result<Steps, ModelError> {
        let linear = |what, outputs| Linear::load(loader, &in_layer(layer, what), embedding, outputs, Presence::Never);
        match loader.has(&in_layer(layer, "ssm_ba.weight")) {
            true => Ok(Steps::Together(linear("ssm_ba", 2 * heads)?)),
            false => Ok(Steps::Apart { replaced: linear("ssm_beta", heads)?, steps: linear("ssm_alpha", heads)? }),
        }
    }

    fn linears(&self) -> Vec<&Linear> {
        match self {
            Steps::Together(both) => vec![both],
            Steps::Apart { replaced, steps } => vec![replaced, steps],
        }
    }
}

/// Where in the matrix of older files queries, keys and values are, and where the gates: for each head of keys its query, its key, and the
/// values and the gates of the heads that share it.
fn fused_places(space: StateSpace) -> [Vec<Range<usize>>; 2] {
    let StateSpace { inner, state, groups, .. } = space;
    let values = inner / groups;
    let each = |first: usize, len: usize| {
        (0..groups).map(move |group| group * 2 * (state + values) + first).map(move |start| start..start + len)
    };
    let [queries, keys] = [0, state].map(|first| each(first, state));
    let mixed = queries.chain(keys).chain(each(2 * state, values)).collect();
    [mixed, each(2 * state + values, values).collect()]
}

impl DeltaNet {
    /// Loads that of a layer.
    pub(super) fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &Plan,
        space: StateSpace,
        order: KeyHeads,
    ) -> Result<DeltaNet, ModelError> {
        let StateSpace { inner, state, heads, .. } = space;
        let linear = |what, outputs| Linear::load(loader, &in_layer(layer, what), embedding, outputs, Presence::Never);
        let fused = in_layer(layer, "ssm_in.weight");
        let [mixed, gates] = if order == KeyHeads::Neighbours && loader.has(&fused) {
            let matrices = loader.matrices_of(&fused, embedding, fused_places(space))?;
            matrices.map(|matrix| Linear { matrix, bias: None })
        } else {
            [linear("attn_qkv", space.convolved())?, linear("attn_gate", inner)?]
        };
        let eps = match plan.norm {
            NormKind::Rms { eps } | NormKind::Layer { eps, .. } => eps,
        };
        Ok(DeltaNet {
            space,
            order,
            mixed,
            gates,
            steps: Steps::load(loader, layer, embedding, heads)?,
            convolution: super::convolution(loader, layer, space.taps, space.convolved())?,
            step_bias: loader.floats(&in_layer(layer, "ssm_dt.bias"), &[heads])?,
            fading: loader.floats(&in_layer(layer, "ssm_a"), &[heads])?,
            norms: [Norm::to_length(state, eps, 1.0 / (state as f32).sqrt()), Norm::to_length(state, eps, 1.0)],
            norm: Norm::load(loader, &in_layer(layer, "ssm_norm"), &[inner / heads], plan.norm)?,
        })
    }

    pub(super) fn linears(&self) -> Vec<&Linear> {
        let mut linears = vec![&self.mixed, &self.gates];
        linears.extend(self.steps.linears());
        linears
    }

    /// Makes the output of the activations.
    pub(super) fn run(&self, team: &Team, sequences: &mut Sequences<'_>, start: usize, s: &mut Scratch) {
        let StateSpace { inner, state, heads, groups, .. } = self.space;
        let (rows, width, keys) = (s.rows, self.space.convolved(), groups * state);
        self.project(team, s);
        let own = &mut s.states;
        let projected = &own.projected[..rows * width];
        let convolved = room(&mut own.convolved, rows * width);
        self.convolution.run(team, sequences.state_rows(start), Convolved::Silu(projected), convolved);
        for (part, (norm, out)) in self.norms.iter().zip([&mut own.queries, &mut own.keys]).enumerate() {
            let own = room(&mut s.normed, rows * keys);
            for_each_row(team, LIGHT, [(&mut *own, keys)], |row, [to]| {
                to.copy_from_slice(&of_row(convolved, width, row)[part * keys..(part + 1) * keys]);
            });
            norm.run(team, own, room(out, rows * keys));
        }
        let out = room(&mut own.out, rows * inner);
        Recurrence {
            heads,
            key_heads: groups,
            order: self.order,
            key: state,
            value: inner / heads,
            queries: Columns::all(&own.queries, keys),
            keys: Columns::all(&own.keys, keys),
            values: Columns { x: convolved, width, first: 2 * keys },
            update: Update::Delta { decay: &own.decay, factor: &own.factor },
        }
        .run(team, sequences.state_rows(start + self.space.convolution_values()), out);
        self.norm.replace(team, &mut own.out, rows * inner, &mut s.normed);
        gate(team, Activation::Silu, &own.gates[..rows * inner], &mut own.out[..rows * inner]);
    }

    /// Makes queries, keys and values before the convolution, the gates, and how each head's state goes on.
    fn project(&self, team: &Team, s: &mut Scratch) {
        let StateSpace { inner, heads, groups, .. } = self.space;
        let (rows, own) = (s.rows, &mut s.states);
        let projected = room(&mut own.projected, rows * self.space.convolved());
        let gates = room(&mut own.gates, rows * inner);
        let replaced = room(&mut own.factor, rows * heads);
        let decay = room(&mut own.decay, rows * heads);
        let first = [(&self.mixed, projected), (&self.gates, gates)];
        match &self.steps {
            Steps::Apart { replaced: linear, steps } => {
                let [mixed, gates] = first;
                multiply(team, &s.activations, [mixed, gates, (linear, &mut *replaced), (steps, &mut *decay)]);
            }
            Steps::Together(both) => {
                let [mixed, gates] = first;
                let together = room(&mut own.together, 2 * rows * heads);
                multiply(team, &s.activations, [mixed, gates, (both, &mut *together)]);
                let each = heads / groups;
                for (at, pair) in together.chunks_exact(2 * each).enumerate() {
                    replaced[at * each..(at + 1) * each].copy_from_slice(&pair[..each]);
                    decay[at * each..(at + 1) * each].copy_from_slice(&pair[each..]);
                }
            }
        }
        for_each_row(team, HEAVY, [(replaced, heads), (decay, heads)], |_, [replaced, decay]| {
            for head in 0..heads {
                replaced[head] = sigmoid(replaced[head]);
                decay[head] = (softplus(decay[head] + self.step_bias[head]) * self.fading[head]).exp();
            }
        });
    }
}
