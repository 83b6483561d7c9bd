//! A layer: two halves, one after the other or side by side.

use std::sync::Arc;

use parkade_kernels::{KvCache, MatrixStack, RopeTable, Span, Team};

use super::attention::Attention;
use super::experts::Experts;
use super::feed_forward::FeedForward;
use super::latent_attention::LatentAttention;
use super::linear::Linear;
use super::scratch::Scratch;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::loader::Loader;
use crate::plan::{Halves, Plan};

/// One layer of a model.
pub(crate) struct Layer {
    halves: Halves,
    attention: Attending,
    feed_forward: FeedForward,
}

impl Layer {
    /// Loads a layer. `ropes` are the tables of the plan.
    pub(crate) fn load(
        loader: &Loader<'_>,
        index: usize,
        config: &ModelConfig,
        plan: &Plan,
        ropes: &[Arc<RopeTable>],
    ) -> Result<Layer, ModelError> {
        Ok(Layer {
            halves: plan.layers[index].halves,
            attention: Attending::load(loader, index, config, plan, ropes)?,
            feed_forward: FeedForward::load(loader, index, config.embedding, plan)?,
        })
    }

    /// All matrices that each row meets.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.attention.linears().into_iter().chain(self.feed_forward.linears())
    }

    /// Matrices that each row meets all members of.
    pub(crate) fn stacks(&self) -> impl Iterator<Item = &MatrixStack> {
        self.attention.stacks()
    }

    /// The experts, if there are any.
    pub(crate) fn experts(&self) -> Option<&Experts> {
        self.feed_forward.experts()
    }

    /// What needs all rows, because later ones attend to them.
    pub(crate) fn attend(&self, team: &Team, spans: &[Span<'_>], kv: &mut KvCache, s: &mut Scratch) {
        self.attention.attend(team, spans, kv, s);
    }

    /// The rest, of the rows that are left.
    pub(crate) fn finish(&self, team: &Team, s: &mut Scratch) {
        match self.halves {
            Halves::InTurn => {
                self.attention.finish(team, s);
                self.feed_forward.run(team, s);
            }
            // What attention adds no longer depends on the hidden states, so it can wait until they were read.
            Halves::Parallel => {
                self.feed_forward.run(team, s);
                self.attention.finish(team, s);
            }
        }
    }
}

/// The half with attention.
enum Attending {
    Grouped(Box<Attention>),
    Latent(Box<LatentAttention>),
}

impl Attending {
    fn load(
        loader: &Loader<'_>,
        layer: usize,
        config: &ModelConfig,
        plan: &Plan,
        ropes: &[Arc<RopeTable>],
    ) -> Result<Attending, ModelError> {
        Ok(match &plan.layers[layer].attention.latent {
            None => Attending::Grouped(Box::new(Attention::load(loader, layer, config, plan, ropes)?)),
            Some(latent) => {
                Attending::Latent(Box::new(LatentAttention::load(loader, layer, config, plan, latent, ropes)?))
            }
        })
    }

    fn linears(&self) -> Vec<&Linear> {
        match self {
            Attending::Grouped(attention) => attention.linears().to_vec(),
            Attending::Latent(attention) => attention.linears(),
        }
    }

    fn stacks(&self) -> impl Iterator<Item = &MatrixStack> {
        let latent = match self {
            Attending::Grouped(_) => None,
            Attending::Latent(attention) => Some(attention.stacks()),
        };
        latent.into_iter().flatten()
    }

    fn attend(&self, team: &Team, spans: &[Span<'_>], kv: &mut KvCache, s: &mut Scratch) {
        match self {
            Attending::Grouped(attention) => attention.attend(team, spans, kv, s),
            Attending::Latent(attention) => attention.attend(team, spans, kv, s),
        }
    }

    fn finish(&self, team: &Team, s: &mut Scratch) {
        match self {
            Attending::Grouped(attention) => attention.finish(team, s),
            Attending::Latent(attention) => attention.finish(team, s),
        }
    }
}
