//! The products: panels of tiles are claimed by the threads, each row block runs in registers.

mod block256;
mod block32;
mod float;
#[cfg(test)]
mod tests;

use crate::matrix::Matrix;
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

/// The tiles of one matrix that a thread claims together.
struct Panel<'a> {
    matrix: &'a Matrix,
    out: &'a Disjoint<'a, f32>,
    tiles: Range<usize>,
    rows: Range<usize>,
}

fn matmul_at(level: CpuLevel, team: &Team, x: &Activations, outs: &mut [(&Matrix, &mut [f32])]) {
    let m = x.rows();
    for (matrix, out) in outs.iter() {
        assert_eq!(matrix.cols(), x.cols(), "the activations do not fit {matrix:?}");
        assert_eq!(Some(out.len()), m.checked_mul(matrix.rows()), "out does not fit {matrix:?}");
    }
    if m == 0 {
        return;
    }
    let pieces = m.div_ceil(ROWS_PER_ITEM);
    let rows_per_item = m.div_ceil(pieces).next_multiple_of(max_rows(level));
    let pieces = m.div_ceil(rows_per_item);
    let tiles: usize = outs.iter().map(|(matrix, _)| matrix.tiles()).sum();
    let bytes: usize = outs.iter().map(|(matrix, _)| matrix.memory_bytes()).sum();
    let largest = (PANEL_BYTES * tiles / bytes.max(1)).max(1);
    let per_item = (tiles * pieces / (team.threads() * 8)).clamp(1, largest);

    let outs: Vec<(&Matrix, Disjoint<'_, f32>)> =
        outs.iter_mut().map(|(matrix, out)| (*matrix, Disjoint::new(out))).collect();
    // item = ((matrix, panel of its tiles), piece of the rows), numbered through
    let ends: Vec<usize> = outs
        .iter()
        .scan(0, |end, (matrix, _)| {
            *end += matrix.tiles().div_ceil(per_item) * pieces;
            Some(*end)
        })
        .collect();
    team.for_chunks(ends.last().copied().unwrap_or(0), 1, &|items| {
        for item in items {
            let index = ends.partition_point(|&end| end <= item);
            let first = if index == 0 { 0 } else { ends[index - 1] };
            let (panel, piece) = ((item - first) / pieces, (item - first) % pieces);
            let (matrix, out) = &outs[index];
            let tiles = panel * per_item..matrix.tiles().min((panel + 1) * per_item);
            let rows = piece * rows_per_item..m.min((piece + 1) * rows_per_item);
            Panel { matrix, out, tiles, rows }.run(level, x);
        }
    });
}

impl Panel<'_> {
    fn run(self, level: CpuLevel, x: &Activations) {
        let rows = self.rows.len();
        let blocks = rows.div_ceil(max_rows(level));
        let mut start = self.rows.start;
        // The rows outside: a block of rows writes whole runs of its output rows, and the panel's tiles
        // come from L2 for each block.
        for block in 0..blocks {
            // even blocks: nine rows are five and four rather than eight and one
            let count = rows / blocks + usize::from(block < rows % blocks);
            for tile in self.tiles.clone() {
                self.block(level, x, tile, start..start + count);
            }
            start += count;
        }
    }

    fn block(&self, level: CpuLevel, x: &Activations, tile: usize, rows: Range<usize>) {
        let mut sums = [[0.0f32; LANES]; MOST_ROWS];
        product(level, self.matrix, self.matrix.tile(tile), x, rows.clone(), &mut sums);
        let first = tile * LANES;
        let columns = LANES.min(self.matrix.rows() - first);
        for (row, sums) in rows.zip(&sums) {
            let at = row * self.matrix.rows() + first;
            // SAFETY: each (tile, row) is in one panel of one thread.
            let out = unsafe { self.out.part(at..at + columns) };
            out.copy_from_slice(&sums[..columns]);
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
    match matrix.weight_type().block_len() {
        1 => {
            let x = &x.floats()[rows.start * cols..rows.end * cols];
            match matrix.weight_type() {
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
            // parameters: bits, mins, codebook, log2 of the zero point (0: none)
            macro_rules! run {
                ($bits:literal, $mins:literal, $codebook:literal, $zero:literal) => {
                    dispatch_rows(
                        level,
                        count,
                        &mut Product32::<$bits, $mins, $codebook, $zero> { tile, x, blocks, sums },
                    )
                };
            }
            match matrix.weight_type() {
                WeightType::Q4_0 => run!(4, false, false, 3),
                WeightType::Q4_1 => run!(4, true, false, 0),
                WeightType::Q5_0 => run!(8, false, false, 4),
                WeightType::Q5_1 => run!(8, true, false, 0),
                WeightType::IQ4NL => run!(4, false, true, 7),
                _ => run!(8, false, false, 7),
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
                        &mut Product256::<$bits, $group, $mins, $codebook, $zero> { tile, x, blocks, sums },
                    )
                };
            }
            match matrix.weight_type() {
                WeightType::Q2K => run!(4, 16, true, false, 0),
                WeightType::Q3K => run!(4, 16, false, false, 2),
                WeightType::Q4K => run!(4, 32, true, false, 0),
                WeightType::Q5K => run!(8, 32, true, false, 0),
                WeightType::Q6K => run!(8, 16, false, false, 5),
                _ => run!(4, 32, false, true, 7),
            }
        }
    }
}
