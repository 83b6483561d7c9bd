//! A real model of another family than the default one: Gemma 3 270M.

use parkade_kernels::KvType;
use parkade_model::TokenId;
use parkade_model::gguf::Gguf;
use serde::Deserialize;

use crate::installed::installed_model;
use crate::rewrite::widened;
use crate::runner::{BLOCK_LEN, Runner, log_softmax};

/// llama.cpp's answers.
#[derive(Deserialize)]
struct Case {
    logits: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    ids: Vec<TokenId>,
    top10_after_each_position: Vec<Vec<(TokenId, f64)>>,
}

/// How much further than llama.cpp we may be from the weights without any rounding of activations.
const FURTHER: f64 = 1.1;

fn log_probabilities(gguf: &Gguf, text: &Text) -> Vec<Vec<f64>> {
    let mut runner = Runner::new(gguf, 2, text.ids.len().div_ceil(BLOCK_LEN), KvType::F32);
    runner.whole(&text.ids).iter().map(|row| log_softmax(row)).collect()
}

#[test]
fn gemma_is_as_near_to_its_weights_as_with_llama_cpp() {
    let json = include_str!("../../../../tests/oracle/gemma3-270m-q4_k_m.json");
    let case: Case = serde_json::from_str(json).unwrap();
    let gguf = Gguf::open(&installed_model("gemma-3-270m-q4_k_m")).unwrap();
    let wide = widened(&gguf);
    let (mut ours, mut theirs, mut positions) = (0.0, 0.0, 0);
    for text in &case.logits {
        let (rounded, exact) = (log_probabilities(&gguf, text), log_probabilities(&wide, text));
        for ((rounded, exact), listed) in rounded.iter().zip(&exact).zip(&text.top10_after_each_position) {
            let weights: f64 = listed.iter().map(|&(id, _)| exact[id as usize].exp()).sum();
            for &(id, log) in listed {
                let (rounded, exact) = (rounded[id as usize], exact[id as usize]);
                ours += exact.exp() / weights * (rounded - exact).abs();
                theirs += exact.exp() / weights * (log - exact).abs();
            }
            positions += 1;
        }
    }
    let (ours, theirs) = (ours / f64::from(positions), theirs / f64::from(positions));
    println!("{positions} positions: {ours:.5} from the weights in F32, llama.cpp {theirs:.5}");
    assert!(ours <= FURTHER * theirs, "{ours:.5} from the weights in F32, llama.cpp {theirs:.5}");
}
