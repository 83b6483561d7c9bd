//! What a server does most often, each made ready and done so many times: for micro-benchmarks and for counting instructions.
//!
//! `cargo bench -p parkade-bench` times them, `examples/instructions.rs` runs one of them to be counted.

use crate::random::Random;
use parkade_core::{NoDistribution, Sampler, SamplerScratch, SamplingParams};
use parkade_kernels::{Activations, Matrix, Team, WeightType, matmul};
use std::sync::Arc;

#[cfg(feature = "parking-lot-scheduler")]
pub use crate::pool::LotPath;

/// As many logits as the default model has.
const VOCABULARY: usize = 49_152;
/// The feed-forward of the default model: inputs and outputs.
const SHAPE: (usize, usize) = (576, 1_536);

/// Choosing tokens from logits.
#[derive(Debug)]
pub struct SamplerPath {
    sampler: Sampler,
    scratch: SamplerScratch,
    logits: Vec<f32>,
}

impl SamplerPath {
    /// Logits as a model gives them: a few stand out.
    pub fn new(params: SamplingParams) -> Self {
        let mut random = Random::new(1, 0);
        let logits = (0..VOCABULARY).map(|_| (random.below(1 << 16) as f32 / 6_553.6).powi(2) / 5.0).collect();
        SamplerPath { sampler: Sampler::new(Arc::new(params), &[], 1, 0), scratch: SamplerScratch::default(), logits }
    }

    /// Chooses and accepts so many tokens.
    ///
    /// # Errors
    /// Never: the logits hold a distribution.
    pub fn choose(&mut self, count: usize) -> Result<(), NoDistribution> {
        for _ in 0..count {
            let token = self.sampler.choose(&self.logits, None, &mut self.scratch)?;
            self.sampler.accept(token);
        }
        Ok(())
    }
}

/// A product of a weight matrix with some rows, on one thread.
pub struct GemmPath {
    team: Team,
    matrix: Matrix,
    x: Activations,
    out: Vec<f32>,
}

impl GemmPath {
    /// A matrix of the default model's shape. `None` if there is none in that type.
    pub fn new(ty: WeightType, rows: usize) -> Option<Self> {
        let (cols, outputs) = (SHAPE.0.next_multiple_of(ty.block_len().max(32)), SHAPE.1);
        let team = Team::new(1);
        // 0x2c2c is 0.065 as f16: any block made of it is an ordinary one.
        let bytes = vec![0x2c; outputs * ty.row_bytes(cols)?];
        let matrix = Matrix::from_bytes(&team, ty, outputs, cols, &bytes).ok()?;
        let values: Vec<f32> = (0..rows * cols).map(|i| ((i * 37 % 255) as f32 - 127.0) / 100.0).collect();
        let mut x = Activations::new();
        x.set(&team, &values, rows, cols, &[ty]);
        Some(GemmPath { team, matrix, x, out: vec![0.0; rows * outputs] })
    }

    /// Multiplies so many times.
    pub fn multiply(&mut self, count: usize) {
        for _ in 0..count {
            matmul(&self.team, &self.x, &mut [(&self.matrix, &mut self.out)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_can_be_done() {
        SamplerPath::new(SamplingParams::default()).choose(3).expect("a distribution");
        for ty in [WeightType::Q4_1, WeightType::Q4K, WeightType::F16] {
            let mut gemm = GemmPath::new(ty, 2).expect("a matrix");
            gemm.multiply(2);
            assert!(gemm.out.iter().all(|value| value.is_finite()));
        }
        #[cfg(feature = "parking-lot-scheduler")]
        {
            let mut lot = LotPath::new().expect("a lot");
            assert!(lot.turn(20).expect("decisions") >= 20);
        }
    }
}
