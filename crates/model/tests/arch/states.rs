//! Models whose layers carry states: what a batch must say of them, and metadata that makes no sense.

use std::sync::Arc;

use parkade_kernels::{KvType, SlotPair, Span, Team};
use parkade_model::gguf::{Array, Gguf, Value};
use parkade_model::{Batch, Model, Outputs};

use crate::models::sources;
use crate::rewrite::with_metadata;
use crate::runner::{BLOCK_LEN, Runner};

fn gguf(name: &str) -> Gguf {
    sources(name).remove(0).0
}

fn runner(name: &str) -> Runner {
    Runner::new(&gguf(name), 1, 4, KvType::F32)
}

/// Runs spans of one token each, with so many tokens behind them, and says what was wrong.
fn message(runner: &mut Runner, pasts: &[usize], states: &[(Option<u32>, u32)]) -> String {
    let tables: Vec<[u32; 1]> = (0..pasts.len() as u32).map(|block| [block]).collect();
    let span = |(row, (&past, blocks))| Span { first_row: row, rows: 1, past, blocks };
    let spans: Vec<_> = pasts.iter().zip(tables.iter().map(|table| &table[..])).enumerate().map(span).collect();
    let states: Vec<_> = states.iter().map(|&(from, to)| SlotPair { from, to }).collect();
    let tokens = vec![1; pasts.len()];
    let batch = Batch { tokens: &tokens, spans: &spans, states: &states, outputs: Outputs::Logits(&[]) };
    let result = runner.model.forward(&batch, &mut runner.kv, &mut runner.states, &mut Vec::new());
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn batches_whose_states_make_no_sense_are_refused() {
    let mut runner = runner("lfm2-Q8_0");
    let mut refused = |pasts: &[usize], states: &[(Option<u32>, u32)], part: &str| {
        let message = message(&mut runner, pasts, states);
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    };
    refused(&[0], &[], "1 spans have 0 pairs of state slots; this model needs 1");
    refused(&[0], &[(Some(0), 0)], "span 0 has 0 tokens behind it and a state slot to go on from");
    refused(&[3], &[(None, 0)], "span 0 has 3 tokens behind it and no state slot to go on from");
    refused(&[0], &[(None, 8)], "span 0 names state slot 8; there are 8");
    refused(&[0, 0], &[(None, 1), (None, 1)], "state slot 1 is written by two spans");
    refused(&[0, 3], &[(None, 1), (Some(1), 2)], "state slot 1 is read by one span and written by another");
    assert_eq!(message(&mut runner, &[0, 3, 3], &[(None, 1), (Some(0), 2), (Some(0), 3)]), "");
    let mut other = Runner::new(&gguf("qwen2-Q8_0"), 1, 4, KvType::F32);
    assert!(message(&mut other, &[0], &[(None, 0)]).contains("this model needs 0"));
    other.states = runner.model.new_states(1).unwrap();
    assert!(message(&mut other, &[0], &[]).contains("make them with Model::new_states"));
}

#[test]
fn layers_without_attention_have_no_keys() {
    for (name, layers) in
        [("lfm2", 2), ("granitehybrid", 1), ("falcon-h1", 3), ("qwen35", 1), ("mamba2", 0), ("rwkv7", 0)]
    {
        let model = Model::load(&gguf(&format!("{name}-Q8_0")), Arc::new(Team::new(1))).unwrap();
        let kv = model.new_kv_cache(2, BLOCK_LEN, KvType::F16).unwrap();
        assert_eq!(model.plan().kv_layers(model.config().context_length).len(), layers, "{name}");
        assert_eq!(kv.memory_bytes() == 0, layers == 0, "{name}");
        assert!(model.state_bytes() > 0, "{name}");
        assert_eq!(model.new_states(3).unwrap().memory_bytes(), 3 * model.state_bytes(), "{name}");
    }
}

#[test]
fn latents_are_cached_once() {
    // Latents of 64 and 32 numbers, each with 16 rotated ones; or four heads of 48, and values beside.
    for (name, bytes) in [("deepseek2", 3 * 80), ("deepseek2-lite-mla", 26 * 48), ("deepseek2-lite", 27 * 2 * 2 * 48)] {
        let model = Model::load(&gguf(&format!("{name}-Q8_0")), Arc::new(Team::new(1))).unwrap();
        assert_eq!(model.kv_layout().bytes_per_block(16, KvType::F16), Some(16 * 2 * bytes), "{name}");
    }
}

#[test]
fn metadata_of_states_that_makes_no_sense_is_refused() {
    let refused = |name: &str, key: &str, value: Value, part: &str| {
        // One that sees texts both ways says how it pools.
        let gguf = with_metadata(&gguf(&format!("{name}-Q8_0")), &format!("{name}.pooling_type"), 1u32.into());
        let key = format!("{}.{key}", gguf.architecture().unwrap());
        let message = Model::load(&with_metadata(&gguf, &key, value), Arc::new(Team::new(1))).unwrap_err().to_string();
        assert!(message.contains(&key) && message.contains(part), "{message:?} does not say {part:?}");
    };
    for taps in [0u32, 1, 17, u32::MAX] {
        refused("mamba2", "ssm.conv_kernel", taps.into(), &format!("is {taps}"));
        refused("lfm2", "shortconv.l_cache", taps.into(), &format!("is {taps}"));
    }
    refused("mamba2", "ssm.inner_size", (1u32 << 30).into(), "1 to 1048576");
    refused("mamba2", "ssm.state_size", 0u32.into(), "1 to 1024");
    refused("mamba2", "ssm.time_step_rank", 5u32.into(), "a divisor of ssm.inner_size");
    refused("falcon-h1", "ssm.group_count", 4u32.into(), "a divisor of ssm.time_step_rank 6");
    refused("qwen35", "full_attention_interval", 0u32.into(), "1 to 1024");
    refused("rwkv7", "wkv.head_size", 7u32.into(), "a divisor of embedding_length");
    refused("rwkv7", "wkv.head_size", u32::MAX.into(), "1 to 1024");
    refused("lfm2", "attention.causal", false.into(), "seen from behind them only");
    refused("lfm2", "attention.head_count_kv", Array::U32(vec![1; 4]).into(), "each of 5 layers");
    refused("qwen35", "attention.head_count_kv", Array::U32(vec![0; 4]).into(), "0 in layer 3");
}
