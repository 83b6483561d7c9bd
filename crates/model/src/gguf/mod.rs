//! GGUF files: the container that open-weight models come in.
//!
//! [`Gguf::open`] reads the whole header of a file of version 2 or 3 and checks it before it returns: every count, length, type,
//! alignment, shape and offset. [`Gguf::read`] then reads tensors, one at a time. The file is not mapped, and not
//! needed when its tensors have been read. A model that is split into several files is opened by any of them; one that does not say so is whole,
//! whatever it is called.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod cursor;
mod error;
mod header;
pub mod limits;
mod source;
mod split;
mod typed;
mod value;
pub mod write;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use error::GgufError;
pub use header::TensorInfo;
pub use split::SplitName;
pub use value::{Array, Value};

use header::Header;
use source::Source;
use split::Split;
pub(crate) use typed::or_missing;

/// An open GGUF file whose header was checked.
#[derive(Debug)]
pub struct Gguf {
    /// The file, or the parts of a split model in order.
    sources: Vec<Source>,
    header: Header,
    /// Where they are; none for a file in memory.
    files: Vec<PathBuf>,
    /// The file's name without folder and extension, and without the number of a part.
    stem: Option<String>,
}

impl Gguf {
    /// Opens the file at `path`, and reads and checks its header. If it is a part of a split model, the others are opened with it.
    ///
    /// # Errors
    /// If a file cannot be read, or anything in its header is wrong: see [`GgufError`].
    pub fn open(path: &Path) -> Result<Gguf, GgufError> {
        let (source, header) = open_one(path)?;
        let Some(split) = Split::of(&header)? else {
            let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
            return Ok(Gguf { sources: vec![source], header, files: vec![path.to_owned()], stem });
        };
        let name = split.name(path)?;
        let files: Vec<PathBuf> = name.all().map(|part| path.with_file_name(part)).collect();
        let (sources, header) = split::open(path, split, &files)?;
        Ok(Gguf { sources, header, files, stem: Some(name.stem) })
    }

    /// A file that is already in memory.
    ///
    /// # Errors
    /// If anything in the header is wrong: see [`GgufError`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Gguf, GgufError> {
        let source = Source::of_bytes(bytes);
        let header = header::parse(&source)?;
        match Split::of(&header)? {
            Some(split) => Err(GgufError::Split { part: split.number + 1, count: split.count }),
            None => Ok(Gguf { sources: vec![source], header, files: Vec::new(), stem: None }),
        }
    }

    /// The file's name without folder and extension, and without the number of a part; `None` for a file in memory.
    pub fn stem(&self) -> Option<&str> {
        self.stem.as_deref()
    }

    /// The file, or the parts of a split model in order; none for a file in memory. What a file says of itself counts, not what it is called.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The model's name: `general.name`, else the file's name without its extension, else `model`.
    pub fn name(&self) -> &str {
        match self.get("general.name") {
            Some(Value::Str(name)) if !name.trim().is_empty() => name.trim(),
            _ => self.stem.as_deref().unwrap_or("model"),
        }
    }

    /// Version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// Size of the file in bytes; of a split model, of all files together.
    pub fn file_size(&self) -> u64 {
        self.sources.iter().map(|source| source.len() as u64).sum()
    }

    /// All metadata, in the order of the file.
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.header.metadata.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// Metadata keys whose values cannot be used, and what is wrong with them. Whoever asks for one gets an error.
    pub fn unusable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.header.unusable.iter().map(|(key, problem)| (key.as_str(), problem.as_str()))
    }

    /// All tensors, in the order of the file.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorInfo> {
        self.header.tensors.iter()
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let &index = self.header.names.get(name)?;
        Some(&self.header.tensors[index])
    }

    /// Makes the file say something else, or more, than it does.
    pub fn set(&mut self, key: &str, value: Value) {
        let Header { metadata, keys, unusable, .. } = &mut self.header;
        unusable.remove(key);
        match keys.get(key) {
            Some(&index) => metadata[index].1 = value,
            None => {
                keys.insert(key.to_owned(), metadata.len());
                metadata.push((key.to_owned(), value));
            }
        }
    }

    /// Reads a tensor's data, and nothing else, into `out`.
    ///
    /// # Errors
    /// If the file cannot be read, or has become shorter.
    pub fn read(&self, tensor: &TensorInfo, out: &mut Vec<u8>) -> Result<(), GgufError> {
        out.resize(tensor.size(), 0);
        self.sources[tensor.part].read(tensor.bytes.start, out)
    }

    /// Whether the file is still as it was when it was opened: what was read of it belongs together.
    ///
    /// # Errors
    /// If the file was written to, as far as its length and its time tell.
    pub fn check_unchanged(&self) -> Result<(), GgufError> {
        self.sources.iter().try_for_each(Source::check_unchanged)
    }
}

/// Opens one file, whatever it is a part of.
fn open_one(path: &Path) -> Result<(Source, Header), GgufError> {
    let failed = |source| GgufError::Open { path: path.to_owned(), source };
    // The kind is asked first, because opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(GgufError::NotAFile { path: path.to_owned() });
    }
    let source = File::open(path).and_then(Source::of_file).map_err(failed)?;
    let header = header::parse(&source)?;
    Ok((source, header))
}
