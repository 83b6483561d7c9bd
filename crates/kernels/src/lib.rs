//! Quantised matrix products, paged attention, norms and RoPE for CPUs.
//!
//! See [`matmul`] for the products, [`KvCache`] and [`attention`] for attention, and [`Team`] for the
//! threads that all of them run on.

mod activations;
mod attention;
mod buffer;
mod cpu;
mod elementwise;
mod error;
mod format;
mod gemm;
mod kv_cache;
mod matrix;
mod norm;
mod quantize;
mod rope;
mod simd;
mod team;
#[cfg(test)]
mod testing;
mod weight_type;

pub use activations::Activations;
pub use attention::attention;
pub use cpu::CpuLevel;
pub use elementwise::add_assign;
pub use error::KernelError;
pub use format::dequantize;
pub use gemm::matmul;
pub use kv_cache::{KvCache, KvType, Span};
pub use matrix::Matrix;
pub use norm::rms_norm;
pub use rope::{RopeLayout, RopeTable, rope};
pub use team::Team;
pub use weight_type::WeightType;
