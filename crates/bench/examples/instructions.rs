//! Runs one hot path, to have its instructions counted: `counted` is the function to collect in.
//!
//! `valgrind --tool=callgrind --toggle-collect='*counted*' target/debug/examples/instructions PATH`

use parkade_bench::hot_paths::{GemmPath, LotPath, SamplerPath};
use parkade_core::SamplingParams;
use parkade_kernels::WeightType;
use std::error::Error;

/// Nothing but the path itself.
#[inline(never)]
fn counted<E: Error + 'static>(path: impl FnOnce() -> Result<(), E>) -> Result<(), Box<dyn Error>> {
    Ok(path()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let gemm = |ty, rows| GemmPath::new(ty, rows).ok_or("there is no such matrix");
    match std::env::args().nth(1).as_deref() {
        Some("lot") => {
            let mut lot = LotPath::new()?;
            lot.turn(100)?;
            counted(|| lot.turn(1_000).map(|_| ()))
        }
        Some("sampler") => {
            let mut sampler = SamplerPath::new(SamplingParams { temperature: 0.8, ..SamplingParams::default() });
            sampler.choose(1)?;
            counted(|| sampler.choose(20))
        }
        Some("gemm-1-row") => {
            let mut gemm = gemm(WeightType::Q4_1, 1)?;
            counted(|| {
                gemm.multiply(20);
                Ok::<(), std::io::Error>(())
            })
        }
        Some("gemm-16-rows") => {
            let mut gemm = gemm(WeightType::Q4_1, 16)?;
            counted(|| {
                gemm.multiply(5);
                Ok::<(), std::io::Error>(())
            })
        }
        _ => Err("the paths are lot, sampler, gemm-1-row and gemm-16-rows".into()),
    }
}
