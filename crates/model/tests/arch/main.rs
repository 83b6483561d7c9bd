//! One test of all models: each small random model of another architecture is compared with llama.cpp's answers, and with itself however it is run.
//!
//! A new model is a line of [`models::GENERATES`].
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../support/alike.rs"]
mod alike;
mod answers;
mod gemma;
#[path = "../support/installed.rs"]
mod installed;
mod models;
#[path = "../support/random.rs"]
mod random;
mod rewrite;
#[path = "../support/runner.rs"]
mod runner;
mod states;
mod texts;

use parkade_kernels::KvType;
use parkade_model::gguf::Gguf;
use parkade_model::tokenizer::{Bos, SpecialTokens, Tokenizer};

use crate::answers::{Answers, Distance};
use crate::models::{GENERATES, find};
use crate::rewrite::widened;
use crate::runner::{BLOCK_LEN, Runner};

/// With the weights in F32, the furthest from llama.cpp's log-probability of any listed token. llama.cpp takes GELU from a table in half precision,
/// which makes up to 0.001 of it.
const FURTHEST: f64 = 0.01;
/// With activations rounded, the typical distance to llama.cpp without that rounding, in that of llama.cpp with it.
const TYPICAL: f64 = 1.3;

/// Runs `check` on all models, and fails with the list of what failed.
fn of_all(names: &[&str], check: impl Fn(&str, &Gguf, &Answers) -> Result<String, String>) {
    let mut failures = Vec::new();
    for name in names {
        for (gguf, answers) in find(name) {
            match check(name, &gguf, &answers) {
                Ok(figures) => println!("{name:<32} {figures}"),
                Err(problem) => failures.push(format!("{name} ({}): {problem}", gguf.name())),
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// How far the model's answers are from llama.cpp's without rounding.
fn distance(gguf: &Gguf, answers: &Answers) -> Distance {
    let mut runner = Runner::new(gguf, 2, answers.ids.len().div_ceil(BLOCK_LEN), KvType::F32);
    answers.distance(&runner.whole(&answers.ids))
}

#[test]
fn answers_agree_with_llama_cpp() {
    of_all(GENERATES, |_, gguf, answers| {
        let wide = distance(&widened(gguf), answers).furthest;
        let (ours, theirs) = (distance(gguf, answers).typical, answers.own_distance().typical);
        let figures = format!("furthest in F32 {wide:.5}, typical {ours:.5}, llama.cpp's {theirs:.5}");
        if wide <= FURTHEST && ours <= TYPICAL * theirs { Ok(figures) } else { Err(figures) }
    });
}

#[test]
fn rows_are_the_same_bits_however_they_are_run() {
    of_all(GENERATES, |name, gguf, answers| {
        for ty in [KvType::F32, KvType::F16] {
            alike::check(name, gguf, answers.ids.len(), ty);
        }
        Ok("the same bits".to_owned())
    });
}

#[test]
fn texts_are_the_tokens_of_llama_cpp() {
    of_all(GENERATES, |_, gguf, answers| {
        let tokenizer = Tokenizer::from_gguf(gguf).map_err(|error| error.to_string())?;
        for case in &answers.tokenize {
            let ids = tokenizer.encode(&case.text, SpecialTokens::Parse, Bos::AsModel).unwrap();
            if ids != case.ids {
                return Err(format!("{:?} is {ids:?}, not {:?}", case.text, case.ids));
            }
        }
        Ok(format!("{} texts", answers.tokenize.len()))
    });
}
