//! Files that are refused, each with a message that says what is wrong and what to do.

use std::path::Path;

use parkade_model::gguf::{Gguf, GgufError, limits};

use crate::build::{Raw, array, every_kind, string};

fn refused(raw: &Raw, parts: &[&str]) {
    let message = raw.open().expect_err("a broken file was read").to_string();
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

fn one_tensor() -> Raw {
    Raw::default().tensor("w", &[32, 2], 0, 0).data(256)
}

#[test]
fn the_good_file_is_good() {
    one_tensor().open().unwrap();
}

#[test]
fn other_formats_and_versions() {
    refused(&Raw { magic: *b"GGML", ..Raw::default() }, &["not a GGUF file", "download a .gguf"]);
    for version in [0, 1, 4, 1000, u32::MAX] {
        refused(&Raw { version, ..Raw::default() }, &[&format!("version {version} "), "versions 2 and 3"]);
    }
    for version in [2u32, 3] {
        refused(
            &Raw { version: version.swap_bytes(), ..Raw::default() },
            &["big-endian", &format!("version {version}")],
        );
    }
    assert!(Gguf::from_bytes(Vec::new()).unwrap_err().to_string().contains("magic needs 4 bytes"));
}

#[test]
fn what_is_no_file() {
    let missing = Gguf::open(Path::new("no/such/model.gguf")).unwrap_err().to_string();
    assert!(missing.contains("no/such/model.gguf"), "{missing}");
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Gguf::open(dir.path()), Err(GgufError::NotAFile { .. })));
    let empty = dir.path().join("empty.gguf");
    std::fs::write(&empty, b"").unwrap();
    assert!(matches!(Gguf::open(&empty), Err(GgufError::Truncated { .. })));
}

#[test]
fn counts_that_the_file_cannot_hold() {
    for count in [2, limits::MAX_TENSORS, 1_000_000_000, u64::MAX] {
        refused(&Raw { tensor_count: count, ..one_tensor() }, &["ten"]);
    }
    refused(&Raw { tensor_count: 1_000_000_000, ..one_tensor() }, &["tensor count is 1000000000", "limit of 131072"]);
    refused(&Raw { tensor_count: limits::MAX_TENSORS, ..one_tensor() }, &["tensor count = 131072", "truncated"]);
    refused(&Raw { metadata_count: u64::MAX, ..one_tensor() }, &["metadata count", "limit of 65536"]);
    refused(&Raw { metadata_count: 60_000, ..one_tensor() }, &["metadata count = 60000", "truncated"]);
}

#[test]
fn lengths_that_the_file_cannot_hold() {
    for length in [100_000, 1_000_000_000, u64::MAX] {
        let mut key = one_tensor();
        key.metadata_count = 1;
        key.metadata = length.to_le_bytes().to_vec();
        refused(&key, &["length of key of metadata entry 0", "limit of 65535"]);

        let mut name = one_tensor();
        name.tensors[..8].copy_from_slice(&length.to_le_bytes());
        refused(&name, &["length of name of tensor 0", "limit of 128"]);
    }
    for length in [1000u64, 1_000_000_000, u64::MAX] {
        refused(&one_tensor().entry("k", 8, &length.to_le_bytes()), &["length of value of metadata key 'k'"]);
        for element in 0..=12 {
            let value = array(element, length, &[]);
            refused(&one_tensor().entry("k", 9, &value), &["length of the array of metadata key 'k'"]);
        }
    }
}

#[test]
fn values_that_make_no_sense() {
    refused(&one_tensor().entry("k", 13, &[]), &["type of metadata key 'k' is 13", "0 to 12"]);
    refused(&one_tensor().entry("k", 9, &array(99, 0, &[])), &["type of metadata key 'k' is 99"]);
}

#[test]
fn the_same_name_twice() {
    let alignment = |n: u32| one_tensor().entry("general.alignment", 4, &n.to_le_bytes());
    let twice = alignment(32).entry("general.alignment", 4, &64u32.to_le_bytes());
    refused(&twice, &["metadata key 'general.alignment' occurs twice, with different values"]);
    refused(&one_tensor().tensor("w", &[8], 0, 256).data(512), &["tensor 'w' occurs twice"]);
}

#[test]
fn alignments_that_are_none() {
    for alignment in [0u32, 3, 24, 1 << 21, u32::MAX] {
        let raw = one_tensor().entry("general.alignment", 4, &alignment.to_le_bytes());
        refused(&raw, &[&format!("general.alignment is uint32 {alignment}"), "power of two"]);
    }
    refused(&one_tensor().entry("general.alignment", 8, &string("32")), &["general.alignment is string \"32\""]);
    refused(&one_tensor().entry("general.alignment", 11, &(-32i64).to_le_bytes()), &["int64 -32"]);
}

#[test]
fn types_without_kernels() {
    let raw = |id| Raw::default().tensor("blk.0.w", &[256], id, 0).data(4096);
    refused(
        &raw(31),
        &["tensor 'blk.0.w' has type Q4_0_4_4 (id 31)", "supported: F32, F16", "Q4_K", "another quantisation"],
    );
    refused(&raw(15), &["Q8_K (id 15)"]);
    refused(&raw(12_345), &["type unknown (id 12345)"]);
    for ty in parkade_kernels::WeightType::ALL {
        raw(ty.ggml_id()).open().unwrap();
    }
}

#[test]
fn shapes_that_are_none() {
    let shaped = |shape: &[u64], ty| Raw::default().tensor("w", shape, ty, 0).data(4096);
    refused(&shaped(&[], 0), &["dimensions of tensor 'w' is 0", "1 to 4"]);
    refused(&shaped(&[1, 1, 1, 1, 1], 0), &["dimensions of tensor 'w' is 5"]);
    refused(&shaped(&[4, 0], 0), &["dimension 1 of tensor 'w' is 0"]);
    refused(&shaped(&[33], 3), &["shape of tensor 'w' is [33]", "whole Q4_1 blocks of 32"]);
    refused(&shaped(&[u64::MAX], 0), &["tensor 'w'"]);
    refused(&shaped(&[u64::MAX / 2, 4], 1), &["shape of tensor 'w'", "below 2^64"]);
    refused(&shaped(&[1 << 32, 1 << 32, 1, 1], 0), &["shape of tensor 'w'"]);
    refused(&shaped(&[256, 1 << 56, 2, 2], 10), &["shape of tensor 'w'"]);
    let mut dimensions = one_tensor();
    dimensions.tensors[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    refused(&dimensions, &["dimensions of tensor 'w' is 4294967295"]);
}

#[test]
fn tensors_outside_of_the_file() {
    let at = |offset| Raw::default().tensor("w", &[32, 2], 0, offset).data(256);
    at(0).open().unwrap();
    refused(&at(32), &["tensor 'w' takes bytes 32 to 288", "which has 256", "download it again"]);
    refused(&at(1 << 40), &["tensor 'w' takes bytes 1099511627776"]);
    refused(&at(u64::MAX - 31), &["tensor 'w' takes bytes"]);
    refused(&at(16), &["offset of tensor 'w' is 16", "multiple of the alignment 32"]);
    refused(&Raw::default().tensor("w", &[1 << 40], 0, 0).data(64), &["tensor 'w' takes bytes 0 to 4398046511104"]);
    // Not even the padding before the data is there.
    refused(&Raw::default().tensor("w", &[1], 0, 0), &["tensor 'w' takes bytes 0 to 4", "which has 0"]);
}

#[test]
fn tensors_that_overlap() {
    let raw = Raw::default().tensor("b", &[16], 0, 32).tensor("a", &[16], 0, 0).data(96);
    refused(&raw, &["tensors 'a' and 'b' overlap"]);
    let same = Raw::default().tensor("a", &[16], 0, 0).tensor("b", &[16], 0, 0).data(64);
    refused(&same, &["'a' and 'b' overlap"]);
}

#[test]
fn parts_of_a_split_model() {
    let split = |no: u16, count: u16, tensors: i32| {
        let raw = one_tensor().entry("split.no", 2, &no.to_le_bytes()).entry("split.count", 2, &count.to_le_bytes());
        raw.entry("split.tensors.count", 5, &tensors.to_le_bytes())
    };
    refused(&split(1, 4, 9), &["part 2 of 4", "path of its file"]);
    refused(&split(4, 4, 9), &["split.no is uint16 4", "0 to 3"]);
    refused(&split(0, 60_000, 9), &["split.count is uint16 60000", "0 to 512"]);
    refused(&split(0, 2, -1), &["split.tensors.count is int32 -1"]);
    one_tensor().entry("split.count", 2, &1u16.to_le_bytes()).open().unwrap();
}

#[test]
fn a_file_cut_anywhere() {
    let whole = every_kind();
    Gguf::from_bytes(whole.clone()).unwrap();
    // The last tensor's data ends before the padding does.
    let needed = whole.len() - (64 - 48);
    for length in 0..needed {
        let error = Gguf::from_bytes(whole[..length].to_vec()).expect_err(&format!("cut at {length}"));
        let cut = matches!(error, GgufError::Truncated { .. } | GgufError::TensorOutOfFile { .. });
        assert!(cut, "cut at {length}: {error}");
    }
    Gguf::from_bytes(whole[..needed].to_vec()).unwrap();
}
