//! A model's geometry, from the metadata and checked.

use std::ops::{Range, RangeInclusive};

use crate::error::ModelError;
use crate::gguf::Gguf;
use crate::keys::Keys;
use crate::loader::TOKEN_EMBEDDING;

/// A model's geometry. All values were checked against each other and against the limits in this module.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// As in `general.architecture`.
    pub architecture: String,
    /// `general.name`, if the file has it.
    pub name: Option<String>,
    /// Transformer layers.
    pub layers: usize,
    /// Layers of the file behind them that guess further tokens; they are left out.
    pub next_token_layers: usize,
    /// Query heads; 1 where no layer attends.
    pub heads: usize,
    /// Key and value heads of the layer that has most; divides `heads`.
    pub kv_heads: usize,
    /// Those of each layer; 0 where it has no attention.
    pub layer_kv_heads: Vec<usize>,
    /// Values in a head of queries and keys; even, and 2 where no layer attends.
    pub head_dim: usize,
    /// Values in a head of values.
    pub value_dim: usize,
    /// Values in a hidden state.
    pub embedding: usize,
    /// Tokens in the vocabulary: rows of the embedding table.
    pub vocab: usize,
    /// Positions that a sequence may have: those that the model was made for, or fewer if it was loaded so.
    pub context_length: usize,
    /// Positions that the model was made for.
    pub trained_context: usize,
}

/// Layers that are believed; the largest published models have 126.
pub(crate) const MAX_LAYERS: u32 = 1024;
/// Heads that are believed.
pub(crate) const MAX_HEADS: u32 = 4096;
/// Values in a head that are believed.
pub(crate) const MAX_HEAD_DIM: u32 = 1024;
/// Width of hidden states that is believed.
pub(crate) const MAX_WIDTH: u32 = 1 << 20;
/// Context length that is believed.
pub(crate) const MAX_CONTEXT: u32 = 1 << 26;

impl ModelConfig {
    /// What a context may be, in tokens; of a model no more than it was made for.
    pub const CONTEXT: RangeInclusive<usize> = 1..=MAX_CONTEXT as usize;

    /// Reads the geometry from a file's metadata (and the vocabulary's size from its embedding table). `context` is the most positions that
    /// are wanted.
    pub(crate) fn read(
        keys: &Keys<'_>,
        gguf: &Gguf,
        architecture: &str,
        context: Option<usize>,
    ) -> Result<ModelConfig, ModelError> {
        let attends = keys.attends()?;
        let heads = if attends { keys.size("attention.head_count", MAX_HEADS)? } else { 1 };
        let blocks = keys.size("block_count", MAX_LAYERS)?;
        let layer_kv_heads = if attends { kv_heads(keys, blocks, heads)? } else { vec![0; blocks] };
        let kv_heads = layer_kv_heads.iter().copied().max().filter(|&heads| heads > 0).unwrap_or(heads);
        let embedding = keys.size("embedding_length", MAX_WIDTH)?;
        let head_dim = if attends { head_dim(keys, embedding, heads)? } else { 2 };
        let next_token_layers = keys.count("nextn_predict_layers", MAX_LAYERS)?;
        if next_token_layers >= blocks {
            let expected = format!("fewer than the {blocks} layers that there are");
            return Err(keys.wrong("nextn_predict_layers", next_token_layers, expected));
        }
        let trained_context = keys.size("context_length", MAX_CONTEXT)?;
        if let Some(asked) = context.filter(|asked| !Self::CONTEXT.contains(asked) || *asked > trained_context) {
            return Err(ModelError::ContextSize { asked, most: trained_context });
        }
        Ok(ModelConfig {
            architecture: architecture.to_owned(),
            // Nothing depends on it: a name that is no text is no name.
            name: gguf.get_str("general.name").ok().flatten().map(str::to_owned),
            layers: blocks - next_token_layers,
            next_token_layers,
            heads,
            kv_heads,
            layer_kv_heads: layer_kv_heads[..blocks - next_token_layers].to_vec(),
            head_dim,
            value_dim: keys.optional_size("attention.value_length", MAX_HEAD_DIM)?.unwrap_or(head_dim),
            embedding,
            vocab: vocabulary(gguf, embedding)?,
            context_length: context.unwrap_or(trained_context),
            trained_context,
        })
    }

    /// Layers of the file that are not computed: those that guess further tokens.
    pub(crate) fn skipped_layers(&self) -> Range<usize> {
        self.layers..self.layers + self.next_token_layers
    }
}

/// Heads of keys and values in each layer; 0 is for a layer without attention.
fn kv_heads(keys: &Keys<'_>, layers: usize, heads: usize) -> Result<Vec<usize>, ModelError> {
    let key = "attention.head_count_kv";
    let each = match keys.is_array(key) {
        true => keys.counts(key, MAX_HEADS, layers)?,
        false => vec![keys.optional_size(key, MAX_HEADS)?.unwrap_or(heads); layers],
    };
    match each.iter().find(|&&each| each > 0 && !heads.is_multiple_of(each)) {
        Some(wrong) => Err(keys.wrong(key, wrong, format!("a divisor of head_count {heads}"))),
        None => Ok(each),
    }
}

fn head_dim(keys: &Keys<'_>, embedding: usize, heads: usize) -> Result<usize, ModelError> {
    let head_dim = match keys.optional_size("attention.key_length", MAX_HEAD_DIM)? {
        Some(length) => length,
        None if embedding.is_multiple_of(heads) => embedding / heads,
        None => {
            let expected = format!("a multiple of head_count {heads}, or a file with attention.key_length");
            return Err(keys.wrong("embedding_length", embedding, expected));
        }
    };
    if head_dim > MAX_HEAD_DIM as usize || !head_dim.is_multiple_of(2) {
        return Err(keys.wrong("attention.key_length", head_dim, format!("an even number up to {MAX_HEAD_DIM}")));
    }
    Ok(head_dim)
}

fn vocabulary(gguf: &Gguf, embedding: usize) -> Result<usize, ModelError> {
    let name = TOKEN_EMBEDDING.to_owned();
    let expected = format!("[{embedding}, vocabulary]");
    match gguf.tensor(TOKEN_EMBEDDING).map(|table| &table.shape[..]) {
        // Token ids are 32-bit.
        Some(&[cols, rows]) if cols == embedding && u32::try_from(rows).is_ok() => Ok(rows),
        Some(shape) => Err(ModelError::TensorShape { name, found: shape.to_vec(), expected }),
        None => Err(ModelError::MissingTensor { name, expected }),
    }
}
