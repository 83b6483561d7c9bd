//! What can go wrong.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use parkade_model::gguf::GgufError;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// No shape has that name.
    #[error("there is no shape '{name}'; shapes are {known}")]
    Shape {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No type has that name.
    #[error("there is no type '{name}'; types are {known}")]
    Type {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A tensor cannot have its shape in its type.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The disk is full.
    #[error("{}: the disk is full; the file needs {bytes} bytes. Free some, or divide the layers with --scale", path.display())]
    Full {
        /// Where the file would be.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Where the file would be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SynthError {
    /// Why a file of so many bytes cannot be written.
    pub(crate) fn writing(path: PathBuf, bytes: u64, source: io::Error) -> SynthError {
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => SynthError::Full { path, bytes },
            _ => SynthError::Write { path, source },
        }
    }

    /// Whether what was asked for does not exist.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, SynthError::Shape { .. } | SynthError::Type { .. })
    }
}
