//! A shape and a seed become a file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use parkade_kernels::WeightType;
use parkade_model::gguf::write::GgufWriter;

use crate::draft::Draft;
use crate::error::SynthError;
use crate::mix::{Facts, Mix};
use crate::random::Random;
use crate::shapes;

/// A random model: what it holds, but not yet its weights.
pub struct Model {
    writer: GgufWriter,
    draft: Draft,
    seed: u64,
}

/// The names of all shapes.
pub fn names() -> impl Iterator<Item = String> {
    shapes::all().into_iter().map(|shape| shape.name)
}

impl Model {
    /// Plans a model. `scale` divides the number of layers; without a `mix` the shape's own is taken.
    ///
    /// # Errors
    /// If there is no such shape, or it cannot have that type.
    pub fn new(shape: &str, seed: u64, scale: usize, mix: Option<Mix>) -> Result<Model, SynthError> {
        let known = || names().collect::<Vec<_>>().join(", ");
        let found = shapes::all().into_iter().find(|known| known.name == shape);
        let shape = found.ok_or_else(|| SynthError::Shape { name: shape.to_owned(), known: known() })?;
        let mut dims = shape.dims;
        dims.layers = dims.layers.div_ceil(scale.max(1));
        let draft = (shape.build)(dims);
        let mut writer = GgufWriter::new();
        // llama.cpp guesses from names with "phi3" and the like what their vocabularies hold.
        writer.set("general.name", format!("random {seed}")).set("general.description", shape.name.as_str());
        for (key, value) in draft.metadata.iter().cloned().chain(shape.vocabulary.metadata(dims.vocab)) {
            writer.set(&key, value);
        }
        let tied = !draft.tensors.iter().any(|tensor| tensor.name == "output.weight");
        let facts = Facts { layers: dims.layers, experts: dims.experts, tied };
        let mix = mix.unwrap_or(shape.mix);
        for tensor in &draft.tensors {
            let ty = if tensor.quantised { mix.type_of(&tensor.name, tensor.shape[0], facts) } else { WeightType::F32 };
            writer.tensor(&tensor.name, ty, &tensor.shape)?;
        }
        Ok(Model { writer, draft, seed })
    }

    /// The whole file.
    ///
    /// # Errors
    /// If a tensor is larger than memory can hold.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.write(&mut out)?;
        Ok(out)
    }

    /// Writes the file beside its place, and moves it there when it is whole. One tensor at a time is in memory.
    ///
    /// # Errors
    /// If it cannot be written; then nothing is left.
    pub fn save(&self, path: &Path) -> Result<(), SynthError> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let written = self.save_as(&part).and_then(|()| fs::rename(&part, path));
        written.map_err(|error| {
            // What is left of it is of no use; that it cannot be removed is no news.
            let _ = fs::remove_file(&part);
            SynthError::writing(path.to_owned(), self.writer.bytes(), error)
        })
    }

    fn save_as(&self, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        self.write(&mut out)?;
        out.into_inner()?.sync_all()
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut drawn = self.draft.tensors.iter();
        self.writer.write(out, |planned| {
            let tensor = drawn.next().ok_or(io::ErrorKind::InvalidData)?;
            let count = tensor.shape.iter().product();
            Ok(tensor.draw.bytes(planned.ty, count, &mut Random::of(self.seed, &planned.name)))
        })
    }
}
