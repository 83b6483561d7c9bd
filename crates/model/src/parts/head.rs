//! What comes after pooling: dense layers, and the classifiers of rerankers.

use parkade_kernels::{Activations, Team};

use super::linear::{Linear, multiply};
use super::norm::Norm;
use crate::error::ModelError;
use crate::loader::{Loader, Presence};
use crate::plan::NormKind;
use crate::pooling::{HeadActivation, HeadPlan};

/// The layers of a head.
pub(crate) struct Head {
    /// Those that one vector goes through, in their order.
    layers: Vec<Linear>,
    /// Between the first of a classifier's layers and the last.
    activation: Option<HeadActivation>,
    /// Behind that.
    norm: Option<Norm>,
    softmax: bool,
    outputs: usize,
}

impl Head {
    /// Loads what the plan says. `embedding` is the width of a hidden state.
    pub(crate) fn load(loader: &Loader<'_>, embedding: usize, plan: &HeadPlan) -> Result<Head, ModelError> {
        match plan {
            HeadPlan::Dense { widths } => {
                let mut layers = Vec::new();
                let mut inputs = embedding;
                // Numbered as sentence-transformers does: the first two modules are the model and the pooling.
                for (number, &outputs) in (2..).zip(widths) {
                    layers.push(Linear::load(loader, &format!("dense_{number}"), inputs, outputs, Presence::Optional)?);
                    inputs = outputs;
                }
                Ok(Head { layers, activation: None, norm: None, softmax: false, outputs: inputs })
            }
            &HeadPlan::Classifier { activation, norm, labels, softmax } => {
                let has_dense = loader.has("cls.weight");
                // In some files that one gives the scores.
                let has_last = loader.has("cls.output.weight") || !has_dense;
                let linear = |name, outputs| Linear::load(loader, name, embedding, outputs, Presence::Optional);
                let mut layers = Vec::new();
                if has_dense {
                    layers.push(linear("cls", if has_last { embedding } else { labels })?);
                }
                if has_last {
                    layers.push(linear("cls.output", labels)?);
                }
                let norm = match norm {
                    Some(eps) if layers.len() > 1 => {
                        let kind = NormKind::Layer { eps, bias: Presence::Never };
                        Norm::load_if(Presence::Optional, loader, "cls.norm", &[embedding], kind)?
                    }
                    _ => None,
                };
                let activation = has_dense.then_some(activation);
                Ok(Head { layers, activation, norm, softmax, outputs: labels })
            }
        }
    }

    /// Values that a text gets.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether these are probabilities.
    pub(crate) fn gives_probabilities(&self) -> bool {
        self.softmax
    }

    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter()
    }

    /// Replaces the vectors of texts, `[texts][embedding]`, by what the head makes of them, `[texts][outputs]`.
    pub(crate) fn run(&self, team: &Team, texts: usize, vectors: &mut Vec<f32>) {
        let mut activations = Activations::new();
        for (place, linear) in self.layers.iter().enumerate() {
            activations.set(team, vectors, texts, vectors.len() / texts, &[linear.ty()]);
            vectors.resize(texts * linear.outputs(), 0.0);
            multiply(team, &activations, [(linear, vectors)]);
            if let (0, Some(activation)) = (place, self.activation) {
                vectors.iter_mut().for_each(|x| *x = activation.of(*x));
                if let Some(norm) = &self.norm {
                    norm.replace(team, vectors, texts * linear.outputs(), &mut Vec::new());
                }
            }
        }
        if self.softmax {
            vectors.chunks_exact_mut(self.outputs).for_each(softmax);
        }
    }
}

fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|x| *x = (*x - largest).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|x| *x /= sum);
}
