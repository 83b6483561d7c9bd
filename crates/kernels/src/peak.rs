//! What the processor could do at most, as a measure for what kernels do.

use crate::CpuLevel;
use crate::simd::{Kernel, LANES, Simd};
use std::hint::black_box;

/// Runs `rounds` of nothing but dot products of bytes, with the instructions of the level in use and all operands in registers, and
/// returns how many products of two bytes were added up. Over the time that it takes, this is the most that
/// [`matmul`](crate::matmul) could reach on one thread.
pub fn dot_products(rounds: usize) -> u64 {
    crate::simd::dispatch(CpuLevel::current(), Dots { rounds })
}

struct Dots {
    rounds: usize,
}

impl Kernel for Dots {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u64 {
        // As many sums as hide the latency and stay in registers.
        if S::SUMS >= 12 { dots::<S, 12>(s, self.rounds) } else { dots::<S, 4>(s, self.rounds) }
    }
}

#[inline(always)]
fn dots<S: Simd, const N: usize>(s: S, rounds: usize) -> u64 {
    let (codes, x) = (s.int(black_box(0x0301_0201)), black_box(0x0102_0301));
    let mut sums = [s.int(0); N];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = s.dot(*sum, codes, x);
        }
    }
    black_box(sums.into_iter().map(|sum| s.first(s.to_float(sum))).sum::<f32>());
    (rounds * N * LANES * 4) as u64
}

#[cfg(test)]
mod tests {
    use super::dot_products;

    #[test]
    fn the_work_is_counted() {
        let (one, ten) = (dot_products(1), dot_products(10));
        assert!(one >= 4 * 16 * 4);
        assert_eq!(ten, 10 * one);
    }
}
