//! A layer: two halves, one after the other or side by side.

use std::sync::Arc;

use parkade_kernels::{MatrixStack, RopeTable, Team, scale};

use super::attention::Attention;
use super::experts::Experts;
use super::feed_forward::FeedForward;
use super::latent_attention::LatentAttention;
use super::layer_embedding::LayerEmbedding;
use super::linear::Linear;
use super::scratch::Scratch;
use super::state::Carrying;
use super::streams::Streams;
use crate::batch::Sequences;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::loader::{Loader, in_layer};
use crate::plan::{Halves, Plan};

/// One layer of a model.
pub(crate) struct Layer {
    halves: Halves,
    attention: Option<Attending>,
    state: Option<Carrying>,
    feed_forward: Option<FeedForward>,
    embedding: Option<LayerEmbedding>,
    streams: Option<Streams>,
    output_scale: Option<f32>,
    /// Values of a hidden state.
    width: usize,
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
        let width = config.embedding;
        let (attends, state) = (plan.layers[index].attends(), plan.layers[index].state());
        let embedding = plan.layer_embedding.map(|told| LayerEmbedding::load(loader, index, width, plan, told));
        let streams = plan.streams.map(|streams| Streams::load(loader, index, config, plan, streams)).transpose()?;
        let scale = in_layer(index, "layer_output_scale.weight");
        let scale = loader.floats_if(plan.layers[index].output_scale, &scale, &[1])?;
        Ok(Layer {
            halves: plan.layers[index].halves,
            attention: attends.then(|| Attending::load(loader, index, config, plan, ropes)).transpose()?,
            state: state.map(|state| Carrying::load(loader, index, width, plan, state)).transpose()?,
            feed_forward: FeedForward::load(loader, index, config.embedding, plan)?,
            embedding: embedding.transpose()?,
            streams,
            output_scale: scale.map(|scale| scale[0]),
            width,
        })
    }

    /// All matrices that each row meets.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let embedding = self.embedding.iter().flat_map(LayerEmbedding::linears);
        let attention = self.attention.iter().flat_map(Attending::linears);
        let state = self.state.iter().flat_map(Carrying::linears);
        let feed_forward = self.feed_forward.iter().flat_map(FeedForward::linears);
        let streams = self.streams.iter().flat_map(Streams::linears);
        attention.chain(state).chain(feed_forward).chain(embedding).chain(streams)
    }

    /// Matrices that each row meets all members of.
    pub(crate) fn stacks(&self) -> impl Iterator<Item = &MatrixStack> {
        self.attention.iter().flat_map(Attending::stacks)
    }

    /// The experts, if there are any.
    pub(crate) fn experts(&self) -> Option<&Experts> {
        self.feed_forward.as_ref()?.experts()
    }

    /// Whether it has attention.
    pub(crate) fn attends(&self) -> bool {
        self.attention.is_some()
    }

    /// What needs all rows, because later ones see them.
    pub(crate) fn attend(&self, team: &Team, sequences: &mut Sequences<'_>, s: &mut Scratch) {
        if let Some(streams) = &self.streams {
            streams.predict(team, s);
        }
        if let Some(attention) = &self.attention {
            attention.attend(team, sequences, s);
        }
        if let Some(state) = &self.state {
            state.run(team, sequences, s);
        }
    }

    /// The rest, of the rows that are left.
    pub(crate) fn finish(&self, team: &Team, s: &mut Scratch) {
        if let (Some(streams), Some(embedding)) = (&self.streams, &self.embedding) {
            self.finish_mixing(team, s);
            streams.join(team, s);
            self.feed(team, s);
            streams.correct(team, s);
            embedding.make(team, s);
            return streams.add(team, s);
        }
        match self.halves {
            Halves::InTurn => {
                self.finish_mixing(team, s);
                self.feed(team, s);
            }
            // What attention adds no longer depends on the hidden states, so it can wait until they were read.
            Halves::Parallel => {
                self.feed(team, s);
                self.finish_mixing(team, s);
            }
        }
        if let Some(embedding) = &self.embedding {
            embedding.run(team, s);
        }
        if let Some(factor) = self.output_scale {
            scale(team, &mut s.hidden[..s.rows * self.width], factor);
        }
    }

    fn feed(&self, team: &Team, s: &mut Scratch) {
        if let Some(feed_forward) = &self.feed_forward {
            feed_forward.run(team, s);
        }
    }

    fn finish_mixing(&self, team: &Team, s: &mut Scratch) {
        if let Some(attention) = &self.attention {
            attention.finish(team, s);
        }
        if let Some(state) = &self.state {
            state.finish(team, s);
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
            Attending::Grouped(attention) => attention.linears(),
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

    fn attend(&self, team: &Team, sequences: &mut Sequences<'_>, s: &mut Scratch) {
        let Sequences { spans, kv, .. } = sequences;
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
