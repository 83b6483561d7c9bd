//! What each layer is told of the token itself, besides what came through the layers before.

use parkade_kernels::{Activation, Team, add_assign, scale};

use super::linear::{Linear, multiply};
use super::norm::Norm;
use super::scratch::{Scratch, room};
use super::table::Table;
use crate::TokenId;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, in_layer};
use crate::plan::Plan;

/// Makes it for all layers at once: half of it from a table, half from the embedding.
pub(crate) struct LayerEmbeddings {
    layers: usize,
    width: usize,
    embedding: usize,
    table: Table,
    projection: Linear,
    norm: Norm,
}

impl LayerEmbeddings {
    /// Loads what makes `width` values for each layer.
    pub(crate) fn load(
        loader: &Loader<'_>,
        config: &ModelConfig,
        plan: &Plan,
        width: usize,
    ) -> Result<LayerEmbeddings, ModelError> {
        let ModelConfig { layers, embedding, vocab, .. } = *config;
        Ok(LayerEmbeddings {
            layers,
            width,
            embedding,
            table: Table::load(loader, "per_layer_token_embd.weight", layers * width, vocab)?,
            projection: Linear::load(loader, "per_layer_model_proj", embedding, layers * width, Presence::Never)?,
            norm: Norm::load(loader, "per_layer_proj_norm", &[width], plan.norm)?,
        })
    }

    /// The matrix that each row meets.
    pub(crate) fn projection(&self) -> &Linear {
        &self.projection
    }

    /// Memory that the table takes.
    pub(crate) fn table_bytes(&self) -> usize {
        self.table.memory_bytes()
    }

    /// Makes it of the tokens and their hidden states before the first layer.
    pub(crate) fn run(&self, team: &Team, tokens: &[TokenId], s: &mut Scratch) -> Result<(), ModelError> {
        let (rows, cols) = (tokens.len(), self.layers * self.width);
        s.activations.set(team, &s.hidden[..rows * self.embedding], rows, self.embedding, &[self.projection.ty()]);
        let projected = room(&mut s.layer_embeddings, rows * cols);
        multiply(team, &s.activations, [(&self.projection, &mut *projected)]);
        scale(team, projected, 1.0 / (self.embedding as f32).sqrt());
        self.norm.replace(team, &mut s.layer_embeddings, rows * cols, &mut s.normed);
        s.layer_embeddings_width = cols;
        let factor = (self.width as f32).sqrt();
        let own = room(&mut s.normed, cols);
        for (row, &token) in s.layer_embeddings.chunks_exact_mut(cols).zip(tokens) {
            self.table.row(token, own)?;
            for (x, own) in row.iter_mut().zip(&*own) {
                *x = (*x + own * factor) * std::f32::consts::FRAC_1_SQRT_2;
            }
        }
        Ok(())
    }
}

/// Adds what a layer makes of it.
pub(crate) struct LayerEmbedding {
    layer: usize,
    width: usize,
    embedding: usize,
    gate: Linear,
    output: Linear,
    norm: Norm,
}

impl LayerEmbedding {
    /// Loads that of a layer.
    pub(crate) fn load(
        loader: &Loader<'_>,
        layer: usize,
        embedding: usize,
        plan: &Plan,
        width: usize,
    ) -> Result<LayerEmbedding, ModelError> {
        Ok(LayerEmbedding {
            layer,
            width,
            embedding,
            gate: Linear::load(loader, &in_layer(layer, "inp_gate"), embedding, width, Presence::Never)?,
            output: Linear::load(loader, &in_layer(layer, "proj"), width, embedding, Presence::Never)?,
            norm: Norm::load(loader, &in_layer(layer, "post_norm"), &[embedding], plan.norm)?,
        })
    }

    pub(crate) fn linears(&self) -> [&Linear; 2] {
        [&self.gate, &self.output]
    }

    /// Adds the result to the hidden states.
    pub(crate) fn run(&self, team: &Team, s: &mut Scratch) {
        self.make(team, s);
        let values = s.rows * self.embedding;
        add_assign(team, &mut s.hidden[..values], &s.delta[..values]);
    }

    /// Sets `delta` to the result.
    pub(crate) fn make(&self, team: &Team, s: &mut Scratch) {
        let (rows, cols, values) = (s.rows, self.width, s.rows * self.embedding);
        s.activations.set(team, &s.hidden[..values], rows, self.embedding, &[self.gate.ty()]);
        let gates = room(&mut s.gate, rows * cols);
        multiply(team, &s.activations, [(&self.gate, &mut *gates)]);
        let told = room(&mut s.up, rows * cols);
        for (to, all) in told.chunks_exact_mut(cols).zip(s.layer_embeddings.chunks_exact(s.layer_embeddings_width)) {
            to.copy_from_slice(&all[self.layer * cols..][..cols]);
        }
        s.activations.set_gated(team, Activation::Gelu, gates, told, rows, cols, &[self.output.ty()]);
        multiply(team, &s.activations, [(&self.output, room(&mut s.delta, values))]);
        self.norm.replace(team, &mut s.delta, values, &mut s.normed);
    }
}
