//! A model's tensors, found in the file, checked and made ready for the kernels.

use std::cell::RefCell;
use std::collections::HashSet;

use parkade_kernels::{KernelError, Matrix, Team, WeightType, dequantize};

use super::ModelConfig;
use crate::arch::{Architecture, Presence, tensors};
use crate::error::ModelError;
use crate::gguf::{Gguf, TensorInfo};

/// All weights of a model. Nothing of the file is needed once they are here.
pub(super) struct Weights {
    /// The embedding table; `None` where the output matrix serves for it.
    embedding: Option<Embedding>,
    pub(super) layers: Vec<Layer>,
    pub(super) output_norm: Vec<f32>,
    pub(super) output: Linear,
    /// The file's divisors of the rotary frequencies.
    pub(super) rope_divisors: Option<Vec<f32>>,
}

/// One layer.
pub(super) struct Layer {
    pub(super) attention_norm: Vec<f32>,
    pub(super) q: Linear,
    pub(super) k: Linear,
    pub(super) v: Linear,
    pub(super) q_norm: Option<Vec<f32>>,
    pub(super) k_norm: Option<Vec<f32>>,
    pub(super) attention_output: Linear,
    pub(super) feed_forward_norm: Vec<f32>,
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

/// A weight matrix with its bias.
pub(super) struct Linear {
    pub(super) matrix: Matrix,
    pub(super) bias: Option<Vec<f32>>,
}

/// An embedding table of its own, in the file's form: only the rows that are asked for are ever unpacked.
struct Embedding {
    bytes: Vec<u8>,
    ty: WeightType,
    row_bytes: usize,
}

impl Embedding {
    fn row(&self, token: usize, out: &mut [f32]) -> Result<(), KernelError> {
        dequantize(self.ty, &self.bytes[token * self.row_bytes..][..self.row_bytes], out)
    }
}

impl Linear {
    pub(super) fn ty(&self) -> WeightType {
        self.matrix.weight_type()
    }

    /// Adds the bias, if there is one, to rows of this matrix's output.
    pub(super) fn add_bias(&self, out: &mut [f32]) {
        let Some(bias) = &self.bias else { return };
        for row in out.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.matrix.memory_bytes() + self.bias.as_ref().map_or(0, |b| size_of_val(b.as_slice()))
    }
}

impl Weights {
    pub(super) fn load(
        gguf: &Gguf,
        team: &Team,
        architecture: &Architecture,
        config: &ModelConfig,
    ) -> Result<Weights, ModelError> {
        let loader = Loader { gguf, team, used: RefCell::default(), data: RefCell::default() };
        let ModelConfig { embedding, vocab, .. } = *config;
        let tied = gguf.tensor(tensors::OUTPUT).is_none();
        let output = if tied { tensors::TOKEN_EMBEDDING } else { tensors::OUTPUT };
        let weights = Weights {
            embedding: if tied { None } else { Some(loader.embedding(embedding, vocab)?) },
            layers: (0..config.layers).map(|i| loader.layer(i, architecture, config)).collect::<Result<_, _>>()?,
            output_norm: loader.vector(tensors::OUTPUT_NORM, embedding)?,
            output: Linear {
                matrix: loader.matrix(output, embedding, vocab)?,
                bias: loader.optional_vector("output.bias", vocab)?,
            },
            rope_divisors: loader.rope_divisors(config.rope.dimensions / 2)?,
        };
        loader.refuse_unused(architecture)?;
        gguf.check_unchanged()?;
        Ok(weights)
    }

    /// The embedding of `token`, which must be below the vocabulary's size.
    pub(super) fn embed(&self, token: usize, out: &mut [f32]) -> Result<(), ModelError> {
        let row = match &self.embedding {
            Some(table) => table.row(token, out),
            None => self.output.matrix.row(token, out),
        };
        row.map_err(|source| ModelError::Kernel { what: format!("embedding of token {token}"), source })
    }

    /// Memory that the weights take.
    pub(super) fn memory_bytes(&self) -> usize {
        let layers: usize = self.layers.iter().flat_map(Layer::linears).map(Linear::memory_bytes).sum();
        layers + self.output.memory_bytes() + self.embedding.as_ref().map_or(0, |table| table.bytes.len())
    }
}

impl Layer {
    fn linears(&self) -> [&Linear; 7] {
        [&self.q, &self.k, &self.v, &self.attention_output, &self.gate, &self.up, &self.down]
    }
}

/// Finds tensors and remembers which were used.
struct Loader<'a> {
    gguf: &'a Gguf,
    team: &'a Team,
    used: RefCell<HashSet<String>>,
    /// The tensor that is being read; its memory is used again for the next.
    data: RefCell<Vec<u8>>,
}

impl<'a> Loader<'a> {
    fn layer(&self, i: usize, architecture: &Architecture, config: &ModelConfig) -> Result<Layer, ModelError> {
        let ModelConfig { embedding, feed_forward, head_dim, .. } = *config;
        let (q_rows, kv_rows) = (config.heads * head_dim, config.kv_heads * head_dim);
        let qkv = architecture.qkv_bias;
        Ok(Layer {
            attention_norm: self.vector(&tensors::layer(i, "attn_norm", "weight"), embedding)?,
            q: self.linear(i, "attn_q", embedding, q_rows, qkv)?,
            k: self.linear(i, "attn_k", embedding, kv_rows, qkv)?,
            v: self.linear(i, "attn_v", embedding, kv_rows, qkv)?,
            q_norm: self.vector_if(architecture.qk_norm, &tensors::layer(i, "attn_q_norm", "weight"), head_dim)?,
            k_norm: self.vector_if(architecture.qk_norm, &tensors::layer(i, "attn_k_norm", "weight"), head_dim)?,
            attention_output: self.linear(i, "attn_output", q_rows, embedding, Presence::Optional)?,
            feed_forward_norm: self.vector(&tensors::layer(i, "ffn_norm", "weight"), embedding)?,
            gate: self.linear(i, "ffn_gate", embedding, feed_forward, Presence::Optional)?,
            up: self.linear(i, "ffn_up", embedding, feed_forward, Presence::Optional)?,
            down: self.linear(i, "ffn_down", feed_forward, embedding, Presence::Optional)?,
        })
    }

    fn linear(
        &self,
        layer: usize,
        what: &str,
        inputs: usize,
        outputs: usize,
        bias: Presence,
    ) -> Result<Linear, ModelError> {
        Ok(Linear {
            matrix: self.matrix(&tensors::layer(layer, what, "weight"), inputs, outputs)?,
            bias: self.vector_if(bias, &tensors::layer(layer, what, "bias"), outputs)?,
        })
    }

    fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Matrix, ModelError> {
        let tensor = self.find(name, &[inputs, outputs])?;
        let mut data = self.data.borrow_mut();
        self.gguf.read(tensor, &mut data)?;
        Matrix::from_bytes(self.team, tensor.ty, outputs, inputs, &data)
            .map_err(|source| ModelError::Kernel { what: format!("tensor '{name}'"), source })
    }

    fn embedding(&self, cols: usize, rows: usize) -> Result<Embedding, ModelError> {
        let tensor = self.find(tensors::TOKEN_EMBEDDING, &[cols, rows])?;
        let mut bytes = Vec::new();
        self.gguf.read(tensor, &mut bytes)?;
        Ok(Embedding { row_bytes: bytes.len() / rows, bytes, ty: tensor.ty })
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, ModelError> {
        let tensor = self.find(name, &[len])?;
        let mut data = self.data.borrow_mut();
        self.gguf.read(tensor, &mut data)?;
        let mut out = vec![0.0; len];
        dequantize(tensor.ty, &data, &mut out)
            .map_err(|source| ModelError::Kernel { what: format!("tensor '{name}'"), source })?;
        Ok(out)
    }

    fn optional_vector(&self, name: &str, len: usize) -> Result<Option<Vec<f32>>, ModelError> {
        self.gguf.tensor(name).map(|_| self.vector(name, len)).transpose()
    }

    fn vector_if(&self, presence: Presence, name: &str, len: usize) -> Result<Option<Vec<f32>>, ModelError> {
        match presence {
            Presence::Never => Ok(None),
            Presence::Optional => self.optional_vector(name, len),
            Presence::Required => self.vector(name, len).map(Some),
        }
    }

    fn rope_divisors(&self, pairs: usize) -> Result<Option<Vec<f32>>, ModelError> {
        let Some(divisors) = self.optional_vector(tensors::ROPE_FREQS, pairs)? else { return Ok(None) };
        match divisors.iter().find(|d| !(d.is_finite() && **d > 0.0)) {
            Some(bad) => Err(ModelError::Config {
                key: tensors::ROPE_FREQS.to_owned(),
                found: bad.to_string(),
                expected: "positive numbers".to_owned(),
            }),
            None => Ok(Some(divisors)),
        }
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<&'a TensorInfo, ModelError> {
        let tensor = self.gguf.tensor(name).ok_or_else(|| missing(name, shape))?;
        // Trailing dimensions of size 1 say nothing; some converters write them.
        let (significant, trailing) = tensor.shape.split_at(tensor.shape.len().min(shape.len()));
        if significant != shape || trailing.iter().any(|&d| d != 1) {
            return Err(ModelError::TensorShape {
                name: name.to_owned(),
                found: tensor.shape.clone(),
                expected: format!("{shape:?}"),
            });
        }
        self.used.borrow_mut().insert(name.to_owned());
        Ok(tensor)
    }

    /// A tensor in a layer, or a bias, that nothing asked for means that the model computes something else than we would.
    fn refuse_unused(&self, architecture: &Architecture) -> Result<(), ModelError> {
        let used = self.used.borrow();
        let unused =
            self.gguf.tensors().map(|t| t.name.as_str()).filter(|n| !used.contains(*n) && !tensors::is_harmless(n));
        let (in_model, beside): (Vec<_>, Vec<_>) = unused.partition(|n| tensors::changes_results(n));
        if !beside.is_empty() {
            tracing::warn!(tensors = beside.join(", "), "the file has tensors that the model does not use");
        }
        if in_model.is_empty() {
            return Ok(());
        }
        Err(ModelError::UnknownTensors { architecture: architecture.name.to_owned(), names: list(&in_model) })
    }
}

/// The first few names, and how many more there are.
fn list(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn missing(name: &str, shape: &[usize]) -> ModelError {
    ModelError::MissingTensor { name: name.to_owned(), expected: format!("{shape:?}") }
}
