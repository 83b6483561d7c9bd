//! Models that are refused when they are loaded, each with a message that names what is wrong.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use parkade_kernels::{KvType, Team};
use parkade_model::gguf::{Array, Gguf, TensorInfo, Value};
use parkade_model::plan::FeedForwardPlan;
use parkade_model::{Model, ModelError, Survey, describe};

use crate::experts::mixture;
use crate::installed::default_model;
use crate::random::Random;
use crate::support::{Runner, tiny_model};
use crate::synthetic::{FEED_FORWARD, Synthetic, VOCAB};

pub fn load(model: &Synthetic) -> Result<Model, ModelError> {
    Model::load(&model.gguf(), Arc::new(Team::new(1)))
}

pub fn refused(model: &Synthetic, parts: &[&str]) {
    let message = load(model).expect_err("a broken model was loaded").to_string();
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

fn with(key: &'static str, value: impl Into<Value>) -> Synthetic {
    Synthetic::default().with(key, value)
}

#[test]
fn the_default_models_geometry() {
    let gguf = default_model();
    let (config, plan) = describe(&gguf).unwrap();
    assert_eq!((config.layers, config.heads, config.kv_heads, config.head_dim), (30, 9, 3, 64));
    assert_eq!((config.embedding, config.vocab, config.context_length), (576, 49_152, 8192));
    assert_eq!(plan.ropes[0].freq_base, 100_000.0);
    for layer in &plan.layers {
        let FeedForwardPlan::Gated { width, .. } = layer.feed_forward else { panic!("{:?}", layer.feed_forward) };
        assert_eq!((width, layer.attention.window, layer.attention.scale), (1536, None, 0.125));
    }
}

#[test]
fn weights_are_counted_in_bytes() {
    let model = load(&Synthetic::default()).unwrap();
    let matrices = 2 * (32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * FEED_FORWARD) + 2 * 32 * VOCAB;
    assert!(model.weight_bytes() >= 4 * matrices, "{}", model.weight_bytes());
    // Tiles of 16 outputs may pad, but not more than that.
    assert!(model.weight_bytes() <= 5 * matrices, "{}", model.weight_bytes());
}

#[test]
fn a_survey_tells_without_reading_what_loading_would_find() {
    for tied in [false, true] {
        let model = Synthetic { tied, ..Synthetic::default() };
        let (loaded, survey) = (load(&model).unwrap(), Survey::of(&model.gguf(), None));
        assert!(survey.problems().is_empty(), "{:?}", survey.problems());
        assert_eq!((survey.config(), survey.weight_bytes()), (Some(loaded.config()), loaded.weight_bytes()));
        assert_eq!(survey.pass_cost(7, 1), Some(loaded.pass_cost(7, 1)));
    }
    let nothing = Survey::of(&with("block_count", 0u32).gguf(), None);
    assert!(nothing.problems().len() == 1 && nothing.config().is_none() && nothing.pass_cost(1, 1).is_none());
}

#[test]
fn a_tied_table_is_kept_once() {
    let own = load(&Synthetic::default()).unwrap();
    let tied = load(&Synthetic { tied: true, ..Synthetic::default() }).unwrap();
    assert_eq!(own.weight_bytes() - tied.weight_bytes(), 4 * 32 * VOCAB);
}

/// A copy of a tiny model that may be damaged.
fn copy_of_tiny_model(ty: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    std::fs::copy(tiny_model(ty), &path).unwrap();
    (dir, path)
}

#[test]
fn nothing_of_the_file_is_needed_after_loading() {
    for ty in ["Q4_1", "Q6_K", "F16"] {
        let (_dir, path) = copy_of_tiny_model(ty);
        let tokens = [1, 2, 3, 400, 5];
        let expected = Runner::open(&path, 2, 8, KvType::F32).whole(&tokens);
        let mut runner = Runner::open(&path, 2, 8, KvType::F32);
        let length = std::fs::metadata(&path).unwrap().len();
        // The same file, not another one of its name: overwritten, then cut.
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&vec![0xa5; length as usize], 0).unwrap();
        assert_eq!(runner.whole(&tokens), expected, "{ty}, overwritten");
        file.set_len(0).unwrap();
        assert_eq!(runner.whole(&tokens), expected, "{ty}, cut");
    }
}

#[test]
fn a_file_that_is_cut_or_written_to_while_it_is_loaded_is_an_error() {
    let (_dir, path) = copy_of_tiny_model("Q4_1");
    let file = File::options().write(true).open(&path).unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    for (cut, problem) in [(0, "became shorter"), (length / 2, "became shorter"), (length, "was changed")] {
        let gguf = Gguf::open(&path).unwrap();
        file.set_len(cut).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let error = Model::load(&gguf, Arc::new(Team::new(1))).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
        std::fs::copy(tiny_model("Q4_1"), &path).unwrap();
    }
}

#[test]
fn unknown_architectures() {
    let model = Synthetic { architecture: "foo", ..Synthetic::default() };
    refused(&model, &["architecture 'foo' is not supported; supported: ", "llama, mistral", "qwen2"]);
}

/// Sizes of the model, without its architecture before them.
const SIZES: [&str; 9] = [
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "rope.dimension_count",
];

#[test]
fn geometry_that_makes_no_sense() {
    for key in SIZES {
        refused(&with(key, 0u32), &[&format!("'llama.{key}' is 0"), "expected 1 to"]);
        refused(&with(key, u32::MAX), &[&format!("'llama.{key}' is 4294967295")]);
        refused(&with(key, "many"), &[&format!("'llama.{key}' holds string \"many\"")]);
    }
    refused(&with("attention.head_count", Array::U32(vec![4, 8])), &["holds array of 2 uint32"]);
    refused(
        &with("attention.head_count_kv", 3u32),
        &["'llama.attention.head_count_kv' is 3", "divisor of head_count 4"],
    );
    refused(&with("attention.key_length", 7u32).with("attention.value_length", 7u32), &["key_length' is 7", "even"]);
    refused(&with("attention.value_length", 16u32), &["value_length' is 16", "expected 8"]);
    refused(&with("rope.dimension_count", 10u32), &["dimension_count' is 10", "up to the head size 8"]);
    refused(&with("rope.dimension_count", 5u32), &["dimension_count' is 5", "even"]);
    for eps in [-1.0, 1.0, f32::NAN, f32::INFINITY] {
        refused(&with("attention.layer_norm_rms_epsilon", eps), &["layer_norm_rms_epsilon' is", "from 0 to 1"]);
    }
    for base in [-1.0, 0.5, 1.0, f32::NAN, f32::INFINITY] {
        refused(&with("rope.freq_base", base), &["'llama.rope.freq_base' is"]);
    }
    for scale in [-1.0, f32::NAN, f32::INFINITY] {
        refused(&with("attention.scale", scale), &["'llama.attention.scale' is"]);
    }
}

#[test]
fn keys_of_families_that_make_no_sense() {
    let gemma3 = |value: Value| {
        let model = Synthetic { architecture: "gemma3", ..Synthetic::default() };
        model.with("attention.sliding_window_pattern", value)
    };
    refused(&gemma3(Array::Bool(vec![true; 3]).into()), &["pattern' is an array of 3", "one for each of 2 layers"]);
    refused(&gemma3("often".into()), &["sliding_window_pattern' holds string \"often\""]);
    refused(&gemma3(Array::F32(vec![1.0; 2]).into()), &["sliding_window_pattern' holds array"]);
    let model = Synthetic { architecture: "granite", ..Synthetic::default() };
    refused(&model, &["granite.logit_scale"]);
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        refused(&model.clone().with("logit_scale", scale), &["'granite.logit_scale' is", "a positive number"]);
    }
    let gemma4 = Synthetic { architecture: "gemma4", ..Synthetic::default() };
    refused(&gemma4.clone().with("attention.shared_kv_layers", 2u32), &["shared_kv_layers' is 2", "come before them"]);
    refused(&gemma4.clone().with("attention.key_length_swa", 16u32), &["key_length_swa' is 16", "up to", "8"]);
    refused(&gemma4.with("attention.value_length_swa", 4u32), &["value_length_swa' is 4", "8, as"]);
    let heads = |heads| with("attention.head_count_kv", Array::U32(heads));
    load(&heads(vec![2, 2])).unwrap();
    refused(&heads(vec![2, 1]), &["blk.1.attn_v.weight", "[32, 8]"]);
    refused(&heads(vec![2, 3]), &["head_count_kv' is 3", "divisor of head_count 4"]);
    refused(&heads(vec![2; 3]), &["head_count_kv' is an array of 3", "each of 2 layers"]);
    refused(&heads(vec![0, 0]), &["head_count_kv' is 0"]);
    let norms = Synthetic { architecture: "starcoder2", ..Synthetic::default() };
    refused(&norms, &["starcoder2.attention.layer_norm_epsilon"]);
    refused(&norms.with("attention.layer_norm_epsilon", 2.0f32), &["layer_norm_epsilon' is 2", "from 0 to 1"]);
}

#[test]
fn rope_scaling_that_is_not_supported() {
    refused(
        &with("rope.scaling.type", "dynamic"),
        &["scaling.type' is \"dynamic\"", "none, linear, yarn, longrope or llama3"],
    );
    refused(&with("rope.scaling.factor", -2.0f32), &["'llama.rope.scaling.factor' is -2"]);
    let crossed = with("rope.scaling.type", "llama3").with("rope.scaling.high_freq_factor", 0.5f32);
    refused(&crossed, &["high_freq_factor' is 0.5", "more than low_freq_factor 1"]);
    let short = Synthetic { rope_divisors: Some(vec![1.0; 3]), ..Synthetic::default() };
    refused(&short, &["tensor 'rope_freqs.weight' has shape [3]; expected [4]"]);
    let zero = Synthetic { rope_divisors: Some(vec![1.0, 0.0, 1.0, 1.0]), ..Synthetic::default() };
    refused(&zero, &["'rope_freqs.weight' is 0; expected positive"]);
}

#[test]
fn metadata_that_is_not_needed_refuses_nothing() {
    let plain = describe(&Synthetic::default().gguf()).unwrap();
    for (key, value) in [
        ("rope.scaling.original_context_length", Value::U32(0)),
        ("rope.scaling.original_context_length", "long".into()),
        ("rope.scaling.low_freq_factor", f32::NAN.into()),
        ("rope.scaling.yarn_beta_fast", (-1.0f32).into()),
        ("vocab_size", u64::MAX.into()),
        ("expert_used_count", "none".into()),
        ("tensor_data_layout", Array::Array(vec![Array::Bool(vec![true])]).into()),
    ] {
        let gguf = with(key, value).gguf();
        assert_eq!(describe(&gguf).unwrap(), plain, "{key}");
        Model::load(&gguf, Arc::new(Team::new(1))).unwrap();
    }
    let none = with("rope.scaling.type", "none").with("rope.scaling.factor", f32::NAN).gguf();
    assert_eq!(describe(&none).unwrap(), plain);
    refused(&with("rope.scaling.type", "yarn").with("rope.scaling.original_context_length", 0u32), &["length' is 0"]);
}

#[test]
fn what_the_answers_depend_on_is_an_error_if_it_is_of_another_type() {
    let others = [
        "attention.layer_norm_rms_epsilon",
        "attention.scale",
        "attention.sliding_window",
        "attention.causal",
        "rope.freq_base",
        "rope.scaling.factor",
        "expert_count",
        "logit_scale",
    ];
    for key in SIZES.into_iter().chain(others) {
        for value in [Value::from("many"), Array::Str(vec!["1".to_owned()]).into()] {
            refused(&with(key, value), &[&format!("'llama.{key}'"), "expected"]);
        }
    }
    refused(&with("rope.scaling.type", 1u32), &["'llama.rope.scaling.type'", "expected a string"]);
}

#[test]
fn what_other_architectures_compute() {
    let qwen2 = Synthetic { architecture: "qwen2", ..with("expert_count", 8u32) };
    refused(&qwen2, &["'qwen2.expert_count' is 8; expected 0"]);
    refused(&with("logit_scale", 0.5f32), &["'llama.logit_scale' is 0.5"]);
    // Its tokens see the ones behind them, so it goes on with no text: how it embeds them is not said.
    refused(&with("attention.causal", false), &["'llama.pooling_type' is missing", "--pooling"]);
    load(&with("expert_count", 0u32).with("attention.causal", true)).unwrap();
}

#[test]
fn missing_and_misshapen_tensors() {
    for name in [
        "token_embd.weight",
        "output_norm.weight",
        "blk.0.attn_q.weight",
        "blk.1.ffn_down.weight",
        "blk.1.ffn_norm.weight",
    ] {
        let without: &'static [&'static str] = Box::leak(Box::new([name]));
        refused(
            &Synthetic { without, ..Synthetic::default() },
            &[&format!("tensor '{name}' of shape ["), "is missing"],
        );
    }
    for name in ["token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight", "blk.1.ffn_down.weight"] {
        // Another row length: the number of rows of the embedding table is the vocabulary's own affair.
        let model = Synthetic { tensors: vec![(name, vec![31, 7])], ..Synthetic::default() };
        refused(&model, &[&format!("tensor '{name}'"), "[31, 7]", "expected ["]);
    }
    let qwen2 = Synthetic { architecture: "qwen2", biases: &["attn_q", "attn_k"], ..Synthetic::default() };
    refused(&qwen2, &["tensor 'blk.0.attn_v.bias' of shape [16] is missing"]);
    let one_more_dimension = vec![("blk.0.attn_q.weight", vec![32, 32, 2])];
    refused(&Synthetic { tensors: one_more_dimension, ..Synthetic::default() }, &["[32, 32, 2]; expected [32, 32]"]);
    let trailing_one = vec![("blk.0.attn_q.weight", vec![32, 32, 1])];
    load(&Synthetic { tensors: trailing_one, ..Synthetic::default() }).unwrap();
}

#[test]
fn tensors_that_nothing_would_use() {
    let extra = |name| Synthetic { tensors: vec![(name, vec![32])], ..Synthetic::default() };
    for name in [
        "blk.0.attn_sinks.weight",
        "blk.2.attn_norm.weight",
        "blk.0.attn_norm.bias",
        "output_norm.bias",
        "token_types.weight",
    ] {
        refused(&extra(name), &["architecture 'llama' does not use these tensors", name]);
    }
    refused(&Synthetic { qk_norm: true, ..Synthetic::default() }, &["blk.0.attn_q_norm.weight"]);
    load(&extra("mm.0.weight")).unwrap();
}

/// Of a model without experts and of one with: a router may give numbers that are none.
#[test]
fn damaged_models_are_refused_or_run_but_never_panic() {
    damage(&Synthetic { tied: true, ..Synthetic::default() }.bytes(), 6000);
    damage(&mixture().bytes(), 3000);
}

fn damage(good: &[u8], times: usize) {
    let header = good.len() - Gguf::from_bytes(good.to_vec()).unwrap().tensors().map(TensorInfo::size).sum::<usize>();
    let team = Arc::new(Team::new(1));
    let mut random = Random(1);
    let (mut ran, mut refused) = (0, 0);
    for i in 0..times {
        let mut bytes = good.to_vec();
        // Two in three are in the header; the others make weights huge, infinite or no number.
        let at = random.below(if i % 3 == 0 { good.len() - 4 } else { header });
        match random.below(3) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            _ => bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes()),
        }
        let Ok(gguf) = Gguf::from_bytes(bytes) else { continue };
        let Ok(model) = Model::load(&gguf, Arc::clone(&team)) else {
            refused += 1;
            continue;
        };
        Runner::of(model, 2, KvType::F16).whole(&[1, 2, 3]);
        ran += 1;
    }
    assert!(ran > times / 12 && refused > times / 12, "{ran} ran, {refused} were refused");
}
