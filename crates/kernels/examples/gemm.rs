//! Measures the matrix products on the default model's shapes.
//!
//! `cargo run --release -p parkade-kernels --example gemm [-- TYPE [THREADS]]`

use parkade_kernels::{Activations, CpuLevel, Matrix, Team, WeightType, matmul};
use std::time::{Duration, Instant};

fn main() {
    let mut args = std::env::args().skip(1);
    let wanted = args.next().unwrap_or_else(|| "Q4_1".to_owned());
    let threads = args
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let Some(&ty) = WeightType::ALL.iter().find(|ty| ty.name() == wanted) else {
        eprintln!("the types are {}", WeightType::ALL.iter().map(|ty| ty.name()).collect::<Vec<_>>().join(" "));
        std::process::exit(2);
    };
    let team = Team::new(threads);
    println!("{ty}, {threads} threads, {}", CpuLevel::current().name());
    println!("{:>14} {:>5} {:>10} {:>8} {:>9}", "rows x cols", "m", "us", "GB/s", "G MAC/s");
    let cols_step = ty.block_len().max(32);
    for (rows, cols) in [(576, 576), (1536, 576), (576, 1536), (49152, 576)] {
        let cols = usize::next_multiple_of(cols, cols_step);
        // 0x2c2c is 0.065 as f16: any block made of it is an ordinary one
        let row_bytes = ty.row_bytes(cols).expect("a whole number of blocks");
        let bytes = vec![0x2c; rows * row_bytes];
        // enough copies that the weights come from memory, as they do in a forward pass
        let copies = (200_000_000 / bytes.len()).clamp(1, 120);
        let matrices: Vec<Matrix> =
            (0..copies).map(|_| Matrix::from_bytes(&team, ty, rows, cols, &bytes).expect("a matrix")).collect();
        for m in [1, 4, 8, 16, 64, 512] {
            let x: Vec<f32> = (0..m * cols).map(|i| ((i * 37 % 255) as f32 - 127.0) / 100.0).collect();
            let mut activations = Activations::new();
            activations.set(&team, &x, m, cols, &[ty]);
            let mut out = vec![0.0; m * rows];
            let mut times = Vec::new();
            let (started, used) = (Instant::now(), processor_time());
            while times.len() < 20 || started.elapsed() < Duration::from_millis(200) {
                let call = Instant::now();
                let matrix = &matrices[times.len() % matrices.len()];
                matmul(&team, &activations, &mut [(matrix, &mut out)]);
                times.push(call.elapsed().as_secs_f64());
            }
            let seconds = match used {
                // one thread: the mean of the processor time, whatever else runs on the machine
                Some(before) if threads == 1 => (processor_time().unwrap_or(before) - before) / times.len() as f64,
                // several: the lower decile, about what they do when nothing else runs
                _ => {
                    times.sort_by(f64::total_cmp);
                    times[times.len() / 10]
                }
            };
            println!(
                "{:>14} {:>5} {:>10.1} {:>8.1} {:>9.1}",
                format!("{rows} x {cols}"),
                m,
                seconds * 1e6,
                matrices[0].memory_bytes() as f64 / seconds / 1e9,
                (m * rows * cols) as f64 / seconds / 1e9,
            );
        }
    }
}

/// Seconds that this thread has run, where the system tells.
fn processor_time() -> Option<f64> {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1e-9)
}
