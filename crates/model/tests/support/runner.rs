//! Running models in tests.

use std::collections::HashMap;
use std::sync::Arc;

use parkade_kernels::{KvCache, KvLayout, KvType, SlotPair, Span, StateCache, Team};
use parkade_model::gguf::Gguf;
use parkade_model::{Batch, Model, Outputs, TokenId};

pub const BLOCK_LEN: usize = 16;

/// A model with a KV cache, and slots for states.
pub struct Runner {
    pub model: Model,
    pub kv: KvCache,
    pub states: StateCache,
    /// Whether a state is left where it was read, or in another slot each time.
    pub in_place: bool,
    /// Where the states of sequences are, by their first blocks. Each block has two slots.
    at: HashMap<u32, u32>,
}

/// One sequence's share of a step.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    pub tokens: &'a [TokenId],
    pub past: usize,
    pub blocks: &'a [u32],
}

impl Runner {
    pub fn new(gguf: &Gguf, threads: usize, blocks: usize, ty: KvType) -> Runner {
        Runner::of(Model::load(gguf, Arc::new(Team::new(threads))).unwrap(), blocks, ty)
    }

    pub fn of(model: Model, blocks: usize, ty: KvType) -> Runner {
        let kv = model.new_kv_cache(blocks * model.kv_layout().groups(), BLOCK_LEN, ty).unwrap();
        let states = model.new_states(2 * blocks).unwrap();
        Runner { model, kv, states, in_place: true, at: HashMap::new() }
    }

    /// The slots of a part's state.
    fn slots(&mut self, part: &Part<'_>) -> SlotPair {
        let first = part.blocks[0];
        let from = (part.past > 0).then(|| self.at[&first]);
        let to = match from {
            Some(from) if self.in_place => from,
            Some(from) => from ^ 1,
            None => 2 * first,
        };
        self.at.insert(first, to);
        SlotPair { from, to }
    }

    /// Runs one batch and returns each part's logits, row by row.
    pub fn step(&mut self, parts: &[Part<'_>]) -> Vec<Vec<Vec<f32>>> {
        let tokens: Vec<TokenId> = parts.iter().flat_map(|p| p.tokens).copied().collect();
        let mut spans = Vec::new();
        let mut first_row = 0;
        let tables: Vec<Vec<u32>> =
            parts.iter().map(|part| grouped(self.kv.layout(), part.past, part.blocks)).collect();
        for (part, blocks) in parts.iter().zip(&tables) {
            spans.push(Span { first_row, rows: part.tokens.len(), past: part.past, blocks });
            first_row += part.tokens.len();
        }
        let logit_rows: Vec<usize> = (0..tokens.len()).collect();
        let mut logits = Vec::new();
        let mut states: Vec<_> = parts.iter().map(|part| self.slots(part)).collect();
        if self.model.state_bytes() == 0 {
            states.clear();
        }
        let batch = Batch { tokens: &tokens, spans: &spans, states: &states, outputs: Outputs::Logits(&logit_rows) };
        self.model.forward(&batch, &mut self.kv, &mut self.states, &mut logits).unwrap();
        let mut rows = logits.chunks_exact(self.model.config().vocab).map(<[f32]>::to_vec);
        parts.iter().map(|p| rows.by_ref().take(p.tokens.len()).collect()).collect()
    }

    /// The logits after each of `tokens`, alone and in one batch.
    pub fn whole(&mut self, tokens: &[TokenId]) -> Vec<Vec<f32>> {
        let blocks = table(0, tokens.len());
        self.step(&[Part { tokens, past: 0, blocks: &blocks }]).remove(0)
    }
}

/// The table with a block of each group for each of `blocks`, but for what is behind the groups' windows.
pub fn grouped(layout: &KvLayout, past: usize, blocks: &[u32]) -> Vec<u32> {
    let mut table = Vec::new();
    for (place, &block) in blocks.iter().enumerate() {
        for (group, &reach) in layout.reaches().iter().enumerate() {
            let is_gone = place < KvLayout::first_read(reach, past) / BLOCK_LEN;
            table.push(if is_gone { u32::MAX } else { block * layout.groups() as u32 + group as u32 });
        }
    }
    table
}

/// A block table for `tokens` positions from block `first` on.
pub fn table(first: usize, tokens: usize) -> Vec<u32> {
    (first..first + tokens.div_ceil(BLOCK_LEN)).map(|b| b as u32).collect()
}

pub fn bits(logits: &[Vec<f32>]) -> Vec<Vec<u32>> {
    logits.iter().map(|row| row.iter().map(|x| x.to_bits()).collect()).collect()
}

pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - max).exp()).sum();
    logits.iter().map(|&x| f64::from(x - max) - sum.ln()).collect()
}
