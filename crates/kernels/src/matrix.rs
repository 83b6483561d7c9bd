//! Weights, repacked at load into tiles of sixteen output columns.

use crate::WeightType;
use crate::buffer::Buffer;
use crate::error::KernelError;
use crate::format::{Block, dequantize, expand, group_len, half_at, unpack};
use crate::simd::LANES;
use crate::team::{Disjoint, Team};
use half::f16;

/// A weight matrix `[rows = outputs][cols = inputs]`, repacked for the products of this crate.
///
/// The crate's documentation shows the layout of the tiles.
pub struct Matrix {
    ty: WeightType,
    rows: usize,
    cols: usize,
    tile_bytes: usize,
    /// Bytes of all tiles.
    size: usize,
    data: Buffer,
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Matrix({} {}x{})", self.ty, self.rows, self.cols)
    }
}

/// How a block of the file lies in a tile.
#[derive(Clone, Copy)]
pub(crate) struct TileFormat {
    /// Bits of a code in the tile: 4 or 8.
    pub bits: usize,
    /// Whether there are mins.
    pub mins: bool,
}

impl TileFormat {
    pub fn of(ty: WeightType) -> TileFormat {
        let bits = match ty {
            WeightType::Q5_0 | WeightType::Q5_1 | WeightType::Q8_0 | WeightType::Q5K | WeightType::Q6K => 8,
            _ => 4,
        };
        let mins =
            matches!(ty, WeightType::Q4_1 | WeightType::Q5_1 | WeightType::Q2K | WeightType::Q4K | WeightType::Q5K);
        TileFormat { bits, mins }
    }

    /// Bytes that the codes of `k` weights take for the sixteen columns.
    pub const fn code_bytes(bits: usize, k: usize) -> usize {
        k * LANES * bits / 8
    }

    /// Bytes of scales before each pair of 32-blocks.
    pub const fn header32(mins: bool) -> usize {
        if mins { 128 } else { 64 }
    }

    /// Bytes of integer scales (and as many of mins) of a 256-block.
    pub const fn group_bytes(group_len: usize) -> usize {
        256 / group_len * LANES
    }

    /// Bytes of a whole 256-block.
    pub const fn block256(bits: usize, mins: bool, group_len: usize) -> usize {
        let tables = if mins { 2 } else { 1 };
        64 + tables * TileFormat::group_bytes(group_len) + TileFormat::code_bytes(bits, 256)
    }
}

/// The type of a tile's numbers, where they are floats.
pub(crate) fn float_type(ty: WeightType) -> WeightType {
    if ty == WeightType::NVFP4 { WeightType::F16 } else { ty }
}

/// Bytes of a tile, a multiple of 64; `None` on overflow.
fn tile_bytes(ty: WeightType, cols: usize) -> Option<usize> {
    let TileFormat { bits, mins } = TileFormat::of(ty);
    let bytes = match ty.tile_len() {
        1 => cols.checked_mul(LANES * float_type(ty).block_bytes())?,
        32 => {
            let blocks = cols / 32;
            let headers = blocks.div_ceil(2).checked_mul(TileFormat::header32(mins))?;
            blocks.checked_mul(TileFormat::code_bytes(bits, 32))?.checked_add(headers)?
        }
        _ => (cols / 256).checked_mul(TileFormat::block256(bits, mins, group_len(ty)))?,
    };
    bytes.checked_next_multiple_of(64)
}

impl Matrix {
    /// Repacks `bytes`, `rows` rows of `cols` weights of type `ty` as a GGUF file holds them.
    ///
    /// # Errors
    /// If a size is zero or fits neither the type nor `bytes`, or there is no memory.
    pub fn from_bytes(
        team: &Team,
        ty: WeightType,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<Matrix, KernelError> {
        Matrix::stacked(team, ty, 1, rows, cols, bytes)
    }

    /// A matrix that knows what it would take and has no weights: it can be asked for its sizes, and neither multiplied nor read.
    ///
    /// # Errors
    /// If a size is zero, does not fit the type or overflows.
    pub fn hollow(ty: WeightType, rows: usize, cols: usize) -> Result<Matrix, KernelError> {
        Matrix::stacked_hollow(ty, 1, rows, cols)
    }

    /// As [`hollow`](Self::hollow), of `count` matrices one after the other.
    pub(crate) fn stacked_hollow(
        ty: WeightType,
        count: usize,
        rows: usize,
        cols: usize,
    ) -> Result<Matrix, KernelError> {
        let invalid = |remedy: &str| KernelError::invalid("matrix shape", shape(count, rows, cols), remedy);
        if count == 0 || rows == 0 || cols == 0 {
            return Err(invalid("a matrix needs at least one row and one column"));
        }
        if !cols.is_multiple_of(ty.block_len()) {
            let remedy = format!("{ty} needs a multiple of {}", ty.block_len());
            return Err(KernelError::invalid("matrix columns", cols, remedy));
        }
        let all_tiles = rows.div_ceil(LANES).checked_mul(count);
        let tile_bytes = tile_bytes(ty, cols);
        let size = all_tiles.zip(tile_bytes).and_then(|(tiles, bytes)| tiles.checked_mul(bytes));
        let Some((tile_bytes, size)) = tile_bytes.zip(size) else {
            return Err(invalid("the size overflows; the file is damaged or not meant for this machine"));
        };
        let data = Buffer::zeroed(0, "a weight matrix", "it takes nothing")?;
        Ok(Matrix { ty, rows, cols, tile_bytes, size, data })
    }

    /// As [`from_bytes`](Self::from_bytes), of `count` matrices one after the other. The tiles of each begin where those of the one before it end.
    pub(crate) fn stacked(
        team: &Team,
        ty: WeightType,
        count: usize,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<Matrix, KernelError> {
        let hollow = Matrix::stacked_hollow(ty, count, rows, cols)?;
        let (tile_bytes, size, tiles) = (hollow.tile_bytes, hollow.size, hollow.tiles());
        // Blocks take fewer bytes in the file than in tiles, of which there are no fewer.
        let row_bytes = cols / ty.block_len() * ty.block_bytes();
        let expected = row_bytes * rows * count;
        if bytes.len() != expected {
            let remedy = format!("{} weights of {ty} take {expected} bytes", shape(count, rows, cols));
            return Err(KernelError::invalid("matrix bytes", bytes.len(), remedy));
        }
        let mut data = Buffer::zeroed(size, "a weight matrix", "use a smaller model or quantisation")?;
        let parts = Disjoint::new(data.as_mut_slice());
        team.for_chunks(size / tile_bytes, 4, &|range| {
            for tile in range {
                // SAFETY: each tile is in one chunk, and tiles do not overlap.
                let out = unsafe { parts.part(tile * tile_bytes..(tile + 1) * tile_bytes) };
                let end = (tile / tiles + 1) * rows;
                let first = end - rows + tile % tiles * LANES;
                let last = end.min(first + LANES);
                pack(ty, &bytes[first * row_bytes..last * row_bytes], row_bytes, out);
            }
        });
        Ok(Matrix { data, ..hollow })
    }

    /// The weights of row `row`: the same floats, bit for bit, as [`dequantize`](crate::dequantize) makes of the file's bytes, since
    /// tiles hold the same codes and scales. So an embedding table that is also the output matrix needs no second form.
    ///
    /// # Errors
    /// If there is no such row, or `out` has not exactly one place per column.
    pub fn row(&self, row: usize, out: &mut [f32]) -> Result<(), KernelError> {
        if row >= self.rows {
            return Err(KernelError::invalid("row", row, format!("the matrix has {} rows", self.rows)));
        }
        if out.len() != self.cols {
            return Err(KernelError::invalid("out", out.len(), format!("a row has {} weights", self.cols)));
        }
        let (tile, lane) = (self.tile(row / LANES), row % LANES);
        let ty = self.ty;
        if ty.tile_len() == 1 {
            let ty = float_type(ty);
            let width = ty.block_bytes();
            for (k, out) in out.iter_mut().enumerate() {
                let at = (k * LANES + lane) * width;
                dequantize(ty, &tile[at..at + width], std::slice::from_mut(out))?;
            }
            return Ok(());
        }
        let mut block = Block::new();
        for (index, out) in out.chunks_exact_mut(ty.tile_len()).enumerate() {
            match ty.tile_len() {
                32 => unpack32(ty, tile, index, lane, &mut block),
                _ => unpack256(ty, tile, index, lane, &mut block),
            }
            expand(ty, &block, out);
        }
        Ok(())
    }

    /// Number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The type in the file.
    pub fn weight_type(&self) -> WeightType {
        self.ty
    }

    /// Bytes of memory that the tiles take.
    pub fn memory_bytes(&self) -> usize {
        self.size
    }

    pub(crate) fn tiles(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    pub(crate) fn tile_bytes(&self) -> usize {
        self.tile_bytes
    }

    pub(crate) fn tile(&self, index: usize) -> &[u8] {
        &self.data.as_slice()[index * self.tile_bytes..(index + 1) * self.tile_bytes]
    }
}

/// For messages.
fn shape(count: usize, rows: usize, cols: usize) -> String {
    if count == 1 { format!("{rows} x {cols}") } else { format!("{count} x {rows} x {cols}") }
}

/// Packs up to sixteen rows into a zeroed tile.
fn pack(ty: WeightType, rows: &[u8], row_bytes: usize, tile: &mut [u8]) {
    let mut block = Block::new();
    for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
        let blocks = row.chunks_exact(ty.block_bytes()).enumerate();
        match ty.tile_len() {
            1 if ty == WeightType::NVFP4 => pack_nvfp4(row, lane, tile),
            1 => {
                let width = ty.block_bytes();
                for (k, weight) in blocks {
                    let at = (k * LANES + lane) * width;
                    tile[at..at + width].copy_from_slice(weight);
                }
            }
            32 => {
                let parts = ty.block_len() / 32;
                for (index, bytes) in blocks {
                    unpack(ty, bytes, &mut block);
                    for part in 0..parts {
                        pack32(ty, &block, part, index * parts + part, lane, tile);
                    }
                }
            }
            _ => {
                for (index, bytes) in blocks {
                    unpack(ty, bytes, &mut block);
                    pack256(ty, &block, index, lane, tile);
                }
            }
        }
    }
}

/// A row of NVFP4 as F16: no weight has more than six significant bits, nor is it too large or too small.
fn pack_nvfp4(row: &[u8], lane: usize, tile: &mut [u8]) {
    let ty = WeightType::NVFP4;
    let mut weights = [0.0; 64];
    for (index, bytes) in row.chunks_exact(ty.block_bytes()).enumerate() {
        dequantize(ty, bytes, &mut weights).expect("a block and its weights");
        for (k, weight) in weights.iter().enumerate() {
            let at = ((index * 64 + k) * LANES + lane) * 2;
            tile[at..at + 2].copy_from_slice(&f16::from_f32(*weight).to_le_bytes());
        }
    }
}

/// Part `part` of a block as a 32-block: `[d of two blocks][m of two blocks, if any][codes of the first][codes of the second]`.
fn pack32(ty: WeightType, block: &Block, part: usize, index: usize, lane: usize, tile: &mut [u8]) {
    let TileFormat { bits, mins } = TileFormat::of(ty);
    let (header, codes) = (TileFormat::header32(mins), TileFormat::code_bytes(bits, 32));
    let (pair, second) = (index / 2, index % 2);
    let unit = &mut tile[pair * (header + 2 * codes)..];
    let at = (second * LANES + lane) * 2;
    unit[at..at + 2].copy_from_slice(&block.d.to_le_bytes());
    if mins {
        unit[64 + at..66 + at].copy_from_slice(&block.m.to_le_bytes());
    }
    let start = header + second * codes;
    pack_codes(bits, &block.codes[part * 32..][..32], lane, &mut unit[start..start + codes]);
}

/// The inverse of [`pack32`].
fn unpack32(ty: WeightType, tile: &[u8], index: usize, lane: usize, block: &mut Block) {
    let TileFormat { bits, mins } = TileFormat::of(ty);
    let (header, codes) = (TileFormat::header32(mins), TileFormat::code_bytes(bits, 32));
    let (pair, second) = (index / 2, index % 2);
    let unit = &tile[pair * (header + 2 * codes)..];
    let at = (second * LANES + lane) * 2;
    block.d = half_at(unit, at).to_bits();
    if mins {
        block.m = half_at(unit, 64 + at);
    }
    let start = header + second * codes;
    unpack_codes(bits, &unit[start..start + codes], lane, &mut block.codes[..32]);
}

/// A 256-block: `[d][m][pairs of integer scales][pairs of integer mins, if any][codes]`.
fn pack256(ty: WeightType, block: &Block, index: usize, lane: usize, tile: &mut [u8]) {
    let TileFormat { bits, mins } = TileFormat::of(ty);
    let group_len = group_len(ty);
    let size = TileFormat::block256(bits, mins, group_len);
    let unit = &mut tile[index * size..(index + 1) * size];
    unit[lane * 2..lane * 2 + 2].copy_from_slice(&block.d.to_le_bytes());
    unit[32 + lane * 2..34 + lane * 2].copy_from_slice(&block.m.to_le_bytes());
    let table = TileFormat::group_bytes(group_len);
    for group in 0..256 / group_len {
        let at = 64 + group / 2 * 2 * LANES + lane * 2 + group % 2;
        unit[at] = block.scales[group] as u8;
        if mins {
            unit[at + table] = block.mins[group] as u8;
        }
    }
    let start = size - TileFormat::code_bytes(bits, 256);
    pack_codes(bits, &block.codes, lane, &mut unit[start..]);
}

/// The inverse of [`pack256`].
fn unpack256(ty: WeightType, tile: &[u8], index: usize, lane: usize, block: &mut Block) {
    let TileFormat { bits, mins } = TileFormat::of(ty);
    let group_len = group_len(ty);
    let size = TileFormat::block256(bits, mins, group_len);
    let unit = &tile[index * size..(index + 1) * size];
    block.d = half_at(unit, lane * 2).to_bits();
    block.m = half_at(unit, 32 + lane * 2);
    let table = TileFormat::group_bytes(group_len);
    for group in 0..256 / group_len {
        let at = 64 + group / 2 * 2 * LANES + lane * 2 + group % 2;
        block.scales[group] = unit[at] as i8;
        if mins {
            block.mins[group] = unit[at + table] as i8;
        }
    }
    let start = size - TileFormat::code_bytes(bits, 256);
    unpack_codes(bits, &unit[start..], lane, &mut block.codes);
}

/// 4 bits: for each 8 k `[16 columns][4 bytes]`, low nibbles the first four. 8 bits: for each 4 k.
fn pack_codes(bits: usize, codes: &[u8], lane: usize, out: &mut [u8]) {
    if bits == 4 {
        for (codes, line) in codes.chunks_exact(8).zip(out.chunks_exact_mut(4 * LANES)) {
            for at in 0..4 {
                line[lane * 4 + at] = codes[at] | codes[at + 4] << 4;
            }
        }
    } else {
        for (codes, line) in codes.chunks_exact(4).zip(out.chunks_exact_mut(4 * LANES)) {
            line[lane * 4..lane * 4 + 4].copy_from_slice(codes);
        }
    }
}

/// The inverse of [`pack_codes`].
fn unpack_codes(bits: usize, packed: &[u8], lane: usize, codes: &mut [u8]) {
    if bits == 4 {
        for (codes, line) in codes.chunks_exact_mut(8).zip(packed.chunks_exact(4 * LANES)) {
            for at in 0..4 {
                codes[at] = line[lane * 4 + at] & 15;
                codes[at + 4] = line[lane * 4 + at] >> 4;
            }
        }
    } else {
        for (codes, line) in codes.chunks_exact_mut(4).zip(packed.chunks_exact(4 * LANES)) {
            codes.copy_from_slice(&line[lane * 4..lane * 4 + 4]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any bytes are a weight: of some, both ways make NaN.
    #[test]
    fn a_row_of_a_matrix_is_the_files_row_bit_for_bit() {
        let team = Team::new(1);
        let mut state = 1u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        for &ty in WeightType::ALL {
            let (rows, cols) = (LANES * 2 + 3, ty.block_len().max(32) * 3);
            let row_bytes = ty.row_bytes(cols).unwrap();
            let bytes: Vec<u8> = (0..rows * row_bytes).map(|_| byte()).collect();
            let matrix = Matrix::from_bytes(&team, ty, rows, cols, &bytes).unwrap();
            let (mut ours, mut theirs) = (vec![0.0; cols], vec![0.0; cols]);
            for row in 0..rows {
                matrix.row(row, &mut ours).unwrap();
                dequantize(ty, &bytes[row * row_bytes..][..row_bytes], &mut theirs).unwrap();
                let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&ours), bits(&theirs), "{ty}, row {row}");
            }
            assert!(matrix.row(rows, &mut ours).is_err() && matrix.row(0, &mut ours[1..]).is_err());
        }
    }
}
