//! Linear recurrences: a matrix of state for each head that fades, takes in the product of a key and a value, and is read by a query. Mamba 2, the
//! gated delta rule and RWKV 7 are three ways of one.

use crate::CpuLevel;
use crate::kv_cache::Span;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::state_cache::StateRows;
use crate::team::{Disjoint, Team};

/// Products below which a region would take longer than it saves.
const SMALL: usize = 32_768;

/// Some columns of rows.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// All rows.
    pub x: &'a [f32],
    /// Values of a row.
    pub width: usize,
    /// The first column.
    pub first: usize,
}

impl<'a> Columns<'a> {
    /// All columns.
    pub fn all(x: &'a [f32], width: usize) -> Columns<'a> {
        Columns { x, width, first: 0 }
    }

    #[inline(always)]
    fn part(&self, row: usize, at: usize, len: usize) -> &'a [f32] {
        &self.x[row * self.width + self.first + at..][..len]
    }

    fn check(&self, rows: usize, columns: usize) {
        assert!(self.first + columns <= self.width && rows * self.width <= self.x.len(), "the columns do not fit");
    }
}

/// Which head of keys and queries a head takes, where there are fewer of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyHeads {
    /// Neighbours share one.
    Neighbours,
    /// They take one after the other, in turn.
    InTurn,
}

/// How the state takes in a row.
#[derive(Debug, Clone, Copy)]
pub enum Update<'a> {
    /// `S = decay S + k (factor v)`, and `skip v` is added to what is read.
    Add {
        /// `[rows][heads]`.
        decay: &'a [f32],
        /// `[rows][heads]`.
        factor: &'a [f32],
        /// `[heads]`.
        skip: &'a [f32],
    },
    /// `S = decay S + k (factor (v - k decay S))`: what the key stood for is replaced.
    Delta {
        /// `[rows][heads]`.
        decay: &'a [f32],
        /// `[rows][heads]`.
        factor: &'a [f32],
    },
    /// `S = decay S + k v + put (take S)`.
    Replace {
        /// `[rows][heads][key]`.
        decay: &'a [f32],
        /// `[rows][heads][key]`.
        take: &'a [f32],
        /// `[rows][heads][key]`.
        put: &'a [f32],
    },
}

/// The rows of a recurrence.
#[derive(Debug, Clone, Copy)]
pub struct Recurrence<'a> {
    /// Heads of values.
    pub heads: usize,
    /// Heads of keys and queries; divides `heads`.
    pub key_heads: usize,
    /// Which of them a head takes.
    pub order: KeyHeads,
    /// Values of a key's and a query's head.
    pub key: usize,
    /// Values of a value's head.
    pub value: usize,
    /// `[rows][key_heads][key]`.
    pub queries: Columns<'a>,
    /// `[rows][key_heads][key]`.
    pub keys: Columns<'a>,
    /// `[rows][heads][value]`.
    pub values: Columns<'a>,
    /// How the state takes them in.
    pub update: Update<'a>,
}

impl Recurrence<'_> {
    /// Floats of the state of a sequence.
    pub fn state_values(heads: usize, key: usize, value: usize) -> usize {
        heads * key * value.next_multiple_of(LANES)
    }

    /// Runs the rows of the spans. `out` is `[rows][heads][value]`.
    ///
    /// # Panics
    /// If sizes, rows or slots do not fit.
    pub fn run(&self, team: &Team, past: StateRows<'_>, out: &mut [f32]) {
        self.run_at(CpuLevel::current(), team, past, out);
    }

    fn run_at(&self, level: CpuLevel, team: &Team, past: StateRows<'_>, out: &mut [f32]) {
        let rows = out.len() / (self.heads * self.value);
        self.check(rows, out.len());
        let groups = self.value.div_ceil(LANES);
        let pieces = (self.heads * groups, self.key * LANES);
        let grain = if out.len() * self.key < SMALL { usize::MAX } else { 1 };
        let out = Disjoint::new(out);
        past.each(team, rows, pieces, grain, &|span, piece, state| {
            let (head, first) = (piece / groups, piece % groups * LANES);
            dispatch(level, Piece { of: self, span, head, first, state, out: &out });
        });
    }

    fn check(&self, rows: usize, out: usize) {
        let Recurrence { heads, key_heads, key, value, .. } = *self;
        assert!(key_heads > 0 && heads.is_multiple_of(key_heads) && key > 0, "the heads do not fit");
        assert_eq!(out, rows * heads * value, "the rows do not fit");
        self.queries.check(rows, key_heads * key);
        self.keys.check(rows, key_heads * key);
        self.values.check(rows, heads * value);
        let sizes = match self.update {
            Update::Add { decay, factor, skip } => {
                assert_eq!(skip.len(), heads, "the factors of the values do not fit");
                [decay.len() / heads, factor.len() / heads, rows]
            }
            Update::Delta { decay, factor } => [decay.len() / heads, factor.len() / heads, rows],
            Update::Replace { decay, take, put } => [decay, take, put].map(|x| x.len() / (heads * key)),
        };
        assert!(sizes.iter().all(|&size| size >= rows), "the factors do not fit");
    }
}

/// A span's rows of sixteen values of a head.
struct Piece<'a> {
    of: &'a Recurrence<'a>,
    span: &'a Span<'a>,
    head: usize,
    /// The first of the values.
    first: usize,
    /// `[key][16]`.
    state: &'a mut [f32],
    out: &'a Disjoint<'a, f32>,
}

impl Kernel for Piece<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Recurrence { heads, key_heads, order, key, value, .. } = *self.of;
        let key_head = match order {
            KeyHeads::Neighbours => self.head / (heads / key_heads),
            KeyHeads::InTurn => self.head % key_heads,
        };
        let n = LANES.min(value - self.first);
        for row in self.span.first_row..self.span.first_row + self.span.rows {
            let (q, k) = (self.of.queries.part(row, key_head * key, key), self.of.keys.part(row, key_head * key, key));
            let at = self.head * value + self.first;
            // SAFETY: the slice has n <= 16 floats.
            let v = unsafe { s.load_first(self.of.values.part(row, at, n).as_ptr(), n) };
            let place = row * heads + self.head;
            let y = match self.of.update {
                Update::Add { decay, factor, skip } => {
                    let added = s.mul(v, s.float(factor[place]));
                    let y = fade_add_read(s, self.state, s.float(decay[place]), k, added, q);
                    s.fma(s.float(skip[self.head]), v, y)
                }
                Update::Delta { decay, factor } => {
                    let decay = s.float(decay[place]);
                    let known = s.mul(decay, read(s, self.state, k));
                    let added = s.mul(s.float(factor[place]), s.sub(v, known));
                    fade_add_read(s, self.state, decay, k, added, q)
                }
                Update::Replace { decay, take, put } => {
                    let own = |x: &'_ [f32]| place * key..(place * key + key).min(x.len());
                    let taken = read(s, self.state, &take[own(take)]);
                    replace_read(s, self.state, [&decay[own(decay)], k, &put[own(put)], q], v, taken)
                }
            };
            let at = row * heads * value + at;
            // SAFETY: spans share no rows, and no other piece has these values.
            let out = unsafe { self.out.part(at..at + n) };
            // SAFETY: out has n <= 16 floats.
            unsafe { s.store_first(y, out.as_mut_ptr(), n) };
        }
    }
}

/// How many sums are taken side by side.
const SUMS: usize = 4;

#[inline(always)]
fn total<S: Simd>(s: S, sums: [S::F; SUMS]) -> S::F {
    s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]))
}

/// The sum of the rows of the state, each by its factor.
#[inline(always)]
fn read<S: Simd>(s: S, state: &[f32], factors: &[f32]) -> S::F {
    let mut sums = [s.float(0.0); SUMS];
    for (state, factors) in state.chunks(SUMS * LANES).zip(factors.chunks(SUMS)) {
        for (i, (row, &factor)) in state.chunks_exact(LANES).zip(factors).enumerate() {
            // SAFETY: the row has sixteen floats.
            sums[i] = s.fma(s.float(factor), unsafe { s.load(row.as_ptr()) }, sums[i]);
        }
    }
    total(s, sums)
}

/// Fades the state, adds the product of `k` and `added`, and reads it by `q`.
#[inline(always)]
fn fade_add_read<S: Simd>(s: S, state: &mut [f32], decay: S::F, k: &[f32], added: S::F, q: &[f32]) -> S::F {
    let mut sums = [s.float(0.0); SUMS];
    for ((state, k), q) in state.chunks_mut(SUMS * LANES).zip(k.chunks(SUMS)).zip(q.chunks(SUMS)) {
        for (i, ((row, &k), &q)) in state.chunks_exact_mut(LANES).zip(k).zip(q).enumerate() {
            // SAFETY: the row has sixteen floats.
            let new = s.fma(s.float(k), added, s.mul(decay, unsafe { s.load(row.as_ptr()) }));
            // SAFETY: as above.
            unsafe { s.store(new, row.as_mut_ptr()) };
            sums[i] = s.fma(s.float(q), new, sums[i]);
        }
    }
    total(s, sums)
}

/// Fades each row of the state by its own factor, adds the products of `k` and `v` and of `put` and `taken`, and reads it by `q`.
#[inline(always)]
fn replace_read<S: Simd>(s: S, state: &mut [f32], [decay, k, put, q]: [&[f32]; 4], v: S::F, taken: S::F) -> S::F {
    let mut sums = [s.float(0.0); SUMS];
    assert!([decay, k, put, q].iter().all(|x| x.len() * LANES == state.len()), "a number for each row");
    for (j, row) in state.chunks_exact_mut(LANES).enumerate() {
        // SAFETY: the row has sixteen floats.
        let faded = s.mul(s.float(decay[j]), unsafe { s.load(row.as_ptr()) });
        let new = s.fma(s.float(put[j]), taken, s.fma(s.float(k[j]), v, faded));
        // SAFETY: as above.
        unsafe { s.store(new, row.as_mut_ptr()) };
        sums[j % SUMS] = s.fma(s.float(q[j]), new, sums[j % SUMS]);
    }
    total(s, sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_cache::{SlotPair, StateCache};
    use crate::testing::{Numbers, bits};

    const ROWS: usize = 9;

    fn run(level: CpuLevel, of: &Recurrence<'_>, chunks: &[usize], threads: usize) -> Vec<f32> {
        let team = Team::new(threads);
        let values = Recurrence::state_values(of.heads, of.key, of.value);
        let mut states = StateCache::new(2, 3 + values).unwrap();
        let mut out = vec![0.0; ROWS * of.heads * of.value];
        let mut first_row = 0;
        for (step, &rows) in chunks.iter().enumerate() {
            let slots = [SlotPair { from: (step > 0).then_some((step % 2) as u32), to: 1 - (step % 2) as u32 }];
            let spans = [Span { first_row, rows, past: first_row, blocks: &[] }];
            of.run_at(
                level,
                &team,
                StateRows { spans: &spans, states: &mut states, slots: &slots, start: 3 },
                &mut out,
            );
            first_row += rows;
        }
        out
    }

    /// The definition, in double precision.
    fn definition(of: &Recurrence<'_>) -> Vec<f64> {
        let Recurrence { heads, key_heads, key, value, .. } = *of;
        let mut out = vec![0.0; ROWS * heads * value];
        for head in 0..heads {
            let key_head = match of.order {
                KeyHeads::Neighbours => head / (heads / key_heads),
                KeyHeads::InTurn => head % key_heads,
            };
            let mut state = vec![vec![0.0; value]; key];
            for row in 0..ROWS {
                let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
                let (q, k) = (of.queries.part(row, key_head * key, key), of.keys.part(row, key_head * key, key));
                let (q, k, v) = (wide(q), wide(k), wide(of.values.part(row, head * value, value)));
                let place = row * heads + head;
                let old = state.clone();
                for i in 0..value {
                    let sum = |x: &[f64]| (0..key).map(|j| x[j] * old[j][i]).sum::<f64>();
                    for j in 0..key {
                        let at = place * key + j;
                        state[j][i] = match of.update {
                            Update::Add { decay, factor, .. } => {
                                f64::from(decay[place]) * old[j][i] + k[j] * v[i] * f64::from(factor[place])
                            }
                            Update::Delta { decay, factor } => {
                                let decay = f64::from(decay[place]);
                                decay * old[j][i] + k[j] * f64::from(factor[place]) * (v[i] - decay * sum(&k))
                            }
                            Update::Replace { decay, take, put } => {
                                let taken = sum(&wide(&take[place * key..][..key]));
                                f64::from(decay[at]) * old[j][i] + k[j] * v[i] + f64::from(put[at]) * taken
                            }
                        };
                    }
                    let skip = match of.update {
                        Update::Add { skip, .. } => f64::from(skip[head]) * v[i],
                        _ => 0.0,
                    };
                    out[place * value + i] = skip + (0..key).map(|j| q[j] * state[j][i]).sum::<f64>();
                }
            }
        }
        out
    }

    #[test]
    fn states_are_updated_alike_at_every_level_and_in_pieces() {
        let mut numbers = Numbers(3);
        for (heads, key_heads, key, value) in [(2, 2, 5, 3), (4, 2, 32, 48), (3, 1, 17, 16)] {
            let width = 2 * key_heads * key + heads * value + 1;
            let x: Vec<f32> = numbers.floats(ROWS * width).iter().map(|x| x * 0.4).collect();
            let columns = |first| Columns { x: &x, width, first };
            let by_head = [numbers.floats(ROWS * heads), numbers.floats(ROWS * heads)];
            let skip = numbers.floats(heads);
            let by_key =
                [(); 3].map(|()| numbers.floats(ROWS * heads * key).iter().map(|x| x * 0.3).collect::<Vec<_>>());
            let [decay, factor] = [&by_head[0][..], &by_head[1][..]];
            let of = |update, order| Recurrence {
                heads,
                key_heads,
                order,
                key,
                value,
                queries: columns(1),
                keys: columns(1 + key_heads * key),
                values: columns(1 + 2 * key_heads * key),
                update,
            };
            for of in [
                of(Update::Add { decay, factor, skip: &skip }, KeyHeads::Neighbours),
                of(Update::Delta { decay, factor }, KeyHeads::InTurn),
                of(Update::Replace { decay: &by_key[0], take: &by_key[1], put: &by_key[2] }, KeyHeads::Neighbours),
            ] {
                let first = run(CpuLevel::Scalar, &of, &[ROWS], 1);
                for (&found, want) in first.iter().zip(definition(&of)) {
                    assert!((f64::from(found) - want).abs() < 1e-4 * (1.0 + want.abs()), "{found} for {want}");
                }
                for &level in CpuLevel::available() {
                    for chunks in [&[ROWS][..], &[1; ROWS], &[5, 1, 3]] {
                        assert_eq!(bits(&run(level, &of, chunks, 3)), bits(&first), "{chunks:?}");
                    }
                }
            }
        }
    }
}
