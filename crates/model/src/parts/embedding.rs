//! Both ends of a model: tokens to hidden states, and hidden states to logits. They may share their matrix.

use parkade_kernels::{MatrixStack, Team, scale, soft_cap};

use super::layer_embedding::LayerEmbeddings;
use super::linear::{Linear, multiply};
use super::norm::Norm;
use super::scratch::{Scratch, room};
use super::streams::StreamEnds;
use super::table::{Table, failed};
use crate::TokenId;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, TOKEN_EMBEDDING};
use crate::plan::{EndsPlan, Plan};

/// The embedding table, the last norm and the output matrix.
pub(crate) struct Embedding {
    /// `None` where the output matrix serves for it.
    table: Option<Table>,
    /// What is added to all embeddings: the vector of the first kind of tokens.
    token_type: Option<Vec<f32>>,
    /// What is added to those at each position.
    positions: Option<Vec<f32>>,
    first_norm: Option<Norm>,
    last_norm: Option<Norm>,
    /// `None` where nothing goes on with a text.
    output: Option<Linear>,
    embedding: usize,
    embedding_scale: f32,
    logit_scale: f32,
    logit_cap: Option<f32>,
    layers: Option<LayerEmbeddings>,
    streams: Option<StreamEnds>,
}

impl Embedding {
    /// Loads both ends. A file without an output matrix uses the embedding table for it.
    pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, plan: &Plan) -> Result<Embedding, ModelError> {
        let ModelConfig { embedding, vocab, .. } = *config;
        let tied = !loader.has("output.weight");
        let is_last = plan.embeds.is_some();
        let table = || Table::load(loader, TOKEN_EMBEDDING, embedding, vocab);
        let layers = plan.layer_embedding.map(|width| LayerEmbeddings::load(loader, config, plan, width));
        let matrix = if tied { TOKEN_EMBEDDING } else { "output.weight" };
        let output = || -> Result<Linear, ModelError> {
            Ok(Linear {
                matrix: loader.matrix(matrix, embedding, vocab)?,
                bias: loader.floats_if(Presence::Optional, "output.bias", &[vocab])?,
            })
        };
        if is_last {
            ["output.weight", "output.bias"].iter().for_each(|name| loader.leave(name));
        }
        let EndsPlan { positions, token_types, first_norm, last_norm, last_norm_name } = plan.ends;
        let norm = |presence, name| Norm::load_if(presence, loader, name, &[embedding], plan.norm);
        Ok(Embedding {
            table: (!tied || is_last).then(table).transpose()?,
            token_type: token_type(loader, token_types, embedding)?,
            positions: loader.floats_if(positions, "position_embd.weight", &[embedding, config.trained_context])?,
            first_norm: norm(first_norm, "token_embd_norm")?,
            last_norm: norm(last_norm, last_norm_name)?,
            output: (!is_last).then(output).transpose()?,
            embedding,
            embedding_scale: plan.embedding_scale,
            logit_scale: plan.logit_scale,
            logit_cap: plan.logit_cap,
            layers: layers.transpose()?,
            streams: plan.streams.map(|streams| StreamEnds::load(loader, config, streams)).transpose()?,
        })
    }

    /// The matrix that makes logits, if the model goes on with texts.
    pub(crate) fn output(&self) -> Option<&Linear> {
        self.output.as_ref()
    }

    /// Memory that the weights take.
    pub(crate) fn memory_bytes(&self) -> usize {
        let added = [&self.token_type, &self.positions].into_iter().flatten().map(|x| size_of_val(&x[..]));
        self.output.as_ref().map_or(0, Linear::memory_bytes)
            + self.table.as_ref().map_or(0, Table::memory_bytes)
            + self.layers.as_ref().map_or(0, LayerEmbeddings::table_bytes)
            + added.sum::<usize>()
    }

    /// The matrix that each row meets before the first layer, if there is one.
    pub(crate) fn projection(&self) -> Option<&Linear> {
        self.layers.as_ref().map(LayerEmbeddings::projection)
    }

    /// Matrices of which each row meets all members.
    pub(crate) fn stacks(&self) -> impl Iterator<Item = &MatrixStack> {
        self.streams.iter().flat_map(StreamEnds::stacks)
    }

    /// Makes tokens, which must be below the vocabulary's size, the hidden states.
    pub(crate) fn embed(&self, team: &Team, tokens: &[TokenId], s: &mut Scratch) -> Result<(), ModelError> {
        let hidden = room(&mut s.hidden, tokens.len() * self.embedding);
        for (out, &token) in hidden.chunks_exact_mut(self.embedding).zip(tokens) {
            match (&self.table, &self.output) {
                (Some(table), _) => table.row(token, out)?,
                (None, Some(output)) => {
                    output.matrix.row(token as usize, out).map_err(|source| failed(token, source))?;
                }
                (None, None) => unreachable!("one of the two was loaded"),
            }
            if self.embedding_scale != 1.0 {
                out.iter_mut().for_each(|x| *x *= self.embedding_scale);
            }
        }
        self.add_to_embeddings(&s.positions, hidden);
        if let Some(norm) = &self.first_norm {
            norm.replace(team, &mut s.hidden, tokens.len() * self.embedding, &mut s.normed);
        }
        if let Some(layers) = &self.layers {
            layers.run(team, tokens, s)?;
        }
        if let Some(streams) = &self.streams {
            streams.begin(team, s);
        }
        Ok(())
    }

    /// Makes the hidden states after the last layer what the last norm reads.
    pub(crate) fn end(&self, team: &Team, s: &mut Scratch) {
        if let Some(streams) = &self.streams {
            streams.end(team, s);
        }
    }

    /// Adds the vectors of their kind and of their positions.
    fn add_to_embeddings(&self, positions: &[u32], hidden: &mut [f32]) {
        let add = |out: &mut [f32], row: &[f32]| out.iter_mut().zip(row).for_each(|(x, y)| *x += y);
        for (out, &position) in hidden.chunks_exact_mut(self.embedding).zip(positions) {
            if let Some(vector) = &self.token_type {
                add(out, vector);
            }
            if let Some(vectors) = &self.positions {
                add(out, &vectors[position as usize * self.embedding..][..self.embedding]);
            }
        }
    }

    /// The hidden states after the last norm.
    pub(crate) fn hidden(&self, team: &Team, s: &Scratch, out: &mut [f32]) {
        let hidden = &s.hidden[..s.rows * self.embedding];
        match &self.last_norm {
            Some(norm) => norm.run(team, hidden, out),
            None => out.copy_from_slice(hidden),
        }
    }

    /// The last norm, the output matrix, which must be there, and what is done to the logits.
    pub(crate) fn logits(&self, team: &Team, s: &mut Scratch, out: &mut [f32]) {
        let output = self.output.as_ref().expect("who has no logits is not asked for them");
        let (hidden, types) = (&s.hidden[..s.rows * self.embedding], [output.ty()]);
        match &self.last_norm {
            Some(norm) => norm.set(team, hidden, &types, &mut s.activations),
            None => s.activations.set(team, hidden, s.rows, self.embedding, &types),
        }
        multiply(team, &s.activations, [(output, &mut *out)]);
        if self.logit_scale != 1.0 {
            scale(team, out, self.logit_scale);
        }
        if let Some(cap) = self.logit_cap {
            soft_cap(team, out, cap);
        }
    }
}

/// The vector of the first kind of tokens. How many kinds there are is the file's affair.
fn token_type(loader: &Loader<'_>, presence: Presence, embedding: usize) -> Result<Option<Vec<f32>>, ModelError> {
    let name = "token_types.weight";
    let kinds = loader.rows(name).unwrap_or(1);
    let mut vectors = loader.floats_if(presence, name, &[embedding, kinds])?;
    if let Some(vectors) = &mut vectors {
        vectors.truncate(embedding);
    }
    Ok(vectors)
}
