//! GGUF files: the container that open-weight models come in.
//!
//! [`Gguf::open`] maps a file of version 2 or 3 and checks its whole header before it returns: every count, length, type,
//! alignment, shape and offset. After that, reading tensors cannot fail and nothing is copied: [`TensorView::bytes`] is
//! the mapped file.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod cursor;
mod error;
mod header;
pub mod limits;
mod typed;
mod value;
pub mod write;

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use parkade_kernels::WeightType;

pub use error::GgufError;
pub use value::{Array, Value};

use header::{Header, TensorInfo};

/// An open GGUF file whose header was checked.
#[derive(Debug)]
pub struct Gguf {
    bytes: Arc<Bytes>,
    header: Header,
    /// The file's name without folder and extension.
    stem: Option<String>,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

/// One tensor of a file.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// Its name, as `blk.0.attn_q.weight`.
    pub name: &'a str,
    /// How its values are stored.
    pub ty: WeightType,
    /// Its dimensions in ggml's order: the first is the innermost, the length of a row. A weight matrix is `[inputs, outputs]`.
    pub shape: &'a [usize],
    /// Its data, in the file: as many bytes as `ty` and `shape` ask for.
    pub bytes: &'a [u8],
}

impl Gguf {
    /// Maps the file at `path` and checks its header.
    ///
    /// # Errors
    /// If the file cannot be read, or anything in its header is wrong: see [`GgufError`].
    pub fn open(path: &Path) -> Result<Gguf, GgufError> {
        let failed = |source| GgufError::Open { path: path.to_owned(), source };
        // The kind is asked first, because opening a pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(GgufError::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(failed)?;
        // SAFETY: the mapping is private and read-only, and the bytes are only ever read as plain bytes, for which every
        // pattern is valid. What remains is that another process may change the file meanwhile: then weights change, or the
        // kernel stops this process with SIGBUS if the file became shorter; that is the known price of mapping models, and
        // the header, on which bounds depend, was copied out and checked against the length of the mapping itself.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        Gguf::new(Bytes::Mapped(map), stem)
    }

    /// A file that is already in memory.
    ///
    /// # Errors
    /// If anything in the header is wrong: see [`GgufError`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Gguf, GgufError> {
        Gguf::new(Bytes::Owned(bytes), None)
    }

    fn new(bytes: Bytes, stem: Option<String>) -> Result<Gguf, GgufError> {
        let header = header::parse(bytes.as_slice())?;
        Ok(Gguf { bytes: Arc::new(bytes), header, stem })
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

    /// Size of the file in bytes.
    pub fn file_size(&self) -> u64 {
        self.bytes.as_slice().len() as u64
    }

    /// All metadata, in the order of the file.
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.header.metadata.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// All tensors, in the order of the file.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.header.tensors.iter().map(|info| self.view(info))
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let &index = self.header.names.get(name)?;
        Some(self.view(&self.header.tensors[index]))
    }

    /// The tensor of that name, for keeping when this [`Gguf`] is gone.
    pub fn shared_tensor(&self, name: &str) -> Option<SharedTensor> {
        let &index = self.header.names.get(name)?;
        let info = &self.header.tensors[index];
        Some(SharedTensor { file: Arc::clone(&self.bytes), range: info.bytes.clone(), ty: info.ty })
    }

    fn view<'a>(&'a self, info: &'a TensorInfo) -> TensorView<'a> {
        TensorView {
            name: &info.name,
            ty: info.ty,
            shape: &info.shape,
            bytes: &self.bytes.as_slice()[info.bytes.clone()],
        }
    }
}

/// A tensor's data, which keeps the file mapped.
#[derive(Debug, Clone)]
pub struct SharedTensor {
    file: Arc<Bytes>,
    range: Range<usize>,
    ty: WeightType,
}

impl SharedTensor {
    /// How its values are stored.
    pub fn ty(&self) -> WeightType {
        self.ty
    }

    /// Its data, in the file.
    pub fn bytes(&self) -> &[u8] {
        &self.file.as_slice()[self.range.clone()]
    }
}

impl TensorView<'_> {
    /// Values in a row.
    pub fn cols(&self) -> usize {
        self.shape[0]
    }

    /// Number of rows: the product of all dimensions but the first.
    pub fn rows(&self) -> usize {
        self.shape[1..].iter().product()
    }
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}
