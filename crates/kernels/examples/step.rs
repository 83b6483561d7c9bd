//! Measures what a forward pass is made of besides the products: attention, the fused norm, SwiGLU, RoPE,
//! and an empty parallel region. Shapes of the default model.
//!
//! `cargo run --release -p parkade-kernels --example step [-- THREADS]`

use parkade_kernels::{
    Activation, Activations, KvCache, KvLayout, KvShape, KvType, Norm, RopeLayout, RopeTable, Scoring, Span, Team,
    WeightType, attention, rope,
};
use std::time::{Duration, Instant};

const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const DIM: usize = 64;
const EMBEDDING: usize = 576;
const FEED_FORWARD: usize = 1536;

/// The lower decile of the time of a call: what it takes when nothing else runs on the machine.
fn measure(mut f: impl FnMut()) -> f64 {
    let mut times = Vec::new();
    let started = Instant::now();
    while times.len() < 50 || started.elapsed() < Duration::from_millis(100) {
        let call = Instant::now();
        f();
        times.push(call.elapsed());
    }
    times.sort();
    times[times.len() / 10].as_secs_f64() * 1e6
}

fn main() {
    let threads = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let team = Team::new(threads);
    println!("{threads} threads, microseconds a call");
    println!("{:>28} {:>8.2}", "empty region", measure(|| team.run(&|_| ())));
    let mut x = Activations::new();
    let weight = vec![1.0; EMBEDDING];
    let table = RopeTable::new(DIM, vec![0.01; DIM / 2], 1.0, RopeLayout::Interleaved, 8192);
    for m in [1, 16, 512] {
        let row = vec![0.3; m * FEED_FORWARD];
        let narrow = &row[..m * EMBEDDING];
        let ty = [WeightType::Q4_1];
        let norm = measure(|| x.set_norm(&team, narrow, m, EMBEDDING, Norm::Rms { weight: &weight, eps: 1e-5 }, &ty));
        let swiglu = measure(|| x.set_gated(&team, Activation::Silu, &row, &row, m, FEED_FORWARD, &ty));
        let mut q = narrow.to_vec();
        let positions: Vec<u32> = (0..m as u32).collect();
        let turn = measure(|| rope(&team, &mut q, HEADS, DIM, &positions, &table));
        println!("{:>28} {norm:>8.2}", format!("norm + quantise, m={m}"));
        println!("{:>28} {swiglu:>8.2}", format!("swiglu + quantise, m={m}"));
        println!("{:>28} {turn:>8.2}", format!("rope, m={m}"));
    }
    for (streams, rows, past) in
        [(1usize, 1usize, 128usize), (1, 1, 2000), (16, 1, 128), (16, 1, 1000), (1, 512, 0), (1, 512, 1500)]
    {
        let blocks = (past + rows).div_ceil(16);
        let shape = KvShape { heads: KV_HEADS, dim: DIM, latent: None };
        let mut kv = KvCache::new(KvLayout::reading_all(&[shape]), streams * blocks, 16, KvType::F16).expect("a cache");
        let tables: Vec<Vec<u32>> =
            (0..streams).map(|stream| (0..blocks).map(|block| (stream * blocks + block) as u32).collect()).collect();
        let spans: Vec<Span<'_>> = tables
            .iter()
            .enumerate()
            .map(|(stream, blocks)| Span { first_row: stream * rows, rows, past, blocks })
            .collect();
        let k = vec![0.1; streams * rows * KV_HEADS * DIM];
        let q = vec![0.2; streams * rows * HEADS * DIM];
        let mut out = vec![0.0; q.len()];
        let append = measure(|| kv.append(&team, 0, &spans, &k, &k));
        let attend = measure(|| attention(&team, &q, HEADS, &kv, 0, &spans, Scoring::scaled(0.125), &mut out));
        let name = format!("{streams} x {rows} rows at {past}");
        println!("{:>28} {attend:>8.2}   append {append:>8.2}", format!("attention {name}"));
    }
}
