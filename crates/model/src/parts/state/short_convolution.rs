//! A gated convolution over the last few tokens.

use parkade_kernels::{Convolution, Convolved, Team};

use super::super::linear::{Linear, multiply};
use super::super::scratch::{Scratch, room};
use crate::batch::Sequences;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};

/// Its projection, which gives a gate for what goes in, one for what comes out, and what goes in; and its taps.
pub(super) struct ShortConvolution {
    channels: usize,
    input: Linear,
    convolution: Convolution,
}

impl ShortConvolution {
    /// Loads that of a layer.
    pub(super) fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        taps: usize,
        channels: usize,
    ) -> Result<ShortConvolution, ModelError> {
        let weights = loader.floats(&in_layer(layer, "shortconv.conv.weight"), &[taps, channels])?;
        let input = in_layer(layer, "shortconv.in_proj");
        Ok(ShortConvolution {
            channels,
            input: Linear::load(loader, &input, embedding, 3 * channels, Presence::Optional)?,
            convolution: Convolution::new(taps, channels, &weights, None),
        })
    }

    pub(super) fn linears(&self) -> Vec<&Linear> {
        vec![&self.input]
    }

    /// Makes the output of the activations.
    pub(super) fn run(&self, team: &Team, sequences: &mut Sequences<'_>, start: usize, s: &mut Scratch) {
        let values = s.rows * self.channels;
        let projected = room(&mut s.states.projected, 3 * values);
        multiply(team, &s.activations, [(&self.input, &mut *projected)]);
        let out = room(&mut s.states.out, values);
        self.convolution.run(team, sequences.state_rows(start), Convolved::Gated(projected), out);
    }
}
