//! The models of the repository, and what the tests of the forward pass share.

use std::path::{Path, PathBuf};

use parkade_kernels::KvType;
use parkade_model::gguf::Gguf;

use crate::random::Random;
pub use crate::runner::{BLOCK_LEN, Part, Runner, bits, log_softmax, table};

/// The answers of llama.cpp that are part of the repository.
pub fn oracle_dir() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle"))
}

/// The tiny models, one for each weight type.
pub fn tiny_models() -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(oracle_dir().join("tiny"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "gguf"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 15);
    files
}

pub fn tiny_model(ty: &str) -> PathBuf {
    oracle_dir().join(format!("tiny/llama-{ty}.gguf"))
}

impl Runner {
    pub fn open(path: &Path, threads: usize, blocks: usize, ty: KvType) -> Runner {
        let gguf = Gguf::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Runner::new(&gguf, threads, blocks, ty)
    }
}

pub fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap()
}

impl Random {
    /// From -1 to 1.
    pub fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}
