//! Tables of tokens.

use parkade_kernels::{KernelError, WeightType, dequantize};

use crate::TokenId;
use crate::error::ModelError;
use crate::loader::Loader;

/// A table of tokens in the file's form: only the rows that are asked for are ever unpacked.
pub(super) struct Table {
    bytes: Vec<u8>,
    ty: WeightType,
    row_bytes: usize,
}

impl Table {
    /// Loads a table of `cols` values for each token.
    pub(super) fn load(loader: &Loader<'_>, name: &str, cols: usize, vocab: usize) -> Result<Table, ModelError> {
        let (ty, bytes) = loader.bytes(name, cols, vocab)?;
        Ok(Table { row_bytes: bytes.len() / vocab, bytes, ty })
    }

    /// Memory that it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The values of a token, which must be below the vocabulary's size.
    pub(super) fn row(&self, token: TokenId, out: &mut [f32]) -> Result<(), ModelError> {
        let bytes = &self.bytes[token as usize * self.row_bytes..][..self.row_bytes];
        dequantize(self.ty, bytes, out).map_err(|source| failed(token, source))
    }
}

/// The error about a row that could not be unpacked.
pub(super) fn failed(token: TokenId, source: KernelError) -> ModelError {
    ModelError::Kernel { what: format!("embedding of token {token}"), source }
}
