//! Both ends of a model: tokens to hidden states, and hidden states to logits. They may share their matrix.

use parkade_kernels::{Team, WeightType, dequantize, scale, soft_cap};

use super::linear::{Linear, multiply};
use super::norm::Norm;
use super::scratch::{Scratch, room};
use crate::TokenId;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::loader::{Loader, Presence, TOKEN_EMBEDDING};
use crate::plan::Plan;

/// The embedding table, the last norm and the output matrix.
pub(crate) struct Embedding {
    /// `None` where the output matrix serves for it.
    table: Option<Table>,
    norm: Norm,
    output: Linear,
    embedding: usize,
    embedding_scale: f32,
    logit_scale: f32,
    logit_cap: Option<f32>,
}

/// An embedding table of its own, in the file's form: only the rows that are asked for are ever unpacked.
struct Table {
    bytes: Vec<u8>,
    ty: WeightType,
    row_bytes: usize,
}

impl Embedding {
    /// Loads both ends. A file without an output matrix uses the embedding table for it.
    pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, plan: &Plan) -> Result<Embedding, ModelError> {
        let ModelConfig { embedding, vocab, .. } = *config;
        let tied = !loader.has("output.weight");
        let table = if tied { None } else { Some(loader.bytes(TOKEN_EMBEDDING, embedding, vocab)?) };
        let matrix = if tied { TOKEN_EMBEDDING } else { "output.weight" };
        Ok(Embedding {
            table: table.map(|(ty, bytes)| Table { row_bytes: bytes.len() / vocab, bytes, ty }),
            norm: Norm::load(loader, "output_norm", &[embedding], plan.norm)?,
            output: Linear {
                matrix: loader.matrix(matrix, embedding, vocab)?,
                bias: loader.floats_if(Presence::Optional, "output.bias", &[vocab])?,
            },
            embedding,
            embedding_scale: plan.embedding_scale,
            logit_scale: plan.logit_scale,
            logit_cap: plan.logit_cap,
        })
    }

    /// The matrix that makes logits.
    pub(crate) fn output(&self) -> &Linear {
        &self.output
    }

    /// Memory that the weights take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.output.memory_bytes() + self.table.as_ref().map_or(0, |table| table.bytes.len())
    }

    /// Makes tokens, which must be below the vocabulary's size, the hidden states.
    pub(crate) fn embed(&self, tokens: &[TokenId], s: &mut Scratch) -> Result<(), ModelError> {
        let hidden = room(&mut s.hidden, tokens.len() * self.embedding);
        for (out, &token) in hidden.chunks_exact_mut(self.embedding).zip(tokens) {
            let row = token as usize;
            match &self.table {
                Some(table) => dequantize(table.ty, &table.bytes[row * table.row_bytes..][..table.row_bytes], out),
                None => self.output.matrix.row(row, out),
            }
            .map_err(|source| ModelError::Kernel { what: format!("embedding of token {token}"), source })?;
            if self.embedding_scale != 1.0 {
                out.iter_mut().for_each(|x| *x *= self.embedding_scale);
            }
        }
        Ok(())
    }

    /// The hidden states after the last norm.
    pub(crate) fn hidden(&self, team: &Team, s: &Scratch, out: &mut [f32]) {
        self.norm.run(team, &s.hidden[..s.rows * self.embedding], out);
    }

    /// The last norm, the output matrix, and what is done to the logits.
    pub(crate) fn logits(&self, team: &Team, s: &mut Scratch, out: &mut [f32]) {
        let hidden = &s.hidden[..s.rows * self.embedding];
        self.norm.set(team, hidden, &[self.output.ty()], &mut s.activations);
        multiply(team, &s.activations, [(&self.output, &mut *out)]);
        if self.logit_scale != 1.0 {
            scale(team, out, self.logit_scale);
        }
        if let Some(cap) = self.logit_cap {
            soft_cap(team, out, cap);
        }
    }
}
