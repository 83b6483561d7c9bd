//! Mixtures of experts and latent attention that are refused when they are loaded, and what is asked of those that are not.

use parkade_kernels::KvType;
use parkade_model::gguf::{Gguf, TensorInfo, Value};

use crate::loading::{load, refused};
use crate::runner::{Part, Runner, bits};
use crate::synthetic::{FEED_FORWARD, Synthetic, VOCAB};

/// A Llama with three experts, of which two are used.
pub fn mixture() -> Synthetic {
    let layers = ["blk.0", "blk.1"];
    let tensor = |layer: &str, name: &str, shape: &[usize]| {
        let name: &'static str = Box::leak(format!("{layer}.{name}.weight").into_boxed_str());
        (name, shape.to_vec())
    };
    let tensors = layers.iter().flat_map(|layer| {
        [
            tensor(layer, "ffn_gate_inp", &[32, 3]),
            tensor(layer, "ffn_gate_exps", &[32, FEED_FORWARD, 3]),
            tensor(layer, "ffn_up_exps", &[32, FEED_FORWARD, 3]),
            tensor(layer, "ffn_down_exps", &[FEED_FORWARD, 32, 3]),
        ]
    });
    let without = &[
        "blk.0.ffn_gate.weight",
        "blk.0.ffn_up.weight",
        "blk.0.ffn_down.weight",
        "blk.1.ffn_gate.weight",
        "blk.1.ffn_up.weight",
        "blk.1.ffn_down.weight",
    ];
    Synthetic { tensors: tensors.collect(), without, ..Synthetic::default() }
        .with("expert_count", 3u32)
        .with("expert_used_count", 2u32)
}

#[test]
fn experts_that_cannot_be() {
    load(&mixture()).unwrap();
    let with = |key: &'static str, value: u32| {
        let mut model = mixture();
        model.metadata.retain(|(other, _)| *other != key);
        model.with(key, value)
    };
    refused(&with("expert_count", 1_000_000_000), &["'llama.expert_count' is 1000000000; expected 1 to"]);
    refused(&with("expert_count", 4), &["tensor 'blk.0.ffn_gate_inp.weight'", "expected [32, 4]"]);
    refused(&with("expert_count", 0), &["tensor 'blk.0.ffn_gate.weight' of shape [32, 48] is missing"]);
    refused(&with("expert_used_count", 0), &["'llama.expert_used_count' is 0; expected 1 to"]);
    refused(&with("expert_used_count", 1_000_000_000), &["'llama.expert_used_count' is 1000000000; expected 1 to 64"]);
    refused(&with("expert_used_count", 4), &["'llama.expert_used_count' is 4; expected 1 to the expert_count of 3"]);
    refused(&with("expert_gating_func", 9), &["'llama.expert_gating_func' is 9; expected 1 (softmax)"]);
    refused(&with("expert_group_count", 2), &["'llama.expert_group_count' is 2; expected a divisor"]);
    let groups = with("expert_group_count", 3).with("expert_group_used_count", 1u32);
    refused(&groups, &["'llama.expert_group_used_count' is 1; expected groups for 2 experts"]);
    refused(&with("expert_feed_forward_length", 7), &["tensor 'blk.0.ffn_gate_exps.weight'", "expected [32, 7, 3]"]);
    let mut misshapen = mixture();
    misshapen.tensors[3].1 = vec![FEED_FORWARD, 32, 2];
    refused(&misshapen, &["tensor 'blk.0.ffn_down_exps.weight' has shape [48, 32, 2]; expected [48, 32, 3]"]);
    misshapen.tensors.remove(3);
    refused(&misshapen, &["tensor 'blk.0.ffn_down_exps.weight' of shape [48, 32, 3] is missing"]);
}

/// A token of whose embedding nothing is a number goes somewhere, and leaves those beside it as they are.
#[test]
fn routing_by_what_is_no_number_stays_in_its_row() {
    let mut bytes = mixture().bytes();
    let gguf = Gguf::from_bytes(bytes.clone()).unwrap();
    let first = gguf.tensors().next().unwrap();
    assert_eq!((first.name.as_str(), &first.shape[..]), ("token_embd.weight", &[32, VOCAB][..]));
    let data = bytes.len() - gguf.tensors().map(TensorInfo::size).sum::<usize>();
    bytes[data + 5 * 32 * 4..][..32 * 4].as_chunks_mut().0.fill(f32::NAN.to_le_bytes());
    let mut runner = Runner::new(&Gguf::from_bytes(bytes).unwrap(), 2, 4, KvType::F32);
    let alone = runner.step(&[Part { tokens: &[1, 2, 3], past: 0, blocks: &[0] }]).remove(0);
    let parts = [[5, 1, 5], [1, 2, 3], [5, 5, 4]];
    let parts: Vec<Part<'_>> =
        parts.iter().zip(&[[0], [1], [2]]).map(|(tokens, blocks)| Part { tokens, past: 0, blocks }).collect();
    let together = runner.step(&parts);
    assert_eq!(bits(&together[1]), bits(&alone));
    for odd in [0, 2] {
        assert!(together[odd].iter().flatten().all(|logit| logit.is_nan()));
    }
}

#[test]
fn a_pass_costs_what_its_rows_choose() {
    let model = load(&mixture()).unwrap();
    let plain = 2 * (32 * 32 * 2 + 32 * 16 * 2 + 32 * 3);
    let expert = 2 * 3 * 32 * FEED_FORWARD;
    let products = |rows| model.pass_cost(rows, 0).products;
    assert_eq!((products(1), products(7)), (plain + 2 * expert, 7 * (plain + 2 * expert)));
    // The router's tiles are padded to sixteen outputs.
    let bytes = |rows| model.pass_cost(rows, 0).weight_bytes - 4 * (plain + 2 * 32 * 13);
    assert_eq!((bytes(1), bytes(100)), (4 * 2 * expert, 4 * 3 * expert));
}

#[test]
fn latent_attention_that_cannot_be() {
    let with = |values: &[(&'static str, u32)]| {
        let latent = [
            ("attention.kv_lora_rank", 12),
            ("attention.head_count_kv", 1),
            ("attention.key_length", 16),
            ("attention.value_length", 12),
            ("attention.key_length_mla", 8),
            ("rope.dimension_count", 4),
            ("expert_count", 3),
            ("expert_used_count", 2),
        ];
        let mut metadata: Vec<(&'static str, Value)> = latent.map(|(key, value)| (key, value.into())).to_vec();
        for &(key, value) in values {
            metadata.retain(|(other, _)| *other != key);
            metadata.push((key, value.into()));
        }
        Synthetic { architecture: "deepseek2", metadata, ..Synthetic::default() }
    };
    refused(&with(&[]), &["tensor 'blk.0.attn_kv_a_mqa.weight' of shape [32, 16] is missing"]);
    refused(&with(&[("attention.kv_lora_rank", 0)]), &["'deepseek2.attention.kv_lora_rank' is 0; expected 1 to"]);
    refused(&with(&[("attention.key_length_mla", 4)]), &["key_length_mla' is 4; expected more than the 4"]);
    refused(&with(&[("attention.kv_lora_rank", 10)]), &["'deepseek2.attention.head_count_kv' is 1 with", "1 with 14"]);
    refused(&with(&[("attention.head_count_kv", 2)]), &["'deepseek2.attention.head_count_kv' is 2 with", "1 with 16"]);
    refused(
        &with(&[("nextn_predict_layers", 2)]),
        &["'deepseek2.nextn_predict_layers' is 2; expected fewer than the 2"],
    );
    let llama = Synthetic::default().with("attention.value_length", 6u32);
    refused(&llama, &["'llama.attention.value_length' is 6; expected 8, the size of a key"]);
}
