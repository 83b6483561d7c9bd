//! A forward pass that is as plain as can be: dequantised weights, f64, one position after the other, nothing shared with the real one but
//! the reading of the metadata.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use parkade_kernels::{KvType, RopeLayout, WeightType, dequantize};
use parkade_model::gguf::{Gguf, TensorInfo};
use parkade_model::plan::{AttentionPlan, NormKind, Plan};
use parkade_model::{ModelConfig, describe};

use crate::ggml;
use crate::random::Random;
use crate::support::{Runner, log_softmax, tiny_models};
use crate::synthetic::{Synthetic, VOCAB};

/// How exact a pass is.
#[derive(Clone, Copy, PartialEq)]
pub enum Rounding {
    /// As exact as f64 is.
    None,
    /// Activations are rounded before each product as llama.cpp does it.
    Ggml,
}

struct Naive<'a> {
    gguf: &'a Gguf,
    config: ModelConfig,
    plan: Plan,
    /// Of each table of rotations.
    frequencies: Vec<Vec<f32>>,
    rounding: Rounding,
    tensors: RefCell<HashMap<String, Rc<Values>>>,
}

/// A tensor's values, and its blocks' minimums where its type has them.
struct Values {
    ty: WeightType,
    values: Vec<f32>,
    minimums: Vec<f32>,
}

fn data(gguf: &Gguf, tensor: &TensorInfo) -> Vec<u8> {
    let mut data = Vec::new();
    gguf.read(tensor, &mut data).unwrap();
    data
}

/// The logits after each token.
pub fn naive_logits(gguf: &Gguf, tokens: &[u32], rounding: Rounding) -> Vec<Vec<f32>> {
    let (config, plan) = describe(gguf).unwrap();
    let divisors = gguf.tensor("rope_freqs.weight").map(|t| values(t.ty, &data(gguf, t), t.rows() * t.cols()));
    let frequencies = plan.ropes.iter().map(|rope| rope.inverse_frequencies(divisors.as_deref())).collect();
    Naive { gguf, config, plan, frequencies, rounding, tensors: RefCell::default() }.run(tokens)
}

fn values(ty: WeightType, bytes: &[u8], n: usize) -> Vec<f32> {
    let mut out = vec![0.0; n];
    dequantize(ty, bytes, &mut out).unwrap();
    out
}

impl Naive<'_> {
    fn tensor(&self, name: &str) -> Option<Rc<Values>> {
        if let Some(known) = self.tensors.borrow().get(name) {
            return Some(Rc::clone(known));
        }
        let t = self.gguf.tensor(name)?;
        let data = data(self.gguf, t);
        let values = values(t.ty, &data, t.rows() * t.cols());
        let tensor = Rc::new(Values { ty: t.ty, values, minimums: ggml::minimums(t.ty, &data) });
        self.tensors.borrow_mut().insert(name.to_owned(), Rc::clone(&tensor));
        Some(tensor)
    }

    fn linear(&self, x: &[f64], name: &str) -> Vec<f64> {
        let weight = self.tensor(&format!("{name}.weight")).unwrap();
        let bias = self.tensor(&format!("{name}.bias"));
        let rounded = match self.rounding {
            Rounding::None => None,
            Rounding::Ggml => Some(ggml::round(x, weight.ty)),
        };
        let dot = |(i, row): (usize, &[f32])| -> f64 {
            let product = |x: &[f64]| row.iter().zip(x).map(|(&w, &x)| f64::from(w) * x).sum::<f64>();
            let bias = bias.as_ref().map_or(0.0, |b| f64::from(b.values[i]));
            let Some(rounded) = &rounded else { return product(x) + bias };
            // A block's minimum is part of its dequantised values; llama.cpp multiplies it with the rounded sum instead.
            let blocks = x.len() / 32;
            let minimums = weight.minimums.chunks_exact(blocks).nth(i).unwrap_or(&[]);
            let correction = minimums.iter().enumerate().map(|(b, &minimum)| {
                let sum: f64 = rounded.values[b * 32..][..32].iter().sum();
                f64::from(minimum) * (rounded.block_sums[b] - sum)
            });
            product(&rounded.values) + correction.sum::<f64>() + bias
        };
        weight.values.chunks_exact(x.len()).enumerate().map(dot).collect()
    }

    fn norm(&self, x: &[f64], name: &str) -> Vec<f64> {
        let weight = self.tensor(name).unwrap();
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let NormKind::Rms { eps } = self.plan.norm else { panic!("only RMS norms") };
        let scale = 1.0 / (mean + f64::from(eps)).sqrt();
        x.iter().zip(&weight.values).map(|(x, &w)| x * scale * f64::from(w)).collect()
    }

    /// Splits into heads, norms each if the layer has such a norm, and rotates.
    fn heads(&self, x: &[f64], norm: &str, position: usize, rope: usize) -> Vec<Vec<f64>> {
        let (rope, frequencies) = (&self.plan.ropes[rope], &self.frequencies[rope]);
        let turn = |head: &[f64]| {
            let mut head = match self.gguf.tensor(norm) {
                Some(_) => self.norm(head, norm),
                None => head.to_vec(),
            };
            let pairs = rope.dimensions / 2;
            let factor = f64::from(rope.attn_factor());
            for (pair, &frequency) in frequencies.iter().enumerate() {
                let (a, b) = match rope.layout {
                    RopeLayout::Interleaved => (2 * pair, 2 * pair + 1),
                    RopeLayout::Halves => (pair, pair + pairs),
                };
                let (sin, cos) = (f64::from(frequency) * position as f64).sin_cos();
                let (x, y) = (head[a], head[b]);
                head[a] = (x * cos - y * sin) * factor;
                head[b] = (x * sin + y * cos) * factor;
            }
            head
        };
        x.chunks_exact(self.config.head_dim).map(turn).collect()
    }

    fn run(&self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let config = &self.config;
        let table = self.tensor("token_embd.weight").unwrap();
        let mut hidden: Vec<Vec<f64>> = tokens
            .iter()
            .map(|&t| {
                table.values[t as usize * config.embedding..][..config.embedding].iter().map(|&x| x.into()).collect()
            })
            .collect();
        for layer in 0..config.layers {
            let attention = &self.plan.layers[layer].attention;
            let name = |what: &str| format!("blk.{layer}.{what}");
            let normed: Vec<_> = hidden.iter().map(|x| self.norm(x, &name("attn_norm.weight"))).collect();
            let heads = |what: &str, norm: &str| -> Vec<Vec<Vec<f64>>> {
                let project = |(i, x): (usize, &Vec<f64>)| {
                    self.heads(&self.linear(x, &name(what)), &name(norm), i, attention.rope.unwrap())
                };
                normed.iter().enumerate().map(project).collect()
            };
            let q = heads("attn_q", "attn_q_norm.weight");
            let k = heads("attn_k", "attn_k_norm.weight");
            let v: Vec<Vec<f64>> = normed.iter().map(|x| self.linear(x, &name("attn_v"))).collect();
            for i in 0..tokens.len() {
                let attended = self.attend(attention, &q[i], &k[..=i], &v[..=i]);
                add(&mut hidden[i], &self.linear(&attended, &name("attn_output")));
                let x = self.norm(&hidden[i], &name("ffn_norm.weight"));
                let (gate, up) = (self.linear(&x, &name("ffn_gate")), self.linear(&x, &name("ffn_up")));
                let middle: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                add(&mut hidden[i], &self.linear(&middle, &name("ffn_down")));
            }
        }
        let output = if self.gguf.tensor("output.weight").is_some() { "output" } else { "token_embd" };
        let last = |x: &Vec<f64>| self.linear(&self.norm(x, "output_norm.weight"), output);
        hidden.iter().map(|x| last(x).iter().map(|&x| x as f32).collect()).collect()
    }

    /// The last position's queries over all keys that they may see.
    fn attend(&self, plan: &AttentionPlan, q: &[Vec<f64>], k: &[Vec<Vec<f64>>], v: &[Vec<f64>]) -> Vec<f64> {
        let ModelConfig { heads, kv_heads, head_dim, .. } = self.config;
        let first = k.len().saturating_sub(plan.window.unwrap_or(k.len()));
        let mut out = Vec::new();
        for (head, q) in q.iter().enumerate() {
            let kv = head / (heads / kv_heads);
            let score = |k: &Vec<Vec<f64>>| {
                let dot: f64 = q.iter().zip(&k[kv]).map(|(a, b)| a * b).sum();
                (dot * f64::from(plan.scale)).exp()
            };
            let weights: Vec<f64> = k[first..].iter().map(score).collect();
            let sum: f64 = weights.iter().sum();
            for d in 0..head_dim {
                let value = |(w, v): (&f64, &Vec<f64>)| w / sum * v[kv * head_dim + d];
                out.push(weights.iter().zip(&v[first..]).map(value).sum());
            }
        }
        out
    }
}

fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Mean KL divergence of `ours` from `theirs` over whole distributions.
fn divergence(theirs: &[Vec<f32>], ours: &[Vec<f32>]) -> f64 {
    assert_eq!(theirs.len(), ours.len());
    let row = |(p, q): (&Vec<f32>, &Vec<f32>)| -> f64 {
        log_softmax(p).iter().zip(log_softmax(q)).map(|(p, q)| p.exp() * (p - q)).sum()
    };
    theirs.iter().zip(ours).map(row).sum::<f64>() / ours.len() as f64
}

fn agree(what: &str, model: &Synthetic) {
    let gguf = model.gguf();
    let tokens = Random(3).tokens(40, VOCAB);
    let theirs = naive_logits(&gguf, &tokens, Rounding::None);
    let ours = Runner::new(&gguf, 2, 8, KvType::F32).whole(&tokens);
    let furthest = theirs.iter().flatten().zip(ours.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-3, "{what}: logits differ by {furthest}");
    // The comparison must be able to fail: the features must make a difference.
    if what != "plain" {
        let plain = naive_logits(&Synthetic::default().gguf(), &tokens, Rounding::None);
        assert!(divergence(&plain, &ours) > 1e-4, "{what} makes no difference");
    }
}

#[test]
fn each_feature_of_an_architecture_agrees_with_the_naive_pass() {
    let base = Synthetic::default;
    let qkv = &["attn_q", "attn_k", "attn_v"];
    let all = &["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    let yarn = || {
        base()
            .with("rope.scaling.type", "yarn")
            .with("rope.scaling.factor", 4.0f32)
            .with("rope.scaling.original_context_length", 32u32)
    };
    agree("plain", &base());
    agree("mistral", &Synthetic { architecture: "mistral", ..base().with("attention.sliding_window", 7u32) });
    agree("biases", &Synthetic { biases: all, ..base() });
    agree("tied", &Synthetic { tied: true, ..base() });
    agree("qwen2", &Synthetic { architecture: "qwen2", biases: qkv, ..base() });
    agree("qwen3", &Synthetic { architecture: "qwen3", qk_norm: true, ..base() });
    agree("wide heads", &Synthetic { head_dim: 16, ..base() });
    agree("every head its own keys", &Synthetic { kv_heads: 4, ..base() });
    agree("one key head", &Synthetic { kv_heads: 1, ..base() });
    agree("part of a head rotates", &base().with("rope.dimension_count", 4u32));
    agree("divisors", &Synthetic { rope_divisors: Some(vec![1.0, 2.0, 4.0, 8.0]), ..base() });
    agree("linear", &base().with("rope.scaling.type", "linear").with("rope.scaling.factor", 4.0f32));
    agree("yarn", &yarn());
    agree("yarn with a factor", &yarn().with("rope.scaling.yarn_attn_factor", 1.5f32));
    agree("attention scale", &base().with("attention.scale", 0.2f32));
    agree("odd widths", &Synthetic { embedding: 36, ..base() });
}

#[test]
fn every_weight_type_agrees_with_the_naive_pass() {
    let tokens = Random(11).tokens(24, 512);
    println!("{:<16} {:>12} {:>20}", "file", "KL to exact", "KL to ggml's rounding");
    for path in tiny_models() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let gguf = Gguf::open(&path).unwrap();
        let ours = Runner::new(&gguf, 2, 8, KvType::F32).whole(&tokens);
        let exact = divergence(&naive_logits(&gguf, &tokens, Rounding::None), &ours);
        let rounded = divergence(&naive_logits(&gguf, &tokens, Rounding::Ggml), &ours);
        println!("{name:<16} {exact:>12.2e} {rounded:>20.2e}");
        assert!(exact < 1e-2 && rounded < 1e-3, "{name}: {exact}, {rounded}");
    }
}
