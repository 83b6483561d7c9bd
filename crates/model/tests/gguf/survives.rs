//! Files with random damage: whatever the reader answers, it answers, and what it accepts is inside the file.

use std::path::Path;

use parkade_model::gguf::{Gguf, TensorInfo};
use proptest::prelude::*;

use crate::build::every_kind;

/// Opens the file and, if that works, touches everything that it holds.
fn open_and_use(bytes: Vec<u8>) -> bool {
    let size = bytes.len();
    let Ok(gguf) = Gguf::from_bytes(bytes) else { return false };
    let total: usize = gguf.tensors().map(TensorInfo::size).sum();
    assert!(total <= size, "tensors of {total} bytes in a file of {size}");
    let mut data = Vec::new();
    for tensor in gguf.tensors() {
        assert_eq!(Some(tensor.size()), tensor.ty.row_bytes(tensor.cols()).map(|r| r * tensor.rows()));
        gguf.read(gguf.tensor(&tensor.name).unwrap(), &mut data).unwrap();
        assert_eq!(data.len(), tensor.size());
    }
    let written: usize = gguf.metadata().map(|(key, value)| key.len() + value.to_string().len()).sum();
    written > 0
}

/// The header of the tiny model that the repository has, with little data behind it.
fn tiny_model() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/tiny/llama-Q2_K.gguf");
    std::fs::read(Path::new(path)).unwrap()
}

const HUGE: [u64; 8] = [0, 1, 1_000_000_000, u32::MAX as u64, 1 << 32, i64::MAX as u64, u64::MAX - 31, u64::MAX];

#[test]
fn every_eight_bytes_replaced_by_a_huge_or_tiny_number() {
    let good = every_kind();
    let mut accepted = 0;
    for at in 0..good.len() - 8 {
        for number in HUGE {
            let mut bytes = good.clone();
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
            accepted += usize::from(open_and_use(bytes));
        }
    }
    // Numbers in values and in tensor data are anyone's; those in lengths and counts are not.
    assert!(accepted > 0 && accepted < good.len() * HUGE.len() * 2 / 3, "{accepted}");
}

#[test]
fn every_four_bytes_replaced_by_a_huge_or_tiny_number() {
    let good = every_kind();
    for at in 0..good.len() - 4 {
        for number in [0u32, 1, 8, 9, 13, 1_000_000_000, i32::MAX as u32, u32::MAX] {
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
            open_and_use(bytes);
        }
    }
}

#[test]
fn every_bit_flipped() {
    let good = every_kind();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        open_and_use(bytes);
    }
}

#[test]
fn the_tiny_models_header_cut_anywhere() {
    let good = tiny_model();
    assert!(open_and_use(good.clone()));
    let header = good.len() - Gguf::from_bytes(good.clone()).unwrap().tensors().map(TensorInfo::size).sum::<usize>();
    for length in (0..header).step_by(3) {
        assert!(Gguf::from_bytes(good[..length].to_vec()).is_err(), "cut at {length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn several_bits_flipped(flips in prop::collection::vec(any::<prop::sample::Index>(), 1..24)) {
        let mut bytes = every_kind();
        for flip in flips {
            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        open_and_use(bytes);
    }

    #[test]
    fn random_bytes_behind_a_good_beginning(tensors in 0u64..4, metadata in 0u64..4, rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(metadata.to_le_bytes());
        bytes.extend(rest);
        open_and_use(bytes);
    }

    #[test]
    fn a_piece_copied_over_another(from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), length in 1usize..64) {
        let mut bytes = every_kind();
        let length = length.min(bytes.len());
        let (from, to) = (from.index(bytes.len() - length + 1), to.index(bytes.len() - length + 1));
        bytes.copy_within(from..from + length, to);
        open_and_use(bytes);
    }
}
