//! Micro-benchmarks of what a server does most often. `cargo bench -p parkade-bench`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use parkade_bench::hot_paths::{GemmPath, LotPath, SamplerPath};
use parkade_core::SamplingParams;
use parkade_kernels::WeightType;

fn lot(c: &mut Criterion) {
    let mut lot = LotPath::new().expect("a lot");
    let mut group = c.benchmark_group("lot");
    group.throughput(Throughput::Elements(100));
    group.bench_function("100 ends, decisions and submissions", |b| b.iter(|| lot.turn(100).expect("decisions")));
}

fn sampler(c: &mut Criterion) {
    let mut group = c.benchmark_group("sampler");
    let plain = SamplingParams { temperature: 0.8, ..SamplingParams::default() };
    let cut = SamplingParams { top_k: 40, top_p: 0.95, ..plain.clone() };
    let kinds = [
        ("greedy", SamplingParams { temperature: 0.0, ..plain.clone() }),
        ("temperature", plain.clone()),
        ("top_k and top_p", cut),
        ("penalties", SamplingParams { frequency_penalty: 0.5, ..plain }),
    ];
    for (name, params) in kinds {
        let mut path = SamplerPath::new(params);
        group.bench_function(name, |b| b.iter(|| path.choose(1).expect("a distribution")));
    }
}

fn gemm(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm");
    for ty in [WeightType::Q4_1, WeightType::Q8_0, WeightType::Q4K, WeightType::Q6K] {
        for rows in [1, 4, 16] {
            let mut path = GemmPath::new(ty, rows).expect("a matrix");
            group.throughput(Throughput::Elements((rows * 576 * 1_536) as u64));
            group.bench_function(BenchmarkId::new(ty.name(), rows), |b| b.iter(|| path.multiply(1)));
        }
    }
}

criterion_group!(benches, lot, sampler, gemm);
criterion_main!(benches);
