#![allow(clippy::needless_range_loop, reason = "a row or register number indexes several arrays at once")]

use super::Scoring;
use super::latents::Latents;
use crate::kv_cache::LayerView;
use crate::kv_layout::CHUNK;
use crate::simd::{Kernel, LANES, RowKernel, Simd};
use std::ops::Range;

/// Some query rows over keys of one split.
pub(super) struct Rows<'a> {
    pub q: &'a [f32],
    pub heads: usize,
    pub group: usize,
    /// The span's first row of the batch, and its tokens before that.
    pub first_row: usize,
    pub past: usize,
    /// The sequence's tokens, those of the span included.
    pub tokens: usize,
    /// The first row of the tile, numbered (token, head of the group) within the span.
    pub first: usize,
    pub kv_head: usize,
    pub view: LayerView<'a>,
    pub table: &'a [u32],
    /// The positions that are taken in now, from a multiple of [`CHUNK`] on.
    pub positions: Range<usize>,
    /// Whether they are the first of the split.
    pub is_first: bool,
    /// The values of these tokens where they are parts of keys.
    pub latents: Option<Latents<'a>>,
    pub scoring: Scoring<'a>,
    /// Per row: weighted values (padded), the weights in sixteen sums, then sixteen places of which two are
    /// used: the largest score and the sum of the weights.
    pub part: &'a mut [f32],
    pub row_len: usize,
}

/// [`Rows`] over keys and values stored as `T`, one of the constants in `simd`.
pub(super) struct RowsOf<'a, const T: u8>(pub Rows<'a>);

impl<const T: u8> RowKernel for RowsOf<'_, T> {
    #[inline(always)]
    fn rows<S: Simd, const M: usize>(&mut self, s: S) {
        let rows = &mut self.0;
        let dim = rows.view.shape().dim;
        let padded = rows.row_len - 2 * LANES;
        assert!(padded == rows.view.shape().value_dim().next_multiple_of(LANES) && rows.part.len() == M * rows.row_len);
        let mut q = [std::ptr::null::<f32>(); M];
        let mut position = [0; M];
        for r in 0..M {
            let (token, head) = ((rows.first + r) / rows.group, (rows.first + r) % rows.group);
            let at = ((rows.first_row + token) * rows.heads + rows.kv_head * rows.group + head) * dim;
            q[r] = rows.q[at..at + dim].as_ptr();
            position[r] = rows.past + token;
        }
        // positions ascend
        let end = rows.scoring.to(position[M - 1], rows.tokens).min(rows.positions.end);
        let begin = rows.scoring.from(position[0]).max(rows.positions.start);
        let mut largest = [f32::NEG_INFINITY; M];
        let mut weights = [s.float(0.0); M];
        if rows.is_first {
            rows.part.fill(0.0);
        } else {
            for (r, part) in rows.part.chunks_exact(rows.row_len).enumerate() {
                largest[r] = part[padded + LANES];
                // SAFETY: sixteen sums are behind the values.
                weights[r] = unsafe { s.load(part[padded..padded + LANES].as_ptr()) };
            }
        }
        let mut chunk = begin / CHUNK * CHUNK;
        while chunk < end {
            let keys = (end - chunk).min(CHUNK);
            let mut scores = [[0.0f32; CHUNK]; M];
            score_chunk::<S, T, M>(s, rows, &q, chunk, keys, &mut scores);
            if let Some(slopes) = rows.scoring.slopes {
                slant::<S, M>(s, rows, slopes, &position, chunk, &mut scores);
            }
            let mut scale = rows.scoring.scale;
            if let Some(cap) = rows.scoring.soft_cap {
                cap_scores::<S, M>(s, scale, cap, &mut scores);
                scale = 1.0;
            }
            let fade = soften::<S, M>(s, rows, scale, &position, chunk, &mut scores, &mut largest, &mut weights);
            add_values::<S, T, M>(s, rows, chunk, keys, &scores, &fade);
            chunk += CHUNK;
        }
        for (r, part) in rows.part.chunks_exact_mut(rows.row_len).enumerate() {
            // SAFETY: as above.
            unsafe { s.store(weights[r], part[padded..padded + LANES].as_mut_ptr()) };
            part[padded + LANES] = largest[r];
            part[padded + LANES + 1] = s.sum(weights[r]);
        }
    }
}

/// How many registers of `M` rows' sums are kept at once.
#[inline(always)]
fn vectors<S: Simd, const M: usize>() -> usize {
    if 4 * M <= S::SUMS {
        4
    } else if 2 * M <= S::SUMS {
        2
    } else {
        1
    }
}

/// Dot products of the queries with the first `keys` keys of a chunk; lanes are keys.
#[inline(always)]
fn score_chunk<S: Simd, const T: u8, const M: usize>(
    s: S,
    rows: &Rows<'_>,
    q: &[*const f32; M],
    chunk: usize,
    keys: usize,
    scores: &mut [[f32; CHUNK]; M],
) {
    let dim = rows.view.shape().dim;
    let groups = keys.div_ceil(LANES);
    let step = vectors::<S, M>();
    let mut group = 0;
    while group < groups {
        let mut keys = [std::ptr::null::<u8>(); 4];
        for v in 0..step {
            // past the end the last group is read again; its scores are masked
            let position = chunk + (group + v).min(groups - 1) * LANES;
            keys[v] = rows.view.keys(rows.table, rows.kv_head, position);
        }
        let mut sums = [[s.float(0.0); 4]; M];
        for d in 0..dim {
            let mut k = [s.float(0.0); 4];
            for v in 0..step {
                // SAFETY: `keys` gave [dim][16] elements.
                k[v] = unsafe { s.load_as::<T>(keys[v], d * LANES) };
            }
            for r in 0..M {
                // SAFETY: a query has dim values.
                let q = s.float(unsafe { *q[r].add(d) });
                for v in 0..step {
                    sums[r][v] = s.fma(k[v], q, sums[r][v]);
                }
            }
        }
        for r in 0..M {
            for v in 0..step {
                // SAFETY: group + v < 4, because step divides 4.
                unsafe { s.store(sums[r][v], scores[r].as_mut_ptr().add((group + v) * LANES)) };
            }
        }
        group += step;
    }
}

/// The numbers of a chunk's keys.
const INDEX: [f32; CHUNK] = {
    let mut index = [0.0; CHUNK];
    let mut at = 0;
    while at < CHUNK {
        index[at] = at as f32;
        at += 1;
    }
    index
};

/// Takes off what ALiBi does: the slope of the row's head times the distance of the key. The scores are still to be scaled.
#[inline(always)]
fn slant<S: Simd, const M: usize>(
    s: S,
    rows: &Rows<'_>,
    slopes: &[f32],
    position: &[usize; M],
    chunk: usize,
    scores: &mut [[f32; CHUNK]; M],
) {
    for r in 0..M {
        let head = rows.kv_head * rows.group + (rows.first + r) % rows.group;
        let slope = s.float(-slopes[head] / rows.scoring.scale);
        let own = s.float(position[r] as f32 - chunk as f32);
        for v in 0..CHUNK / LANES {
            // SAFETY: both arrays have CHUNK floats.
            unsafe {
                let (index, score) = (INDEX.as_ptr().add(v * LANES), scores[r].as_mut_ptr().add(v * LANES));
                let index = s.load(index);
                let distance = s.max(s.sub(index, own), s.sub(own, index));
                s.store(s.fma(distance, slope, s.load(score)), score);
            }
        }
    }
}

/// Scales the scores and bounds them softly.
#[inline(always)]
fn cap_scores<S: Simd, const M: usize>(s: S, scale: f32, cap: f32, scores: &mut [[f32; CHUNK]; M]) {
    let (cap, scale) = (s.float(cap), s.float(scale / cap));
    for lanes in scores.iter_mut().flat_map(|scores| scores.chunks_exact_mut(LANES)) {
        // SAFETY: the chunk has sixteen floats.
        unsafe {
            let capped = s.mul(s.tanh(s.mul(s.load(lanes.as_ptr()), scale)), cap);
            s.store(capped, lanes.as_mut_ptr());
        }
    }
}

/// One step of the online softmax: turns the rows' scores into weights relative to the largest score so
/// far. Returns the factors by which everything before fades. Keys that a row does not see get weight 0.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "an inlined inner loop")]
fn soften<S: Simd, const M: usize>(
    s: S,
    rows: &Rows<'_>,
    scale: f32,
    position: &[usize; M],
    chunk: usize,
    scores: &mut [[f32; CHUNK]; M],
    largest: &mut [f32; M],
    weights: &mut [S::F; M],
) -> [f32; LANES] {
    let minus_infinity = s.float(f32::NEG_INFINITY);
    let scale = s.float(scale);
    let mut fade = [0.0; LANES];
    let mut reference = [0.0; M];
    for r in 0..M {
        let from = rows.scoring.from(position[r]).saturating_sub(chunk).min(CHUNK);
        let to = rows.scoring.to(position[r], rows.tokens).saturating_sub(chunk).min(CHUNK);
        let (from, to) = (s.float(from as f32), s.float(to as f32));
        let mut lanes = [minus_infinity; CHUNK / LANES];
        for (v, lane) in lanes.iter_mut().enumerate() {
            // SAFETY: both arrays have CHUNK floats.
            unsafe {
                let (index, to_score) = (INDEX.as_ptr().add(v * LANES), scores[r].as_mut_ptr().add(v * LANES));
                let (index, score) = (s.load(index), s.mul(s.load(to_score), scale));
                let score = s.select_less(index, to, score, minus_infinity);
                *lane = s.select_less(index, from, minus_infinity, score);
                s.store(*lane, to_score);
            }
        }
        let of_chunk = s.largest(s.max(s.max(lanes[0], lanes[1]), s.max(lanes[2], lanes[3])));
        let now = if of_chunk > largest[r] { of_chunk } else { largest[r] };
        // a row that has seen nothing yet has no reference; its weights are 0 whatever it is
        reference[r] = if now == f32::NEG_INFINITY { 0.0 } else { now };
        fade[r] = largest[r] - reference[r];
        largest[r] = now;
    }
    // SAFETY: the array has sixteen floats.
    unsafe {
        let exp = s.exp(s.load(fade.as_ptr()));
        s.store(exp, fade.as_mut_ptr());
    }
    for r in 0..M {
        let reference = s.float(reference[r]);
        let mut sum = s.float(0.0);
        for v in 0..CHUNK / LANES {
            // SAFETY: the array has CHUNK floats.
            unsafe {
                let score = scores[r].as_mut_ptr().add(v * LANES);
                let weight = s.exp(s.sub(s.load(score), reference));
                sum = s.add(sum, weight);
                s.store(weight, score);
            }
        }
        weights[r] = s.fma(weights[r], s.float(fade[r]), sum);
    }
    fade
}

/// `part = part * fade + sum over keys of weight * value`; lanes are dimensions.
#[inline(always)]
fn add_values<S: Simd, const T: u8, const M: usize>(
    s: S,
    rows: &mut Rows<'_>,
    chunk: usize,
    keys: usize,
    weights: &[[f32; CHUNK]; M],
    fade: &[f32; LANES],
) {
    let padded = rows.row_len - 2 * LANES;
    let mut values = [std::ptr::null::<u8>(); CHUNK / LANES];
    for (group, values) in values.iter_mut().enumerate().take(keys.div_ceil(LANES)) {
        let position = chunk + group * LANES;
        *values = match rows.latents {
            Some(latents) => latents.values(position - rows.positions.start),
            None => rows.view.values(rows.table, rows.kv_head, position),
        };
    }
    let most = vectors::<S, M>();
    let mut d = 0;
    while d < padded {
        // whole steps of `most` registers, then single ones
        if most > 1 && d + most * LANES <= padded {
            add_columns::<S, T, M>(s, rows, &values, keys, weights, fade, d, most);
            d += most * LANES;
        } else {
            add_columns::<S, T, M>(s, rows, &values, keys, weights, fade, d, 1);
            d += LANES;
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "an inlined inner loop")]
fn add_columns<S: Simd, const T: u8, const M: usize>(
    s: S,
    rows: &mut Rows<'_>,
    values: &[*const u8; CHUNK / LANES],
    keys: usize,
    weights: &[[f32; CHUNK]; M],
    fade: &[f32; LANES],
    first: usize,
    step: usize,
) {
    let (row_len, padded) = (rows.row_len, rows.row_len - 2 * LANES);
    let part = rows.part.as_mut_ptr();
    let mut sums = [[s.float(0.0); 4]; M];
    for r in 0..M {
        for v in 0..step {
            // SAFETY: `part` has M rows of row_len, and first + step * 16 <= padded < row_len.
            let old = unsafe { s.load(part.add(r * row_len + first + v * LANES)) };
            sums[r][v] = s.mul(old, s.float(fade[r]));
        }
    }
    for key in 0..keys {
        let mut value = [s.float(0.0); 4];
        for v in 0..step {
            // SAFETY: each of `values` has [16][padded] elements, and there is one for each sixteen of the first `keys` keys.
            value[v] = unsafe {
                let from = *values.get_unchecked(key / LANES);
                s.load_as::<T>(from, key % LANES * padded + first + v * LANES)
            };
        }
        for r in 0..M {
            // SAFETY: keys <= CHUNK.
            let weight = s.float(unsafe { *weights[r].get_unchecked(key) });
            for v in 0..step {
                sums[r][v] = s.fma(value[v], weight, sums[r][v]);
            }
        }
    }
    for r in 0..M {
        for v in 0..step {
            // SAFETY: as above.
            unsafe { s.store(sums[r][v], part.add(r * row_len + first + v * LANES)) };
        }
    }
}

/// Merges the partial results of a later split into those of the earlier ones, row by row.
pub(super) struct Merge<'a> {
    pub total: &'a mut [f32],
    pub part: &'a [f32],
    pub row_len: usize,
}

impl Kernel for Merge<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let last = self.row_len - LANES;
        let rows = self.total.chunks_exact_mut(self.row_len);
        for (total, part) in rows.zip(self.part.chunks_exact(self.row_len)) {
            let (old, new) = (total[last], part[last]);
            if part[last + 1] == 0.0 {
                continue; // the row sees no key of this split
            }
            if total[last + 1] == 0.0 {
                total.copy_from_slice(part);
                continue;
            }
            let now = if new > old { new } else { old };
            let kept = s.first(s.exp(s.float(old - now)));
            let added = s.first(s.exp(s.float(new - now)));
            for (total, part) in total.chunks_exact_mut(LANES).zip(part.chunks_exact(LANES)) {
                // SAFETY: the chunks have sixteen floats.
                unsafe {
                    let scaled = s.mul(s.load(total.as_ptr()), s.float(kept));
                    let sum = s.fma(s.load(part.as_ptr()), s.float(added), scaled);
                    s.store(sum, total.as_mut_ptr());
                }
            }
            total[last] = now; // the sums of the weights were merged like values
        }
    }
}
