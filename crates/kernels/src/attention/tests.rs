use super::*;
use crate::kv_layout::{KvLayer, KvLayout};
use crate::testing::{Numbers, bits, nmse};

/// A sequence's tokens and where they live.
struct Sequence {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    table: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    dim: usize,
    latent: Option<usize>,
    block_len: usize,
    ty: KvType,
    scoring: Scoring<'static>,
    /// The first of the sinks, each head's a half above the one before.
    sinks: Option<f32>,
}

/// The scale is larger than usual, so that the weights are far from even.
const SCORES: Scoring<'static> =
    Scoring { scale: 0.375, soft_cap: None, window: None, chunk: None, ahead: 0, slopes: None, sinks: None };
const WINDOW: Scoring<'static> = Scoring { window: Some(70), ..SCORES };
const CAPPED: Scoring<'static> = Scoring { soft_cap: Some(2.0), ..WINDOW };
const PIECES: Scoring<'static> = Scoring { chunk: Some(90), ..SCORES };
const TWO_WAY: Scoring<'static> = Scoring { ahead: usize::MAX, ..SCORES };
const NEAR: Scoring<'static> = Scoring { window: Some(31), ahead: 30, ..SCORES };
const SLOPES: Scoring<'static> = Scoring { slopes: Some(&[0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625]), ..TWO_WAY };

const SHAPE: Shape = Shape {
    heads: 6,
    kv_heads: 2,
    dim: 64,
    latent: None,
    block_len: 16,
    ty: KvType::F16,
    scoring: SCORES,
    sinks: None,
};

impl Sequence {
    fn new(shape: Shape, tokens: usize, table: Vec<u32>, numbers: &mut Numbers) -> Sequence {
        Sequence {
            q: numbers.floats(tokens * shape.heads * shape.dim),
            k: numbers.floats(tokens * shape.kv_heads * shape.dim),
            v: numbers.floats(if shape.latent.is_some() { 0 } else { tokens * shape.kv_heads * shape.dim }),
            table,
        }
    }
}

impl Shape {
    fn sinks(self) -> Option<Vec<f32>> {
        self.sinks.map(|first| (0..self.heads).map(|head| first + head as f32 / 2.0).collect())
    }
}

/// Runs tokens `from..to` of the sequence through cache and attention.
fn step(
    level: CpuLevel,
    team: &Team,
    shape: Shape,
    kv: &mut KvCache,
    sequence: &Sequence,
    tokens: Range<usize>,
) -> Vec<f32> {
    let (wide, narrow) = (shape.heads * shape.dim, shape.kv_heads * shape.dim);
    let span = Span { first_row: 0, rows: tokens.len(), past: tokens.start, blocks: &sequence.table };
    let part = |x: &[f32], width: usize| x[tokens.start * width..tokens.end * width].to_vec();
    let (k, v) = (part(&sequence.k, narrow), part(&sequence.v, if shape.latent.is_some() { 0 } else { narrow }));
    kv.append_at(level, team, 0, &[span], &k, &v);
    let q = part(&sequence.q, wide);
    let mut out = vec![0.0; tokens.len() * shape.heads * shape.latent.unwrap_or(shape.dim)];
    let sinks = shape.sinks();
    let scoring = Scoring { sinks: sinks.as_deref(), ..shape.scoring };
    attention_at(level, team, &q, shape.heads, kv, 0, &[span], scoring, &mut out);
    out
}

fn cache(shape: Shape, blocks: usize) -> KvCache {
    let Shape { kv_heads: heads, dim, latent, block_len, ty, .. } = shape;
    KvCache::new(KvLayout::reading_all(&[KvShape { heads, dim, latent }]), blocks, block_len, ty).unwrap()
}

fn reference(shape: Shape, sequence: &Sequence) -> Vec<f64> {
    let Shape { heads, kv_heads, dim, scoring, .. } = shape;
    let Scoring { scale, soft_cap, window, chunk, ahead, slopes, .. } = scoring;
    let tokens = sequence.q.len() / (heads * dim);
    let mut out = Vec::new();
    for (row, q) in sequence.q.chunks_exact(dim).enumerate() {
        let (token, head) = (row / heads, row % heads / (heads / kv_heads));
        assert!(token < tokens);
        let first = (token + 1).saturating_sub(window.unwrap_or(usize::MAX));
        let first = first.max(chunk.map_or(0, |chunk| token - token % chunk));
        let end = (token + 1).saturating_add(ahead).min(tokens);
        let slope = slopes.map_or(0.0, |slopes| f64::from(slopes[row % heads]));
        let at = |x: &[f32], key: usize, d: usize| f64::from(x[(key * kv_heads + head) * dim + d]);
        let scores: Vec<f64> = (first..end)
            .map(|key| {
                let dot: f64 = (0..dim).map(|d| f64::from(q[d]) * at(&sequence.k, key, d)).sum();
                let score = dot * f64::from(scale) - slope * token.abs_diff(key) as f64;
                soft_cap.map(f64::from).map_or(score, |cap| cap * (score / cap).tanh()).exp()
            })
            .collect();
        let sink = shape.sinks().map_or(0.0, |sinks| f64::from(sinks[row % heads]).exp());
        let sum = scores.iter().sum::<f64>() + sink;
        for d in 0..dim {
            let value: f64 = scores.iter().zip(first..).map(|(w, key)| w * at(&sequence.v, key, d)).sum();
            out.push(value / sum);
        }
    }
    out
}

#[test]
fn attention_agrees_with_the_definition() {
    let mut numbers = Numbers(1);
    let team = Team::new(2);
    for (dim, heads, kv_heads, block_len) in
        [(64, 6, 2, 16), (80, 4, 4, 32), (128, 8, 1, 16), (96, 5, 1, 32), (2, 2, 1, 16), (50, 3, 3, 16)]
    {
        for ty in [KvType::F32, KvType::F16, KvType::BF16] {
            for (scoring, sinks) in [
                (SCORES, None),
                (WINDOW, None),
                (SCORES, Some(2.0)),
                (WINDOW, Some(-3.0)),
                (CAPPED, Some(-3.0)),
                (PIECES, None),
                (TWO_WAY, None),
                (NEAR, None),
                (SLOPES, None),
            ] {
                // The dot products of wide heads are large; slopes are there for six heads.
                let scoring = Scoring {
                    scale: 3.0 / (dim as f32).sqrt(),
                    slopes: scoring.slopes.filter(|_| heads == 6),
                    ..scoring
                };
                let shape = Shape { heads, kv_heads, dim, latent: None, block_len, ty, scoring, sinks };
                let tokens = 300usize;
                let table = (0..tokens.div_ceil(block_len) as u32).collect();
                let sequence = Sequence::new(shape, tokens, table, &mut numbers);
                let mut kv = cache(shape, 20);
                let got = step(CpuLevel::current(), &team, shape, &mut kv, &sequence, 0..tokens);
                let error = nmse(&got, &reference(shape, &sequence));
                let bound = match ty {
                    KvType::F32 => 1e-11,
                    KvType::F16 => 1e-5,
                    KvType::BF16 => 1e-3,
                };
                assert!(error < bound, "dim {dim} {ty:?} {scoring:?} {sinks:?}: nmse {error:e}");
            }
        }
    }
}

#[test]
fn chunks_levels_threads_and_blocks_do_not_change_a_bit() {
    let mut numbers = Numbers(2);
    for scoring in [SCORES, WINDOW, CAPPED, PIECES] {
        for ty in [KvType::F16, KvType::BF16, KvType::F32] {
            let shape = Shape { ty, scoring, sinks: scoring.window.map(|_| 1.0), ..SHAPE };
            let tokens = 600;
            let table: Vec<u32> = (0..38).collect();
            let sequence = Sequence::new(shape, tokens, table, &mut numbers);
            let team = Team::new(1);
            let mut kv = cache(shape, 40);
            let whole = bits(&step(CpuLevel::Scalar, &team, shape, &mut kv, &sequence, 0..tokens));
            let width = shape.heads * shape.dim;

            for &level in CpuLevel::available() {
                for threads in [1, 2, 7] {
                    let team = Team::new(threads);
                    let mut kv = cache(shape, 40);
                    let mut done = 0;
                    for len in [1, 2, 13, 64, 100, 250, 1, 1, 168] {
                        let got = step(level, &team, shape, &mut kv, &sequence, done..done + len);
                        let want = &whole[done * width..(done + len) * width];
                        assert_eq!(bits(&got), want, "{} threads {threads} at {done}", level.name());
                        done += len;
                    }
                    assert_eq!(done, tokens);
                }
            }
        }
    }
}

/// The rows' values are the first ones of their keys: stored once, and stored again as values, they give the same bits.
#[test]
fn values_in_keys_give_the_bits_of_values_of_their_own() {
    let mut numbers = Numbers(7);
    for (heads, kv_heads, dim, latent, scoring) in
        [(20, 1, 48, 32, SCORES), (20, 1, 50, 50, WINDOW), (6, 2, 40, 7, CAPPED), (20, 1, 32, 24, TWO_WAY)]
    {
        for (ty, block_len) in [(KvType::F16, 16), (KvType::BF16, 32), (KvType::F32, 16)] {
            let scoring = Scoring { scale: 3.0 / (dim as f32).sqrt(), ..scoring };
            let own = Shape { heads, kv_heads, dim, block_len, ty, scoring, ..SHAPE };
            let shape = Shape { latent: Some(latent), ..own };
            let mut sequence = Sequence::new(shape, 300, (0..19).collect(), &mut numbers);
            sequence.v = sequence.k.clone();
            let twice = step(CpuLevel::Scalar, &Team::new(1), own, &mut cache(own, 20), &sequence, 0..300);
            let want: Vec<f32> = twice.chunks_exact(dim).flat_map(|head| &head[..latent]).copied().collect();
            let pieces: &[usize] = if scoring.ahead > 0 { &[300] } else { &[1, 2, 200, 61, 1, 35] };
            for &level in CpuLevel::available() {
                for threads in [1, 3] {
                    let (team, mut kv) = (Team::new(threads), cache(shape, 20));
                    let (mut got, mut done) = (Vec::new(), 0);
                    for len in pieces {
                        got.extend(step(level, &team, shape, &mut kv, &sequence, done..done + len));
                        done += len;
                    }
                    assert_eq!(bits(&got), bits(&want), "{} threads {threads} {shape:?}", level.name());
                }
            }
        }
    }
}

#[test]
fn levels_threads_and_company_do_not_change_a_bit_of_two_way_attention() {
    let mut numbers = Numbers(6);
    for scoring in [TWO_WAY, NEAR, SLOPES] {
        let shape = Shape { scoring, ..SHAPE };
        let sequence = Sequence::new(shape, 600, (0..38).collect(), &mut numbers);
        let whole = step(CpuLevel::Scalar, &Team::new(1), shape, &mut cache(shape, 40), &sequence, 0..600);
        for &level in CpuLevel::available() {
            for threads in [1, 2, 7] {
                let got = step(level, &Team::new(threads), shape, &mut cache(shape, 40), &sequence, 0..600);
                assert_eq!(bits(&got), bits(&whole), "{} threads {threads} {scoring:?}", level.name());
            }
        }
    }
}

#[test]
fn the_place_of_the_blocks_does_not_matter_nor_what_they_held() {
    let mut numbers = Numbers(3);
    let team = Team::new(2);
    for block_len in [16, 32] {
        let shape = Shape { block_len, ..SHAPE };
        let tokens = 290usize;
        let blocks = tokens.div_ceil(block_len) as u32;
        let mut sequence = Sequence::new(shape, tokens, (0..blocks).collect(), &mut numbers);
        let mut kv = cache(shape, 64);
        let want = step(CpuLevel::current(), &team, shape, &mut kv, &sequence, 0..tokens);
        // other blocks, backwards, full of NaN
        let mut kv = cache(shape, 64);
        let all: Vec<u32> = (0..64).collect();
        let rows = 64 * block_len * shape.kv_heads * shape.dim;
        let nan = vec![f32::NAN; rows];
        let span = Span { first_row: 0, rows: 64 * block_len, past: 0, blocks: &all };
        kv.append(&team, 0, &[span], &nan, &nan);
        sequence.table = (0..blocks).map(|block| 63 - 2 * block % 63).collect();
        let got = step(CpuLevel::current(), &team, shape, &mut kv, &sequence, 0..tokens);
        assert_eq!(bits(&got), bits(&want));
    }
}

#[test]
fn what_a_window_has_left_behind_is_not_read() {
    let mut numbers = Numbers(6);
    let team = Team::new(2);
    let (shape, tokens) = (Shape { scoring: WINDOW, ..SHAPE }, 600usize);
    let sequence = Sequence::new(shape, tokens, (0..38).collect(), &mut numbers);
    let want = step(CpuLevel::current(), &team, shape, &mut cache(shape, 38), &sequence, 0..tokens);
    let heads = KvShape { heads: shape.kv_heads, dim: shape.dim, latent: None };
    let layer = |heads, reach| KvLayer { shape: heads, reach };
    // The windows are in the second of two groups; those of the first have other heads, and so blocks are larger than they need.
    let layers = [layer(heads, WINDOW.window), layer(KvShape { heads: 3, dim: 80, latent: None }, None)];
    let mut kv = KvCache::new(KvLayout::new(&layers), 12, shape.block_len, shape.ty).unwrap();
    assert_eq!(kv.layout().reaches(), [None, WINDOW.window]);
    let (mut table, mut free, mut got) = (Vec::new(), (0..12).collect::<Vec<u32>>(), Vec::new());
    let (mut next, mut numbers) = (0, Numbers(7));
    while next < tokens {
        let gone = KvLayout::first_read(WINDOW.window, next) / shape.block_len;
        for entry in table.iter_mut().skip(1).step_by(2).take(gone).filter(|entry| **entry != u32::MAX) {
            free.push(std::mem::replace(entry, u32::MAX));
        }
        let end = tokens.min(next + 1 + numbers.below(40));
        while table.len() < 2 * end.div_ceil(shape.block_len) {
            table.extend([u32::MAX, free.pop().expect("the window's blocks are enough")]);
        }
        let part =
            Sequence { table: table.clone(), q: sequence.q.clone(), k: sequence.k.clone(), v: sequence.v.clone() };
        got.extend(step(CpuLevel::current(), &team, shape, &mut kv, &part, next..end));
        next = end;
    }
    assert_eq!(bits(&got), bits(&want));
}

#[test]
fn sequences_in_one_batch_do_not_see_each_other() {
    for scoring in [SCORES, TWO_WAY, SLOPES] {
        in_one_batch(Shape { scoring, ..SHAPE });
    }
}

fn in_one_batch(shape: Shape) {
    let mut numbers = Numbers(4);
    let team = Team::new(2);
    let lengths = [1, 40, 300, 17];
    let mut next = 0;
    let sequences: Vec<Sequence> = lengths
        .iter()
        .map(|&tokens| {
            let blocks = (tokens as u32).div_ceil(16);
            next += blocks;
            Sequence::new(shape, tokens, (next - blocks..next).collect(), &mut numbers)
        })
        .collect();
    let mut spans = Vec::new();
    let (mut q, mut k, mut v) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = 0;
    for (sequence, &tokens) in sequences.iter().zip(&lengths) {
        spans.push(Span { first_row: rows, rows: tokens, past: 0, blocks: &sequence.table });
        rows += tokens;
        q.extend(&sequence.q);
        k.extend(&sequence.k);
        v.extend(&sequence.v);
    }
    let mut kv = cache(shape, next as usize);
    kv.append(&team, 0, &spans, &k, &v);
    let mut together = vec![0.0; q.len()];
    attention(&team, &q, shape.heads, &kv, 0, &spans, shape.scoring, &mut together);
    let mut alone = Vec::new();
    for (sequence, &tokens) in sequences.iter().zip(&lengths) {
        let mut kv = cache(shape, next as usize);
        alone.extend(step(CpuLevel::current(), &team, shape, &mut kv, sequence, 0..tokens));
    }
    assert_eq!(bits(&together), bits(&alone));
}

#[test]
fn infinite_scores_do_not_crash_and_stay_in_their_row() {
    let mut numbers = Numbers(5);
    let team = Team::new(1);
    let shape = Shape { ty: KvType::F32, ..SHAPE };
    let clean = Sequence::new(shape, 40, vec![0, 1, 2], &mut numbers);
    let mut kv = cache(shape, 3);
    let want = step(CpuLevel::current(), &team, shape, &mut kv, &clean, 0..40);
    let width = shape.heads * shape.dim;
    for odd in [f32::NAN, f32::INFINITY, f32::MAX] {
        let mut sequence =
            Sequence { q: clean.q.clone(), k: clean.k.clone(), v: clean.v.clone(), table: vec![0, 1, 2] };
        sequence.q[20 * width..21 * width].fill(odd);
        let got = step(CpuLevel::current(), &team, shape, &mut kv, &sequence, 0..40);
        assert_eq!(bits(&got[..20 * width]), bits(&want[..20 * width]));
        assert_eq!(bits(&got[21 * width..]), bits(&want[21 * width..]));
    }
}

#[test]
#[should_panic(expected = "need 2 blocks")]
fn a_short_block_table_is_refused() {
    let team = Team::new(1);
    let kv = cache(SHAPE, 3);
    let q = vec![0.0; 6 * 64];
    let span = Span { first_row: 0, rows: 1, past: 16, blocks: &[1] };
    attention(&team, &q, 6, &kv, 0, &[span], SCORES, &mut q.clone());
}

#[test]
#[should_panic(expected = "share no rows")]
fn spans_that_share_rows_are_refused() {
    let team = Team::new(1);
    let kv = cache(SHAPE, 3);
    let q = vec![0.0; 6 * 64];
    let span = Span { first_row: 0, rows: 1, past: 0, blocks: &[1] };
    attention(&team, &q, 6, &kv, 0, &[span, span], SCORES, &mut q.clone());
}
