//! Products with weight matrices.

use parkade_kernels::{Activations, Matrix, Team, WeightType, matmul};

use crate::error::ModelError;
use crate::loader::{Loader, Presence};

/// A weight matrix with its bias.
pub(crate) struct Linear {
    pub(super) matrix: Matrix,
    pub(super) bias: Option<Vec<f32>>,
}

impl Linear {
    /// Loads `name.weight`, `[inputs, outputs]`, and `name.bias`.
    pub(crate) fn load(
        loader: &Loader<'_>,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: Presence,
    ) -> Result<Linear, ModelError> {
        Ok(Linear {
            matrix: loader.matrix(&format!("{name}.weight"), inputs, outputs)?,
            bias: loader.floats_if(bias, &format!("{name}.bias"), &[outputs])?,
        })
    }

    /// Loads several of the same inputs, whose outputs lie one after the other in `name.weight`, and in `name.bias`.
    pub(crate) fn load_fused<const N: usize>(
        loader: &Loader<'_>,
        name: &str,
        inputs: usize,
        outputs: [usize; N],
        bias: Presence,
    ) -> Result<[Linear; N], ModelError> {
        let matrices = loader.matrices(&format!("{name}.weight"), inputs, outputs)?;
        let bias = loader.floats_if(bias, &format!("{name}.bias"), &[outputs.iter().sum()])?;
        let mut rest = bias.as_deref();
        Ok(matrices.map(|matrix| {
            let (own, others) = rest.map(|rest| rest.split_at(matrix.rows())).unzip();
            rest = others;
            Linear { matrix, bias: own.map(<[f32]>::to_vec) }
        }))
    }

    /// The type that its input must be set for.
    pub(crate) fn ty(&self) -> WeightType {
        self.matrix.weight_type()
    }

    /// Values of a row of its input.
    pub(crate) fn inputs(&self) -> usize {
        self.matrix.cols()
    }

    /// Values of a row of the result.
    pub(crate) fn outputs(&self) -> usize {
        self.matrix.rows()
    }

    /// Memory that the weights take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.matrix.memory_bytes() + self.bias.as_ref().map_or(0, |bias| size_of_val(bias.as_slice()))
    }

    /// The products that one row takes.
    pub(crate) fn products(&self) -> usize {
        self.matrix.rows() * self.matrix.cols()
    }

    fn add_bias(&self, out: &mut [f32]) {
        let Some(bias) = &self.bias else { return };
        for row in out.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
            }
        }
    }
}

/// The products of one input with several matrices, biases included.
pub(crate) fn multiply<const N: usize>(team: &Team, x: &Activations, mut outs: [(&Linear, &mut [f32]); N]) {
    let mut products = outs.each_mut().map(|(linear, out)| (&linear.matrix, &mut **out));
    matmul(team, x, &mut products);
    for (linear, out) in outs {
        linear.add_bias(out);
    }
}
