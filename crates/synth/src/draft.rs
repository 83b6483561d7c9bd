//! A file in the making: metadata and tensors, added by the parts that a model has.

use parkade_model::gguf::Value;

use crate::dims::Dims;
use crate::draw::Draw;

/// A tensor that is to be drawn.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) name: String,
    /// The innermost first.
    pub(crate) shape: Vec<usize>,
    pub(crate) draw: Draw,
    /// Whether its type is the file's: a matrix that llama.cpp would quantise. All others are in F32.
    pub(crate) quantised: bool,
}

/// What a file will hold.
pub(crate) struct Draft {
    pub(crate) dims: Dims,
    pub(crate) metadata: Vec<(String, Value)>,
    pub(crate) tensors: Vec<Drawn>,
    architecture: &'static str,
    /// What the names of tensors begin with: nothing, or the layer.
    prefix: String,
}

impl Draft {
    /// The keys that every model has.
    pub(crate) fn new(architecture: &'static str, dims: Dims) -> Draft {
        let metadata = vec![("general.architecture".to_owned(), architecture.into())];
        let mut draft = Draft { dims, metadata, tensors: Vec::new(), architecture, prefix: String::new() };
        draft.set("context_length", dims.context as u32);
        draft.set("embedding_length", dims.width as u32);
        draft.set("block_count", dims.layers as u32);
        draft.set("vocab_size", dims.vocab as u32);
        draft.set("feed_forward_length", dims.ffn as u32);
        draft
    }

    /// Sets a key of the architecture.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        let key = format!("{}.{key}", self.architecture);
        self.metadata.retain(|(known, _)| *known != key);
        self.metadata.push((key, value.into()));
    }

    /// Sets several numbers.
    pub(crate) fn set_all(&mut self, values: &[(&str, usize)]) {
        values.iter().for_each(|&(key, value)| self.set(key, value as u32));
    }

    /// Sets several numbers with fractions.
    pub(crate) fn set_floats(&mut self, values: &[(&str, f32)]) {
        values.iter().for_each(|&(key, value)| self.set(key, value));
    }

    /// Adds what `layer` adds, for each layer.
    pub(crate) fn layers(&mut self, mut layer: impl FnMut(&mut Draft, usize)) {
        for index in 0..self.dims.layers {
            self.prefix = format!("blk.{index}.");
            layer(self, index);
        }
        self.prefix.clear();
    }

    fn add(&mut self, name: &str, shape: &[usize], draw: Draw, quantised: bool) {
        let name = format!("{}{name}", self.prefix);
        self.tensors.push(Drawn { name, shape: shape.to_vec(), draw, quantised });
    }

    /// A matrix `[inputs, ...]` that grows what it is given by `gain`: its values are that over the root of its inputs.
    pub(crate) fn matrix(&mut self, name: &str, shape: &[usize], gain: f32) {
        self.spread(name, shape, gain / (shape[0] as f32).sqrt());
    }

    /// A matrix with values of this deviation.
    pub(crate) fn spread(&mut self, name: &str, shape: &[usize], deviation: f32) {
        self.add(&format!("{name}.weight"), shape, Draw::Normal { mean: 0.0, deviation }, true);
    }

    /// A tensor in F32 with its whole name.
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize], mean: f32, deviation: f32) {
        self.add(name, shape, Draw::Normal { mean, deviation }, false);
    }

    /// A tensor in F32 with values between two.
    pub(crate) fn between(&mut self, name: &str, shape: &[usize], from: f32, to: f32) {
        self.add(name, shape, Draw::Uniform { from, to }, false);
    }

    /// A vector of these values.
    pub(crate) fn values(&mut self, name: &str, values: Vec<f32>) {
        self.add(name, &[values.len()], Draw::Exactly(values), false);
    }

    /// A bias.
    pub(crate) fn bias(&mut self, name: &str, shape: &[usize]) {
        self.floats(&format!("{name}.bias"), shape, 0.0, 0.2);
    }

    /// The weight of a norm.
    pub(crate) fn norm(&mut self, name: &str, shape: &[usize]) {
        self.floats(&format!("{name}.weight"), shape, 1.0, 0.15);
    }

    /// Norms over the hidden states.
    pub(crate) fn norms(&mut self, names: &[&str]) {
        let width = self.dims.width;
        names.iter().for_each(|name| self.norm(name, &[width]));
    }

    /// Norms over the hidden states with bias.
    pub(crate) fn biased_norms(&mut self, names: &[&str]) {
        let width = self.dims.width;
        self.norms(names);
        names.iter().for_each(|name| self.floats(&format!("{name}.bias"), &[width], 0.0, 0.1));
    }
}
