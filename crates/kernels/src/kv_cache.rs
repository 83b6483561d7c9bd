//! Keys and values of past tokens, in pages.

use crate::CpuLevel;
use crate::buffer::Buffer;
use crate::error::KernelError;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::team::{Disjoint, Team};
use half::bf16;

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

/// New rows of one sequence, and where its tokens live.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// The first of its rows in the batch.
    pub first_row: usize,
    /// How many rows it has.
    pub rows: usize,
    /// Tokens of the sequence that are in the cache already; row i is the token at position `past + i`.
    pub past: usize,
    /// The block table: the token at position p lives in `blocks[p / block_len]`.
    pub blocks: &'a [u32],
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
    fn bytes(self, block_len: usize, ty: KvType) -> Option<(usize, usize)> {
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

    fn key_page(self, block_len: usize, ty: KvType) -> usize {
        block_len * self.dim * ty.bytes()
    }

    fn value_page(self, block_len: usize, ty: KvType) -> usize {
        block_len * self.stored_value().expect("the size of the cache was checked") * ty.bytes()
    }
}

/// The paged cache of keys and values of all layers that have some of their own, each in its shape.
///
/// Layout of a block for one layer and KV head: keys `[block_len / 16][head_dim][16 tokens]`, so that the
/// lanes of a register are tokens; values `[block_len][head_dim, padded to 16]`, so that they are
/// dimensions. Where values are parts of keys there are keys alone.
pub struct KvCache {
    layers: Vec<Place>,
    blocks: usize,
    block_len: usize,
    ty: KvType,
    keys: Buffer,
    values: Buffer,
}

/// Where a layer's blocks lie.
#[derive(Clone, Copy)]
struct Place {
    shape: KvShape,
    /// Its first byte among the keys, and among the values.
    start: (usize, usize),
}

impl KvCache {
    /// A cache of `blocks` blocks of `block_len` tokens (16 or 32), for layers of these shapes. Without layers it takes no memory.
    ///
    /// # Errors
    /// If a size is zero, odd or not supported, or there is no memory for it.
    pub fn new(shapes: &[KvShape], blocks: usize, block_len: usize, ty: KvType) -> Result<KvCache, KernelError> {
        if block_len != 16 && block_len != 32 {
            return Err(KernelError::invalid("block_len", block_len, "use 16 or 32 tokens a block"));
        }
        if blocks == 0 {
            return Err(KernelError::invalid("blocks", blocks, "must be at least 1"));
        }
        for &KvShape { heads, dim, latent } in shapes {
            if heads == 0 {
                return Err(KernelError::invalid("kv_heads", heads, "must be at least 1"));
            }
            if dim == 0 || !dim.is_multiple_of(2) {
                return Err(KernelError::invalid("head_dim", dim, "must be even and at least 2"));
            }
            if let Some(latent) = latent.filter(|latent| !(1..=dim).contains(latent)) {
                return Err(KernelError::invalid(
                    "latent",
                    latent,
                    "a value has 1 number at least and no more than its key",
                ));
            }
        }
        if u32::try_from(blocks).is_err() {
            return Err(KernelError::invalid("blocks", blocks, "block numbers have 32 bits"));
        }
        let (mut layers, mut end) = (Vec::with_capacity(shapes.len()), (0, 0));
        for &shape in shapes {
            layers.push(Place { shape, start: end });
            let next = || {
                let (keys, values) = shape.bytes(block_len, ty)?;
                Some((blocks.checked_mul(keys)?.checked_add(end.0)?, blocks.checked_mul(values)?.checked_add(end.1)?))
            };
            end = next().ok_or_else(|| {
                let size = format!("{} layers, one of them {shape:?}, x {blocks} blocks", shapes.len());
                KernelError::invalid("KV cache size", size, "the size overflows; ask for fewer blocks")
            })?;
        }
        let remedy = "lower the KV cache budget";
        let keys = Buffer::zeroed(end.0, "the KV cache (keys)", remedy)?;
        let values = Buffer::zeroed(end.1, "the KV cache (values)", remedy)?;
        Ok(KvCache { layers, blocks, block_len, ty, keys, values })
    }

    /// Bytes that one block takes over all layers; `None` on overflow.
    pub fn bytes_per_block(shapes: &[KvShape], block_len: usize, ty: KvType) -> Option<usize> {
        shapes.iter().try_fold(0usize, |sum, shape| {
            let (keys, values) = shape.bytes(block_len, ty)?;
            sum.checked_add(keys)?.checked_add(values)
        })
    }

    /// The shapes of all layers.
    pub fn shapes(&self) -> impl ExactSizeIterator<Item = KvShape> {
        self.layers.iter().map(|place| place.shape)
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Tokens of a block.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// How keys and values are stored.
    pub fn kv_type(&self) -> KvType {
        self.ty
    }

    /// Bytes of memory that the cache takes.
    pub fn memory_bytes(&self) -> usize {
        self.keys.len() + self.values.len()
    }

    fn place(&self, layer: usize) -> Place {
        assert!(layer < self.layers.len(), "layer {layer} of {}", self.layers.len());
        self.layers[layer]
    }

    pub(crate) fn layer(&self, layer: usize) -> LayerView<'_> {
        let Place { shape, start } = self.place(layer);
        let (key_page, value_page) =
            (shape.key_page(self.block_len, self.ty), shape.value_page(self.block_len, self.ty));
        let pages = self.blocks * shape.heads;
        LayerView {
            keys: &self.keys.as_slice()[start.0..][..pages * key_page],
            values: &self.values.as_slice()[start.1..][..pages * value_page],
            key_page,
            value_page,
            shape,
            block_len: self.block_len,
        }
    }

    /// Copies a block in all layers.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn copy_block(&mut self, from: u32, to: u32) {
        let (from, to) = (from as usize, to as usize);
        assert!(from < self.blocks && to < self.blocks, "block {from} or {to} of {}", self.blocks);
        for Place { shape, start } in &self.layers {
            let key = shape.heads * shape.key_page(self.block_len, self.ty);
            let value = shape.heads * shape.value_page(self.block_len, self.ty);
            let copy = |bytes: &mut [u8], start: usize, len: usize| {
                bytes[start..].copy_within(from * len..(from + 1) * len, to * len);
            };
            copy(self.keys.as_mut_slice(), start.0, key);
            copy(self.values.as_mut_slice(), start.1, value);
        }
    }

    /// Panics unless every token of `spans` has a block and a row of its own in the batch of `rows` rows.
    pub(crate) fn check(&self, spans: &[Span<'_>], rows: usize) {
        let mut free = 0;
        for span in spans {
            let end = span.first_row.checked_add(span.rows).expect("the span's rows overflow");
            assert!(span.first_row >= free, "spans come in order and share no rows");
            free = end;
            assert!(end <= rows, "the span ends at row {end} of {rows}");
            let tokens = span.past.checked_add(span.rows).expect("the span's positions overflow");
            let needed = tokens.div_ceil(self.block_len);
            assert!(span.blocks.len() >= needed, "{tokens} tokens need {needed} blocks");
            let blocks = &span.blocks[..needed];
            assert!(blocks.iter().all(|&b| (b as usize) < self.blocks), "no such block");
        }
    }

    /// Stores the keys and values, `[rows][kv_heads][head_dim]`, of the spans' rows in `layer`; without values where they are
    /// parts of the keys.
    ///
    /// # Panics
    /// If a size, a row, a block or the layer does not exist, or two rows have the same place (then the
    /// place holds one of them).
    pub fn append(&mut self, team: &Team, layer: usize, spans: &[Span<'_>], k: &[f32], v: &[f32]) {
        self.append_at(CpuLevel::current(), team, layer, spans, k, v);
    }

    pub(crate) fn append_at(
        &mut self,
        level: CpuLevel,
        team: &Team,
        layer: usize,
        spans: &[Span<'_>],
        k: &[f32],
        v: &[f32],
    ) {
        let Place { shape, start } = self.place(layer);
        let KvShape { heads, dim, latent } = shape;
        let width = heads * dim;
        let values = if latent.is_some() { 0 } else { k.len() };
        assert!(v.len() == values && k.len().is_multiple_of(width), "k and v are no whole rows");
        self.check(spans, k.len() / width);
        let rows: usize = spans.iter().map(|span| span.rows).sum();
        let (block_len, ty) = (self.block_len, self.ty);
        let (key_page, value_page) = (shape.key_page(block_len, ty), shape.value_page(block_len, ty));
        let keys = Disjoint::new(self.keys.as_mut_slice());
        let values = Disjoint::new(self.values.as_mut_slice());
        // One head at a time: a page belongs to one head, so threads never share a page.
        let per_head = |head: usize| {
            for span in spans {
                for row in 0..span.rows {
                    let position = span.past + row;
                    let block = span.blocks[position / block_len] as usize;
                    let page = block * heads + head;
                    let (key, value) = (start.0 + page * key_page, start.1 + page * value_page);
                    let at = (span.first_row + row) * width + head * dim;
                    // SAFETY: only this thread touches pages of this head, one at a time.
                    let (keys, values) =
                        unsafe { (keys.part(key..key + key_page), values.part(value..value + value_page)) };
                    let slot = position % block_len;
                    let (k, v) = (&k[at..at + dim], v.get(at..at + dim));
                    dispatch(level, Store { ty, slot, k, v, keys, values });
                }
            }
        };
        // a few microseconds of work are not worth a region
        let grain = if rows * width < 8_192 { heads } else { 1 };
        team.for_chunks(heads, grain, &|range| range.for_each(per_head));
    }
}

/// One token of one head into its page.
struct Store<'a> {
    ty: KvType,
    slot: usize,
    k: &'a [f32],
    v: Option<&'a [f32]>,
    keys: &'a mut [u8],
    values: &'a mut [u8],
}

impl Kernel for Store<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let dim = self.k.len();
        let (group, lane) = (self.slot / LANES, self.slot % LANES);
        for (part, k) in self.k.chunks(LANES).enumerate() {
            let first = (group * dim + part * LANES) * LANES + lane;
            if self.ty == KvType::F32 {
                for (d, k) in k.iter().enumerate() {
                    let at = (first + d * LANES) * 4;
                    self.keys[at..at + 4].copy_from_slice(&k.to_ne_bytes());
                }
            } else {
                for (d, half) in halves(s, self.ty, k).iter().enumerate().take(k.len()) {
                    let at = (first + d * LANES) * 2;
                    self.keys[at..at + 2].copy_from_slice(&half.to_ne_bytes());
                }
            }
        }
        for (part, v) in self.v.unwrap_or_default().chunks(LANES).enumerate() {
            let first = self.slot * dim.next_multiple_of(LANES) + part * LANES;
            if self.ty == KvType::F32 {
                self.values[first * 4..][..v.len() * 4].copy_from_slice(bytemuck::cast_slice(v));
            } else {
                // the padding of the last part is stored too: zeros
                let halves = halves(s, self.ty, v);
                self.values[first * 2..][..2 * LANES].copy_from_slice(bytemuck::cast_slice(&halves));
            }
        }
    }
}

/// Up to sixteen values as f16 or bf16.
#[inline(always)]
fn halves<S: Simd>(s: S, ty: KvType, x: &[f32]) -> [u16; LANES] {
    let mut out = [0; LANES];
    if ty == KvType::F16 {
        // SAFETY: x has x.len() <= 16 floats and out sixteen places.
        unsafe { s.store_f16(s.load_part(x.as_ptr(), x.len()), out.as_mut_ptr()) };
    } else {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = bf16::from_f32(x).to_bits();
        }
    }
    out
}

/// The pages of one layer.
#[derive(Clone, Copy)]
pub(crate) struct LayerView<'a> {
    keys: &'a [u8],
    values: &'a [u8],
    key_page: usize,
    value_page: usize,
    shape: KvShape,
    block_len: usize,
}

impl LayerView<'_> {
    /// The keys `[head_dim][16]` of the sixteen tokens from `position` on, which is a multiple of 16.
    #[inline(always)]
    pub fn keys(&self, table: &[u32], head: usize, position: usize) -> *const u8 {
        let page = table[position / self.block_len] as usize * self.shape.heads + head;
        let group = position % self.block_len / LANES;
        let len = self.key_page / (self.block_len / LANES);
        let at = page * self.key_page + group * len;
        self.keys[at..at + len].as_ptr()
    }

    /// The values `[16][head_dim padded to 16]` of the sixteen tokens from `position` on.
    #[inline(always)]
    pub fn values(&self, table: &[u32], head: usize, position: usize) -> *const u8 {
        let page = table[position / self.block_len] as usize * self.shape.heads + head;
        let group = position % self.block_len / LANES;
        let len = self.value_page / (self.block_len / LANES);
        let at = page * self.value_page + group * len;
        self.values[at..at + len].as_ptr()
    }

    pub fn shape(&self) -> KvShape {
        self.shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_sizes_are_errors() {
        let new = |layers, heads, dim, blocks, len| {
            let shape = KvShape { heads, dim, latent: None };
            KvCache::new(&vec![shape; layers], blocks, len, KvType::F16).map(|cache| cache.blocks())
        };
        assert_eq!(new(2, 3, 64, 5, 16), Ok(5));
        assert_eq!(new(0, 3, 64, 5, 16), Ok(5));
        for (layers, heads, dim, blocks, len) in [
            (1, 0, 64, 1, 16),
            (1, 1, 0, 1, 16),
            (1, 1, 63, 1, 16),
            (1, 1, 64, 0, 16),
            (1, 1, 64, 1, 0),
            (1, 1, 64, 1, 8),
            (1, 1, 64, 1, 64),
            (1, 1, 64, usize::MAX, 16),
            (2, usize::MAX, 64, 1, 16),
            (2, 2, usize::MAX - 1, 2, 32),
        ] {
            assert!(matches!(new(layers, heads, dim, blocks, len), Err(KernelError::Invalid { .. })));
        }
        for latent in [0, 65, usize::MAX] {
            let shape = KvShape { heads: 1, dim: 64, latent: Some(latent) };
            assert!(matches!(KvCache::new(&[shape], 1, 16, KvType::F16), Err(KernelError::Invalid { .. })));
        }
        // the size can be said but not had
        let huge = new(1 << 10, 1 << 20, 128, u32::MAX as usize, 16);
        assert!(matches!(huge, Err(KernelError::OutOfMemory { .. } | KernelError::Invalid { .. })));
    }

    #[test]
    fn the_price_of_a_block_is_what_it_takes() {
        for ty in [KvType::F32, KvType::F16, KvType::BF16] {
            for dim in [2, 64, 80, 100] {
                let shape = KvShape { heads: 2, dim, latent: None };
                let shapes = [shape, KvShape { heads: 5, dim: 6, ..shape }, KvShape { latent: Some(2), ..shape }];
                let cache = KvCache::new(&shapes, 7, 32, ty).unwrap();
                let price = KvCache::bytes_per_block(&shapes, 32, ty).unwrap();
                assert_eq!(cache.memory_bytes(), 7 * price);
            }
        }
        let endless = [KvShape { heads: usize::MAX, dim: 64, latent: None }];
        assert_eq!(KvCache::bytes_per_block(&endless, 16, KvType::F16), None);
        assert_eq!(KvCache::new(&[], 7, 16, KvType::F16).unwrap().memory_bytes(), 0, "no layer has keys");
    }

    #[test]
    fn values_that_are_parts_of_keys_take_no_memory() {
        let latent = KvShape { heads: 1, dim: 576, latent: Some(512) };
        let bytes = |shape| KvCache::bytes_per_block(&[shape], 16, KvType::F16).unwrap();
        assert_eq!(bytes(latent), 16 * 576 * 2);
        assert_eq!(bytes(KvShape { latent: None, ..latent }), 2 * bytes(latent));
    }

    #[test]
    fn a_copied_block_has_the_same_tokens_in_every_layer() {
        let team = Team::new(1);
        let shape = KvShape { heads: 2, dim: 6, latent: None };
        let shapes = [shape, KvShape { heads: 1, dim: 20, latent: Some(18) }, KvShape { heads: 1, dim: 20, ..shape }];
        let mut cache = KvCache::new(&shapes, 3, 16, KvType::BF16).unwrap();
        let span = Span { first_row: 0, rows: 16, past: 0, blocks: &[2] };
        for (layer, shape) in shapes.iter().enumerate() {
            let rows: Vec<f32> = (0..16 * shape.heads * shape.dim).map(|i| i as f32).collect();
            cache.append(&team, layer, &[span], &rows, if shape.latent.is_some() { &[] } else { &rows });
        }
        cache.copy_block(2, 0);
        for (layer, shape) in shapes.iter().enumerate() {
            let view = cache.layer(layer);
            let (key, value) = (shape.heads * view.key_page, shape.heads * view.value_page);
            assert_eq!(view.keys[..key], view.keys[2 * key..3 * key]);
            assert_eq!(view.values[..value], view.values[2 * value..3 * value]);
            assert!(view.keys[key..2 * key].iter().all(|&byte| byte == 0));
            assert!(view.keys[..key].iter().any(|&byte| byte != 0));
        }
    }
}
