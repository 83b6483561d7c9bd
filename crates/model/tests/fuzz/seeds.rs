//! Good models, small enough to be changed thousands of times.

use std::path::Path;

use parkade_kernels::WeightType;
use parkade_model::gguf::write::GgufWriter;
use parkade_model::gguf::{Array, Gguf, Value};

use crate::random::Random;

/// A model file in parts.
#[derive(Clone)]
pub struct Seed {
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<Tensor>,
}

#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub ty: WeightType,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

/// Bytes from which on a tensor, and what comes after it, is left out of the file.
const LARGEST_TENSOR: usize = 1 << 22;
const EMBEDDING: usize = 32;
const HEADS: usize = 2;
const KV_HEADS: usize = 1;
const HEAD_DIM: usize = 16;
const FEED_FORWARD: usize = 32;

impl Seed {
    fn of(gguf: &Gguf) -> Seed {
        let tensor = |info: &parkade_model::gguf::TensorInfo| {
            let mut data = Vec::new();
            gguf.read(info, &mut data).unwrap();
            Tensor { name: info.name.clone(), ty: info.ty, shape: info.shape.clone(), data }
        };
        Seed {
            metadata: gguf.metadata().map(|(key, value)| (key.to_owned(), value.clone())).collect(),
            tensors: gguf.tensors().map(tensor).collect(),
        }
    }

    /// The file; tensors whose shape is no shape are left out.
    pub fn bytes(&self) -> Vec<u8> {
        let mut writer = GgufWriter::new();
        for (key, value) in &self.metadata {
            writer.set(key, value.clone());
        }
        let mut written = Vec::new();
        for tensor in &self.tensors {
            if writer.tensor(&tensor.name, tensor.ty, &tensor.shape).is_ok() {
                written.push(tensor);
            }
        }
        let mut file = Vec::new();
        let mut next = written.iter();
        writer
            .write(&mut file, |planned| {
                let mut data = next.next().unwrap().data.clone();
                if planned.bytes > LARGEST_TENSOR {
                    return Err(std::io::ErrorKind::FileTooLarge.into());
                }
                data.resize(planned.bytes, 0x11);
                Ok(data)
            })
            .unwrap_or(()); // a file that ends early is a case as well
        file
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, value)| value)
    }

    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.metadata.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key.to_owned(), value)),
        }
    }
}

/// How many of [`all`] are small.
pub const SMALL: usize = 6;

const STATES: &[&str] = &["lfm2moe", "mamba2", "falcon-h1", "qwen3next", "qwen35", "rwkv7"];
/// Several streams, layers of several shapes of heads with experts beside a feed-forward, experts in an
/// encoder, a head that ranks, and MXFP4.
const SPECIAL: &[&str] = &["gemma3n", "gemma4-moe", "nomic-bert-moe", "bert-rerank", "gpt-oss"];

/// Small models first, then some of those that the oracle has, some whose layers carry states, and some that are
/// unlike the rest.
pub fn all() -> Vec<Seed> {
    let mut seeds = vec![sentencepiece(), byte_level()];
    seeds.extend(["gemma4", "bert", "t5", "rwkv"].map(of_scheme));
    for ty in ["Q4_K_S", "Q3_K_S", "IQ4_XS", "Q5_1", "BF16"] {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/tiny");
        seeds.push(Seed::of(&Gguf::open(&Path::new(path).join(format!("llama-{ty}.gguf"))).unwrap()));
    }
    for shape in STATES.iter().chain(SPECIAL) {
        let model = parkade_synth::Model::new(&format!("tiny-{shape}"), 1, 1, None).unwrap();
        seeds.push(Seed::of(&Gguf::from_bytes(model.to_bytes().unwrap()).unwrap()));
    }
    seeds
}

/// Llama with a SentencePiece vocabulary, an output matrix of its own, and stretched rotary positions.
fn sentencepiece() -> Seed {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    let mut types = vec![2, 3, 3];
    for byte in 0..=255u8 {
        tokens.push(format!("<0x{byte:02X}>"));
        types.push(6);
    }
    for piece in ["\u{2581}", "a", "b", "ab", "\u{2581}a", "e", "the", "\u{2581}the", "[INST]", "\n\n"] {
        tokens.push(piece.to_owned());
        types.push(if piece.len() > 4 && piece.is_ascii() { 4 } else { 1 });
    }
    let scores = (0..tokens.len()).map(|n| -(n as f32)).collect();
    let mut seed = geometry("llama", tokens.len(), false, &[]);
    seed.set("llama.rope.scaling.type", "yarn");
    seed.set("llama.rope.scaling.factor", 4.0f32);
    seed.set("llama.rope.scaling.original_context_length", 64u32);
    seed.set("tokenizer.ggml.model", "llama");
    seed.set("tokenizer.ggml.tokens", Array::Str(tokens));
    seed.set("tokenizer.ggml.token_type", Array::I32(types));
    seed.set("tokenizer.ggml.scores", Array::F32(scores));
    seed.set("tokenizer.ggml.bos_token_id", 1u32);
    seed.set("tokenizer.ggml.eos_token_id", 2u32);
    seed.set("tokenizer.ggml.unknown_token_id", 0u32);
    seed.set("tokenizer.ggml.add_bos_token", true);
    seed.set(
        "tokenizer.chat_template",
        "{{ bos_token }}{% for m in messages %}[INST] {{ m.content | trim }}{% endfor %}",
    );
    seed
}

/// Qwen 2 with a byte-level vocabulary, biases, and a tied table.
fn byte_level() -> Seed {
    let mut tokens: Vec<String> = (0..=255u8).map(|byte| byte_name(byte).to_string()).collect();
    let mut types = vec![1; 256];
    let merges = ["t h", "th e", "\u{120} the", "a a", "aa aa"];
    tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
    types.extend([1; 5]);
    for special in ["<|im_start|>", "<|im_end|>", "<|endoftext|>"] {
        tokens.push(special.to_owned());
        types.push(3);
    }
    tokens.extend(["<think>", "\n\n\n"].map(str::to_owned));
    types.extend([4; 2]);
    let mut seed = geometry("qwen2", tokens.len(), true, &["attn_q", "attn_k", "attn_v"]);
    seed.set("tokenizer.ggml.model", "gpt2");
    seed.set("tokenizer.ggml.pre", "qwen2");
    seed.set("tokenizer.ggml.tokens", Array::Str(tokens));
    seed.set("tokenizer.ggml.token_type", Array::I32(types));
    seed.set("tokenizer.ggml.merges", Array::Str(merges.map(str::to_owned).to_vec()));
    seed.set("tokenizer.ggml.eos_token_id", 262u32);
    seed.set("tokenizer.ggml.bos_token_id", 263u32);
    seed.set(
        "tokenizer.chat_template",
        "{%- for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}\
         {% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}",
    );
    seed
}

/// Llama with a vocabulary of another scheme; a few texts serve all of them.
fn of_scheme(model: &str) -> Seed {
    let texts = [
        "<unk>",
        "<s>",
        "</s>",
        "[CLS]",
        "[SEP]",
        "\u{2581}",
        "\u{2581}the",
        "\u{2581}a",
        "a",
        "b",
        "e",
        "the",
        "##s",
        "\\n",
        "\\xe2\\x96",
        "日",
        "t",
        "h",
        "th",
        "\u{2581}t",
        "\n\n",
        "<0x0A>",
    ];
    let types = texts.iter().map(|text| match *text {
        "<unk>" => 2,
        "<0x0A>" => 6,
        text if text.starts_with(['<', '[']) => 3,
        _ => 1,
    });
    let mut seed = geometry("llama", texts.len(), true, &[]);
    seed.set("tokenizer.ggml.token_type", Array::I32(types.collect()));
    seed.set("tokenizer.ggml.tokens", Array::Str(texts.map(str::to_owned).to_vec()));
    seed.set("tokenizer.ggml.model", model);
    seed.set("tokenizer.ggml.scores", Array::F32((0..texts.len()).map(|n| -(n as f32)).collect()));
    let merges = ["t h", "th e", "\u{2581} t", "\u{2581} a"];
    seed.set("tokenizer.ggml.merges", Array::Str(merges.map(str::to_owned).to_vec()));
    for (key, id) in [("unknown", 0), ("bos", 1), ("eos", 2), ("cls", 3), ("seperator", 4)] {
        seed.set(&format!("tokenizer.ggml.{key}_token_id"), id);
    }
    seed.set("tokenizer.ggml.add_sep_token", true);
    seed.set("tokenizer.ggml.remove_extra_whitespaces", true);
    seed.set("tokenizer.ggml.precompiled_charsmap", Array::U8(character_map()));
    seed
}

/// A double array in which `A` becomes `a`, as SentencePiece's character maps are.
fn character_map() -> Vec<u8> {
    let mut units = vec![0u32; 384];
    units[0] = 256 << 10;
    units[256 ^ 65] = 1 << 10 | 1 << 8 | 65;
    units[256 ^ 64] = 1 << 31;
    let mut map = (units.len() as u32 * 4).to_le_bytes().to_vec();
    map.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    map.extend(b"a\0");
    map
}

/// GPT-2's name of a byte.
fn byte_name(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(byte) {
        return byte.into();
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(0x100 + before).unwrap()
}

fn geometry(architecture: &str, vocab: usize, tied: bool, biases: &[&str]) -> Seed {
    let mut seed = Seed { metadata: Vec::new(), tensors: Vec::new() };
    seed.set("general.architecture", architecture);
    seed.set("general.name", "Seed");
    seed.set("general.tags", Array::Str(vec!["small".to_owned(), "good".to_owned()]));
    for (key, value) in [
        ("block_count", 1),
        ("context_length", 256),
        ("embedding_length", EMBEDDING),
        ("feed_forward_length", FEED_FORWARD),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
        ("attention.key_length", HEAD_DIM),
        ("rope.dimension_count", HEAD_DIM),
    ] {
        seed.set(&format!("{architecture}.{key}"), value as u32);
    }
    seed.set(&format!("{architecture}.attention.layer_norm_rms_epsilon"), 1e-5f32);
    let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    let mut shapes = vec![
        ("token_embd.weight".to_owned(), vec![EMBEDDING, vocab]),
        ("output_norm.weight".to_owned(), vec![EMBEDDING]),
        ("blk.0.attn_norm.weight".to_owned(), vec![EMBEDDING]),
        ("blk.0.ffn_norm.weight".to_owned(), vec![EMBEDDING]),
    ];
    if !tied {
        shapes.push(("output.weight".to_owned(), vec![EMBEDDING, vocab]));
    }
    for (name, inputs, outputs) in [
        ("attn_q", EMBEDDING, q),
        ("attn_k", EMBEDDING, kv),
        ("attn_v", EMBEDDING, kv),
        ("attn_output", q, EMBEDDING),
        ("ffn_gate", EMBEDDING, FEED_FORWARD),
        ("ffn_up", EMBEDDING, FEED_FORWARD),
        ("ffn_down", FEED_FORWARD, EMBEDDING),
    ] {
        shapes.push((format!("blk.0.{name}.weight"), vec![inputs, outputs]));
        if biases.contains(&name) {
            shapes.push((format!("blk.0.{name}.bias"), vec![outputs]));
        }
    }
    let mut random = Random::new(u64::MAX);
    for (name, shape) in shapes {
        let ty = if shape.len() == 1 { WeightType::F32 } else { WeightType::Q8_0 };
        let values: usize = shape.iter().product();
        let data = match ty {
            WeightType::F32 => {
                (0..values).flat_map(|_| (1.0 + random.below(100) as f32 * 1e-3).to_le_bytes()).collect()
            }
            _ => (0..values / 32).flat_map(|_| block(&mut random)).collect(),
        };
        seed.tensors.push(Tensor { name, ty, shape, data });
    }
    seed
}

/// A block of Q8_0: a scale of 1/256 as F16, and 32 small codes.
fn block(random: &mut Random) -> Vec<u8> {
    let mut block = vec![0x00, 0x1c];
    block.extend((0..32).map(|_| random.below(256) as u8));
    block
}
