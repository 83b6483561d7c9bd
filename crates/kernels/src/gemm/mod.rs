//! The products: panels of tiles are claimed by the threads, each row block runs in registers.

mod block256;
mod block32;
mod float;
#[cfg(test)]
mod tests;

use crate::experts::MatrixStack;
use crate::format::levels;
use crate::matrix::{Matrix, float_type};
use crate::simd::{BF16, F16, F32, LANES, dispatch_rows, max_rows};
use crate::team::{Disjoint, Team};
use crate::{Activations, CpuLevel, WeightType};
use block32::Product32;
use block256::Product256;
use float::ProductFloat;
use std::ops::Range;

/// The most rows that any level takes in one block.
const MOST_ROWS: usize = 8;
/// How far ahead weights are prefetched. A row block computes for longer on each line than the processor
/// looks ahead by itself, so without this the memory would idle; about what is under way at full bandwidth.
const AHEAD: usize = 4096;
/// Rows of one piece of work at most, so that long prompts are shared among threads.
const ROWS_PER_ITEM: usize = 96;
/// Bytes of weights of one piece of work at most: they stay in L2 while its rows pass.
const PANEL_BYTES: usize = 256 << 10;

/// For each `(matrix, out)`: `out[r][j] = sum over k of x[r][k] * matrix[j][k]`, all in one parallel
/// region. `out` is `[x.rows()][matrix.rows()]`.
///
/// The value of an output depends on its own row of `x` only, bit for bit: the order of the sum is
/// the same for every number of rows, threads and instruction set.
///
/// # Panics
/// If a size does not fit, or `x` was not set for a matrix's type.
pub fn matmul(team: &Team, x: &Activations, outs: &mut [(&Matrix, &mut [f32])]) {
    matmul_at(CpuLevel::current(), team, x, outs);
}

/// A product of [`matmul_grouped`].
pub struct GroupedProduct<'a> {
    /// One matrix for each group.
    pub weights: &'a MatrixStack,
    /// What is added to the outputs, `[members][rows of a member]`.
    pub bias: Option<&'a [f32]>,
    /// The outputs, `[x.rows()][rows of a member]`.
    pub out: &'a mut [f32],
}

/// As [`matmul`], but the rows of `x` are in groups, and each group has a matrix of its own: that of group `g` are those from `ends[g - 1]` (0
/// for the first) up to `ends[g]`. The weights of a matrix are read once for its whole group, and those of a group without rows are not.
///
/// # Panics
/// If a size does not fit, the ends do not ascend to the number of rows, or `x` was not set for a type of the weights.
pub fn matmul_grouped(team: &Team, x: &Activations, ends: &[usize], products: &mut [GroupedProduct<'_>]) {
    matmul_grouped_at(CpuLevel::current(), team, x, ends, products);
}

/// Rows of the activations, and the matrix that they are multiplied with.
struct Segment<'a> {
    matrix: &'a Matrix,
    /// The matrix's place among those that its tiles are stacked with.
    member: usize,
    bias: Option<&'a [f32]>,
    out: &'a Disjoint<'a, f32>,
    rows: Range<usize>,
}

fn matmul_at(level: CpuLevel, team: &Team, x: &Activations, outs: &mut [(&Matrix, &mut [f32])]) {
    let m = x.rows();
    for (matrix, out) in outs.iter() {
        check(x, matrix, out);
    }
    let outs: Vec<(&Matrix, Disjoint<'_, f32>)> =
        outs.iter_mut().map(|(matrix, out)| (*matrix, Disjoint::new(out))).collect();
    let segments = outs.iter().map(|(matrix, out)| Segment { matrix, member: 0, bias: None, out, rows: 0..m });
    run(level, team, x, &segments.collect::<Vec<_>>());
}

fn matmul_grouped_at(
    level: CpuLevel,
    team: &Team,
    x: &Activations,
    ends: &[usize],
    products: &mut [GroupedProduct<'_>],
) {
    assert!(ends.is_sorted() && ends.last().is_none_or(|&end| end == x.rows()), "the groups are not the rows");
    for GroupedProduct { weights, bias, out } in products.iter() {
        check(x, weights.matrix(), out);
        assert_eq!(weights.members(), ends.len(), "{weights:?} has not one matrix for each group");
        let biases = weights.members() * weights.rows();
        assert!(bias.is_none_or(|bias| bias.len() == biases), "the bias does not fit {weights:?}");
    }
    let products: Vec<_> =
        products.iter_mut().map(|product| (product.weights, product.bias, Disjoint::new(product.out))).collect();
    let mut segments = Vec::new();
    for (weights, bias, out) in &products {
        let outputs = weights.rows();
        let mut start = 0;
        for (member, &end) in ends.iter().enumerate() {
            let bias = bias.map(|bias| &bias[member * outputs..][..outputs]);
            if end > start {
                segments.push(Segment { matrix: weights.matrix(), member, bias, out, rows: start..end });
            }
            start = end;
        }
    }
    // The largest first, so that the threads end together.
    segments.sort_by_key(|segment| std::cmp::Reverse(segment.rows.len()));
    run(level, team, x, &segments);
}

fn check(x: &Activations, matrix: &Matrix, out: &[f32]) {
    assert_eq!(matrix.cols(), x.cols(), "the activations do not fit {matrix:?}");
    assert_eq!(Some(out.len()), x.rows().checked_mul(matrix.rows()), "out does not fit {matrix:?}");
}

/// The products of all segments in one parallel region. Items of work are claimed one by one: (panel of a segment's tiles, piece of its rows).
fn run(level: CpuLevel, team: &Team, x: &Activations, segments: &[Segment<'_>]) {
    let pieces = |segment: &Segment<'_>| segment.rows.len().div_ceil(segment.rows_per_item(level));
    let mut units = 0;
    let (mut tiles, mut bytes) = (0, 0);
    for segment in segments.iter().filter(|segment| !segment.rows.is_empty()) {
        let matrix = segment.matrix;
        units += matrix.tiles() * pieces(segment);
        tiles += matrix.tiles();
        bytes += matrix.tiles() * matrix.tile_bytes();
    }
    let largest = (PANEL_BYTES * tiles / bytes.max(1)).max(1);
    let per_item = (units / (team.threads() * 8)).clamp(1, largest);

    // the items of all segments, numbered through
    let ends: Vec<usize> = segments
        .iter()
        .scan(0, |end, segment| {
            *end += segment.matrix.tiles().div_ceil(per_item) * pieces(segment);
            Some(*end)
        })
        .collect();
    team.for_chunks(ends.last().copied().unwrap_or(0), 1, &|items| {
        for item in items {
            let index = ends.partition_point(|&end| end <= item);
            let first = if index == 0 { 0 } else { ends[index - 1] };
            let segment = &segments[index];
            let (panel, piece) = ((item - first) / pieces(segment), (item - first) % pieces(segment));
            let tiles = panel * per_item..segment.matrix.tiles().min((panel + 1) * per_item);
            let rows_per_item = segment.rows_per_item(level);
            let start = segment.rows.start + piece * rows_per_item;
            let rows = start..segment.rows.end.min(start + rows_per_item);
            segment.panel(level, x, tiles, rows);
        }
    });
}

impl Segment<'_> {
    /// Rows of one piece of work: pieces of about the same size, whole blocks of rows.
    fn rows_per_item(&self, level: CpuLevel) -> usize {
        let rows = self.rows.len();
        rows.div_ceil(rows.div_ceil(ROWS_PER_ITEM).max(1)).next_multiple_of(max_rows(level)).max(1)
    }

    /// The products of some rows with some tiles.
    fn panel(&self, level: CpuLevel, x: &Activations, tiles: Range<usize>, rows: Range<usize>) {
        let blocks = rows.len().div_ceil(max_rows(level));
        let mut start = rows.start;
        // The rows outside: a block of rows writes whole runs of its output rows, and the panel's tiles
        // come from L2 for each block.
        for block in 0..blocks {
            // even blocks: nine rows are five and four rather than eight and one
            let count = rows.len() / blocks + usize::from(block < rows.len() % blocks);
            for tile in tiles.clone() {
                self.block(level, x, tile, start..start + count);
            }
            start += count;
        }
    }

    fn block(&self, level: CpuLevel, x: &Activations, tile: usize, rows: Range<usize>) {
        let mut sums = [[0.0f32; LANES]; MOST_ROWS];
        let data = self.matrix.tile(self.member * self.matrix.tiles() + tile);
        product(level, self.matrix, data, x, rows.clone(), &mut sums);
        let first = tile * LANES;
        let columns = LANES.min(self.matrix.rows() - first);
        for (row, sums) in rows.zip(&sums) {
            let at = row * self.matrix.rows() + first;
            // SAFETY: each (tile, row) is in one panel of one thread.
            let out = unsafe { self.out.part(at..at + columns) };
            out.copy_from_slice(&sums[..columns]);
            if let Some(bias) = self.bias {
                for (out, bias) in out.iter_mut().zip(&bias[first..]) {
                    *out += bias;
                }
            }
        }
    }
}

/// `sums[r]` = the sixteen outputs of `tile` for row `rows.start + r`.
fn product(
    level: CpuLevel,
    matrix: &Matrix,
    tile: &[u8],
    x: &Activations,
    rows: Range<usize>,
    sums: &mut [[f32; LANES]; MOST_ROWS],
) {
    let count = rows.len();
    let cols = matrix.cols();
    let levels = levels(matrix.weight_type());
    match matrix.weight_type().tile_len() {
        1 => {
            let x = &x.floats()[rows.start * cols..rows.end * cols];
            match float_type(matrix.weight_type()) {
                WeightType::F32 => {
                    dispatch_rows(level, count, &mut ProductFloat::<{ F32 }> { tile, x, cols, sums });
                }
                WeightType::F16 => {
                    dispatch_rows(level, count, &mut ProductFloat::<{ F16 }> { tile, x, cols, sums });
                }
                _ => {
                    dispatch_rows(level, count, &mut ProductFloat::<{ BF16 }> { tile, x, cols, sums });
                }
            }
        }
        32 => {
            let blocks = cols / 32;
            let x = &x.blocks32()[rows.start * blocks..rows.end * blocks];
            // parameters: bits, mins, codebook, log2 of the zero point (0: none), type of the scales
            macro_rules! run {
                ($bits:literal, $mins:literal, $codebook:literal, $zero:literal, $scales:ident) => {
                    dispatch_rows(
                        level,
                        count,
                        &mut Product32::<$bits, $mins, $codebook, $zero, { $scales }> { tile, x, blocks, levels, sums },
                    )
                };
            }
            match matrix.weight_type() {
                WeightType::Q4_0 | WeightType::Q1_0 => run!(4, false, false, 3, F16),
                WeightType::Q4_1 => run!(4, true, false, 0, F16),
                WeightType::Q5_0 => run!(8, false, false, 4, F16),
                WeightType::Q5_1 => run!(8, true, false, 0, F16),
                WeightType::IQ4NL => run!(4, false, true, 7, F16),
                WeightType::MXFP4 => run!(4, false, true, 7, BF16),
                _ => run!(8, false, false, 7, F16),
            }
        }
        _ => {
            let blocks = cols / 256;
            let x = &x.blocks256()[rows.start * blocks..rows.end * blocks];
            // parameters: bits, group length, mins, codebook, log2 of the zero point (0: none)
            macro_rules! run {
                ($bits:literal, $group:literal, $mins:literal, $codebook:literal, $zero:literal) => {
                    dispatch_rows(
                        level,
                        count,
                        &mut Product256::<$bits, $group, $mins, $codebook, $zero> { tile, x, blocks, levels, sums },
                    )
                };
            }
            match matrix.weight_type() {
                WeightType::Q2K => run!(4, 16, true, false, 0),
                WeightType::Q3K => run!(4, 16, false, false, 2),
                WeightType::Q4K => run!(4, 32, true, false, 0),
                WeightType::Q5K => run!(8, 32, true, false, 0),
                WeightType::Q6K => run!(8, 16, false, false, 5),
                WeightType::IQ2XS | WeightType::IQ2S | WeightType::IQ1M => run!(4, 16, false, true, 7),
                _ => run!(4, 32, false, true, 7),
            }
        }
    }
}
