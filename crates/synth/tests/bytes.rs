//! A shape and a seed are the same bytes for ever. Where a checksum changes, llama.cpp has to be asked again (`scripts/oracle.py`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use parkade_model::gguf::Gguf;
use parkade_synth::{Mix, Model, SynthError, names};

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[test]
fn a_shape_and_a_seed_are_always_the_same_bytes() {
    let of = |shape: &str, seed, ty: Option<&str>| {
        let mix = ty.map(|ty| ty.parse::<Mix>().unwrap());
        let bytes = Model::new(shape, seed, 1, mix).unwrap().to_bytes().unwrap();
        format!("{:016x} {shape} {seed} {}\n", checksum(&bytes), ty.unwrap_or("as it is"))
    };
    let tiny = names().filter(|name| name.starts_with("tiny-"));
    let mut found: String = tiny.map(|name| of(&name, 1, None)).collect();
    found.extend([of("tiny-qwen2", 2, None)]);
    found.extend(Mix::names().map(|ty| of("tiny-qwen3moe-q4km", 1, Some(&ty))));
    assert!(found == include_str!("checksums.txt"), "checksums are now\n{found}");
}

#[test]
fn every_tiny_shape_is_a_file_that_can_be_read_with_all_its_layers() {
    for name in names().filter(|name| name.starts_with("tiny-")) {
        let gguf = Gguf::from_bytes(Model::new(&name, 3, 1, None).unwrap().to_bytes().unwrap()).unwrap();
        assert_eq!(gguf.get_str("general.description").unwrap(), Some(&*name));
        let layers = gguf.require_u32(&format!("{}.block_count", gguf.architecture().unwrap())).unwrap();
        for layer in 0..layers {
            assert!(gguf.tensors().any(|tensor| tensor.name.starts_with(&format!("blk.{layer}."))), "{name}");
        }
    }
}

#[test]
fn scale_divides_the_layers_and_nothing_else() {
    let layers = |scale| {
        let gguf =
            Gguf::from_bytes(Model::new("tiny-exaone4-swa", 1, scale, None).unwrap().to_bytes().unwrap()).unwrap();
        let queries = gguf.tensors().filter(|tensor| tensor.name.ends_with("attn_q.weight")).count();
        (gguf.require_u32("exaone4.block_count").unwrap(), queries)
    };
    assert_eq!([layers(1), layers(3), layers(1000)], [(64, 64), (22, 22), (1, 1)]);
}

#[test]
fn a_file_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::new("tiny-qwen2", 1, 1, None).unwrap();
    let path = folder.path().join("m.gguf");
    model.save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), model.to_bytes().unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = model.save(&folder.path().join("nowhere").join("m.gguf")).unwrap_err();
    assert!(matches!(error, SynthError::Write { .. }), "{error}");
    // A device that is always full.
    #[cfg(target_os = "linux")]
    {
        std::os::unix::fs::symlink("/dev/full", folder.path().join("full.gguf.part")).unwrap();
        let error = model.save(&folder.path().join("full.gguf")).unwrap_err().to_string();
        assert!(error.contains("the disk is full; the file needs 341"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn an_unknown_shape_is_told_what_there_is() {
    let message = Model::new("gpt-9", 1, 1, None).err().unwrap().to_string();
    assert!(message.starts_with("there is no shape 'gpt-9'; shapes are tiny-llama-spm, "), "{message}");
}
