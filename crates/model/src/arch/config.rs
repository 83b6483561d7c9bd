//! A model's geometry, from the metadata and checked.

use super::rope::RopeConfig;
use super::tensors;
use crate::error::ModelError;
use crate::gguf::Gguf;

/// A model's geometry. All values were checked against each other and against the limits in this module.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// As in `general.architecture`.
    pub architecture: String,
    /// `general.name`, if the file has it.
    pub name: Option<String>,
    /// Transformer layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Values in a head; even.
    pub head_dim: usize,
    /// Values in a hidden state.
    pub embedding: usize,
    /// Values between the two halves of the feed-forward.
    pub feed_forward: usize,
    /// Tokens in the vocabulary: rows of the embedding table.
    pub vocab: usize,
    /// Positions that the model was made for.
    pub context_length: usize,
    /// Rotary positions.
    pub rope: RopeConfig,
    /// Epsilon of the RMS norms.
    pub norm_eps: f32,
    /// Factor of the attention scores.
    pub attention_scale: f32,
    /// Keys that a query sees, itself included, where attention slides.
    pub window: Option<usize>,
}

/// Layers that are believed; the largest published models have 126.
pub const MAX_LAYERS: u32 = 1024;
/// Heads that are believed.
pub const MAX_HEADS: u32 = 4096;
/// Values in a head that are believed.
pub const MAX_HEAD_DIM: u32 = 1024;
/// Width of hidden states that is believed.
pub const MAX_WIDTH: u32 = 1 << 20;
/// Context length that is believed.
pub const MAX_CONTEXT: u32 = 1 << 26;

/// Keys that change the results of architectures other than these. A file that sets one to something else than the neutral value
/// must be refused, since its answers would be wrong without a sign.
const FOREIGN_KEYS: &[(&str, f64)] = &[
    ("expert_count", 0.0),
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attn_logit_softcapping", 0.0),
    ("final_logit_softcapping", 0.0),
    ("logit_scale", 0.0),
    ("residual_scale", 0.0),
    ("embedding_scale", 0.0),
];

impl ModelConfig {
    /// Reads the geometry from a file's metadata (and the vocabulary's size from its embedding table).
    ///
    /// # Errors
    /// If the architecture is unknown, a key is missing, or a value makes no sense.
    pub fn from_gguf(gguf: &Gguf) -> Result<ModelConfig, ModelError> {
        let architecture = super::find(gguf.architecture()?)?.name;
        let keys = Keys { gguf, architecture };
        keys.refuse_foreign()?;

        let heads = keys.require("attention.head_count", MAX_HEADS)?;
        let kv_heads = keys.optional("attention.head_count_kv", MAX_HEADS)?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(keys.wrong("attention.head_count_kv", kv_heads, format!("a divisor of head_count {heads}")));
        }
        let embedding = keys.require("embedding_length", MAX_WIDTH)?;
        let head_dim = head_dim(&keys, embedding, heads)?;
        let context_length = keys.require("context_length", MAX_CONTEXT)?;
        let norm_eps = gguf.require_f32(&keys.name("attention.layer_norm_rms_epsilon"))?;
        if !(0.0..1.0).contains(&norm_eps) {
            return Err(keys.wrong("attention.layer_norm_rms_epsilon", norm_eps, "from 0 to 1".to_owned()));
        }
        let attention_scale = match gguf.get_f32(&keys.name("attention.scale"))? {
            None | Some(0.0) => 1.0 / (head_dim as f32).sqrt(),
            Some(scale) if scale.is_finite() && scale > 0.0 => scale,
            Some(scale) => return Err(keys.wrong("attention.scale", scale, "a positive number".to_owned())),
        };
        let window = gguf.get_u32(&keys.name("attention.sliding_window"))?;

        Ok(ModelConfig {
            architecture: architecture.to_owned(),
            // Nothing depends on it: a name that is no text is no name.
            name: gguf.get_str("general.name").ok().flatten().map(str::to_owned),
            layers: keys.require("block_count", MAX_LAYERS)?,
            heads,
            kv_heads,
            head_dim,
            embedding,
            feed_forward: keys.require("feed_forward_length", MAX_WIDTH)?,
            vocab: vocabulary(gguf, embedding)?,
            context_length,
            rope: RopeConfig::from_gguf(&keys, head_dim, context_length)?,
            norm_eps,
            attention_scale,
            // A window that reaches over the whole context is no window.
            window: window.map(|w| w as usize).filter(|&w| w > 0 && w < context_length),
        })
    }
}

fn head_dim(keys: &Keys<'_>, embedding: usize, heads: usize) -> Result<usize, ModelError> {
    let head_dim = match keys.optional("attention.key_length", MAX_HEAD_DIM)? {
        Some(length) => length,
        None if embedding.is_multiple_of(heads) => embedding / heads,
        None => {
            let expected = format!("a multiple of head_count {heads}, or a file with attention.key_length");
            return Err(keys.wrong("embedding_length", embedding, expected));
        }
    };
    let value_length = keys.optional("attention.value_length", MAX_HEAD_DIM)?.unwrap_or(head_dim);
    if value_length != head_dim {
        let expected = format!("{head_dim}, the size of a key: heads of two sizes are not supported");
        return Err(keys.wrong("attention.value_length", value_length, expected));
    }
    if head_dim > MAX_HEAD_DIM as usize || !head_dim.is_multiple_of(2) {
        return Err(keys.wrong("attention.key_length", head_dim, format!("an even number up to {MAX_HEAD_DIM}")));
    }
    Ok(head_dim)
}

fn vocabulary(gguf: &Gguf, embedding: usize) -> Result<usize, ModelError> {
    let name = tensors::TOKEN_EMBEDDING;
    let expected = || format!("[{embedding}, vocabulary]");
    let table =
        gguf.tensor(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned(), expected: expected() })?;
    match table.shape[..] {
        // Token ids are 32-bit.
        [cols, rows] if cols == embedding && u32::try_from(rows).is_ok() => Ok(rows),
        _ => Err(ModelError::TensorShape { name: name.to_owned(), found: table.shape.clone(), expected: expected() }),
    }
}

/// Metadata keys that begin with the architecture's name.
pub(super) struct Keys<'a> {
    pub(super) gguf: &'a Gguf,
    pub(super) architecture: &'static str,
}

impl Keys<'_> {
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    pub(super) fn wrong(&self, key: &str, found: impl ToString, expected: String) -> ModelError {
        ModelError::Config { key: self.name(key), found: found.to_string(), expected }
    }

    fn require(&self, key: &str, limit: u32) -> Result<usize, ModelError> {
        let value = self.gguf.require_u32(&self.name(key))?;
        self.checked(key, value, limit)
    }

    /// A number from 1 to `limit`, if the file has it.
    pub(super) fn optional(&self, key: &str, limit: u32) -> Result<Option<usize>, ModelError> {
        let value = self.gguf.get_u32(&self.name(key))?;
        value.map(|v| self.checked(key, v, limit)).transpose()
    }

    fn checked(&self, key: &str, value: u32, limit: u32) -> Result<usize, ModelError> {
        if value == 0 || value > limit {
            return Err(self.wrong(key, value, format!("1 to {limit}")));
        }
        Ok(value as usize)
    }

    fn refuse_foreign(&self) -> Result<(), ModelError> {
        for &(key, neutral) in FOREIGN_KEYS {
            let name = self.name(key);
            let Some(value) = self.gguf.get(&name) else { continue };
            let number = match value.integer() {
                Some(n) => n as f64,
                None => self.gguf.require_f32(&name)?.into(),
            };
            if number != neutral {
                let expected = format!("{neutral}; architecture '{}' is not supported with it", self.architecture);
                return Err(self.wrong(key, number, expected));
            }
        }
        if self.gguf.get_bool(&self.name("attention.causal"))? == Some(false) {
            let expected = "true: only models that generate text are supported".to_owned();
            return Err(self.wrong("attention.causal", false, expected));
        }
        Ok(())
    }
}
