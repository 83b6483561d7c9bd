//! Short convolutions along the rows of a sequence, of each channel by itself.

use crate::CpuLevel;
use crate::elementwise::Activation;
use crate::kv_cache::Span;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::state_cache::StateRows;
use crate::team::{Disjoint, Team};

/// Channels of a piece of the state.
const PIECE: usize = 4 * LANES;
/// Values below which a region would take longer than it saves.
const SMALL: usize = 8_192;

/// The taps of all channels. Its state is the last inputs of each channel, one fewer than the taps.
#[derive(Debug)]
pub struct Convolution {
    taps: usize,
    channels: usize,
    /// `[taps][channels]`.
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// What goes through a convolution, and what comes out.
#[derive(Debug, Clone, Copy)]
pub enum Convolved<'a> {
    /// Rows `[channels]`; out comes the convolution.
    Plain(&'a [f32]),
    /// Rows `[channels]`; out comes the SiLU of the convolution.
    Silu(&'a [f32]),
    /// Rows `[3][channels]`: the first and third are multiplied to what goes in, and the second is a factor of what comes out.
    Gated(&'a [f32]),
}

impl Convolution {
    /// Takes the weights `[channels][taps]`, as files have them, the tap of the row itself last.
    ///
    /// # Panics
    /// If the sizes do not fit, or there are fewer than two taps.
    pub fn new(taps: usize, channels: usize, weights: &[f32], bias: Option<Vec<f32>>) -> Convolution {
        assert!(taps >= 2 && weights.len() == taps * channels, "the taps do not fit");
        assert!(bias.as_ref().is_none_or(|bias| bias.len() == channels), "the bias does not fit");
        let weights = (0..taps).flat_map(|tap| weights.iter().skip(tap).step_by(taps).copied()).collect();
        Convolution { taps, channels, weights, bias }
    }

    /// Floats of the state of a sequence.
    pub fn state_values(taps: usize, channels: usize) -> usize {
        channels.next_multiple_of(PIECE) * (taps - 1)
    }

    /// Runs the rows of the spans. `out` is `[rows][channels]`.
    ///
    /// # Panics
    /// If sizes, rows or slots do not fit.
    pub fn run(&self, team: &Team, past: StateRows<'_>, x: Convolved<'_>, out: &mut [f32]) {
        self.run_at(CpuLevel::current(), team, past, x, out);
    }

    fn run_at(&self, level: CpuLevel, team: &Team, past: StateRows<'_>, x: Convolved<'_>, out: &mut [f32]) {
        let (Convolved::Plain(input) | Convolved::Silu(input) | Convolved::Gated(input)) = x;
        let width = self.channels * if matches!(x, Convolved::Gated(_)) { 3 } else { 1 };
        let rows = out.len() / self.channels;
        assert!(out.len() == rows * self.channels && input.len() == rows * width, "the rows do not fit");
        let pieces = (self.channels.div_ceil(PIECE), PIECE * (self.taps - 1));
        let grain = if out.len() < SMALL { usize::MAX } else { 1 };
        let out = Disjoint::new(out);
        past.each(team, rows, pieces, grain, &|span, piece, state| {
            dispatch(level, Piece { of: self, span, first: piece * PIECE, state, x, out: &out });
        });
    }
}

/// A span's rows of neighbouring channels.
struct Piece<'a> {
    of: &'a Convolution,
    span: &'a Span<'a>,
    /// The first channel.
    first: usize,
    /// `[taps - 1][PIECE]`, oldest first.
    state: &'a mut [f32],
    x: Convolved<'a>,
    out: &'a Disjoint<'a, f32>,
}

impl Kernel for Piece<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Convolution { taps, channels, weights, bias } = self.of;
        let (taps, channels) = (*taps, *channels);
        for lane in (0..PIECE.min(channels - self.first)).step_by(LANES) {
            let at = self.first + lane;
            let n = LANES.min(channels - at);
            // SAFETY: n <= 16 channels are left of each row.
            let first = |x: &[f32]| unsafe { s.load_first(x[at..at + n].as_ptr(), n) };
            let bias = bias.as_ref().map_or(s.float(0.0), |bias| first(bias));
            for row in self.span.first_row..self.span.first_row + self.span.rows {
                let (input, factor) = match self.x {
                    Convolved::Plain(x) | Convolved::Silu(x) => (first(&x[row * channels..]), None),
                    Convolved::Gated(x) => {
                        let row = &x[3 * row * channels..];
                        (s.mul(first(row), first(&row[2 * channels..])), Some(first(&row[channels..])))
                    }
                };
                let mut sum = bias;
                for tap in 0..taps - 1 {
                    let place = self.state[tap * PIECE + lane..][..LANES].as_mut_ptr();
                    // SAFETY: the place has sixteen floats.
                    let past = unsafe { s.load(place) };
                    sum = s.fma(first(&weights[tap * channels..]), past, sum);
                    let next = match tap + 2 < taps {
                        // SAFETY: the slice has sixteen floats.
                        true => unsafe { s.load(self.state[(tap + 1) * PIECE + lane..][..LANES].as_ptr()) },
                        false => input,
                    };
                    // SAFETY: the place has sixteen floats.
                    unsafe { s.store(next, place) };
                }
                sum = s.fma(first(&weights[(taps - 1) * channels..]), input, sum);
                let result = match (self.x, factor) {
                    (Convolved::Silu(_), _) => Activation::Silu.of(s, sum),
                    (_, Some(factor)) => s.mul(factor, sum),
                    (_, None) => sum,
                };
                let place = row * channels + at;
                // SAFETY: spans share no rows, and no other piece has these channels.
                let out = unsafe { self.out.part(place..place + n) };
                // SAFETY: n <= 16 floats.
                unsafe { s.store_first(result, out.as_mut_ptr(), n) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_cache::{SlotPair, StateCache};
    use crate::testing::{Numbers, bits};

    const TAPS: usize = 4;

    fn run(
        level: CpuLevel,
        convolution: &Convolution,
        gated: bool,
        x: &[f32],
        chunks: &[usize],
        threads: usize,
    ) -> Vec<f32> {
        let (team, channels) = (Team::new(threads), convolution.channels);
        let mut states = StateCache::new(2, 5 + Convolution::state_values(TAPS, channels)).unwrap();
        let (mut past, mut all) = (0, Vec::new());
        let width = if gated { 3 } else { 1 } * channels;
        for (step, &rows) in chunks.iter().enumerate() {
            let x = &x[past * width..(past + rows) * width];
            let x = if gated { Convolved::Gated(x) } else { Convolved::Silu(x) };
            let slots = [SlotPair { from: (step > 0).then_some((step % 2) as u32), to: 1 - (step % 2) as u32 }];
            let mut out = vec![0.0; rows * channels];
            let spans = [Span { first_row: 0, rows, past, blocks: &[] }];
            convolution.run_at(
                level,
                &team,
                StateRows { spans: &spans, states: &mut states, slots: &slots, start: 5 },
                x,
                &mut out,
            );
            past += rows;
            all.extend(out);
        }
        all
    }

    #[test]
    fn channels_are_convolved_alike_at_every_level_and_in_pieces() {
        let mut numbers = Numbers(1);
        for (channels, gated) in [(1, false), (16, true), (100, false), (130, true)] {
            let weights = numbers.floats(channels * TAPS);
            let bias = numbers.floats(channels);
            let x = numbers.floats(9 * channels * if gated { 3 } else { 1 });
            let convolution = Convolution::new(TAPS, channels, &weights, Some(bias.clone()));
            let first = run(CpuLevel::Scalar, &convolution, gated, &x, &[9], 1);
            for (row, channel) in (0..9).flat_map(|row| (0..channels).map(move |channel| (row, channel))) {
                let part = |row: usize, part: usize| f64::from(x[(row * 3 + part) * channels + channel]);
                let input = |row: usize| match gated {
                    true => part(row, 0) * part(row, 2),
                    false => f64::from(x[row * channels + channel]),
                };
                let tap = |tap: usize| {
                    Some(input((row + tap + 1).checked_sub(TAPS)?) * f64::from(weights[channel * TAPS + tap]))
                };
                let sum = f64::from(bias[channel]) + (0..TAPS).filter_map(tap).sum::<f64>();
                let want = if gated { part(row, 1) * sum } else { sum / (1.0 + (-sum).exp()) };
                let found = f64::from(first[row * channels + channel]);
                assert!((found - want).abs() < 1e-5, "row {row} of channel {channel}: {found} for {want}");
            }
            for &level in CpuLevel::available() {
                for chunks in [&[9][..], &[1, 1, 1, 1, 1, 1, 1, 1, 1], &[5, 1, 3]] {
                    assert_eq!(bits(&run(level, &convolution, gated, &x, chunks, 3)), bits(&first), "{chunks:?}");
                }
            }
        }
    }
}
