//! What a GGUF file may at most hold.
//!
//! Each limit is far above what published models use. They exist so that a hostile or damaged file cannot make the reader
//! work or allocate without bound; besides them, every count is also held against the bytes that are left in the file.

/// Metadata entries. Published models have 20 to 60.
pub const MAX_METADATA: u64 = 65_536;
/// Tensors. The largest mixtures of experts have a few thousand.
pub const MAX_TENSORS: u64 = 131_072;
/// Files of a split model. The largest published have about a hundred.
pub const MAX_PARTS: u32 = 512;
/// Bytes of a metadata key (the specification's own limit is 2^16 - 1).
pub const MAX_KEY_BYTES: u64 = 65_535;
/// Bytes of a string value. The longest in use is a whole `tokenizer.json`, about 20 MB.
pub const MAX_STRING_BYTES: u64 = 64 << 20;
/// Elements of an array value. The largest in use are lists of BPE merges, about half a million.
pub const MAX_ARRAY_ELEMENTS: u64 = 1 << 24;
/// Arrays inside arrays.
pub const MAX_ARRAY_DEPTH: usize = 4;
/// Bytes of a tensor's name (ggml itself keeps 63).
pub const MAX_TENSOR_NAME_BYTES: u64 = 128;
/// Dimensions of a tensor.
pub const MAX_DIMENSIONS: u32 = 4;
/// Alignment of tensor data: a power of two up to this.
pub const MAX_ALIGNMENT: u32 = 1 << 20;
/// Alignment when the file has no `general.alignment`.
pub const DEFAULT_ALIGNMENT: u32 = 32;
/// Versions of the format that are read.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;
