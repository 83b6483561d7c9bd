//! What blocks of each type mean, by another reader of them: see `data/blocks.py`.

use parkade_kernels::{WeightType, dequantize};

const BLOCKS: usize = 3;

#[test]
fn blocks_of_every_type_are_the_floats_that_ggmls_own_package_reads() {
    for &ty in WeightType::ALL.iter().filter(|&&ty| ty != WeightType::F32) {
        let path = format!("{}/tests/data/{ty}.bin", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let (bytes, wanted) = file.split_at(BLOCKS * ty.block_bytes());
        let wanted: Vec<u32> = wanted.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let mut floats = vec![0.0; BLOCKS * ty.block_len()];
        assert_eq!(wanted.len(), floats.len(), "{ty}");
        dequantize(ty, bytes, &mut floats).unwrap();
        for (k, (&wanted, float)) in wanted.iter().zip(&floats).enumerate() {
            let same = wanted == float.to_bits() || f32::from_bits(wanted) == *float;
            assert!(same, "{ty}, weight {k}: {float} and not {}", f32::from_bits(wanted));
        }
    }
}
