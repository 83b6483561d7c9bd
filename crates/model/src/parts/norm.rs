//! Norms.

use parkade_kernels::{Activations, Norm as Kernel, Team, WeightType, norm};

use super::scratch::room;
use crate::error::ModelError;
use crate::loader::{Loader, Presence};
use crate::plan::NormKind;

/// A norm of rows.
pub(crate) struct Norm {
    kind: NormKind,
    /// Values of a row.
    cols: usize,
    /// Factors: of a row, or of several that are taken in turn.
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Norm {
    /// Loads `name.weight`, and `name.bias` if the kind has one. The first number of their shape is the width of a row.
    pub(crate) fn load(loader: &Loader<'_>, name: &str, shape: &[usize], kind: NormKind) -> Result<Norm, ModelError> {
        let bias = match kind {
            NormKind::Rms { .. } => Presence::Never,
            NormKind::Layer { bias, .. } => bias,
        };
        // In the files of one family a name has no end.
        let weight = Some(format!("{name}.weight")).filter(|whole| loader.has(whole) || !loader.has(name));
        let weight = weight.unwrap_or_else(|| name.to_owned());
        Ok(Norm {
            kind,
            cols: shape[0],
            weight: loader.floats(&weight, shape)?,
            bias: loader.floats_if(bias, &format!("{name}.bias"), shape)?,
        })
    }

    /// The same of rows in turn, each `cols` wide, whose factors lie one after the other.
    pub(crate) fn load_in_turn(
        loader: &Loader<'_>,
        name: &str,
        cols: usize,
        rows: usize,
        kind: NormKind,
    ) -> Result<Norm, ModelError> {
        Ok(Norm { cols, ..Norm::load(loader, name, &[cols * rows], kind)? })
    }

    /// A norm whose factors are all 1.
    pub(crate) fn unweighted(cols: usize, kind: NormKind) -> Norm {
        Norm::weighted(vec![1.0; cols], kind)
    }

    /// A norm with these factors of a row.
    pub(crate) fn weighted(weight: Vec<f32>, kind: NormKind) -> Norm {
        Norm { kind, cols: weight.len(), weight, bias: None }
    }

    /// What makes rows, unless they are shorter than `eps`, this long.
    pub(crate) fn to_length(cols: usize, eps: f32, length: f32) -> Norm {
        // The mean of the squares is what an RMS norm divides by.
        let kind = NormKind::Rms { eps: eps * eps / cols as f32 };
        Norm { kind, cols, weight: vec![length / (cols as f32).sqrt(); cols], bias: None }
    }

    /// As [`load`](Self::load), if the family has it.
    pub(crate) fn load_if(
        presence: Presence,
        loader: &Loader<'_>,
        name: &str,
        shape: &[usize],
        kind: NormKind,
    ) -> Result<Option<Norm>, ModelError> {
        let absent = match presence {
            Presence::Never => true,
            Presence::Optional => !loader.has(&format!("{name}.weight")),
            Presence::Required => false,
        };
        if absent { Ok(None) } else { Norm::load(loader, name, shape, kind).map(Some) }
    }

    fn kernel(&self) -> Kernel<'_> {
        let weight = &self.weight;
        match self.kind {
            NormKind::Rms { eps } => Kernel::Rms { weight, eps },
            NormKind::Layer { eps, .. } => Kernel::Layer { weight, bias: self.bias.as_deref(), eps },
        }
    }

    /// The norms of rows, as the input of products.
    pub(crate) fn set(&self, team: &Team, x: &[f32], types: &[WeightType], out: &mut Activations) {
        out.set_norm(team, x, x.len() / self.cols, self.cols, self.kernel(), types);
    }

    /// The norms of rows.
    pub(crate) fn run(&self, team: &Team, x: &[f32], out: &mut [f32]) {
        norm(team, x, self.cols, self.kernel(), out);
    }

    /// Replaces the first `len` values of `x` by their norms. `spare` gets the memory that they were in.
    pub(crate) fn replace(&self, team: &Team, x: &mut Vec<f32>, len: usize, spare: &mut Vec<f32>) {
        self.run(team, &x[..len], room(spare, len));
        std::mem::swap(x, spare);
    }
}
