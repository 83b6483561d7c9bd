//! Keys and values of past tokens, in pages.

use crate::CpuLevel;
use crate::buffer::Buffer;
use crate::error::KernelError;
use crate::kv_layout::{GroupPlace, KvLayout};
use crate::kv_shape::{KvShape, KvType};
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::team::{Disjoint, Team};
use half::bf16;

/// New rows of one sequence, and where its tokens live.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// The first of its rows in the batch.
    pub first_row: usize,
    /// How many rows it has.
    pub rows: usize,
    /// Tokens of the sequence that are in the cache already; row i is the token at position `past + i`.
    pub past: usize,
    /// The block table: in a cache of `groups` groups, what group g has of the token at position p lives in
    /// `blocks[p / block_len * groups + g]`. Blocks that no row reads any more may be named by any number.
    pub blocks: &'a [u32],
}

/// The paged cache of keys and values of all layers that have some of their own, each in its shape.
///
/// A block belongs to one group of layers, see [`KvLayout`], and has a place for each layer of it.
/// Layout of a block for one layer and KV head: keys `[block_len / 16][head_dim][16 tokens]`, so that the
/// lanes of a register are tokens; values `[block_len][head_dim, padded to 16]`, so that they are
/// dimensions. Where values are parts of keys there are keys alone.
pub struct KvCache {
    layout: KvLayout,
    ranks: Vec<Rank>,
    blocks: usize,
    block_len: usize,
    ty: KvType,
    keys: Buffer,
    values: Buffer,
}

/// Where the layers of one rank have their blocks: one layer of each group.
#[derive(Clone, Copy)]
struct Rank {
    /// The first byte among the keys, and among the values.
    start: (usize, usize),
    /// Bytes from one block to the next, among the keys and among the values.
    stride: (usize, usize),
}

impl KvCache {
    /// A cache of `blocks` blocks of `block_len` tokens (16 or 32). Without layers it takes no memory.
    ///
    /// # Errors
    /// If a size is zero, odd or not supported, or there is no memory for it.
    pub fn new(layout: KvLayout, blocks: usize, block_len: usize, ty: KvType) -> Result<KvCache, KernelError> {
        if block_len != 16 && block_len != 32 {
            return Err(KernelError::invalid("block_len", block_len, "use 16 or 32 tokens a block"));
        }
        if blocks == 0 {
            return Err(KernelError::invalid("blocks", blocks, "must be at least 1"));
        }
        for KvShape { heads, dim, latent } in layout.places().iter().map(|place| place.shape) {
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
        let overflow = || {
            let size = format!("{} layers in {} groups x {blocks} blocks", layout.places().len(), layout.groups());
            KernelError::invalid("KV cache size", size, "the size overflows; ask for fewer blocks")
        };
        let (mut ranks, mut end) = (Vec::new(), (0usize, 0usize));
        for stride in layout.ranks(block_len, ty).ok_or_else(overflow)? {
            ranks.push(Rank { start: end, stride });
            let after = |start: usize, stride: usize| blocks.checked_mul(stride)?.checked_add(start);
            end = after(end.0, stride.0).zip(after(end.1, stride.1)).ok_or_else(overflow)?;
        }
        let remedy = "lower the KV cache budget";
        let keys = Buffer::zeroed(end.0, "the KV cache (keys)", remedy)?;
        let values = Buffer::zeroed(end.1, "the KV cache (values)", remedy)?;
        Ok(KvCache { layout, ranks, blocks, block_len, ty, keys, values })
    }

    /// Which layers share a block.
    pub fn layout(&self) -> &KvLayout {
        &self.layout
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

    fn place(&self, layer: usize) -> (GroupPlace, Rank) {
        let places = self.layout.places();
        assert!(layer < places.len(), "layer {layer} of {}", places.len());
        (places[layer], self.ranks[places[layer].rank])
    }

    pub(crate) fn layer(&self, layer: usize) -> LayerView<'_> {
        let (GroupPlace { shape, group, .. }, Rank { start, stride }) = self.place(layer);
        LayerView {
            keys: &self.keys.as_slice()[start.0..][..self.blocks * stride.0],
            values: &self.values.as_slice()[start.1..][..self.blocks * stride.1],
            stride,
            key_page: shape.key_page(self.block_len, self.ty),
            value_page: shape.value_page(self.block_len, self.ty),
            shape,
            block_len: self.block_len,
            group,
            groups: self.layout.groups(),
        }
    }

    /// Copies a block.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn copy_block(&mut self, from: u32, to: u32) {
        let (from, to) = (from as usize, to as usize);
        assert!(from < self.blocks && to < self.blocks, "block {from} or {to} of {}", self.blocks);
        for Rank { start, stride } in &self.ranks {
            let copy = |bytes: &mut [u8], start: usize, len: usize| {
                bytes[start..].copy_within(from * len..(from + 1) * len, to * len);
            };
            copy(self.keys.as_mut_slice(), start.0, stride.0);
            copy(self.values.as_mut_slice(), start.1, stride.1);
        }
    }

    /// Panics unless every token of `spans` that a row of `layer` may read has a block, and each row its place in the batch of `rows` rows.
    pub(crate) fn check(&self, layer: usize, spans: &[Span<'_>], rows: usize) {
        let (groups, group) = (self.layout.groups(), self.place(layer).0.group);
        let reach = self.layout.reaches()[group];
        let mut free = 0;
        for span in spans {
            let end = span.first_row.checked_add(span.rows).expect("the span's rows overflow");
            assert!(span.first_row >= free, "spans come in order and share no rows");
            free = end;
            assert!(end <= rows, "the span ends at row {end} of {rows}");
            let tokens = span.past.checked_add(span.rows).expect("the span's positions overflow");
            let needed = tokens.div_ceil(self.block_len);
            assert!(span.blocks.len() / groups >= needed, "{tokens} tokens need {needed} blocks of {groups} groups");
            let first = KvLayout::first_read(reach, span.past) / self.block_len;
            let mut blocks = span.blocks.iter().skip(group).step_by(groups).take(needed).skip(first);
            assert!(blocks.all(|&b| (b as usize) < self.blocks), "no such block");
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
        let (GroupPlace { shape, group, .. }, Rank { start, stride }) = self.place(layer);
        let KvShape { heads, dim, latent } = shape;
        let width = heads * dim;
        let values = if latent.is_some() { 0 } else { k.len() };
        assert!(v.len() == values && k.len().is_multiple_of(width), "k and v are no whole rows");
        self.check(layer, spans, k.len() / width);
        let rows: usize = spans.iter().map(|span| span.rows).sum();
        let (block_len, ty, groups) = (self.block_len, self.ty, self.layout.groups());
        let (key_page, value_page) = (shape.key_page(block_len, ty), shape.value_page(block_len, ty));
        let keys = Disjoint::new(self.keys.as_mut_slice());
        let values = Disjoint::new(self.values.as_mut_slice());
        // One head at a time: a page belongs to one head, so threads never share a page.
        let per_head = |head: usize| {
            for span in spans {
                for row in 0..span.rows {
                    let position = span.past + row;
                    let block = span.blocks[position / block_len * groups + group] as usize;
                    let key = start.0 + block * stride.0 + head * key_page;
                    let value = start.1 + block * stride.1 + head * value_page;
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
    /// Bytes from one block to the next.
    stride: (usize, usize),
    key_page: usize,
    value_page: usize,
    shape: KvShape,
    block_len: usize,
    group: usize,
    groups: usize,
}

impl LayerView<'_> {
    /// The block of the token at a position.
    #[inline(always)]
    fn block(&self, table: &[u32], position: usize) -> usize {
        table[position / self.block_len * self.groups + self.group] as usize
    }

    /// The keys `[head_dim][16]` of the sixteen tokens from `position` on, which is a multiple of 16.
    #[inline(always)]
    pub fn keys(&self, table: &[u32], head: usize, position: usize) -> *const u8 {
        let lanes = position % self.block_len / LANES;
        let len = self.key_page / (self.block_len / LANES);
        let at = self.block(table, position) * self.stride.0 + head * self.key_page + lanes * len;
        self.keys[at..at + len].as_ptr()
    }

    /// The values `[16][head_dim padded to 16]` of the sixteen tokens from `position` on.
    #[inline(always)]
    pub fn values(&self, table: &[u32], head: usize, position: usize) -> *const u8 {
        let lanes = position % self.block_len / LANES;
        let len = self.value_page / (self.block_len / LANES);
        let at = self.block(table, position) * self.stride.1 + head * self.value_page + lanes * len;
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
            let layout = KvLayout::reading_all(&vec![KvShape { heads, dim, latent: None }; layers]);
            KvCache::new(layout, blocks, len, KvType::F16).map(|cache| cache.blocks())
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
            assert!(matches!(
                KvCache::new(KvLayout::reading_all(&[shape]), 1, 16, KvType::F16),
                Err(KernelError::Invalid { .. })
            ));
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
                let layout = KvLayout::reading_all(&shapes);
                let price = layout.bytes_per_block(32, ty).unwrap();
                let cache = KvCache::new(layout, 7, 32, ty).unwrap();
                assert_eq!(cache.memory_bytes(), 7 * price);
            }
        }
        let none = KvCache::new(KvLayout::reading_all(&[]), 7, 16, KvType::F16).unwrap();
        assert_eq!(none.memory_bytes(), 0, "no layer has keys");
    }

    #[test]
    fn values_that_are_parts_of_keys_take_no_memory() {
        let latent = KvShape { heads: 1, dim: 576, latent: Some(512) };
        let bytes = |shape| KvLayout::reading_all(&[shape]).bytes_per_block(16, KvType::F16).unwrap();
        assert_eq!(bytes(latent), 16 * 576 * 2);
        assert_eq!(bytes(KvShape { latent: None, ..latent }), 2 * bytes(latent));
    }

    #[test]
    fn a_copied_block_has_the_same_tokens_in_every_layer() {
        let team = Team::new(1);
        let shape = KvShape { heads: 2, dim: 6, latent: None };
        let shapes = [shape, KvShape { heads: 1, dim: 20, latent: Some(18) }, KvShape { heads: 1, dim: 20, ..shape }];
        let mut cache = KvCache::new(KvLayout::reading_all(&shapes), 3, 16, KvType::BF16).unwrap();
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
