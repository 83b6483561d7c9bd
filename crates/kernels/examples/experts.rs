//! Measures a mixture of experts: 64 of them, of which each row goes to 8, in the shape of OLMoE (2048 values, experts 1024 wide).
//!
//! `cargo run --release -p parkade-kernels --example experts [-- TYPE [THREADS]]`

use parkade_kernels::{
    Activation, Activations, Choices, CpuLevel, GroupedProduct, Matrix, MatrixStack, Team, WeightType, matmul,
    matmul_grouped, sum_choices,
};
use std::time::{Duration, Instant};

const EXPERTS: usize = 64;
const USED: usize = 8;
const EMBEDDING: usize = 2048;
const WIDTH: usize = 1024;
const LAYERS: usize = 4;

fn main() {
    let mut args = std::env::args().skip(1);
    let wanted = args.next().unwrap_or_else(|| "Q4_K".to_owned());
    let threads = args
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let Some(&ty) = WeightType::ALL.iter().find(|ty| ty.name() == wanted) else {
        eprintln!("the types are {}", WeightType::ALL.iter().map(|ty| ty.name()).collect::<Vec<_>>().join(" "));
        std::process::exit(2);
    };
    let team = Team::new(threads);
    let stack = |rows: usize, cols: usize| {
        // 0x2c2c is 0.065 as f16: any block made of it is an ordinary one
        let bytes = vec![0x2c; EXPERTS * rows * ty.row_bytes(cols).expect("a whole number of blocks")];
        MatrixStack::from_bytes(&team, ty, EXPERTS, rows, cols, &bytes).expect("a stack")
    };
    // several layers in turn, so that the weights come from memory, as they do in a forward pass
    let layer = || [stack(WIDTH, EMBEDDING), stack(WIDTH, EMBEDDING), stack(EMBEDDING, WIDTH)];
    let layers: Vec<_> = (0..LAYERS).map(|_| layer()).collect();
    let plain = plain_rate(&team, ty);
    println!("{ty}, {threads} threads, {}; a plain product reads {plain:.1} GB/s", CpuLevel::current().name());
    println!("{:>5} {:>8} {:>10} {:>8} {:>7} {:>9}", "m", "experts", "us", "GB/s", "share", "G MAC/s");
    for m in [1, 2, 4, 16, 64, 512] {
        measure(&team, ty, &layers, m, plain);
    }
}

/// The lower decile of passes, each with another choice of experts.
fn measure(team: &Team, ty: WeightType, layers: &[[MatrixStack; 3]], m: usize, plain: f64) {
    let x: Vec<f32> = (0..m * EMBEDDING).map(|i| ((i * 37 % 255) as f32 - 127.0) / 100.0).collect();
    let (mut activations, mut inner) = (Activations::new(), Activations::new());
    activations.set(team, &x, m, EMBEDDING, &[ty]);
    let places = m * USED;
    let (mut gates, mut ups) = (vec![0.0; places * WIDTH], vec![0.0; places * WIDTH]);
    let (mut outputs, mut out) = (vec![0.0; places * EMBEDDING], vec![0.0; m * EMBEDDING]);
    let weights = vec![1.0 / USED as f32; places];
    let mut choices = Choices::default();
    let (mut times, mut touched, mut state) = (Vec::new(), 0, 1u64);
    let started = Instant::now();
    while times.len() < 20 || started.elapsed() < Duration::from_millis(1500) {
        let [gate, up, down] = &layers[times.len() % layers.len()];
        let chosen: Vec<u32> = (0..m).flat_map(|_| choose(&mut state)).collect();
        let call = Instant::now();
        choices.set(EXPERTS, USED, &chosen);
        inner.gather(&activations, choices.rows(), &[ty]);
        let products = &mut [product(gate, &mut gates), product(up, &mut ups)];
        matmul_grouped(team, &inner, choices.ends(), products);
        inner.set_gated(team, Activation::Silu, &gates, &ups, places, WIDTH, &[ty]);
        matmul_grouped(team, &inner, choices.ends(), &mut [product(down, &mut outputs)]);
        sum_choices(team, &choices, &weights, &outputs, EMBEDDING, &mut out);
        times.push(call.elapsed().as_secs_f64());
        let starts = std::iter::once(&0).chain(choices.ends());
        touched += starts.zip(choices.ends()).filter(|(start, end)| end > start).count();
    }
    let touched = touched as f64 / times.len() as f64;
    times.sort_by(f64::total_cmp);
    let seconds = times[times.len() / 10];
    let bytes: usize = layers[0].iter().map(MatrixStack::memory_bytes).sum();
    let bytes = bytes as f64 / EXPERTS as f64 * touched;
    let rate = bytes / seconds / 1e9;
    println!(
        "{m:>5} {touched:>8.1} {:>10.1} {rate:>8.1} {:>6.0}% {:>9.1}",
        seconds * 1e6,
        100.0 * rate / plain,
        (places * 3 * EMBEDDING * WIDTH) as f64 / seconds / 1e9,
    );
}

fn product<'a>(weights: &'a MatrixStack, out: &'a mut [f32]) -> GroupedProduct<'a> {
    GroupedProduct { weights, bias: None, out }
}

/// Different experts.
fn choose(state: &mut u64) -> Vec<u32> {
    let mut chosen = Vec::with_capacity(USED);
    while chosen.len() < USED {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let expert = (*state >> 33) as u32 % EXPERTS as u32;
        if !chosen.contains(&expert) {
            chosen.push(expert);
        }
    }
    chosen
}

/// What a product with one row reads of a matrix that is larger than caches: the best of thirty.
fn plain_rate(team: &Team, ty: WeightType) -> f64 {
    let rows = LAYERS * 3 * EXPERTS * WIDTH;
    let bytes = vec![0x2c; rows * ty.row_bytes(EMBEDDING).expect("a whole number of blocks")];
    let matrix = Matrix::from_bytes(team, ty, rows, EMBEDDING, &bytes).expect("a matrix");
    let mut activations = Activations::new();
    activations.set(team, &[0.5; EMBEDDING], 1, EMBEDDING, &[ty]);
    let mut out = vec![0.0; rows];
    let product = |_| {
        let started = Instant::now();
        matmul(team, &activations, &mut [(&matrix, &mut out)]);
        matrix.memory_bytes() as f64 / started.elapsed().as_secs_f64() / 1e9
    };
    (0..30).map(product).fold(0.0, f64::max)
}
