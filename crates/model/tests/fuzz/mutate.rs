//! From a good model to a bad one.

use parkade_kernels::WeightType;
use parkade_model::gguf::{Array, Value};

use crate::random::Random;
use crate::seeds::{SMALL, Seed};

/// The file of a case: a seed with changes to its parts, to its bytes, or to both.
pub fn case(seeds: &[Seed], random: &mut Random) -> Vec<u8> {
    let seed = if random.once_in(20) { random.of(seeds) } else { random.of(&seeds[..SMALL]) };
    if random.once_in(3) {
        let mut file = seed.bytes();
        bytes(&mut file, data_bytes(seed), random);
        return file;
    }
    let mut seed = seed.clone();
    for _ in 0..=random.below(3) {
        part(&mut seed, random);
    }
    let mut file = seed.bytes();
    if random.once_in(4) {
        bytes(&mut file, data_bytes(&seed), random);
    }
    file
}

fn data_bytes(seed: &Seed) -> usize {
    seed.tensors.iter().map(|tensor| tensor.data.len()).sum()
}

fn part(seed: &mut Seed, random: &mut Random) {
    match random.below(8) {
        0 | 1 => {
            let at = random.below(seed.metadata.len());
            seed.metadata[at].1 = value(random);
        }
        2 | 3 => {
            let key = key(seed, random);
            let value = value(random);
            seed.set(&key, value);
        }
        4 => {
            let at = random.below(seed.metadata.len());
            seed.metadata.remove(at);
        }
        5 => vocabulary(seed, random),
        6 => tensor(seed, random),
        _ => template(seed, random),
    }
    if seed.metadata.is_empty() {
        seed.set("general.name", "empty");
    }
}

/// A key that somebody reads.
fn key(seed: &Seed, random: &mut Random) -> String {
    let architecture = match seed.get("general.architecture") {
        Some(Value::Str(name)) => name.clone(),
        _ => "llama".to_owned(),
    };
    let own = [
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.value_length",
        "attention.layer_norm_rms_epsilon",
        "attention.scale",
        "attention.sliding_window",
        "attention.causal",
        "rope.dimension_count",
        "rope.freq_base",
        "rope.scale_linear",
        "rope.scaling.type",
        "rope.scaling.factor",
        "rope.scaling.original_context_length",
        "rope.scaling.yarn_ext_factor",
        "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_beta_slow",
        "rope.scaling.low_freq_factor",
        "rope.scaling.high_freq_factor",
        "rope.scaling.attn_factor",
        "expert_count",
        "logit_scale",
        "vocab_size",
    ];
    let shared = [
        "general.architecture",
        "general.alignment",
        "general.name",
        "general.description",
        "split.count",
        "split.no",
        "tokenizer.ggml.model",
        "tokenizer.ggml.pre",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.scores",
        "tokenizer.ggml.merges",
        "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.unknown_token_id",
        "tokenizer.ggml.padding_token_id",
        "tokenizer.ggml.fim_pad_token_id",
        "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.add_eos_token",
        "tokenizer.ggml.add_sep_token",
        "tokenizer.ggml.add_space_prefix",
        "tokenizer.ggml.cls_token_id",
        "tokenizer.ggml.normalizer.lowercase",
        "tokenizer.ggml.precompiled_charsmap",
        "tokenizer.ggml.remove_extra_whitespaces",
        "tokenizer.ggml.seperator_token_id",
        "tokenizer.chat_template",
        "tokenizer.chat_template.tool_use",
    ];
    if random.once_in(2) { format!("{architecture}.{}", random.of(&own)) } else { (*random.of(&shared)).to_owned() }
}

/// Any value, mostly at the edges of something.
fn value(random: &mut Random) -> Value {
    const NUMBERS: [u64; 20] = [
        0,
        1,
        2,
        3,
        7,
        8,
        16,
        31,
        32,
        33,
        64,
        1024,
        65_536,
        1 << 20,
        1 << 26,
        1 << 31,
        u32::MAX as u64,
        1 << 60,
        i64::MAX as u64,
        u64::MAX,
    ];
    const FLOATS: [f64; 12] =
        [0.0, -0.0, 1.0, -1.0, 0.5, 1e-38, 1e-45, 1e38, f64::MAX, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    const WORDS: [&str; 17] = [
        "",
        "llama",
        "qwen2",
        "qwen3",
        "gpt2",
        "none",
        "yarn",
        "llama3",
        "linear",
        "llama-bpe",
        "default",
        "gemma4",
        "bert",
        "t5",
        "rwkv",
        "deepseek-llm",
        "\u{0}\u{feff}é",
    ];
    let number = *random.of(&NUMBERS);
    match random.below(14) {
        0..=3 => (number as u32).into(),
        4 => number.into(),
        5 => (number as i32).into(),
        6 => (number as i64).wrapping_neg().into(),
        7 => (*random.of(&FLOATS) as f32).into(),
        8 => (*random.of(&FLOATS)).into(),
        9 => (number as u8).into(),
        10 => random.once_in(2).into(),
        11 => (*random.of(&WORDS)).into(),
        12 => "x".repeat(random.below(100_000)).into(),
        _ => array(random).into(),
    }
}

fn array(random: &mut Random) -> Array {
    let length = *random.of(&[0, 1, 2, 300, 10_000]);
    match random.below(6) {
        0 => Array::U8(vec![7; length]),
        1 => Array::I64((0..length).map(|_| random.next() as i64).collect()),
        2 => Array::F32((0..length).map(|_| f32::from_bits(random.next() as u32)).collect()),
        3 => Array::Str((0..length).map(|n| n.to_string()).collect()),
        4 => Array::Array(vec![Array::Array(vec![Array::Str(Vec::new()); 3]); length.min(1000)]),
        _ => Array::Bool(vec![true; length]),
    }
}

/// Changes one entry of a list of the vocabulary, or its length.
fn vocabulary(seed: &mut Seed, random: &mut Random) {
    let keys: Vec<usize> = seed
        .metadata
        .iter()
        .enumerate()
        .filter(|(_, (key, value))| {
            key.starts_with("tokenizer.ggml.") && matches!(value, Value::Array(a) if !a.is_empty())
        })
        .map(|(index, _)| index)
        .collect();
    if keys.is_empty() {
        return;
    }
    let Value::Array(array) = &mut seed.metadata[*random.of(&keys)].1 else { return };
    let at = random.below(array.len());
    match array {
        Array::Str(list) => match random.below(6) {
            0 => list.truncate(at),
            1 => list.extend((0..20_000).map(|n| format!("more {n}"))),
            2 => list[at] = list[random.below(list.len())].clone(),
            3 => list[at] = random.of(&["a", "ab", " "]).repeat(random.below(200_000)),
            _ => {
                let words = [
                    "",
                    " ",
                    "a",
                    "a b",
                    "<|im_end|>",
                    "</s>",
                    "<0x41>",
                    "<0xZZ>",
                    "\u{0}",
                    "\u{2581}",
                    "é é",
                    "\u{10ffff}",
                ];
                list[at] = (*random.of(&words)).to_owned();
            }
        },
        Array::U8(list) => match random.below(3) {
            0 => list.truncate(at),
            // At the head is the size of the map's array.
            1 => list[random.below(4).min(at)] = random.below(256) as u8,
            _ => list[at] = random.below(256) as u8,
        },
        Array::I32(list) => match random.below(3) {
            0 => list.truncate(at),
            1 => list[at] = *random.of(&[-1, 0, 1, 2, 3, 4, 5, 6, 7, i32::MAX, i32::MIN]),
            _ => list.iter_mut().for_each(|kind| *kind = random.below(7) as i32),
        },
        Array::F32(list) => match random.below(3) {
            0 => list.truncate(at),
            1 => list[at] = *random.of(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0]),
            _ => list.iter_mut().for_each(|score| *score = f32::from_bits(random.next() as u32)),
        },
        _ => {}
    }
}

/// Changes a tensor: its name, type, shape or values, or whether there is one.
fn tensor(seed: &mut Seed, random: &mut Random) {
    if seed.tensors.is_empty() {
        return;
    }
    let at = random.below(seed.tensors.len());
    let other = random.below(seed.tensors.len());
    match random.below(7) {
        0 => drop(seed.tensors.remove(at)),
        1 => {
            let copy = seed.tensors[at].clone();
            seed.tensors.push(copy);
        }
        2 => seed.tensors[at].name = seed.tensors[other].name.clone() + *random.of(&["", ".bias", "x", "\u{0}"]),
        3 => seed.tensors[at].ty = *random.of(WeightType::ALL),
        4 => seed.tensors[at].shape.push(*random.of(&[1, 2, 3])),
        5 => {
            let shape = &mut seed.tensors[at].shape;
            let dimension = random.below(shape.len());
            shape[dimension] = *random.of(&[1, 2, 16, 31, 32, 64, 256, 512, 4096]);
        }
        _ => {
            let pattern = *random.of(&[[0x00, 0x7c], [0x00, 0xfc], [0xff, 0x7f], [0xff, 0xff], [0x80, 0x7f], [0, 0]]);
            let data = &mut seed.tensors[at].data;
            data.chunks_exact_mut(2).for_each(|pair| pair.copy_from_slice(&pattern));
        }
    }
}

/// Changes a character of the template, or takes another one.
fn template(seed: &mut Seed, random: &mut Random) {
    const KEY: &str = "tokenizer.chat_template";
    const OTHERS: [&str; 8] = [
        "",
        "{{",
        "{% for",
        "{{ messages }}",
        "{{ raise_exception('no') }}",
        "{% for i in range(100000000) %}{{ i }}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 1000000000 }}",
    ];
    let mut source: Vec<char> = match seed.get(KEY) {
        Some(Value::Str(source)) if !random.once_in(4) => source.chars().collect(),
        _ => random.of(&OTHERS).chars().collect(),
    };
    for _ in 0..random.below(4) {
        let at = random.below(source.len() + 1);
        match random.below(3) {
            0 if at < source.len() => drop(source.remove(at)),
            _ => source.insert(
                at,
                *random.of(&['{', '}', '%', '\'', '[', ']', '(', ')', '.', '-', '|', '~', '0', 'a', '\u{0}']),
            ),
        }
    }
    seed.set(KEY, source.into_iter().collect::<String>());
}

/// Changes the file where it lies; mostly in the header, which is what is not tensor data.
fn bytes(file: &mut Vec<u8>, data: usize, random: &mut Random) {
    const NUMBERS: [u64; 14] =
        [0, 1, 2, 4, 9, 13, 255, 65_536, 1 << 24, 1 << 31, u32::MAX as u64, 1 << 60, i64::MAX as u64, u64::MAX];
    for _ in 0..=random.below(6) {
        if file.len() < 32 {
            return;
        }
        let header = file.len().saturating_sub(data).clamp(25, file.len());
        let end = if random.once_in(5) { file.len() } else { header };
        let at = random.below(end - 8);
        match random.below(8) {
            0 => file[at] ^= 1 << random.below(8),
            1 => file[at] = random.next() as u8,
            2 | 3 => file[at..at + 8].copy_from_slice(&random.of(&NUMBERS).to_le_bytes()),
            4 => file[at..at + 4].copy_from_slice(&(*random.of(&NUMBERS) as u32).to_le_bytes()),
            5 => {
                let length = random.below(64).min(file.len() - at);
                let from = random.below(file.len() - length + 1);
                file.copy_within(from..from + length, at);
            }
            6 => {
                let length = random.below(16);
                file.splice(at..at, std::iter::repeat_n(random.next() as u8, length));
            }
            _ if random.once_in(4) => file.truncate(at),
            _ => drop(file.drain(at..at + random.below(8))),
        }
    }
}
