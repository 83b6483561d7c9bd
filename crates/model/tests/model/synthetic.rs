//! Small random models with the features that the tiny models of the oracle lack.

use parkade_kernels::WeightType;
use parkade_model::gguf::write::GgufWriter;
use parkade_model::gguf::{Gguf, Value};

use crate::random::Random;

/// What a synthetic model is like. All weights are F32.
#[derive(Clone)]
pub struct Synthetic {
    pub architecture: &'static str,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub embedding: usize,
    pub tied: bool,
    /// Which linear layers have a bias.
    pub biases: &'static [&'static str],
    pub qk_norm: bool,
    /// `rope_freqs.weight`, if there is one.
    pub rope_divisors: Option<Vec<f32>>,
    /// Metadata besides the geometry, without the architecture's name.
    pub metadata: Vec<(&'static str, Value)>,
    /// Tensors to leave out.
    pub without: &'static [&'static str],
    /// Further tensors, or other shapes of those that there are.
    pub tensors: Vec<(&'static str, Vec<usize>)>,
}

pub const LAYERS: usize = 2;
pub const VOCAB: usize = 40;
pub const FEED_FORWARD: usize = 48;
pub const CONTEXT: usize = 128;

impl Default for Synthetic {
    fn default() -> Self {
        Synthetic {
            architecture: "llama",
            heads: 4,
            kv_heads: 2,
            head_dim: 8,
            embedding: 32,
            tied: false,
            biases: &[],
            qk_norm: false,
            rope_divisors: None,
            metadata: Vec::new(),
            without: &[],
            tensors: Vec::new(),
        }
    }
}

impl Synthetic {
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.metadata.push((key, value.into()));
        self
    }

    pub fn gguf(&self) -> Gguf {
        Gguf::from_bytes(self.bytes()).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut writer = GgufWriter::new();
        writer.set("general.architecture", self.architecture);
        let mut set = |key: &str, value: Value| {
            writer.set(&format!("{}.{key}", self.architecture), value);
        };
        set("block_count", (LAYERS as u32).into());
        set("context_length", (CONTEXT as u32).into());
        set("embedding_length", (self.embedding as u32).into());
        set("feed_forward_length", (FEED_FORWARD as u32).into());
        set("attention.head_count", (self.heads as u32).into());
        set("attention.head_count_kv", (self.kv_heads as u32).into());
        set("attention.key_length", (self.head_dim as u32).into());
        set("attention.value_length", (self.head_dim as u32).into());
        set("attention.layer_norm_rms_epsilon", 1e-5f32.into());
        for (key, value) in &self.metadata {
            set(key, value.clone());
        }
        for (name, shape) in self.shapes() {
            writer.tensor(&name, WeightType::F32, &shape).unwrap();
        }
        let mut random = Random(7);
        let mut file = Vec::new();
        writer
            .write(&mut file, |tensor| {
                let values: Vec<f32> = match &self.rope_divisors {
                    Some(divisors) if tensor.name == "rope_freqs.weight" => divisors.clone(),
                    _ => (0..tensor.bytes / 4).map(|_| value(&tensor.name, tensor.shape[0], &mut random)).collect(),
                };
                Ok(values.iter().flat_map(|x| x.to_le_bytes()).collect())
            })
            .unwrap();
        file
    }

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let mut shapes = vec![
            ("token_embd.weight".to_owned(), vec![self.embedding, VOCAB]),
            ("output_norm.weight".to_owned(), vec![self.embedding]),
        ];
        if !self.tied {
            shapes.push(("output.weight".to_owned(), vec![self.embedding, VOCAB]));
        }
        if let Some(divisors) = &self.rope_divisors {
            shapes.push(("rope_freqs.weight".to_owned(), vec![divisors.len()]));
        }
        for layer in 0..LAYERS {
            for norm in ["attn_norm", "ffn_norm"] {
                shapes.push((format!("blk.{layer}.{norm}.weight"), vec![self.embedding]));
            }
            if self.qk_norm {
                for norm in ["attn_q_norm", "attn_k_norm"] {
                    shapes.push((format!("blk.{layer}.{norm}.weight"), vec![self.head_dim]));
                }
            }
            for (name, inputs, outputs) in [
                ("attn_q", self.embedding, q),
                ("attn_k", self.embedding, kv),
                ("attn_v", self.embedding, kv),
                ("attn_output", q, self.embedding),
                ("ffn_gate", self.embedding, FEED_FORWARD),
                ("ffn_up", self.embedding, FEED_FORWARD),
                ("ffn_down", FEED_FORWARD, self.embedding),
            ] {
                shapes.push((format!("blk.{layer}.{name}.weight"), vec![inputs, outputs]));
                if self.biases.contains(&name) {
                    shapes.push((format!("blk.{layer}.{name}.bias"), vec![outputs]));
                }
            }
        }
        for (name, shape) in &self.tensors {
            match shapes.iter_mut().find(|(n, _)| n == name) {
                Some((_, old)) => old.clone_from(shape),
                None => shapes.push(((*name).to_owned(), shape.clone())),
            }
        }
        shapes.retain(|(name, _)| !self.without.contains(&name.as_str()));
        shapes
    }
}

/// Norms near 1, matrices that keep the size of what passes through them.
fn value(name: &str, inputs: usize, random: &mut Random) -> f32 {
    let noise = random.signed();
    match name {
        _ if name.contains("norm") => 1.0 + 0.3 * noise,
        _ if name.ends_with(".bias") => 0.5 * noise,
        "token_embd.weight" => noise,
        _ => noise * (6.0 / inputs as f32).sqrt(),
    }
}
