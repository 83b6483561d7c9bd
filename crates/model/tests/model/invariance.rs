//! A row's logits are the same bits however it is run.

use std::path::Path;

use parkade_kernels::KvType;
use parkade_model::gguf::Gguf;

use crate::alike::{self, BLOCKS, prompt, same};
use crate::installed::installed_model;
use crate::support::{Part, Runner, bits, table, tiny_model, tiny_models};

fn open(path: &Path, threads: usize, ty: KvType) -> Runner {
    Runner::open(path, threads, BLOCKS, ty)
}

fn check(path: &Path, length: usize, ty: KvType) {
    let name = path.file_stem().unwrap().to_string_lossy();
    alike::check(&name, &Gguf::open(path).unwrap(), length, ty);
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
