//! How a half of a layer reads the hidden states, and how what it computes is added to them.

use parkade_kernels::{Team, WeightType, add_assign, add_scaled};

use super::norm::Norm;
use super::scratch::Scratch;
use crate::error::ModelError;
use crate::loader::{Loader, in_layer};
use crate::plan::{NormOrder, Plan};

/// The norms of a half of a layer, and the factor of what it adds.
pub(crate) struct Residual {
    before: Option<Norm>,
    after: Option<Norm>,
    of_sum: Option<Norm>,
    /// Of the sum of what the half read and what that norm gave.
    second: Option<Norm>,
    scale: f32,
    embedding: usize,
}

impl Residual {
    /// Loads the norms of a half of a layer, of those names without the layer's.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        before: Option<&str>,
        after: &str,
        of_sum: &str,
        plan: &Plan,
        embedding: usize,
    ) -> Result<Residual, ModelError> {
        let norm = |name| Norm::load(loader, &in_layer(layer, name), &[embedding], plan.norm);
        let order = plan.layers[layer].norms;
        Ok(Residual {
            before: before.filter(|_| matches!(order, NormOrder::Before | NormOrder::Both)).map(norm).transpose()?,
            after: matches!(order, NormOrder::After | NormOrder::Both).then(|| norm(after)).transpose()?,
            of_sum: (order == NormOrder::AfterSum).then(|| norm(of_sum)).transpose()?,
            second: None,
            scale: plan.layers[layer].residual_scale,
            embedding,
        })
    }

    /// The same with a second norm of that name, where the plan has one.
    pub(crate) fn with_second(
        self,
        loader: &Loader<'_>,
        layer: usize,
        name: &str,
        plan: &Plan,
    ) -> Result<Residual, ModelError> {
        let (presence, name) = (plan.layers[layer].second_attention_norm, in_layer(layer, name));
        let second = Norm::load_if(presence, loader, &name, &[self.embedding], plan.norm)?;
        Ok(Residual { second, ..self })
    }

    /// Makes the hidden states the input of products with matrices of these types.
    pub(crate) fn read(&self, team: &Team, s: &mut Scratch, types: &[WeightType]) {
        let hidden = &s.hidden[..s.rows * self.embedding];
        match &self.before {
            Some(norm) => norm.set(team, hidden, types, &mut s.activations),
            None => s.activations.set(team, hidden, s.rows, self.embedding, types),
        }
    }

    /// Adds what the half computed.
    pub(crate) fn add(&self, team: &Team, s: &mut Scratch) {
        let values = s.rows * self.embedding;
        if let Some(norm) = &self.after {
            norm.replace(team, &mut s.delta, values, &mut s.normed);
        }
        if let (Some(of_sum), Some(second)) = (&self.of_sum, &self.second) {
            add_assign(team, &mut s.delta[..values], &s.hidden[..values]);
            of_sum.replace(team, &mut s.delta, values, &mut s.normed);
            add_assign(team, &mut s.hidden[..values], &s.delta[..values]);
            return second.replace(team, &mut s.hidden, values, &mut s.normed);
        }
        let (hidden, delta) = (&mut s.hidden[..values], &s.delta[..values]);
        // The sum alone, where there is no factor: as it is in most models.
        if self.scale == 1.0 {
            add_assign(team, hidden, delta);
        } else {
            add_scaled(team, hidden, delta, self.scale);
        }
        if let Some(norm) = &self.of_sum {
            norm.replace(team, &mut s.hidden, values, &mut s.normed);
        }
    }
}
