use super::*;
use crate::testing::{Numbers, bits, nmse, weights};
use crate::{KernelError, dequantize};
use proptest::prelude::*;

struct Case {
    matrix: Matrix,
    dense: Vec<f32>,
}

fn case(team: &Team, ty: WeightType, rows: usize, cols: usize, numbers: &mut Numbers) -> Case {
    let bytes = weights(ty, rows * cols, numbers);
    let mut dense = vec![0.0; rows * cols];
    dequantize(ty, &bytes, &mut dense).unwrap();
    Case { matrix: Matrix::from_bytes(team, ty, rows, cols, &bytes).unwrap(), dense }
}

fn product_of(level: CpuLevel, team: &Team, matrix: &Matrix, x: &[f32]) -> Vec<f32> {
    let m = x.len() / matrix.cols();
    let mut activations = Activations::new();
    activations.set_plain_at(level, team, x, m, matrix.cols(), &[matrix.weight_type()]);
    let mut out = vec![0.0; m * matrix.rows()];
    matmul_at(level, team, &activations, &mut [(matrix, &mut out)]);
    out
}

fn reference(case: &Case, x: &[f32]) -> Vec<f64> {
    let cols = case.matrix.cols();
    let dot = |x: &[f32], w: &[f32]| -> f64 { x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum() };
    x.chunks_exact(cols).flat_map(|x| case.dense.chunks_exact(cols).map(move |w| dot(x, w))).collect()
}

/// The squares of all that [`reference`] adds up.
fn squares_of_terms(case: &Case, x: &[f32]) -> f64 {
    let cols = case.matrix.cols();
    let terms =
        |x: &[f32], w: &[f32]| -> f64 { x.iter().zip(w).map(|(&x, &w)| (f64::from(x) * f64::from(w)).powi(2)).sum() };
    x.chunks_exact(cols).flat_map(|x| case.dense.chunks_exact(cols).map(move |w| terms(x, w))).sum()
}

#[test]
fn every_type_multiplies_as_its_dequantised_weights() {
    let team = Team::new(2);
    let mut numbers = Numbers(1);
    for &ty in WeightType::ALL {
        // float products differ by rounding only, quantised ones by the 8-bit activations
        let bound = if ty.tile_len() == 1 { 1e-12 } else { 1e-4 };
        for (rows, cols, m) in [(64, 256, 1), (50, 768, 5), (7, 512, 3)] {
            let case = case(&team, ty, rows, cols, &mut numbers);
            let x = numbers.floats(m * cols);
            let got = product_of(CpuLevel::current(), &team, &case.matrix, &x);
            let error = nmse(&got, &reference(&case, &x));
            assert!(error < bound, "{ty} {rows}x{cols} m={m}: nmse {error:e}");
        }
    }
}

#[test]
fn activations_on_the_grid_multiply_exactly_but_for_rounding() {
    // integers up to 127 with one 127 (or -127 first) per block quantise without error at d = 1
    let team = Team::new(1);
    let mut numbers = Numbers(2);
    for &ty in WeightType::ALL {
        let (rows, cols) = (32, 512);
        let case = case(&team, ty, rows, cols, &mut numbers);
        let x: Vec<f32> =
            (0..cols).map(|k| if k % 32 == 0 { -127.0 } else { numbers.below(255) as f32 - 127.0 }).collect();
        let got = product_of(CpuLevel::current(), &team, &case.matrix, &x);
        let error = nmse(&got, &reference(&case, &x));
        assert!(error < 1e-11, "{ty}: nmse {error:e}");
    }
}

#[test]
fn all_levels_give_the_same_bits() {
    let team = Team::new(1);
    let mut numbers = Numbers(3);
    for &ty in WeightType::ALL {
        for (rows, cols, m) in [(33, 512, 9), (16, 256 * 3, 2)] {
            let case = case(&team, ty, rows, cols, &mut numbers);
            let mut x = numbers.floats(m * cols);
            x[..40].fill(0.0);
            let first = product_of(CpuLevel::Scalar, &team, &case.matrix, &x);
            for &level in CpuLevel::available() {
                let got = product_of(level, &team, &case.matrix, &x);
                assert_eq!(bits(&first), bits(&got), "{ty} at {}", level.name());
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let team = Team::new(2);
    let mut numbers = Numbers(4);
    for &level in CpuLevel::available() {
        let counts: &[usize] = if level == CpuLevel::Scalar { &[3] } else { &[2, 3, 5, 7, 8, 9, 13, 17, 33, 101] };
        for &ty in WeightType::ALL {
            let case = case(&team, ty, 40, 256, &mut numbers);
            for &m in counts {
                let x = numbers.floats(m * 256);
                let batch = product_of(level, &team, &case.matrix, &x);
                let alone: Vec<f32> =
                    x.chunks_exact(256).flat_map(|row| product_of(level, &team, &case.matrix, row)).collect();
                assert_eq!(bits(&batch), bits(&alone), "{ty} m={m} at {}", level.name());
            }
        }
    }
}

#[test]
fn neither_threads_nor_company_change_the_result() {
    let mut numbers = Numbers(5);
    let one = Team::new(1);
    let a = case(&one, WeightType::Q4_1, 200, 512, &mut numbers);
    let b = case(&one, WeightType::Q6K, 72, 512, &mut numbers);
    let c = case(&one, WeightType::F16, 17, 512, &mut numbers);
    let types = [WeightType::Q4_1, WeightType::Q6K, WeightType::F16];
    for m in [1, 6, 130] {
        let x = numbers.floats(m * 512);
        let alone: Vec<Vec<f32>> =
            [&a, &b, &c].map(|case| product_of(CpuLevel::current(), &one, &case.matrix, &x)).to_vec();
        for threads in [1, 2, 3, 5] {
            let team = Team::new(threads);
            let mut activations = Activations::new();
            activations.set(&team, &x, m, 512, &types);
            let mut outs: Vec<Vec<f32>> = alone.iter().map(|out| vec![9.0; out.len()]).collect();
            let [out_a, out_b, out_c] = &mut outs[..] else { unreachable!() };
            let mut pairs: [(&Matrix, &mut [f32]); 3] = [(&a.matrix, out_a), (&b.matrix, out_b), (&c.matrix, out_c)];
            matmul(&team, &activations, &mut pairs);
            for (got, want) in outs.iter().zip(&alone) {
                assert_eq!(bits(got), bits(want), "{threads} threads, m={m}");
            }
        }
    }
}

#[test]
fn odd_inputs_do_not_crash_and_stay_in_their_row() {
    let team = Team::new(1);
    let mut numbers = Numbers(6);
    for &ty in WeightType::ALL {
        let case = case(&team, ty, 20, 256, &mut numbers);
        let clean = numbers.floats(256);
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-44, 0.0] {
            let mut x = clean.clone();
            x.extend(vec![odd; 256]);
            x.extend(&clean);
            let got = product_of(CpuLevel::current(), &team, &case.matrix, &x);
            assert_eq!(bits(&got[..20]), bits(&got[40..]), "{ty} beside {odd}");
            assert!(got[..20].iter().all(|y| y.is_finite()), "{ty} beside {odd}");
        }
        // weights of any bits whatever, too
        let bytes: Vec<u8> = (0..ty.row_bytes(256).unwrap() * 5).map(|_| numbers.next() as u8).collect();
        let matrix = Matrix::from_bytes(&team, ty, 5, 256, &bytes).unwrap();
        assert_eq!(product_of(CpuLevel::current(), &team, &matrix, &clean).len(), 5);
    }
}

#[test]
fn wrong_sizes_are_errors_that_say_what_fits() {
    let team = Team::new(1);
    let invalid = |ty, rows, cols, len| match Matrix::from_bytes(&team, ty, rows, cols, &vec![0; len]) {
        Err(KernelError::Invalid { field, remedy, .. }) => format!("{field}: {remedy}"),
        other => panic!("{other:?}"),
    };
    assert!(invalid(WeightType::Q4K, 1, 32, 18).contains("multiple of 256"));
    assert!(invalid(WeightType::Q4_0, 2, 64, 71).contains("72 bytes"));
    assert!(invalid(WeightType::F32, 0, 64, 0).contains("at least one"));
    assert!(invalid(WeightType::F32, 4, 0, 0).contains("at least one"));
    assert!(invalid(WeightType::F32, usize::MAX, usize::MAX, 0).contains("overflows"));
    assert!(invalid(WeightType::Q8_0, usize::MAX / 2, 1 << 20, 0).contains("overflows"));
}

#[test]
fn tiles_are_hardly_larger_than_the_file() {
    let team = Team::new(2);
    let mut numbers = Numbers(7);
    // (type, most bits a weight in memory)
    for (ty, most) in [
        (WeightType::F16, 16.0),
        (WeightType::Q4_0, 4.5),
        (WeightType::Q4_1, 5.0),
        (WeightType::IQ4NL, 4.5),
        (WeightType::Q8_0, 8.5),
        (WeightType::Q4K, 4.65),
        (WeightType::IQ4XS, 4.4),
        (WeightType::Q6K, 8.7),
        (WeightType::MXFP4, 4.5),
        (WeightType::Q1_0, 4.5),
        (WeightType::IQ1S, 4.4),
        (WeightType::IQ2XS, 4.65),
        (WeightType::IQ3S, 4.4),
        (WeightType::TQ2_0, 4.4),
        (WeightType::NVFP4, 16.0),
    ] {
        let case = case(&team, ty, 64, 1024, &mut numbers);
        let bits = case.matrix.memory_bytes() as f64 * 8.0 / (64.0 * 1024.0);
        assert!(bits <= most, "{ty} takes {bits} bits a weight");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_shape_multiplies_alike_at_every_level(
        ty in 0..WeightType::ALL.len(), rows in 1..70usize, blocks in 1..5usize, m in 1..20usize,
        threads in 1..4usize, seed: u64,
    ) {
        let ty = WeightType::ALL[ty];
        let cols = blocks * if ty.block_len() == 1 { 37 } else { ty.block_len() };
        let team = Team::new(threads);
        let mut numbers = Numbers(seed);
        let case = case(&team, ty, rows, cols, &mut numbers);
        let x = numbers.floats(m * cols);
        let want = product_of(CpuLevel::Scalar, &team, &case.matrix, &x);
        for &level in CpuLevel::available() {
            let got = product_of(level, &team, &case.matrix, &x);
            prop_assert_eq!(bits(&want), bits(&got));
        }
        // Against the terms and not their sum: by chance that is nearly nothing, in a small case.
        let wrong: f64 = want.iter().zip(reference(&case, &x)).map(|(&got, want)| (f64::from(got) - want).powi(2)).sum();
        let error = wrong / squares_of_terms(&case, &x);
        prop_assert!(error < 1e-3, "{} error {:e}", ty, error);
    }
}
