//! Writing GGUF files: small ones for tests, large ones for synthetic models.
//!
//! Nothing is checked that [`Gguf`](super::Gguf) checks when it reads, except what would make a file that lies about
//! its own layout: so tests can also write files with wrong contents.
//!
//! ```
//! use parkade_kernels::WeightType;
//! use parkade_model::gguf::{Gguf, write::GgufWriter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut writer = GgufWriter::new();
//! writer.set("general.architecture", "llama").set("llama.block_count", 1u32);
//! writer.tensor("output_norm.weight", WeightType::F32, &[4])?;
//! let mut file = Vec::new();
//! writer.write(&mut file, |_| Ok([1f32; 4].iter().flat_map(|x| x.to_le_bytes()).collect()))?;
//! assert_eq!(Gguf::from_bytes(file)?.architecture()?, "llama");
//! # Ok(()) }
//! ```

use std::io::{self, Write};

use parkade_kernels::WeightType;

use super::GgufError;
use super::limits::DEFAULT_ALIGNMENT;
use super::value::{Array, Value};

/// Collects metadata and tensor descriptions, then writes a file of version 3.
#[derive(Debug, Default)]
pub struct GgufWriter {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Planned>,
}

/// A tensor that is to be written.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// How its values are stored.
    pub ty: WeightType,
    /// Its dimensions, the innermost first.
    pub shape: Vec<usize>,
    /// Size of its data.
    pub bytes: usize,
}

impl GgufWriter {
    /// A file without metadata and tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metadata entry, or replaces it.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        match self.metadata.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key.to_owned(), value)),
        }
        self
    }

    /// Adds a tensor, whose data [`GgufWriter::write`] asks for.
    ///
    /// # Errors
    /// If the shape is empty, its rows are no whole number of blocks, or its size overflows.
    pub fn tensor(&mut self, name: &str, ty: WeightType, shape: &[usize]) -> Result<&mut Self, GgufError> {
        let bytes = shape
            .split_first()
            .and_then(|(&cols, outer)| outer.iter().try_fold(ty.row_bytes(cols)?, |n, &d| n.checked_mul(d)))
            .ok_or_else(|| GgufError::Write(format!("tensor '{name}' cannot have shape {shape:?} in {}", ty.name())))?;
        self.tensors.push(Planned { name: name.to_owned(), ty, shape: shape.to_vec(), bytes });
        Ok(self)
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        let aligned = |bytes: usize| (bytes as u64).next_multiple_of(DEFAULT_ALIGNMENT.into());
        aligned(self.header().len()) + self.tensors.iter().map(|tensor| aligned(tensor.bytes)).sum::<u64>()
    }

    /// Writes the file. `fill` gives each tensor's data in turn, so that only one is in memory at a time.
    ///
    /// # Errors
    /// If writing or `fill` fails, or `fill` gives another number of bytes than [`Planned::bytes`].
    pub fn write(&self, out: &mut impl Write, mut fill: impl FnMut(&Planned) -> io::Result<Vec<u8>>) -> io::Result<()> {
        let header = self.header();
        out.write_all(&header)?;
        pad(out, header.len())?;
        for tensor in &self.tensors {
            let data = fill(tensor)?;
            if data.len() != tensor.bytes {
                let message =
                    format!("tensor '{}' needs {} bytes of data, not {}", tensor.name, tensor.bytes, data.len());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            out.write_all(&data)?;
            pad(out, data.len())?;
        }
        Ok(())
    }

    fn header(&self) -> Vec<u8> {
        let mut out = Vec::from(*b"GGUF");
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_str(&mut out, key);
            out.extend((value.value_type() as u32).to_le_bytes());
            put_value(&mut out, value);
        }
        let mut offset = 0u64;
        for tensor in &self.tensors {
            put_str(&mut out, &tensor.name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            for &d in &tensor.shape {
                out.extend((d as u64).to_le_bytes());
            }
            out.extend(tensor.ty.ggml_id().to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += (tensor.bytes as u64).next_multiple_of(DEFAULT_ALIGNMENT.into());
        }
        out
    }
}

fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    const ZEROS: [u8; DEFAULT_ALIGNMENT as usize] = [0; DEFAULT_ALIGNMENT as usize];
    out.write_all(&ZEROS[..written.next_multiple_of(ZEROS.len()) - written])
}

fn put_str(out: &mut Vec<u8>, s: &str) {
    out.extend((s.len() as u64).to_le_bytes());
    out.extend(s.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(v) => out.extend(v.to_le_bytes()),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push((*v).into()),
        Value::Str(v) => put_str(out, v),
        Value::Array(v) => put_array(out, v),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend((array.value_type() as u32).to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::U8(a) => out.extend(a),
        Array::I8(a) => out.extend(a.iter().flat_map(|v| v.to_le_bytes())),
        Array::U16(a) => out.extend(a.iter().flat_map(|v| v.to_le_bytes())),
        Array::I16(a) => out.extend(a.iter().flat_map(|v| v.to_le_bytes())),
        Array::U32(a) => out.extend(a.iter().flat_map(|v| v.to_le_bytes())),
        Array::I32(a) => out.extend(a.iter().flat_map(|v| v.to_le_bytes())),
        Array::F32(a) => out.extend(a.iter().flat_map(|v| v.to_le_bytes())),
        Array::Bool(a) => out.extend(a.iter().map(|&v| u8::from(v))),
        Array::Str(a) => a.iter().for_each(|s| put_str(out, s)),
        Array::Array(a) => a.iter().for_each(|inner| put_array(out, inner)),
        Array::U64(a) => out.extend(a.iter().flat_map(|v| v.to_le_bytes())),
        Array::I64(a) => out.extend(a.iter().flat_map(|v| v.to_le_bytes())),
        Array::F64(a) => out.extend(a.iter().flat_map(|v| v.to_le_bytes())),
    }
}
