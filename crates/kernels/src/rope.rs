use crate::team::{Disjoint, Team};

/// Which values of a head form a pair that is rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeLayout {
    /// `(2i, 2i + 1)`; ggml's NORM, used by Llama files.
    Interleaved,
    /// `(i, i + d/2)` of the rotated part; ggml's NEOX.
    Halves,
}

/// Angles are tabulated up to this position; later ones are computed when they are needed.
const TABULATED: usize = 32_768;

/// The rotations of a model: cosines and sines by position and frequency.
pub struct RopeTable {
    rotated: usize,
    inv_freqs: Vec<f32>,
    attn_factor: f32,
    layout: RopeLayout,
    /// `[position][frequency]` of (cos, sin), both times `attn_factor`.
    table: Vec<[f32; 2]>,
    max_positions: usize,
}

impl RopeTable {
    /// A table for heads whose first `head_dim_rotated` values are rotated; position p turns pair i by
    /// `p * inv_freqs[i]`. Cosine and sine are multiplied by `attn_factor` (1 unless YaRN).
    ///
    /// # Panics
    /// If there is not one frequency for each pair of rotated values.
    pub fn new(
        head_dim_rotated: usize,
        inv_freqs: Vec<f32>,
        attn_factor: f32,
        layout: RopeLayout,
        max_positions: usize,
    ) -> RopeTable {
        assert!(
            head_dim_rotated.is_multiple_of(2) && inv_freqs.len() == head_dim_rotated / 2,
            "one frequency for each pair of rotated values"
        );
        let mut table =
            RopeTable { rotated: head_dim_rotated, inv_freqs, attn_factor, layout, table: Vec::new(), max_positions };
        let pairs = table.inv_freqs.len();
        table.table = (0..max_positions.min(TABULATED))
            .flat_map(|position| (0..pairs).map(move |pair| (position, pair)))
            .map(|(position, pair)| table.turn(position, pair))
            .collect();
        table
    }

    /// The positions that the model was made for.
    pub fn max_positions(&self) -> usize {
        self.max_positions
    }

    fn turn(&self, position: usize, pair: usize) -> [f32; 2] {
        let angle = position as f64 * f64::from(self.inv_freqs[pair]);
        let factor = f64::from(self.attn_factor);
        [(angle.cos() * factor) as f32, (angle.sin() * factor) as f32]
    }
}

/// Rotates the first values of each head of `x`, `[positions.len()][heads][head_dim]`, in place.
///
/// # Panics
/// If `x` has another size or the heads are smaller than the rotated part.
pub fn rope(team: &Team, x: &mut [f32], heads: usize, head_dim: usize, positions: &[u32], table: &RopeTable) {
    let width = heads.checked_mul(head_dim).expect("heads * head_dim overflows");
    assert_eq!(Some(x.len()), positions.len().checked_mul(width), "x is not rows * heads * head_dim");
    assert!(table.rotated <= head_dim, "the heads are smaller than the rotated part");
    if x.is_empty() || table.rotated == 0 {
        return;
    }
    let pairs = table.rotated / 2;
    let x = Disjoint::new(x);
    team.for_chunks(positions.len(), (16_384 / width).max(1), &|rows| {
        let mut computed = Vec::new();
        for row in rows {
            // SAFETY: each row is in one chunk.
            let x = unsafe { x.part(row * width..(row + 1) * width) };
            let position = positions[row] as usize;
            let turns = match table.table.get(position * pairs..(position + 1) * pairs) {
                Some(turns) => turns,
                None => {
                    computed.clear();
                    computed.extend((0..pairs).map(|pair| table.turn(position, pair)));
                    &computed
                }
            };
            for head in x.chunks_exact_mut(head_dim) {
                rotate(&mut head[..table.rotated], turns, table.layout);
            }
        }
    });
}

fn rotate(head: &mut [f32], turns: &[[f32; 2]], layout: RopeLayout) {
    match layout {
        RopeLayout::Interleaved => {
            for (pair, [cos, sin]) in head.chunks_exact_mut(2).zip(turns) {
                let (a, b) = (pair[0], pair[1]);
                pair[0] = a * cos - b * sin;
                pair[1] = a * sin + b * cos;
            }
        }
        RopeLayout::Halves => {
            let (first, second) = head.split_at_mut(turns.len());
            for ((a, b), [cos, sin]) in first.iter_mut().zip(second).zip(turns) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Numbers, bits};

    fn inv_freqs(pairs: usize) -> Vec<f32> {
        (0..pairs).map(|pair| 10_000f32.powf(-(pair as f32) / pairs as f32)).collect()
    }

    #[test]
    fn pairs_turn_by_position_times_frequency() {
        let team = Team::new(2);
        let mut numbers = Numbers(1);
        for (layout, rotated) in
            [(RopeLayout::Interleaved, 8), (RopeLayout::Halves, 8), (RopeLayout::Halves, 4), (RopeLayout::Halves, 0)]
        {
            let (heads, dim, positions) = (3, 8, [0, 1, 77, 40_000]);
            let table = RopeTable::new(rotated, inv_freqs(rotated / 2), 1.5, layout, 100);
            let before = numbers.floats(positions.len() * heads * dim);
            let mut after = before.clone();
            rope(&team, &mut after, heads, dim, &positions, &table);
            for (index, (old, new)) in before.chunks(dim).zip(after.chunks(dim)).enumerate() {
                for pair in 0..rotated / 2 {
                    let (a, b) = match layout {
                        RopeLayout::Interleaved => (2 * pair, 2 * pair + 1),
                        RopeLayout::Halves => (pair, pair + rotated / 2),
                    };
                    let frequency = f64::from(inv_freqs(rotated / 2)[pair]);
                    let angle = f64::from(positions[index / heads]) * frequency;
                    let (x, y) = (f64::from(old[a]), f64::from(old[b]));
                    assert!((f64::from(new[a]) - 1.5 * (x * angle.cos() - y * angle.sin())).abs() < 1e-6);
                    assert!((f64::from(new[b]) - 1.5 * (x * angle.sin() + y * angle.cos())).abs() < 1e-6);
                }
                assert_eq!(old[rotated..], new[rotated..]);
            }
        }
    }

    #[test]
    fn a_tabulated_position_turns_as_a_computed_one() {
        let team = Team::new(1);
        let mut numbers = Numbers(2);
        let x = numbers.floats(64 * 5);
        let long = RopeTable::new(64, inv_freqs(32), 1.0, RopeLayout::Interleaved, 1000);
        let short = RopeTable::new(64, inv_freqs(32), 1.0, RopeLayout::Interleaved, 10);
        let (mut a, mut b) = (x.clone(), x);
        rope(&team, &mut a, 1, 64, &[1, 9, 10, 11, 999], &long);
        rope(&team, &mut b, 1, 64, &[1, 9, 10, 11, 999], &short);
        assert_eq!(bits(&a), bits(&b));
    }
}
