//! How a half of a layer reads the hidden states, and how what it computes is added to them.

use parkade_kernels::{Team, WeightType, add_assign};

use super::norm::Norm;
use super::scratch::Scratch;
use crate::error::ModelError;
use crate::loader::Loader;
use crate::plan::{NormKind, NormOrder};

/// The norms of a half of a layer.
pub(crate) struct Residual {
    before: Norm,
    embedding: usize,
}

impl Residual {
    /// Loads the norm before a half by its name.
    pub(crate) fn load(
        loader: &Loader<'_>,
        before: &str,
        order: NormOrder,
        kind: NormKind,
        embedding: usize,
    ) -> Result<Residual, ModelError> {
        let NormOrder::Before = order;
        Ok(Residual { before: Norm::load(loader, before, embedding, kind)?, embedding })
    }

    /// Makes the hidden states the input of products with matrices of these types.
    pub(crate) fn read(&self, team: &Team, s: &mut Scratch, types: &[WeightType]) {
        self.before.set(team, &s.hidden[..s.rows * self.embedding], types, &mut s.activations);
    }

    /// Adds what the half computed.
    pub(crate) fn add(&self, team: &Team, s: &mut Scratch) {
        let values = s.rows * self.embedding;
        add_assign(team, &mut s.hidden[..values], &s.delta[..values]);
    }
}
