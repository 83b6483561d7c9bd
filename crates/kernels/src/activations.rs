use crate::elementwise::{Activation, activated_row, gated_row};
use crate::norm::{Norm, norm_row};
use crate::quantize::{Block32, Block256, quantize32, quantize256};
use crate::simd::{Kernel, Simd, dispatch};
use crate::team::{Disjoint, Team};
use crate::{CpuLevel, WeightType};

/// The rows that a product takes, in every form that its matrices need, each made once.
///
/// Legacy quantised types (`Q4_0` to `Q8_0`, `IQ4_NL`, `MXFP4`, `Q1_0`) multiply with 8-bit values in
/// blocks of 32, the K types and the other IQ and TQ types with 8-bit values in blocks of 256 (ggml's
/// Q8_0/Q8_1 and Q8_K), float types and `NVFP4` with the floats themselves. The buffers are kept between uses.
#[derive(Default)]
pub struct Activations {
    rows: usize,
    cols: usize,
    forms: Forms,
    floats: Vec<f32>,
    blocks32: Vec<Block32>,
    blocks256: Vec<Block256>,
}

/// Which forms are there.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Forms {
    floats: bool,
    blocks32: bool,
    blocks256: bool,
}

impl Forms {
    pub fn of(types: &[WeightType]) -> Forms {
        let has = |len| types.iter().any(|ty| ty.tile_len() == len);
        Forms { floats: has(1), blocks32: has(32), blocks256: has(256) }
    }
}

/// What a row is made from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Plain(&'a [f32]),
    Norm {
        x: &'a [f32],
        norm: Norm<'a>,
    },
    /// Rows of `x` by their numbers, each times its factor.
    Scaled {
        x: &'a [f32],
        rows: &'a [u32],
        factors: &'a [f32],
    },
    Activated {
        activation: Activation,
        x: &'a [f32],
    },
    Gated {
        activation: Activation,
        gate: &'a [f32],
        up: &'a [f32],
    },
}

impl Activations {
    /// No rows yet.
    pub fn new() -> Activations {
        Activations::default()
    }

    /// How many rows are set.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many values a row has.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Takes `x`, `rows` rows of `cols` values, for matrices of the types `for_weights`.
    ///
    /// # Panics
    /// If `x` has another size, or `cols` is not a whole number of blocks of one of the types.
    pub fn set(&mut self, team: &Team, x: &[f32], rows: usize, cols: usize, for_weights: &[WeightType]) {
        self.set_at(CpuLevel::current(), team, Source::Plain(x), rows, cols, for_weights);
    }

    /// Takes the norm of each row of `x`.
    ///
    /// # Panics
    /// As [`Activations::set`], or if the norm does not fit rows of `cols` values.
    pub fn set_norm(
        &mut self,
        team: &Team,
        x: &[f32],
        rows: usize,
        cols: usize,
        norm: Norm<'_>,
        for_weights: &[WeightType],
    ) {
        let source = Source::Norm { x, norm };
        self.set_at(CpuLevel::current(), team, source, rows, cols, for_weights);
    }

    /// Takes `activation(x)` of each row.
    ///
    /// # Panics
    /// As [`Activations::set`].
    pub fn set_activated(
        &mut self,
        team: &Team,
        activation: Activation,
        x: &[f32],
        rows: usize,
        cols: usize,
        for_weights: &[WeightType],
    ) {
        let source = Source::Activated { activation, x };
        self.set_at(CpuLevel::current(), team, source, rows, cols, for_weights);
    }

    /// Takes `activation(gate) * up` of each row.
    ///
    /// # Panics
    /// As [`Activations::set`], for `gate` and for `up`.
    #[allow(clippy::too_many_arguments, reason = "the activation and the shape belong to one fused step")]
    pub fn set_gated(
        &mut self,
        team: &Team,
        activation: Activation,
        gate: &[f32],
        up: &[f32],
        rows: usize,
        cols: usize,
        for_weights: &[WeightType],
    ) {
        let source = Source::Gated { activation, gate, up };
        self.set_at(CpuLevel::current(), team, source, rows, cols, for_weights);
    }

    /// Takes the given rows of `from`, as often and in the order in which they are named, for matrices of the types `for_weights`.
    ///
    /// # Panics
    /// If there is no such row, or `from` was not set for one of the types.
    pub fn gather(&mut self, from: &Activations, rows: &[u32], for_weights: &[WeightType]) {
        self.forms = Forms::of(for_weights);
        (self.rows, self.cols) = (rows.len(), from.cols);
        if self.forms.floats {
            gather(from.floats(), from.cols, rows, &mut self.floats);
        }
        if self.forms.blocks32 {
            gather(from.blocks32(), from.cols / 32, rows, &mut self.blocks32);
        }
        if self.forms.blocks256 {
            gather(from.blocks256(), from.cols / 256, rows, &mut self.blocks256);
        }
    }

    /// As [`gather`](Self::gather), with each row times its factor.
    ///
    /// # Panics
    /// If there is no such row, `from` was not set for a float type, or there is not one factor for each row.
    pub fn gather_scaled(
        &mut self,
        team: &Team,
        from: &Activations,
        rows: &[u32],
        factors: &[f32],
        for_weights: &[WeightType],
    ) {
        let source = Source::Scaled { x: from.floats(), rows, factors };
        self.set_at(CpuLevel::current(), team, source, rows.len(), from.cols, for_weights);
    }

    #[cfg(test)]
    pub(crate) fn set_plain_at(
        &mut self,
        level: CpuLevel,
        team: &Team,
        x: &[f32],
        rows: usize,
        cols: usize,
        for_weights: &[WeightType],
    ) {
        self.set_at(level, team, Source::Plain(x), rows, cols, for_weights);
    }

    fn set_at(
        &mut self,
        level: CpuLevel,
        team: &Team,
        source: Source<'_>,
        rows: usize,
        cols: usize,
        for_weights: &[WeightType],
    ) {
        let size = rows.checked_mul(cols).expect("rows * cols overflows");
        match source {
            Source::Plain(x) | Source::Activated { x, .. } => assert_eq!(x.len(), size, "x is not rows * cols"),
            Source::Scaled { factors, .. } => assert_eq!(factors.len(), rows, "there is not one factor for each row"),
            Source::Norm { x, norm } => {
                assert_eq!(x.len(), size, "x is not rows * cols");
                norm.check(cols);
            }
            Source::Gated { gate, up, .. } => {
                assert_eq!(gate.len(), size, "gate is not rows * cols");
                assert_eq!(up.len(), size, "up is not rows * cols");
            }
        }
        for ty in for_weights {
            assert!(cols.is_multiple_of(ty.block_len()), "{cols} is no whole number of {ty} blocks");
        }
        self.forms = Forms::of(for_weights);
        (self.rows, self.cols) = (rows, cols);
        if size == 0 {
            return;
        }
        // Norms and activations pass through the float form; a plain row only if a float type wants it.
        if self.forms.floats || !matches!(source, Source::Plain(_)) {
            self.floats.resize(size, 0.0);
        } else {
            self.floats.clear();
        }
        self.blocks32.resize(if self.forms.blocks32 { size / 32 } else { 0 }, Block32::ZERO);
        self.blocks256.resize(if self.forms.blocks256 { size / 256 } else { 0 }, Block256::ZERO);

        let forms = self.forms;
        let floats = Disjoint::new(&mut self.floats);
        let blocks32 = Disjoint::new(&mut self.blocks32);
        let blocks256 = Disjoint::new(&mut self.blocks256);
        // about 3 microseconds of work a chunk, several times what a region costs
        team.for_chunks(rows, (6_144 / cols).max(1), &|range| {
            for row in range {
                let at = |len: usize| row * len..(row + 1) * len;
                // SAFETY: each row is in one chunk, and the rows' parts do not overlap.
                let (floats, blocks32, blocks256) = unsafe {
                    (
                        if floats.len() > 0 { floats.part(at(cols)) } else { &mut [] },
                        if forms.blocks32 { blocks32.part(at(cols / 32)) } else { &mut [] },
                        if forms.blocks256 { blocks256.part(at(cols / 256)) } else { &mut [] },
                    )
                };
                let source = match source {
                    Source::Plain(x) => Source::Plain(&x[at(cols)]),
                    Source::Scaled { x, rows, factors } => Source::Scaled {
                        x: &x[rows[row] as usize * cols..][..cols],
                        rows: &rows[row..=row],
                        factors: &factors[row..=row],
                    },
                    Source::Norm { x, norm } => Source::Norm { x: &x[at(cols)], norm: norm.of_row(row, cols) },
                    Source::Activated { activation, x } => Source::Activated { activation, x: &x[at(cols)] },
                    Source::Gated { activation, gate, up } => {
                        Source::Gated { activation, gate: &gate[at(cols)], up: &up[at(cols)] }
                    }
                };
                dispatch(level, Row { source, floats, blocks32, blocks256 });
            }
        });
    }

    /// The rows as floats; empty if no float type was asked for.
    pub(crate) fn floats(&self) -> &[f32] {
        assert!(self.forms.floats, "the activations were not set for a float type");
        &self.floats
    }

    pub(crate) fn blocks32(&self) -> &[Block32] {
        assert!(self.forms.blocks32, "the activations were not set for a type with blocks of 32");
        &self.blocks32
    }

    pub(crate) fn blocks256(&self) -> &[Block256] {
        assert!(self.forms.blocks256, "the activations were not set for a type with blocks of 256");
        &self.blocks256
    }
}

/// Makes `to` the given rows of `from`, of `len` elements each.
fn gather<T: Copy>(from: &[T], len: usize, rows: &[u32], to: &mut Vec<T>) {
    to.clear();
    for &row in rows {
        to.extend_from_slice(&from[row as usize * len..][..len]);
    }
}

/// One row: made into floats, then into the quantised forms.
struct Row<'a> {
    source: Source<'a>,
    floats: &'a mut [f32],
    blocks32: &'a mut [Block32],
    blocks256: &'a mut [Block256],
}

impl Kernel for Row<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let x: &[f32] = match self.source {
            Source::Plain(x) => {
                if !self.floats.is_empty() {
                    self.floats.copy_from_slice(x);
                }
                x
            }
            Source::Scaled { x, factors, .. } => {
                self.floats.iter_mut().zip(x).for_each(|(out, x)| *out = x * factors[0]);
                self.floats
            }
            Source::Norm { x, norm } => {
                norm_row(s, x, norm, self.floats);
                self.floats
            }
            Source::Activated { activation, x } => {
                activated_row(s, activation, x, self.floats);
                self.floats
            }
            Source::Gated { activation, gate, up } => {
                gated_row(s, activation, gate, up, self.floats);
                self.floats
            }
        };
        if !self.blocks32.is_empty() {
            quantize32(s, x, self.blocks32);
        }
        if !self.blocks256.is_empty() {
            quantize256(s, x, self.blocks256);
        }
    }
}
