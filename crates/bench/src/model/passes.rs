//! Forward passes to be timed.

use crate::BenchError;
use crate::machine::Machine;
use crate::random::Random;
use parkade_kernels::{KvCache, KvType, SlotPair, Span, StateCache, Team};
use parkade_model::gguf::Gguf;
use parkade_model::{Batch, Model, Outputs, PassCost, TokenId, describe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const BLOCK_LEN: usize = 16;

/// What is measured: sequences that have `depth` tokens each, and what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// A prompt of so many tokens for each, in one pass.
    Prefill { prompts: usize, tokens: usize, depth: usize },
    /// So many steps, each a token for each.
    Decode { streams: usize, tokens: usize, depth: usize },
}

impl Case {
    fn sequences(self) -> usize {
        match self {
            Case::Prefill { prompts, .. } => prompts,
            Case::Decode { streams, .. } => streams,
        }
    }

    /// How long each sequence becomes.
    pub(crate) fn longest(self) -> usize {
        match self {
            Case::Prefill { tokens, depth, .. } | Case::Decode { tokens, depth, .. } => tokens + depth,
        }
    }

    /// Tokens that are computed, over all sequences.
    pub(crate) fn tokens(self) -> usize {
        match self {
            Case::Prefill { tokens, .. } | Case::Decode { tokens, .. } => tokens * self.sequences(),
        }
    }

    /// Forward passes that are timed.
    pub(crate) fn passes(self) -> usize {
        match self {
            Case::Prefill { .. } => 1,
            Case::Decode { tokens, .. } => tokens,
        }
    }

    fn blocks(self) -> usize {
        self.sequences() * self.longest().div_ceil(BLOCK_LEN)
    }
}

/// Refuses what the machine has no memory for before the system kills somebody for it. A tenth is left to others; 0 bytes there: the system
/// does not tell.
fn fits(keys_and_values: Option<usize>, weights: usize, there: u64) -> Result<(), BenchError> {
    let wanted = keys_and_values.map_or(u64::MAX, |bytes| bytes as u64);
    if there == 0 || wanted.saturating_add(weights as u64) <= there / 10 * 9 {
        return Ok(());
    }
    Err(BenchError::Options(format!(
        "the keys and values of the largest case take {} MiB, and this machine has {} MiB; give fewer --streams or --prompts, or smaller \
         --depths or --prompt-tokens",
        wanted >> 20,
        there >> 20
    )))
}

/// A loaded model with KV blocks for the largest case.
pub(crate) struct Passes {
    pub(crate) model: Model,
    pub(crate) team: Arc<Team>,
    pub(crate) load_seconds: f64,
    kv: KvCache,
    states: StateCache,
    random: Random,
    logits: Vec<f32>,
    path: PathBuf,
}

impl Passes {
    pub(crate) fn load(path: &Path, threads: Option<usize>, cases: &[Case], seed: u64) -> Result<Passes, BenchError> {
        let failed = |reason: String| BenchError::Model { path: path.to_path_buf(), reason };
        let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let team = Arc::new(Team::new(threads));
        let start = Instant::now();
        let gguf = Gguf::open(path).map_err(|error| failed(error.to_string()))?;
        let (config, _) = describe(&gguf).map_err(|error| failed(error.to_string()))?;
        let (most, context) = (cases.iter().map(|case| case.longest()).max().unwrap_or(1), config.context_length);
        if most > context {
            return Err(failed(format!(
                "its context has {context} tokens, and a sequence of {most} is asked for (its depth, and the tokens of prompt or answer)"
            )));
        }
        let model = Model::load(&gguf, Arc::clone(&team)).map_err(|error| failed(error.to_string()))?;
        let load_seconds = start.elapsed().as_secs_f64();
        let blocks = cases.iter().map(|case| case.blocks()).max().unwrap_or(1) * model.kv_layout().groups();
        let each = model.kv_layout().bytes_per_block(BLOCK_LEN, KvType::F16);
        fits(each.and_then(|each| each.checked_mul(blocks)), model.weight_bytes(), Machine::detect().memory_bytes)?;
        let kv = model.new_kv_cache(blocks, BLOCK_LEN, KvType::F16).map_err(|error| failed(error.to_string()))?;
        let sequences = cases.iter().map(|case| case.sequences()).max().unwrap_or(1);
        let states = model.new_states(sequences).map_err(|error| failed(error.to_string()))?;
        let (random, logits) = (Random::new(seed, 0), Vec::new());
        Ok(Passes { model, team, load_seconds, kv, states, random, logits, path: path.to_path_buf() })
    }

    /// Seconds that a case takes, what comes before it not included.
    pub(crate) fn time(&mut self, case: Case) -> Result<f64, BenchError> {
        let each = (case.longest().div_ceil(BLOCK_LEN) * self.model.kv_layout().groups()) as u32;
        let tables: Vec<Vec<u32>> =
            (0..case.sequences() as u32).map(|number| (number * each..(number + 1) * each).collect()).collect();
        let (Case::Prefill { depth, .. } | Case::Decode { depth, .. }) = case;
        if depth > 0 {
            for (number, blocks) in (0..).zip(&tables) {
                let tokens = self.tokens(depth);
                self.forward(number, &tokens, &[Span { first_row: 0, rows: depth, past: 0, blocks }], &[depth - 1])?;
            }
        }
        let rows = match case {
            Case::Prefill { tokens, .. } => tokens,
            Case::Decode { .. } => 1,
        };
        let steps: Vec<Vec<TokenId>> = (0..case.passes()).map(|_| self.tokens(rows * tables.len())).collect();
        let last: Vec<usize> = (1..=tables.len()).map(|number| number * rows - 1).collect();
        let start = Instant::now();
        for (step, tokens) in steps.iter().enumerate() {
            let span = |(number, blocks)| Span { first_row: number * rows, rows, past: depth + step, blocks };
            let spans: Vec<Span<'_>> = tables.iter().map(Vec::as_slice).enumerate().map(span).collect();
            self.forward(0, tokens, &spans, &last)?;
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// What one of the passes of a case asks of the machine, and how many bytes of keys and values it reads, on average.
    pub(crate) fn cost(&self, case: Case) -> (PassCost, usize) {
        let sequences = case.sequences();
        let (Case::Prefill { depth, .. } | Case::Decode { depth, .. }) = case;
        let (rows, context) = match case {
            Case::Prefill { tokens, .. } => (tokens, depth),
            Case::Decode { tokens, .. } => (1, depth + tokens / 2),
        };
        let token_bytes = self.kv.memory_bytes() / (self.kv.blocks() * BLOCK_LEN);
        let reaches = self.kv.layout().reaches().iter();
        let tokens: usize = reaches.map(|reach| reach.map_or(context, |reach| reach.min(context))).sum();
        (self.model.pass_cost(rows * sequences, sequences), sequences * tokens * token_bytes)
    }

    fn tokens(&mut self, count: usize) -> Vec<TokenId> {
        let vocab = self.model.config().vocab;
        (0..count).map(|_| self.random.below(vocab) as TokenId).collect()
    }

    /// Runs the spans of the sequences from number `first` on.
    fn forward(
        &mut self,
        first: u32,
        tokens: &[TokenId],
        spans: &[Span<'_>],
        logit_rows: &[usize],
    ) -> Result<(), BenchError> {
        let slots = |(to, span): (u32, &Span<'_>)| SlotPair { from: (span.past > 0).then_some(to), to };
        let mut states: Vec<_> = (first..).zip(spans).map(slots).collect();
        if self.model.state_bytes() == 0 {
            states.clear();
        }
        let batch = Batch { tokens, spans, states: &states, outputs: Outputs::Logits(logit_rows) };
        self.model
            .forward(&batch, &mut self.kv, &mut self.states, &mut self.logits)
            .map_err(|error| BenchError::Model { path: self.path.clone(), reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn what_memory_cannot_hold_is_refused() {
        assert!(fits(Some(8 << 30), 1 << 30, 16 << 30).is_ok());
        assert!(fits(Some(8 << 30), 1 << 30, 0).is_ok(), "nobody knows");
        for (wanted, weights) in [(Some(15 << 30), 0), (Some(8 << 30), 8 << 30), (None, 0)] {
            let error = fits(wanted, weights, 16 << 30).expect_err("too much").to_string();
            assert!(error.contains("16384 MiB") && error.contains("fewer --streams"), "{error}");
        }
    }
}
