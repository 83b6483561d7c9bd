//! What holds for every model: a row's logits are the same bits whatever else is in the batch, however a prompt is cut, wherever its blocks lie,
//! and on any number of threads.

use parkade_kernels::{KvType, SlotPair, Span};
use parkade_model::gguf::Gguf;
use parkade_model::{Batch, Outputs, TokenId};

use crate::random::Random;
use crate::runner::{BLOCK_LEN, Part, Runner, bits, table};

pub const BLOCKS: usize = 96;

impl Random {
    pub fn tokens(&mut self, n: usize, vocab: usize) -> Vec<TokenId> {
        (0..n).map(|_| self.below(vocab) as TokenId).collect()
    }
}

pub fn prompt(runner: &Runner, length: usize) -> Vec<TokenId> {
    Random(length as u64).tokens(length, runner.model.config().vocab)
}

/// Runs the prompt in pieces of the given lengths, in turn.
fn in_chunks(runner: &mut Runner, tokens: &[TokenId], lengths: &[usize], blocks: &[u32]) -> Vec<Vec<f32>> {
    let mut logits = Vec::new();
    let mut lengths = lengths.iter().cycle();
    while logits.len() < tokens.len() {
        let past = logits.len();
        let end = tokens.len().min(past + lengths.next().unwrap());
        logits.extend(runner.step(&[Part { tokens: &tokens[past..end], past, blocks }]).remove(0));
    }
    logits
}

/// Runs the prompt in pieces, each in a batch with prefills and decodes of other sequences around it.
fn among_others(runner: &mut Runner, tokens: &[TokenId], chunk: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = Random(seed);
    let vocab = runner.model.config().vocab;
    let others: Vec<(Vec<TokenId>, Vec<u32>)> =
        (0..5).map(|i| (random.tokens(160, vocab), table(20 + 12 * i, 160))).collect();
    let mut pasts = [0; 5];
    let own = table(0, tokens.len());
    let mut logits = Vec::new();
    while logits.len() < tokens.len() {
        let past = logits.len();
        let end = tokens.len().min(past + chunk);
        let mut parts = Vec::new();
        for ((tokens, blocks), past) in others.iter().zip(&mut pasts) {
            let rows = [0, 1, 1, 2, 17][random.below(5)].min(160 - *past);
            if rows > 0 {
                parts.push(Part { tokens: &tokens[*past..*past + rows], past: *past, blocks });
                *past += rows;
            }
        }
        let place = random.below(parts.len() + 1);
        parts.insert(place, Part { tokens: &tokens[past..end], past, blocks: &own });
        logits.extend(runner.step(&parts).swap_remove(place));
    }
    logits
}

pub fn same(what: &str, expected: &[Vec<u32>], logits: &[Vec<f32>]) {
    let logits = bits(logits);
    assert_eq!(logits.len(), expected.len(), "{what}");
    if let Some(row) = (0..logits.len()).find(|&row| logits[row] != expected[row]) {
        let differing = logits[row].iter().zip(&expected[row]).filter(|(a, b)| a != b).count();
        panic!("{what}: row {row} differs in {differing} of {} logits", logits[row].len());
    }
}

/// Keeps the state after some tokens and goes on from it twice, with other tokens and then with the prompt's own.
fn twice_from_one_state(name: &str, runner: &mut Runner, tokens: &[TokenId], expected: &[Vec<u32>]) {
    if runner.model.state_bytes() == 0 {
        return;
    }
    let (kept, blocks) = (tokens.len() / 2 + 1, table(0, tokens.len()));
    let step = |runner: &mut Runner, rows: std::ops::Range<usize>, tokens: &[TokenId], slots: SlotPair| {
        let spans = [Span { first_row: 0, rows: tokens.len(), past: rows.start, blocks: &blocks }];
        let wanted: Vec<usize> = (0..tokens.len()).collect();
        let batch = Batch { tokens, spans: &spans, states: &[slots], outputs: Outputs::Logits(&wanted) };
        let mut out = Vec::new();
        // Left after each layer, as a pass may be.
        let mut pass =
            runner.model.forward_until(&batch, &mut runner.kv, &mut runner.states, &mut out, &|| true).unwrap();
        while let Some(paused) = pass {
            pass = runner.model.resume(paused, &batch, &mut runner.kv, &mut runner.states, &mut out, &|| true).unwrap();
        }
        out.chunks_exact(runner.model.config().vocab).map(<[f32]>::to_vec).collect::<Vec<_>>()
    };
    let all = 0..tokens.len();
    step(runner, 0..kept, &tokens[..kept], SlotPair { from: None, to: 7 });
    let others: Vec<TokenId> = tokens[kept..].iter().rev().copied().collect();
    step(runner, kept..all.end, &others, SlotPair { from: Some(7), to: 8 });
    let again = step(runner, kept..all.end, &tokens[kept..], SlotPair { from: Some(7), to: 9 });
    same(&format!("{name}: a state gone on from twice"), &expected[kept..], &again);
}

/// Runs a prompt of random tokens in all ways, and panics at the first difference.
pub fn check(name: &str, gguf: &Gguf, length: usize, ty: KvType) {
    let name = format!("{name} {ty:?}");
    let mut one = Runner::new(gguf, 1, BLOCKS, ty);
    let tokens = prompt(&one, length);
    let expected = bits(&one.whole(&tokens));
    assert!(expected.iter().flatten().any(|&b| b != expected[0][0]));

    let mut two = Runner::new(gguf, 2, BLOCKS, ty);
    same(&format!("{name}: two threads"), &expected, &two.whole(&tokens));
    let blocks = table(0, length);
    for lengths in [&[1][..], &[7], &[16], &[33], &[5, 1, 40]] {
        same(&format!("{name}: chunks of {lengths:?}"), &expected, &in_chunks(&mut two, &tokens, lengths, &blocks));
    }
    two.in_place = false;
    for lengths in [&[1][..], &[5, 1, 40]] {
        same(
            &format!("{name}: slots in turn, {lengths:?}"),
            &expected,
            &in_chunks(&mut two, &tokens, lengths, &blocks),
        );
    }
    two.in_place = true;
    twice_from_one_state(&name, &mut two, &tokens, &expected);
    for chunk in [1, 9, length] {
        same(&format!("{name}: among others by {chunk}"), &expected, &among_others(&mut two, &tokens, chunk, 5));
    }
    let mut scattered: Vec<u32> = (0..BLOCKS as u32).rev().step_by(3).collect();
    scattered.truncate(length.div_ceil(BLOCK_LEN));
    same(&format!("{name}: scattered blocks"), &expected, &in_chunks(&mut two, &tokens, &[50, 3], &scattered));
}
