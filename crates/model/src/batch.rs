//! One ragged batch, and the checks that make it safe to run.

use parkade_kernels::{KvCache, KvLayout, SlotPair, Span, StateCache, StateRows};

use crate::TokenId;
use crate::config::ModelConfig;
use crate::error::ModelError;

/// New tokens of any number of sequences, to be run in one pass.
///
/// Row `i` is `tokens[i]`. Each span is one sequence's share of the rows; the spans lie one after the other and cover all rows.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// All rows, span by span.
    pub tokens: &'a [TokenId],
    /// Where each sequence's rows are, and where its keys and values live.
    pub spans: &'a [Span<'a>],
    /// Where the state of each span is read and left; empty for a model whose layers carry none.
    pub states: &'a [SlotPair],
    /// What is wanted of which rows.
    pub outputs: Outputs<'a>,
}

/// What a pass gives of some of its rows. The rows ascend; they may be any, and several of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs<'a> {
    /// The logits of the token after each of these rows: `[rows][vocab]`.
    Logits(&'a [usize]),
    /// The hidden states of these rows after the last norm: `[rows][embedding]`. The output matrix makes logits of them; embeddings
    /// are pooled from them.
    Hidden(&'a [usize]),
}

impl<'a> Outputs<'a> {
    /// The rows of the batch that something is wanted of.
    pub fn rows(&self) -> &'a [usize] {
        match self {
            Outputs::Logits(rows) | Outputs::Hidden(rows) => rows,
        }
    }

    /// How many values there are in all.
    pub(crate) fn values(&self, config: &ModelConfig) -> usize {
        match self {
            Outputs::Logits(rows) => rows.len() * config.vocab,
            Outputs::Hidden(rows) => rows.len() * config.embedding,
        }
    }
}

/// The sequences of a pass, with all that is kept of their past.
pub(crate) struct Sequences<'a> {
    pub(crate) spans: &'a [Span<'a>],
    pub(crate) slots: &'a [SlotPair],
    pub(crate) kv: &'a mut KvCache,
    pub(crate) states: &'a mut StateCache,
}

impl Sequences<'_> {
    /// The rows, and the part of their states from `start` on.
    pub(crate) fn state_rows(&mut self, start: usize) -> StateRows<'_> {
        StateRows { spans: self.spans, states: self.states, slots: self.slots, start }
    }
}

/// Which rows a span has, and where in its sequence they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    first_row: usize,
    rows: usize,
    past: usize,
}

impl Extent {
    pub(crate) fn of(span: &Span<'_>) -> Extent {
        Extent { first_row: span.first_row, rows: span.rows, past: span.past }
    }
}

/// Checks batches. Keeps its scratch memory between calls.
#[derive(Default)]
pub(crate) struct BatchCheck {
    /// For each KV block, the last check in which a span wrote to it.
    written: Vec<u64>,
    checks: u64,
}

impl BatchCheck {
    /// Everything that the kernels rely on, so that no input of a caller can make them panic.
    pub(crate) fn check(
        &mut self,
        batch: &Batch<'_>,
        config: &ModelConfig,
        kv: &KvCache,
        states: &StateCache,
    ) -> Result<(), ModelError> {
        check_tokens(batch, config.vocab)?;
        check_output_rows(batch)?;
        check_states(batch, states)?;
        let mut next_row = 0;
        for (i, span) in batch.spans.iter().enumerate() {
            if span.first_row != next_row || span.rows == 0 {
                return Err(ModelError::Batch(format!(
                    "span {i} has {} rows from row {}; spans must cover the rows one after the other, the next from row {next_row}",
                    span.rows, span.first_row
                )));
            }
            // A span beyond the tokens is noticed here, before its rows are used for anything.
            next_row = span.rows.checked_add(next_row).filter(|&n| n <= batch.tokens.len()).ok_or_else(|| {
                ModelError::Batch(format!("span {i} of {} rows ends past the {} tokens", span.rows, batch.tokens.len()))
            })?;
            let end = span.past.saturating_add(span.rows);
            if end > config.context_length {
                return Err(ModelError::Context { span: i, end, context: config.context_length });
            }
            self.check_blocks(i, span, end, kv)?;
        }
        self.checks += 1;
        if next_row != batch.tokens.len() {
            return Err(ModelError::Batch(format!("the spans cover {next_row} rows of {} tokens", batch.tokens.len())));
        }
        Ok(())
    }

    /// As [`check`](Self::check), for a pass that goes on: its spans are among those that it began with.
    pub(crate) fn check_rest(
        &mut self,
        batch: &Batch<'_>,
        rows: usize,
        begun: &[Extent],
        config: &ModelConfig,
        kv: &KvCache,
        states: &StateCache,
    ) -> Result<(), ModelError> {
        check_output_rows(batch)?;
        check_states(batch, states)?;
        if batch.tokens.len() != rows {
            return Err(ModelError::Batch(format!("a pass of {rows} rows goes on with {} tokens", batch.tokens.len())));
        }
        let mut begun = begun.iter();
        for (i, span) in batch.spans.iter().enumerate() {
            if !begun.any(|extent| *extent == Extent::of(span)) {
                return Err(ModelError::Batch(format!(
                    "span {i} is none of those that the pass began with, in their order"
                )));
            }
            let end = span.past + span.rows;
            if end > config.context_length {
                return Err(ModelError::Context { span: i, end, context: config.context_length });
            }
            self.check_blocks(i, span, end, kv)?;
        }
        self.checks += 1;
        Ok(())
    }

    /// The block table reaches over all positions and names existing blocks for all that is read, and no block is written by two spans.
    fn check_blocks(&mut self, i: usize, span: &Span<'_>, end: usize, kv: &KvCache) -> Result<(), ModelError> {
        let (block_len, groups) = (kv.block_len(), kv.layout().groups());
        let needed = end.div_ceil(block_len) * groups;
        if span.blocks.len() < needed {
            return Err(ModelError::Batch(format!(
                "span {i} has a block table of {} blocks; its {end} positions need {needed} blocks of {block_len}",
                span.blocks.len(),
            )));
        }
        self.written.resize(kv.blocks(), 0);
        let reads = |reach: &Option<usize>| KvLayout::first_read(*reach, span.past) / block_len;
        let first: Vec<usize> = kv.layout().reaches().iter().map(reads).collect();
        for (j, &block) in span.blocks[..needed].iter().enumerate() {
            let place = j / groups;
            if place < first[j % groups] {
                continue;
            }
            let Some(written) = self.written.get_mut(block as usize) else {
                return Err(ModelError::Batch(format!(
                    "span {i} names KV block {block}; the cache has {} blocks",
                    kv.blocks()
                )));
            };
            if place >= span.past / block_len {
                if *written == self.checks + 1 {
                    return Err(ModelError::Batch(format!(
                        "KV block {block} is written twice, the second time by span {i}"
                    )));
                }
                *written = self.checks + 1;
            }
        }
        Ok(())
    }
}

fn check_tokens(batch: &Batch<'_>, vocab: usize) -> Result<(), ModelError> {
    match batch.tokens.iter().position(|&t| t as usize >= vocab) {
        Some(row) => Err(ModelError::Token { row, token: batch.tokens[row], vocab }),
        None => Ok(()),
    }
}

/// Each span has its slots, if the model has states, and begins where its sequence does.
fn check_states(batch: &Batch<'_>, states: &StateCache) -> Result<(), ModelError> {
    let expected = if states.values() == 0 { 0 } else { batch.spans.len() };
    if batch.states.len() != expected {
        return Err(ModelError::Batch(format!(
            "{} spans have {} pairs of state slots; this model needs {expected}",
            batch.spans.len(),
            batch.states.len()
        )));
    }
    let wrong = |(span, pair): (&Span<'_>, &SlotPair)| pair.from.is_none() != (span.past == 0);
    if let Some(i) = batch.spans.iter().zip(batch.states).position(wrong) {
        return Err(ModelError::Batch(format!(
            "span {i} has {} tokens behind it and {} state slot to go on from",
            batch.spans[i].past,
            batch.states[i].from.map_or("no", |_| "a")
        )));
    }
    SlotPair::check(batch.states, states.slots()).map_err(ModelError::Batch)
}

fn check_output_rows(batch: &Batch<'_>) -> Result<(), ModelError> {
    let rows = batch.outputs.rows();
    let ascending = rows.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || rows.last().is_some_and(|&row| row >= batch.tokens.len()) {
        return Err(ModelError::Batch(format!(
            "output rows {rows:?} must ascend and be below {} rows",
            batch.tokens.len()
        )));
    }
    Ok(())
}
/// What a forward pass asks of the machine, see [`Model::pass_cost`](crate::Model::pass_cost).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassCost {
    /// Bytes of weights that it reads, each once.
    pub weight_bytes: usize,
    /// Products of a weight and an activation that it adds up.
    pub products: usize,
}
