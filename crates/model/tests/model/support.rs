//! Running models in tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parkade_kernels::{KvCache, KvType, Span, Team};
use parkade_model::gguf::Gguf;
use parkade_model::{Batch, Model, Outputs, TokenId};

use crate::random::Random;

pub const BLOCK_LEN: usize = 16;

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

/// A model with a KV cache.
pub struct Runner {
    pub model: Model,
    pub kv: KvCache,
}

/// One sequence's share of a step.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    pub tokens: &'a [TokenId],
    pub past: usize,
    pub blocks: &'a [u32],
}

impl Runner {
    pub fn open(path: &Path, threads: usize, blocks: usize, ty: KvType) -> Runner {
        let gguf = Gguf::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Runner::new(&gguf, threads, blocks, ty)
    }

    pub fn new(gguf: &Gguf, threads: usize, blocks: usize, ty: KvType) -> Runner {
        let model = Model::load(gguf, Arc::new(Team::new(threads))).unwrap();
        let kv = model.new_kv_cache(blocks, BLOCK_LEN, ty).unwrap();
        Runner { model, kv }
    }

    /// Runs one batch and returns each part's logits, row by row.
    pub fn step(&mut self, parts: &[Part<'_>]) -> Vec<Vec<Vec<f32>>> {
        let tokens: Vec<TokenId> = parts.iter().flat_map(|p| p.tokens).copied().collect();
        let mut spans = Vec::new();
        let mut first_row = 0;
        for part in parts {
            spans.push(Span { first_row, rows: part.tokens.len(), past: part.past, blocks: part.blocks });
            first_row += part.tokens.len();
        }
        let logit_rows: Vec<usize> = (0..tokens.len()).collect();
        let mut logits = Vec::new();
        let batch = Batch { tokens: &tokens, spans: &spans, outputs: Outputs::Logits(&logit_rows) };
        self.model.forward(&batch, &mut self.kv, &mut logits).unwrap();
        let mut rows = logits.chunks_exact(self.model.config().vocab).map(<[f32]>::to_vec);
        parts.iter().map(|p| rows.by_ref().take(p.tokens.len()).collect()).collect()
    }

    /// The logits after each of `tokens`, alone and in one batch.
    pub fn whole(&mut self, tokens: &[TokenId]) -> Vec<Vec<f32>> {
        let blocks = table(0, tokens.len());
        self.step(&[Part { tokens, past: 0, blocks: &blocks }]).remove(0)
    }
}

/// A block table for `tokens` positions from block `first` on.
pub fn table(first: usize, tokens: usize) -> Vec<u32> {
    (first..first + tokens.div_ceil(BLOCK_LEN)).map(|b| b as u32).collect()
}

pub fn bits(logits: &[Vec<f32>]) -> Vec<Vec<u32>> {
    logits.iter().map(|row| row.iter().map(|x| x.to_bits()).collect()).collect()
}

pub fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap()
}

pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - max).exp()).sum();
    logits.iter().map(|&x| f64::from(x - max) - sum.ln()).collect()
}

impl Random {
    /// From -1 to 1.
    pub fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn tokens(&mut self, n: usize, vocab: usize) -> Vec<TokenId> {
        (0..n).map(|_| self.below(vocab) as TokenId).collect()
    }
}
