#![doc = include_str!("../README.md")]
//!
//! # Tiles
//! [`Matrix::from_bytes`] repacks weights into tiles of sixteen outputs (columns of a tile), the last one
//! padded. A tile is contiguous, so one row of activations streams through memory once.
//!
//! | types | a tile is a run of | codes |
//! | --- | --- | --- |
//! | `F32`, `F16`, `BF16` | `[16 columns]` for each k, in the type's own width | |
//! | `NVFP4` | as `F16` | |
//! | `Q4_0`, `Q1_0`, `IQ4_NL`, `MXFP4` | two blocks of 32: `[2][16] d`, then codes | 4 bits |
//! | `Q4_1` | two blocks of 32: `[2][16] d`, `[2][16] m`, then codes | 4 bits |
//! | `Q5_0`, `Q8_0` | two blocks of 32: `[2][16] d`, then codes | 8 bits |
//! | `Q5_1` | two blocks of 32: `[2][16] d`, `[2][16] m`, then codes | 8 bits |
//! | `Q3_K`, `IQ1_S` to `IQ4_XS`, `TQ1_0`, `TQ2_0` | a block of 256: `[16] d`, unused `[16]`, `[groups / 2][16][2]` scales, then codes | 4 bits |
//! | `Q2_K`, `Q4_K` | a block of 256: `[16] d`, `[16] m`, scales, `[groups / 2][16][2]` mins, then codes | 4 bits |
//! | `Q6_K` | as `Q3_K` | 8 bits |
//! | `Q5_K` | as `Q4_K` | 8 bits |
//!
//! `d` and `m` are f16 (bf16 in `MXFP4`, whose scales are any power of two), scales and mins of groups are bytes, both as in the file. Codes are unsigned. In
//! 4 bits each 64 bytes hold 8 k as `[16 columns][4 bytes]`: the low nibbles are k to k+3, the high ones
//! k+4 to k+7, so one load feeds two `vpdpbusd`. In 8 bits each 64 bytes hold 4 k. Zero points are taken
//! off by the activations' sums, mins are added by them; the levels of the IQ, TQ and MXFP4 types come from
//! a byte shuffle. All of these have sixteen levels at most, so that 4 bits hold the code of a weight for
//! itself: what its file shares among weights (a place in a grid, signs) is spelled out.
//!
//! # Activations
//! [`Activations`] holds rows as ggml would: 8-bit in blocks of 32 (Q8_0/Q8_1) for the older types, 8-bit
//! in blocks of 256 (Q8_K) for the K, TQ and IQ types (save `IQ4_NL`), floats for float types. Unlike ggml the product
//! of scale and sum is not rounded to f16, and float types see f32 activations.

mod activations;
mod attention;
mod buffer;
mod convolution;
mod cpu;
mod elementwise;
mod error;
mod experts;
mod format;
mod gemm;
mod kv_cache;
mod kv_layout;
mod kv_shape;
mod matrix;
mod norm;
mod peak;
mod quantize;
mod recurrence;
mod rope;
mod rows;
mod simd;
mod state_cache;
mod team;
#[cfg(test)]
mod testing;
mod weight_type;

pub use activations::Activations;
pub use attention::{Scoring, attention};
pub use convolution::{Convolution, Convolved};
pub use cpu::CpuLevel;
pub use elementwise::{Activation, add_assign, add_scaled, gate, scale, soft_cap};
pub use error::KernelError;
pub use experts::{Choices, MatrixStack, sum_choices};
pub use format::dequantize;
pub use gemm::{GroupedProduct, matmul, matmul_grouped};
pub use kv_cache::{KvCache, Span};
pub use kv_layout::{KvLayer, KvLayout};
pub use kv_shape::{KvShape, KvType};
pub use matrix::Matrix;
pub use norm::{Norm, norm};
pub use peak::dot_products;
pub use recurrence::{Columns, KeyHeads, Recurrence, Update};
pub use rope::{RopeLayout, RopeTable, rope};
pub use rows::for_each_row;
pub use state_cache::{SlotPair, StateCache, StateRows};
pub use team::Team;
pub use weight_type::WeightType;
