//! Values that are parts of keys, laid out as values.

use super::CHUNK;
use crate::CpuLevel;
use crate::kv_cache::LayerView;
use crate::kv_shape::KvType;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use std::cell::RefCell;
use std::ops::Range;

thread_local! {
    /// The values of a chunk. A thread keeps the memory: 64 KiB for latents of 512 numbers in 16 bits.
    static VALUES: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// The values of a chunk's tokens, `[tokens][value_dim, padded to 16]`.
#[derive(Clone, Copy)]
pub(super) struct Latents<'a> {
    values: &'a [u8],
    /// Bytes of a token.
    stride: usize,
}

impl Latents<'_> {
    /// Those of sixteen tokens; the first is counted from the chunk's.
    #[inline(always)]
    pub fn values(&self, first: usize) -> *const u8 {
        self.values[first * self.stride..][..LANES * self.stride].as_ptr()
    }
}

/// The keys of a chunk of which values are parts.
pub(super) struct LatentKeys<'a> {
    pub ty: KvType,
    pub view: LayerView<'a>,
    pub table: &'a [u32],
    pub kv_head: usize,
    /// Their positions, from a multiple of 16 on.
    pub positions: Range<usize>,
}

impl LatentKeys<'_> {
    /// Takes the values out of the keys, and calls `f` with them.
    pub fn with_values(self, level: CpuLevel, f: impl FnOnce(Latents<'_>)) {
        let width = self.view.shape().value_dim().next_multiple_of(LANES);
        let ty = self.ty;
        VALUES.with_borrow_mut(|values| {
            let len = CHUNK * width * ty.bytes() / size_of::<u32>();
            if values.len() < len {
                values.resize(len, 0);
            }
            dispatch(level, LayOut { keys: self, width, values });
            f(Latents { values: bytemuck::cast_slice(values), stride: width * ty.bytes() });
        });
    }
}

struct LayOut<'a> {
    keys: LatentKeys<'a>,
    /// Places of a value. Those behind it hold what comes along; nobody reads the sums of these.
    width: usize,
    values: &'a mut [u32],
}

impl Kernel for LayOut<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let LayOut { keys, width, values } = self;
        let shape = keys.view.shape();
        let value_dim = shape.value_dim();
        for token in (0..keys.positions.len()).step_by(LANES) {
            let from = keys.view.keys(keys.table, keys.kv_head, keys.positions.start + token);
            let to = token * width..(token + LANES) * width;
            if keys.ty == KvType::F32 {
                // SAFETY: `keys` gave [dim][16] elements, and a value has no more than a key.
                unsafe { transpose_plainly(from.cast::<u32>(), 0..value_dim, &mut values[to], width) };
                continue;
            }
            let to = &mut bytemuck::cast_slice_mut::<u32, u16>(values)[to];
            for first in (0..value_dim).step_by(LANES) {
                let from = from.cast::<u16>();
                if first + LANES <= shape.dim {
                    // SAFETY: `keys` gave [dim][16] elements; `to` has sixteen rows of `width`, which is first + 16 at least.
                    unsafe { s.transpose(from.add(first * LANES), to.as_mut_ptr().add(first), width) };
                } else {
                    // SAFETY: as above, and a value has no more than a key.
                    unsafe { transpose_plainly(from, first..value_dim, to, width) };
                }
            }
        }
    }
}

/// Columns of `to`, sixteen rows of `width` elements, of rows of `from`.
///
/// # Safety
/// `from` has these rows of sixteen elements.
#[inline(always)]
unsafe fn transpose_plainly<T: Copy>(from: *const T, which: Range<usize>, to: &mut [T], width: usize) {
    for (token, to) in to.chunks_exact_mut(width).enumerate() {
        for d in which.clone() {
            // SAFETY: by the caller's promise, and there are sixteen tokens.
            to[d] = unsafe { from.add(d * LANES + token).read_unaligned() };
        }
    }
}
