//! Why a GGUF file was refused.

use std::path::PathBuf;

/// Why a GGUF file was refused: which field, what was found, what is allowed, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file could not be opened.
    #[error("cannot open model file {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A part of the file could not be read.
    #[error("the file cannot be read at offset {offset}: {source}; check the disk, or download the file again")]
    Read {
        /// Where.
        offset: usize,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file ended before its length at the time when it was opened.
    #[error(
        "the file became shorter while it was read: {needed} bytes at offset {offset} are gone; load it again when nothing writes to it"
    )]
    BecameShorter {
        /// Where bytes were missing.
        offset: usize,
        /// Bytes that were to be read.
        needed: usize,
    },
    /// Somebody wrote to the file.
    #[error("the file was changed while it was read; load it again when nothing writes to it")]
    Changed,
    /// The path is a directory, a pipe or another thing that is no file.
    #[error("{} is not a regular file; give the path of one .gguf file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file does not begin with `GGUF`.
    #[error(
        "not a GGUF file: it begins with {found:02x?} instead of \"GGUF\"; convert the model to GGUF or download a .gguf file"
    )]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A big-endian file.
    #[error(
        "this is a big-endian GGUF file (version {version}); only little-endian files are read: convert it again without --bigendian"
    )]
    BigEndian {
        /// The version, after swapping its bytes.
        version: u32,
    },
    /// A version of the format that is not read.
    #[error(
        "GGUF version {found} is not supported (versions 2 and 3 are); convert the model again with a current converter"
    )]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// The file ends before a field does.
    #[error(
        "{field} needs {needed} bytes at offset {offset}, but the file has {available} left; it is truncated or damaged: download it again"
    )]
    Truncated {
        /// What was being read.
        field: String,
        /// Where.
        offset: usize,
        /// Bytes that the field needs.
        needed: u64,
        /// Bytes between `offset` and the end.
        available: usize,
    },
    /// A number above its limit.
    #[error("{field} is {found}, above the limit of {limit}; the file is damaged or hostile: download it again")]
    Limit {
        /// Which number.
        field: String,
        /// Its value.
        found: u64,
        /// The largest that is taken.
        limit: u64,
    },
    /// A field with a value that makes no sense.
    #[error("{field} is {found}; expected {expected}; the file is damaged or was written by a broken converter")]
    Invalid {
        /// Which field.
        field: String,
        /// Its value.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A tensor name that occurs twice.
    #[error("tensor '{name}' occurs twice; the file was written by a broken converter: convert it again")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A weight type without kernels.
    #[error(
        "tensor '{tensor}' has type {type_name} (id {type_id}), which is not supported; supported: {supported}; choose another quantisation of this model"
    )]
    TensorType {
        /// The tensor.
        tensor: String,
        /// Its type's number in the file.
        type_id: u32,
        /// ggml's name for it, or `unknown`.
        type_name: &'static str,
        /// The types that are read.
        supported: String,
    },
    /// A tensor's data lies outside of the file.
    #[error(
        "tensor '{tensor}' takes bytes {start} to {end} of the tensor data, which has {available}; the file is truncated or damaged: download it again"
    )]
    TensorOutOfFile {
        /// The tensor.
        tensor: String,
        /// First byte, from the start of the tensor data.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// Size of the tensor data.
        available: u64,
    },
    /// Two tensors share bytes.
    #[error("tensors '{first}' and '{second}' overlap in the file; it is damaged or hostile: download it again")]
    Overlap {
        /// The one with the lower offset.
        first: String,
        /// The other.
        second: String,
    },
    /// One part of a split model, in memory.
    #[error("this is part {part} of {count} of a split model; give the path of its file, beside which the others are")]
    Split {
        /// Which part, from 1.
        part: u32,
        /// How many parts.
        count: u32,
    },
    /// A part whose name does not say so.
    #[error(
        "this file is part {part} of {count} of a split model and is not called NAME-{part:05}-of-{count:05}.gguf, so that the others cannot be found; give the parts back their names, or join them: llama-gguf-split --merge FIRST-PART OUTPUT"
    )]
    SplitName {
        /// The file.
        path: PathBuf,
        /// Which part, from 1.
        part: u32,
        /// How many parts.
        count: u32,
    },
    /// Parts of a split model that are not there.
    #[error(
        "the model is split into {count} files, and beside this one there is no {names}; download what is missing into the same folder"
    )]
    MissingParts {
        /// The names of the missing.
        names: String,
        /// How many parts.
        count: u32,
    },
    /// A part that belongs to another model, or is another part than its name says.
    #[error("{} {problem}; the files are not the parts of one model: download all of them again", path.display())]
    WrongPart {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// Something is wrong in a part of a split model.
    #[error("{}: {source}", path.display())]
    Part {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<GgufError>,
    },
    /// A metadata key that is needed and missing.
    #[error(
        "metadata key '{key}' is missing; the file was written by an old or broken converter: convert the model again"
    )]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A metadata value of another type than needed.
    #[error(
        "metadata key '{key}' holds {found}; expected {expected}; convert the model again with a current converter"
    )]
    KeyType {
        /// The key.
        key: String,
        /// Type (and value, where it matters) in the file.
        found: String,
        /// Type that is needed.
        expected: &'static str,
    },
    /// A metadata value that is needed and cannot be used, as in [`Gguf::unusable`](super::Gguf::unusable).
    #[error(
        "metadata key '{key}' {problem}; the file is damaged or was written by a broken converter: convert the model again"
    )]
    Unusable {
        /// The key.
        key: String,
        /// What is wrong with its value.
        problem: String,
    },
    /// A value that cannot be written as GGUF.
    #[error("cannot write GGUF: {0}")]
    Write(String),
}
