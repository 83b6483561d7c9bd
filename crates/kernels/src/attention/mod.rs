//! Attention of grouped queries over paged keys and values, causal or both ways.
//!
//! A query row reads its keys in chunks of [`CHUNK`] and in splits of [`SPLIT`], both at fixed absolute
//! positions, and merges the splits in order. So its result depends on its own sequence alone: not on
//! the batch, nor on how the prompt was cut, nor on which thread did which split.

mod kernel;
mod latents;
#[cfg(test)]
mod tests;

use crate::CpuLevel;
use crate::kv_cache::{KvCache, LayerView, Span};
use crate::kv_layout::CHUNK;
use crate::kv_shape::{KvShape, KvType};
use crate::simd::{BF16, F16, F32, LANES, dispatch_rows, max_rows};
use crate::team::{Disjoint, Team};
use kernel::{Merge, Rows, RowsOf};
use latents::{LatentKeys, Latents};
use std::ops::Range;

/// Keys that one thread takes when a long context is divided among threads.
pub(crate) const SPLIT: usize = 256;

/// How rows weigh the keys that they see.
#[derive(Clone, Copy, Debug)]
pub struct Scoring<'a> {
    /// Factor of the scores.
    pub scale: f32,
    /// Bound of the scores after that: each becomes `cap * tanh(score / cap)`.
    pub soft_cap: Option<f32>,
    /// How many keys up to its own a row sees at most, that included: the last ones.
    pub window: Option<usize>,
    /// Keys of a piece of the text, where a row sees none before its own piece.
    pub chunk: Option<usize>,
    /// How many keys after its own a row sees, as far as its span reaches: none where attention is causal.
    pub ahead: usize,
    /// ALiBi (<https://arxiv.org/abs/2108.12409>): for each head what a score loses for each token between row and key.
    pub slopes: Option<&'a [f32]>,
    /// For each head a score that takes part in the softmax as if there were one more key, with a value of zeros (an attention sink).
    pub sinks: Option<&'a [f32]>,
}

impl Scoring<'_> {
    /// All keys up to the row's own with a factor, and nothing else.
    pub fn scaled(scale: f32) -> Scoring<'static> {
        Scoring { scale, soft_cap: None, window: None, chunk: None, ahead: 0, slopes: None, sinks: None }
    }

    /// The first key that the row at a position sees.
    #[inline(always)]
    fn from(&self, position: usize) -> usize {
        let from = (position + 1).saturating_sub(self.window.unwrap_or(usize::MAX).max(1));
        match self.chunk {
            None => from,
            Some(chunk) => from.max(position / chunk.max(1) * chunk.max(1)),
        }
    }

    /// One past the last key that the row at a position sees, of so many tokens.
    #[inline(always)]
    fn to(&self, position: usize, tokens: usize) -> usize {
        (position + 1).saturating_add(self.ahead).min(tokens)
    }
}

/// Attention of the spans' rows over their sequences' keys and values, those of the rows themselves
/// included (append them first). `q` is `[rows][heads][head_dim]`, and `out` too unless values are shorter;
/// rows of no span are left as they are.
///
/// # Panics
/// If a size, row, block or layer does not exist, `heads` is no multiple of the layer's KV heads, or there is not one slope or sink for each head.
#[allow(clippy::too_many_arguments, reason = "all of them are the operation's operands")]
pub fn attention(
    team: &Team,
    q: &[f32],
    heads: usize,
    kv: &KvCache,
    layer: usize,
    spans: &[Span<'_>],
    scoring: Scoring<'_>,
    out: &mut [f32],
) {
    attention_at(CpuLevel::current(), team, q, heads, kv, layer, spans, scoring, out);
}

/// Query rows of one span and KV head that run through the keys together. A row is a pair (token, head
/// of the group), numbered token by token.
#[derive(Clone)]
struct Tile {
    span: usize,
    kv_head: usize,
    rows: Range<usize>,
    splits: Range<usize>,
    /// Where its partial results begin, counted in rows, if its splits run in parallel.
    partial: usize,
}

/// Row blocks of a tile at most where its values are taken out of keys, so that this is done once for all of them.
const LATENT_BLOCKS: usize = 8;

/// What all tiles share.
struct Plan<'a> {
    level: CpuLevel,
    ty: KvType,
    q: &'a [f32],
    heads: usize,
    group: usize,
    view: LayerView<'a>,
    spans: &'a [Span<'a>],
    scoring: Scoring<'a>,
}

#[allow(clippy::too_many_arguments, reason = "all of them are the operation's operands")]
pub(crate) fn attention_at(
    level: CpuLevel,
    team: &Team,
    q: &[f32],
    heads: usize,
    kv: &KvCache,
    layer: usize,
    spans: &[Span<'_>],
    scoring: Scoring<'_>,
    out: &mut [f32],
) {
    let view = kv.layer(layer);
    let KvShape { heads: kv_heads, dim, .. } = view.shape();
    assert!(heads > 0 && heads.is_multiple_of(kv_heads), "{heads} heads over {kv_heads} KV heads");
    let width = heads.checked_mul(dim).expect("heads * head_dim overflows");
    let rows = q.len() / width;
    let is_whole = q.len() == rows * width && out.len() == rows * heads * view.shape().value_dim();
    assert!(is_whole, "q and out are no whole rows");
    assert!(scoring.slopes.is_none_or(|slopes| slopes.len() == heads), "there is not one slope for each head");
    assert!(scoring.sinks.is_none_or(|sinks| sinks.len() == heads), "there is not one sink for each head");
    kv.check(layer, spans, rows);
    let plan = Plan { level, ty: kv.kv_type(), q, heads, group: heads / kv_heads, view, spans, scoring };
    let mut tiles = plan.tiles(kv_heads, plan.tile_rows(kv_heads, team.threads()));
    let splits: usize = tiles.iter().map(|tile| tile.splits.len()).sum();
    let out = Disjoint::new(out);
    // Few tiles and long contexts (a handful of streams): the splits run in parallel, too.
    if team.threads() > 1 && splits > tiles.len() && tiles.len() < 4 * team.threads() {
        plan.run_splits(team, &mut tiles, &out);
    } else {
        team.for_chunks(tiles.len(), 1, &|range| {
            let mut partial = Vec::new();
            for tile in &tiles[range] {
                plan.run_tile(tile, &mut partial, &out);
            }
        });
    }
}

impl Plan<'_> {
    /// Rows of a tile: a block of them. Where values are taken out of keys it is several, as long as all threads have some tiles or splits to do.
    fn tile_rows(&self, kv_heads: usize, threads: usize) -> usize {
        let block = max_rows(self.level);
        if self.view.shape().latent.is_none() {
            return block;
        }
        let units = |span: &Span<'_>| {
            (span.rows * self.group).div_ceil(block) * kv_heads * (span.past + span.rows).div_ceil(SPLIT)
        };
        let units: usize = self.spans.iter().map(units).sum();
        let wanted = if threads > 1 { 2 * threads } else { 1 };
        block * (units / wanted).clamp(1, LATENT_BLOCKS)
    }

    /// The tiles of all spans, of each span the longest first.
    fn tiles(&self, kv_heads: usize, most: usize) -> Vec<Tile> {
        let mut tiles = Vec::new();
        for (span, Span { rows, past, .. }) in self.spans.iter().enumerate() {
            let tokens = past + rows;
            let rows = rows * self.group;
            for kv_head in 0..kv_heads {
                for tile in (0..rows.div_ceil(most)).rev() {
                    let rows = tile * most..rows.min((tile + 1) * most);
                    let (first, last) = (past + rows.start / self.group, past + (rows.end - 1) / self.group);
                    let end = self.scoring.to(last, tokens);
                    let splits = self.scoring.from(first) / SPLIT..end.div_ceil(SPLIT);
                    tiles.push(Tile { span, kv_head, rows, splits, partial: 0 });
                }
            }
        }
        tiles
    }

    /// Floats of a row's partial result: the weighted values, the weights, the largest score and the weights' sum.
    fn partial_len(&self) -> usize {
        self.view.shape().value_dim().next_multiple_of(LANES) + 2 * LANES
    }

    /// Runs a tile's splits one after the other, merging as it goes.
    fn run_tile(&self, tile: &Tile, partial: &mut Vec<f32>, out: &Disjoint<'_, f32>) {
        let len = tile.rows.len() * self.partial_len();
        partial.resize(2 * len, 0.0);
        let (total, part) = partial.split_at_mut(len);
        for split in tile.splits.clone() {
            if split == tile.splits.start {
                self.run_split(tile, split, total);
            } else {
                self.run_split(tile, split, part);
                crate::simd::dispatch(self.level, Merge { total, part, row_len: self.partial_len() });
            }
        }
        self.finish(tile, total, out);
    }

    /// Runs all splits of all tiles in parallel, then merges each tile's in the same order.
    fn run_splits(&self, team: &Team, tiles: &mut [Tile], out: &Disjoint<'_, f32>) {
        let row_len = self.partial_len();
        let mut units = Vec::new();
        let mut rows = 0;
        for (index, tile) in tiles.iter_mut().enumerate() {
            tile.partial = rows;
            for split in tile.splits.clone() {
                units.push((index, split, rows));
                rows += tile.rows.len();
            }
        }
        let tiles = &*tiles;
        let mut partials = vec![0.0f32; rows * row_len];
        let shared = Disjoint::new(&mut partials);
        team.for_chunks(units.len(), 1, &|range| {
            for &(tile, split, first) in &units[range] {
                let tile = &tiles[tile];
                let end = first + tile.rows.len();
                // SAFETY: each unit has its own rows of the partial results.
                let part = unsafe { shared.part(first * row_len..end * row_len) };
                self.run_split(tile, split, part);
            }
        });
        for tile in tiles {
            let len = tile.rows.len() * row_len;
            let parts = &mut partials[tile.partial * row_len..][..len * tile.splits.len()];
            let (total, rest) = parts.split_at_mut(len);
            for part in rest.chunks_exact(len) {
                crate::simd::dispatch(self.level, Merge { total, part, row_len });
            }
            self.finish(tile, total, out);
        }
    }

    /// Attention of a tile over the keys of one split, into `part`.
    fn run_split(&self, tile: &Tile, split: usize, part: &mut [f32]) {
        let split = split * SPLIT..(split + 1) * SPLIT;
        if self.view.shape().latent.is_none() {
            return self.run_block(tile, tile.rows.clone(), split, true, None, part);
        }
        let span = &self.spans[tile.span];
        let (first, last) = (span.past + tile.rows.start / self.group, span.past + (tile.rows.end - 1) / self.group);
        let begin = self.scoring.from(first).max(split.start) / CHUNK * CHUNK;
        let end = self.scoring.to(last, span.past + span.rows).min(split.end);
        let (ty, view, table, kv_head) = (self.ty, self.view, span.blocks, tile.kv_head);
        let most = max_rows(self.level);
        for chunk in (begin..end).step_by(CHUNK) {
            let positions = chunk..end.min(chunk + CHUNK);
            let keys = LatentKeys { ty, view, table, kv_head, positions: positions.clone() };
            keys.with_values(self.level, |values| {
                for (start, part) in tile.rows.clone().step_by(most).zip(part.chunks_mut(most * self.partial_len())) {
                    let block = start..tile.rows.end.min(start + most);
                    self.run_block(tile, block, positions.clone(), chunk == begin, Some(values), part);
                }
            });
        }
    }

    /// The same of a block of the tile's rows and some of the keys.
    fn run_block(
        &self,
        tile: &Tile,
        block: Range<usize>,
        positions: Range<usize>,
        is_first: bool,
        latents: Option<Latents<'_>>,
        part: &mut [f32],
    ) {
        let span = &self.spans[tile.span];
        let rows = Rows {
            q: self.q,
            heads: self.heads,
            group: self.group,
            first_row: span.first_row,
            past: span.past,
            tokens: span.past + span.rows,
            first: block.start,
            kv_head: tile.kv_head,
            view: self.view,
            table: span.blocks,
            positions,
            is_first,
            latents,
            scoring: self.scoring,
            part,
            row_len: self.partial_len(),
        };
        let count = block.len();
        match self.ty {
            KvType::F32 => dispatch_rows(self.level, count, &mut RowsOf::<F32>(rows)),
            KvType::F16 => dispatch_rows(self.level, count, &mut RowsOf::<F16>(rows)),
            KvType::BF16 => dispatch_rows(self.level, count, &mut RowsOf::<BF16>(rows)),
        }
    }

    /// Adds the sinks' weights, divides by the weights' sums and stores the rows.
    fn finish(&self, tile: &Tile, total: &[f32], out: &Disjoint<'_, f32>) {
        let dim = self.view.shape().value_dim();
        let row_len = self.partial_len();
        for (row, total) in tile.rows.clone().zip(total.chunks_exact(row_len)) {
            let token = self.spans[tile.span].first_row + row / self.group;
            let head = tile.kv_head * self.group + row % self.group;
            let at = (token * self.heads + head) * dim;
            // SAFETY: each (row, head) is in one tile, because spans share no rows (`KvCache::check`).
            let out = unsafe { out.part(at..at + dim) };
            let (largest, sum) = (total[row_len - LANES], total[row_len - LANES + 1]);
            let factor = match self.scoring.sinks {
                None => 1.0 / sum,
                Some(sinks) => {
                    // One more step of the online softmax.
                    let now = if sinks[head] > largest { sinks[head] } else { largest };
                    let kept = (largest - now).exp();
                    kept / (sum * kept + (sinks[head] - now).exp())
                }
            };
            for (out, total) in out.iter_mut().zip(total) {
                *out = total * factor;
            }
        }
    }
}
