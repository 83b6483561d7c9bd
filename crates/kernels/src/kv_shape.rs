//! What a layer keeps of a token.

use crate::simd::LANES;

/// How keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the variants are the formats' own names")]
#[non_exhaustive]
pub enum KvType {
    F32,
    #[default]
    F16,
    BF16,
}

impl KvType {
    pub(crate) fn bytes(self) -> usize {
        match self {
            KvType::F32 => 4,
            KvType::F16 | KvType::BF16 => 2,
        }
    }
}

/// The heads of one layer's keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvShape {
    /// How many there are.
    pub heads: usize,
    /// Numbers of one head's key of one token.
    pub dim: usize,
    /// How many of a key's first numbers are its value, if they are: then no values are stored. Else a value is as long as a key.
    pub latent: Option<usize>,
}

impl KvShape {
    /// Bytes of the keys and of the values of one block.
    pub(crate) fn bytes(self, block_len: usize, ty: KvType) -> Option<(usize, usize)> {
        let row = self.heads.checked_mul(block_len)?.checked_mul(ty.bytes())?;
        Some((row.checked_mul(self.dim)?, row.checked_mul(self.stored_value()?)?))
    }

    /// Numbers of one head's value of one token.
    pub(crate) fn value_dim(self) -> usize {
        self.latent.unwrap_or(self.dim)
    }

    /// Numbers that are stored for a value; `None` on overflow.
    fn stored_value(self) -> Option<usize> {
        if self.latent.is_some() { Some(0) } else { self.dim.checked_next_multiple_of(LANES) }
    }

    pub(crate) fn key_page(self, block_len: usize, ty: KvType) -> usize {
        block_len * self.dim * ty.bytes()
    }

    pub(crate) fn value_page(self, block_len: usize, ty: KvType) -> usize {
        block_len * self.stored_value().expect("the size of the cache was checked") * ty.bytes()
    }
}
