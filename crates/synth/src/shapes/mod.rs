//! Which shapes there are.

mod dense;
mod encoders;
mod experts;
mod gemma;
mod real;
mod state;
mod tiny;

use parkade_kernels::WeightType;

use crate::dims::Dims;
use crate::draft::Draft;
use crate::mix::Mix;
use crate::vocabulary::Vocabulary;

/// A kind of model.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) dims: Dims,
    pub(crate) vocabulary: Vocabulary,
    /// The types of its matrices unless somebody asks for others.
    pub(crate) mix: Mix,
    /// What makes it of its dimensions.
    pub(crate) build: fn(Dims) -> Draft,
}

impl Shape {
    fn new(name: &str, build: fn(Dims) -> Draft, dims: Dims, vocabulary: Vocabulary) -> Shape {
        Shape { name: name.to_owned(), dims, vocabulary, mix: Mix::Plain(WeightType::Q8_0), build }
    }

    fn vocabulary(self, vocabulary: Vocabulary) -> Shape {
        Shape { vocabulary, ..self }
    }

    fn mix(self, mix: Mix) -> Shape {
        Shape { mix, ..self }
    }
}

/// All shapes.
pub(crate) fn all() -> Vec<Shape> {
    let mut all = tiny::all();
    all.extend(real::all());
    all
}
