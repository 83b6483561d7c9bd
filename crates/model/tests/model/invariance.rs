//! A row's logits are the same bits whatever else is in the batch, however a prompt is cut, wherever its blocks lie, and on any number of threads.

use std::path::Path;

use parkade_kernels::KvType;
use parkade_model::TokenId;

use crate::installed::installed_model;
use crate::random::Random;
use crate::support::{BLOCK_LEN, Part, Runner, bits, table, tiny_model, tiny_models};

const BLOCKS: usize = 96;

fn open(path: &Path, threads: usize, ty: KvType) -> Runner {
    Runner::open(path, threads, BLOCKS, ty)
}

fn prompt(runner: &Runner, length: usize) -> Vec<TokenId> {
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

fn same(what: &str, expected: &[Vec<u32>], logits: &[Vec<f32>]) {
    let logits = bits(logits);
    assert_eq!(logits.len(), expected.len(), "{what}");
    if let Some(row) = (0..logits.len()).find(|&row| logits[row] != expected[row]) {
        let differing = logits[row].iter().zip(&expected[row]).filter(|(a, b)| a != b).count();
        panic!("{what}: row {row} differs in {differing} of {} logits", logits[row].len());
    }
}

fn check(path: &Path, length: usize, ty: KvType) {
    let name = format!("{} {ty:?}", path.file_stem().unwrap().to_string_lossy());
    let mut one = open(path, 1, ty);
    let tokens = prompt(&one, length);
    let expected = bits(&one.whole(&tokens));
    assert!(expected.iter().flatten().any(|&b| b != expected[0][0]));

    let mut two = open(path, 2, ty);
    same(&format!("{name}: two threads"), &expected, &two.whole(&tokens));
    let blocks = table(0, length);
    for lengths in [&[1][..], &[7], &[16], &[33], &[5, 1, 40]] {
        same(&format!("{name}: chunks of {lengths:?}"), &expected, &in_chunks(&mut two, &tokens, lengths, &blocks));
    }
    for chunk in [1, 9, length] {
        same(&format!("{name}: among others by {chunk}"), &expected, &among_others(&mut two, &tokens, chunk, 5));
    }
    let mut scattered: Vec<u32> = (0..BLOCKS as u32).rev().step_by(3).collect();
    scattered.truncate(length.div_ceil(BLOCK_LEN));
    same(&format!("{name}: scattered blocks"), &expected, &in_chunks(&mut two, &tokens, &[50, 3], &scattered));
}

#[test]
fn in_every_weight_type() {
    for path in tiny_models() {
        check(&path, 120, KvType::F16);
    }
}

#[test]
fn in_every_kv_type() {
    for ty in [KvType::F32, KvType::BF16] {
        check(&tiny_model("F32"), 150, ty);
        check(&tiny_model("Q4_K_S"), 150, ty);
    }
}

#[test]
fn in_the_default_model() {
    check(&installed_model("SmolLM2-135M-Instruct.Q4_1"), 70, KvType::F16);
}

#[test]
fn three_threads_on_any_machine() {
    let mut one = open(&tiny_model("Q4_1"), 1, KvType::F16);
    let tokens = prompt(&one, 100);
    let expected = bits(&one.whole(&tokens));
    same("three threads", &expected, &open(&tiny_model("Q4_1"), 3, KvType::F16).whole(&tokens));
}

#[test]
fn a_copied_block_continues_as_its_original() {
    let mut runner = open(&tiny_model("Q4_1"), 2, KvType::F16);
    let tokens = prompt(&runner, 40);
    let expected = bits(&runner.whole(&tokens));
    // A second sequence shares the first block and gets a copy of the second, then goes its own way from position 24.
    runner.kv.copy_block(1, 7);
    let blocks = [0, 7, 8];
    let logits = runner.step(&[Part { tokens: &tokens[24..], past: 24, blocks: &blocks }]).remove(0);
    same("copied block", &expected[24..], &logits);
    // Which left the original as it was.
    let original = table(0, 40);
    let logits = runner.step(&[Part { tokens: &tokens[32..], past: 32, blocks: &original }]).remove(0);
    same("original", &expected[32..], &logits);
}
