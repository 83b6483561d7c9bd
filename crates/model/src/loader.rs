//! Finds the tensors of a file, checks and reads them, and says which nobody used.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ops::Range;

use parkade_kernels::{Matrix, MatrixStack, Team, WeightType, dequantize};

use crate::error::ModelError;
use crate::gguf::{Gguf, TensorInfo};

/// The embedding table `[embedding, vocab]`.
pub(crate) const TOKEN_EMBEDDING: &str = "token_embd.weight";

/// Numbers that stand in for those of a missing tensor, at most: no vector of a model is longer.
const MAX_STAND_IN: usize = 1 << 22;

/// Whether a family has a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A file that has it is refused.
    Never,
    /// It is used where the file has it.
    Optional,
    /// A file without it is refused.
    Required,
}

/// Gives the parts of a model their tensors, and remembers which were used.
pub(crate) struct Loader<'a> {
    gguf: &'a Gguf,
    team: &'a Team,
    used: RefCell<HashSet<String>>,
    /// The tensor that is being read; its memory is used again for the next.
    data: RefCell<Vec<u8>>,
    survey: Option<&'a Found>,
}

/// What a survey finds: see [`Loader::survey`].
#[derive(Default)]
pub(crate) struct Found {
    /// What is wrong with the tensors.
    pub(crate) problems: RefCell<Vec<ModelError>>,
    /// Memory for tensors in the file's form.
    pub(crate) raw_bytes: Cell<usize>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(gguf: &'a Gguf, team: &'a Team) -> Loader<'a> {
        Loader { gguf, team, used: RefCell::default(), data: RefCell::default(), survey: None }
    }

    /// A loader that reads no weights and goes on after a tensor that is missing or misshapen. The model that is made of it is hollow: it can be
    /// asked what it would take, and cannot be run.
    pub(crate) fn survey(gguf: &'a Gguf, team: &'a Team, found: &'a Found) -> Loader<'a> {
        Loader { survey: Some(found), ..Loader::new(gguf, team) }
    }

    /// Whether the file has a tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.gguf.tensor(name).is_some()
    }

    /// How many rows a tensor of two dimensions has, if the file has it.
    pub(crate) fn rows(&self, name: &str) -> Option<usize> {
        self.gguf.tensor(name)?.shape.get(1).copied()
    }

    /// Whether the file has a tensor, and of this shape.
    pub(crate) fn has_shaped(&self, name: &str, shape: &[usize]) -> bool {
        self.gguf.tensor(name).is_some_and(|tensor| tensor.shape == shape)
    }

    /// Leaves out a tensor that the model has no use for.
    pub(crate) fn leave(&self, name: &str) {
        self.used.borrow_mut().insert(name.to_owned());
    }

    /// A matrix `[inputs, outputs]` in the kernels' form.
    pub(crate) fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Matrix, ModelError> {
        let [matrix] = self.matrices(name, inputs, [outputs])?;
        Ok(matrix)
    }

    /// Matrices of the same inputs, whose outputs lie one after the other in one tensor.
    pub(crate) fn matrices<const N: usize>(
        &self,
        name: &str,
        inputs: usize,
        outputs: [usize; N],
    ) -> Result<[Matrix; N], ModelError> {
        let mut end = 0;
        self.matrices_of(
            name,
            inputs,
            outputs.map(|rows| {
                end += rows;
                std::iter::once(end - rows..end).collect()
            }),
        )
    }

    /// Matrices of the same inputs, whose outputs lie in these places of one tensor, which together are all of it.
    pub(crate) fn matrices_of<const N: usize>(
        &self,
        name: &str,
        inputs: usize,
        places: [Vec<Range<usize>>; N],
    ) -> Result<[Matrix; N], ModelError> {
        let outputs = places.each_ref().map(|places| places.iter().map(Range::len).sum::<usize>());
        let all = outputs.iter().sum();
        let refused = |source| ModelError::Kernel { what: format!("tensor '{name}'"), source };
        if let Some(found) = self.survey {
            let ty = self.type_of(found, name, &[inputs, all]);
            let hollow = outputs.map(|rows| Matrix::hollow(ty, rows, inputs).map_err(refused));
            let hollow: Vec<Matrix> = hollow.into_iter().collect::<Result<_, _>>()?;
            return Ok(hollow.try_into().expect("one was made for each of N"));
        }
        let tensor = self.find(name, &[inputs, all])?;
        let mut data = self.data.borrow_mut();
        self.gguf.read(tensor, &mut data)?;
        let row_bytes = data.len() / all;
        let mut matrices = Vec::with_capacity(N);
        for (rows, places) in outputs.into_iter().zip(&places) {
            let part = |place: &Range<usize>| &data[place.start * row_bytes..place.end * row_bytes];
            // Without a copy where nothing lies between.
            let bytes = match &places[..] {
                [place] => Cow::Borrowed(part(place)),
                places => places.iter().map(part).collect::<Vec<_>>().concat().into(),
            };
            let matrix = Matrix::from_bytes(self.team, tensor.ty, rows, inputs, &bytes);
            matrices.push(matrix.map_err(refused)?);
        }
        Ok(matrices.try_into().expect("a matrix was pushed for each of N"))
    }

    /// Matrices `[inputs, outputs, members]` in the kernels' form.
    pub(crate) fn stack(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        members: usize,
    ) -> Result<MatrixStack, ModelError> {
        let [stack] = self.stacks(name, inputs, [outputs], members)?;
        Ok(stack)
    }

    /// The same, where the outputs of several matrices lie one after the other in each member.
    pub(crate) fn stacks<const N: usize>(
        &self,
        name: &str,
        inputs: usize,
        outputs: [usize; N],
        members: usize,
    ) -> Result<[MatrixStack; N], ModelError> {
        let all: usize = outputs.iter().sum();
        let refused = |source| ModelError::Kernel { what: format!("tensor '{name}'"), source };
        if let Some(found) = self.survey {
            let ty = self.type_of(found, name, &[inputs, all, members]);
            let hollow = outputs.map(|rows| MatrixStack::hollow(ty, members, rows, inputs).map_err(refused));
            let hollow: Vec<MatrixStack> = hollow.into_iter().collect::<Result<_, _>>()?;
            return Ok(hollow.try_into().expect("one was made for each of N"));
        }
        let tensor = self.find(name, &[inputs, all, members])?;
        let mut data = self.data.borrow_mut();
        self.gguf.read(tensor, &mut data)?;
        let row_bytes = data.len() / (all * members);
        let mut start = 0;
        let mut stacks = Vec::with_capacity(N);
        for rows in outputs {
            let own = start * row_bytes..(start + rows) * row_bytes;
            let parts = data.chunks_exact(all * row_bytes).map(|member| &member[own.clone()]);
            // Without a copy where nothing lies between.
            let bytes = if rows == all { Cow::Borrowed(&data[..]) } else { parts.collect::<Vec<_>>().concat().into() };
            let stack = MatrixStack::from_bytes(self.team, tensor.ty, members, rows, inputs, &bytes);
            stacks.push(stack.map_err(refused)?);
            start += rows;
        }
        Ok(stacks.try_into().expect("a stack was pushed for each of N"))
    }

    /// A matrix `[cols, rows]` in the file's form.
    pub(crate) fn bytes(&self, name: &str, cols: usize, rows: usize) -> Result<(WeightType, Vec<u8>), ModelError> {
        if let Some(found) = self.survey {
            let ty = self.type_of(found, name, &[cols, rows]);
            let size = ty.row_bytes(cols).and_then(|bytes| bytes.checked_mul(rows)).unwrap_or_default();
            found.raw_bytes.set(found.raw_bytes.get().saturating_add(size));
            return Ok((ty, Vec::new()));
        }
        let tensor = self.find(name, &[cols, rows])?;
        let mut bytes = Vec::new();
        self.gguf.read(tensor, &mut bytes)?;
        Ok((tensor.ty, bytes))
    }

    /// As [`floats`](Self::floats), of a tensor that the family may have.
    pub(crate) fn floats_if(
        &self,
        presence: Presence,
        name: &str,
        shape: &[usize],
    ) -> Result<Option<Vec<f32>>, ModelError> {
        match presence {
            Presence::Never => Ok(None),
            Presence::Optional if !self.has(name) => Ok(None),
            Presence::Optional | Presence::Required => self.floats(name, shape).map(Some),
        }
    }

    /// A tensor as floats.
    pub(crate) fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let tensor = match (self.find(name, shape), self.survey) {
            (Ok(tensor), _) => tensor,
            (Err(error), None) => return Err(error),
            (Err(error), Some(found)) => {
                found.problems.borrow_mut().push(error);
                let len = shape.iter().try_fold(1, |len: usize, &d| len.checked_mul(d)).unwrap_or(MAX_STAND_IN);
                return Ok(vec![1.0; len.min(MAX_STAND_IN)]);
            }
        };
        let mut data = self.data.borrow_mut();
        self.gguf.read(tensor, &mut data)?;
        let mut out = vec![0.0; shape.iter().product()];
        dequantize(tensor.ty, &data, &mut out)
            .map_err(|source| ModelError::Kernel { what: format!("tensor '{name}'"), source })?;
        Ok(out)
    }

    /// Ends loading: what was read belongs together, and nothing that matters was left. What belongs to `skipped` layers does not.
    pub(crate) fn finish(self, architecture: &str, skipped: Range<usize>) -> Result<(), ModelError> {
        let used = self.used.borrow();
        let is_skipped = |name: &str| layer_of(name).is_some_and(|layer| skipped.contains(&layer));
        let unused = self.gguf.tensors().map(|t| t.name.as_str());
        let unused = unused.filter(|n| !used.contains(*n) && !is_harmless(n) && !is_skipped(n));
        let (in_model, beside): (Vec<_>, Vec<_>) = unused.partition(|n| changes_results(n));
        if !beside.is_empty() {
            tracing::warn!(tensors = beside.join(", "), "the file has tensors that the model does not use");
        }
        if !in_model.is_empty() {
            return Err(ModelError::UnknownTensors { architecture: architecture.to_owned(), names: list(&in_model) });
        }
        Ok(self.gguf.check_unchanged()?)
    }

    /// The type of a tensor. What is wrong with it is noted.
    fn type_of(&self, found: &Found, name: &str, shape: &[usize]) -> WeightType {
        self.find(name, shape).map_or_else(
            |error| {
                found.problems.borrow_mut().push(error);
                WeightType::F32
            },
            |tensor| tensor.ty,
        )
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<&'a TensorInfo, ModelError> {
        let tensor = self
            .gguf
            .tensor(name)
            .ok_or_else(|| ModelError::MissingTensor { name: name.to_owned(), expected: format!("{shape:?}") })?;
        // Trailing dimensions of size 1 say nothing; some converters write them, or leave out one that belongs to a matrix.
        if significant(&tensor.shape) != significant(shape) {
            return Err(ModelError::TensorShape {
                name: name.to_owned(),
                found: tensor.shape.clone(),
                expected: format!("{shape:?}"),
            });
        }
        self.used.borrow_mut().insert(name.to_owned());
        Ok(tensor)
    }
}

/// The name of a layer's tensor without its last part: `in_layer(3, "attn_q")` is `blk.3.attn_q`.
pub(crate) fn in_layer(index: usize, what: &str) -> String {
    format!("blk.{index}.{what}")
}

/// The dimensions without those of size 1 at their end.
fn significant(shape: &[usize]) -> &[usize] {
    &shape[..shape.iter().rposition(|&d| d != 1).map_or(0, |last| last + 1)]
}

/// The layer whose name a tensor bears.
fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

/// Whether a tensor has no effect on the results, though it is in some files.
fn is_harmless(name: &str) -> bool {
    // Old converters stored the rotary frequencies, which follow from the metadata.
    name.ends_with(".attn_rot_embd") || name.ends_with(".rotary_emb.inv_freq")
}

/// Whether a tensor that nothing asked for shows that the model computes more than its plan.
fn changes_results(name: &str) -> bool {
    ["blk.", "output", "token_", "rope_", "pos", "cls", "dense_"].iter().any(|prefix| name.starts_with(prefix))
        || name.ends_with(".bias")
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
