//! Norms.

use parkade_kernels::{Activations, Team, WeightType, rms_norm};

use super::scratch::room;
use crate::error::ModelError;
use crate::loader::{Loader, Presence};
use crate::plan::NormKind;

/// A norm of rows with as many values as it has weights.
pub(crate) struct Norm {
    weight: Vec<f32>,
    eps: f32,
}

impl Norm {
    /// Loads `name.weight`.
    pub(crate) fn load(loader: &Loader<'_>, name: &str, len: usize, kind: NormKind) -> Result<Norm, ModelError> {
        let NormKind::Rms { eps } = kind;
        Ok(Norm { weight: loader.vector(&format!("{name}.weight"), len)?, eps })
    }

    /// As [`load`](Self::load), if the family has it.
    pub(crate) fn load_if(
        presence: Presence,
        loader: &Loader<'_>,
        name: &str,
        len: usize,
        kind: NormKind,
    ) -> Result<Option<Norm>, ModelError> {
        let NormKind::Rms { eps } = kind;
        let weight = loader.vector_if(presence, &format!("{name}.weight"), len)?;
        Ok(weight.map(|weight| Norm { weight, eps }))
    }

    /// The norms of rows, as the input of products.
    pub(crate) fn set(&self, team: &Team, x: &[f32], types: &[WeightType], out: &mut Activations) {
        let cols = self.weight.len();
        out.set_rms_norm(team, x, x.len() / cols, cols, &self.weight, self.eps, types);
    }

    /// The norms of rows.
    pub(crate) fn run(&self, team: &Team, x: &[f32], out: &mut [f32]) {
        rms_norm(team, x, self.weight.len(), &self.weight, self.eps, out);
    }

    /// Replaces the first `len` values of `x` by their norms. `spare` gets the memory that they were in.
    pub(crate) fn replace(&self, team: &Team, x: &mut Vec<f32>, len: usize, spare: &mut Vec<f32>) {
        self.run(team, &x[..len], room(spare, len));
        std::mem::swap(x, spare);
    }
}
