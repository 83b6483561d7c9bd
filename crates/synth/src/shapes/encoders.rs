//! Models that turn texts into vectors or scores.

use parkade_model::gguf::{Array, Value};

use super::dense::qwen3;
use crate::dims::Dims;
use crate::draft::Draft;

/// How the states of all tokens become one: `pooling_type`.
const MEAN: u32 = 1;
const FIRST: u32 = 2;
const LAST: u32 = 3;
const RANK: u32 = 4;

/// An encoder up to its layers: both ways, norms with bias behind the embeddings.
fn encoder(architecture: &'static str, d: Dims, epsilon: f32, types: usize) -> Draft {
    let mut m = Draft::new(architecture, d);
    m.set("attention.layer_norm_epsilon", epsilon);
    m.head_counts();
    m.set("attention.causal", false);
    m.set("pooling_type", MEAN);
    m.spread("token_embd", &[d.width, d.vocab], 0.9);
    let shape = [d.width, types];
    m.floats("token_types.weight", if types == 1 { &shape[..1] } else { &shape }, 0.0, 0.3);
    m.biased_norms(&["token_embd_norm"]);
    m
}

/// A BERT with so many types of tokens.
fn bert_of(d: Dims, types: usize) -> Draft {
    let mut m = encoder("bert", d, 1e-12, types);
    m.floats("position_embd.weight", &[d.width, d.context], 0.0, 0.3);
    m.layers(|m, _| {
        separate_attention(m);
        m.plain();
        m.plain_biases();
        m.biased_norms(&["layer_output_norm"]);
    });
    m
}

/// Attention of BERT, whose queries and keys are large.
fn separate_attention(m: &mut Draft) {
    let d = m.dims;
    m.matrix("attn_q", &[d.width, d.width], 2.0);
    m.matrix("attn_k", &[d.width, d.width], 2.0);
    m.matrix("attn_v", &[d.width, d.width], 1.0);
    m.qkv_biases();
    m.attention_output();
    m.bias("attn_output", &[d.width]);
    m.biased_norms(&["attn_output_norm"]);
}

pub(super) fn bert(d: Dims) -> Draft {
    bert_of(d, 2)
}

/// As BGE.
pub(super) fn bert_cls(d: Dims) -> Draft {
    let mut m = bert(d);
    m.set("pooling_type", FIRST);
    m
}

/// As multilingual E5 and BGE M3.
pub(super) fn xlm_roberta(d: Dims) -> Draft {
    bert_of(d, 1)
}

/// What makes one score of the first token.
fn ranked(mut m: Draft) -> Draft {
    let width = m.dims.width;
    m.set("pooling_type", RANK);
    m.set("classifier.output_labels", labels(&["LABEL_0"]));
    m.matrix("cls", &[width, width], 1.0);
    m.bias("cls", &[width]);
    m.floats("cls.output.weight", &[width], 0.0, 0.2);
    m.bias("cls.output", &[1]);
    m
}

fn labels(names: &[&str]) -> Value {
    Value::Array(Array::Str(names.iter().map(|&name| name.to_owned()).collect()))
}

pub(super) fn bert_rerank(d: Dims) -> Draft {
    ranked(bert(d))
}

pub(super) fn xlm_roberta_rerank(d: Dims) -> Draft {
    ranked(xlm_roberta(d))
}

pub(super) fn nomic_bert(d: Dims) -> Draft {
    let mut m = encoder("nomic-bert", d, 1e-12, 2);
    m.rope(d.head);
    m.layers(|m, _| {
        m.fused_attention(1.73);
        m.biased_norms(&["attn_output_norm", "layer_output_norm"]);
        m.gated();
    });
    m
}

/// As Nomic Embed v2: experts without gates on every second layer.
pub(super) fn nomic_bert_moe(d: Dims) -> Draft {
    let mut m = encoder("nomic-bert-moe", d, 1e-5, 1);
    m.rope(d.head);
    m.set_all(&[("expert_count", d.experts), ("expert_used_count", d.used), ("moe_every_n_layers", 2)]);
    m.layers(|m, layer| {
        m.fused_attention(1.73);
        m.bias("attn_qkv", &[3 * d.width]);
        m.bias("attn_output", &[d.width]);
        m.biased_norms(&["attn_output_norm", "layer_output_norm"]);
        if layer % 2 == 0 {
            m.plain();
            return m.plain_biases();
        }
        m.router();
        m.matrix("ffn_up_exps", &[d.width, d.ffn, d.experts], 1.0);
        m.matrix("ffn_down_exps", &[d.ffn, d.width, d.experts], 1.2);
    });
    m
}

pub(super) fn modern_bert(d: Dims) -> Draft {
    let mut m = Draft::new("modern-bert", d);
    m.set("attention.layer_norm_epsilon", 1e-5f32);
    m.head_counts();
    m.rope(d.head);
    m.set("rope.freq_base_swa", 10_000.0f32);
    m.set("attention.sliding_window", d.window as u32);
    m.set("attention.causal", false);
    m.set("pooling_type", MEAN);
    m.spread("token_embd", &[d.width, d.vocab], 0.9);
    m.norms(&["token_embd_norm", "output_norm"]);
    m.layers(|m, layer| {
        // The first layer's norm is that of the embeddings.
        if layer > 0 {
            m.norms(&["attn_norm"]);
        }
        m.norms(&["ffn_norm"]);
        m.fused_attention(1.73);
        m.fused_gated();
    });
    m
}

/// With a dense layer, GELU and a norm between the mean of a text and its score.
pub(super) fn modern_bert_rerank(d: Dims) -> Draft {
    let mut m = modern_bert(d);
    m.set("pooling_type", RANK);
    m.set("classifier.output_labels", labels(&["LABEL_0"]));
    m.matrix("cls", &[d.width, d.width], 1.0);
    m.norms(&["cls.norm"]);
    m.floats("cls.output.weight", &[d.width], 0.0, 0.2);
    m.bias("cls.output", &[1]);
    m
}

/// Distances instead of positions.
pub(super) fn jina_bert_v2(d: Dims) -> Draft {
    let mut m = encoder("jina-bert-v2", d, 1e-12, 2);
    m.layers(|m, _| {
        separate_attention(m);
        m.gated();
        m.bias("ffn_down", &[d.width]);
        m.biased_norms(&["layer_output_norm"]);
    });
    m
}

/// As Jina's model for code: norms of queries and keys, a second one behind attention, gates in one matrix with what they gate.
pub(super) fn jina_bert_v2_code(d: Dims) -> Draft {
    let mut m = encoder("jina-bert-v2", d, 1e-12, 2);
    m.layers(|m, _| {
        separate_attention(m);
        m.biased_norms(&["attn_q_norm", "attn_k_norm", "attn_norm_2", "layer_output_norm"]);
        m.fused_gated();
        m.bias("ffn_down", &[d.width]);
    });
    m
}

/// As Jina's first rerankers: one matrix and a tanh make the score.
pub(super) fn jina_bert_v2_rerank(d: Dims) -> Draft {
    let mut m = jina_bert_v2(d);
    m.set("pooling_type", RANK);
    m.floats("cls.weight", &[d.width], 0.0, 0.1);
    m.bias("cls", &[1]);
    m
}

/// A decoder whose last token is the text's vector.
pub(super) fn qwen3_embedding(d: Dims) -> Draft {
    let mut m = qwen3(d);
    m.set("pooling_type", LAST);
    m
}

/// A decoder that says how likely "yes" is.
pub(super) fn qwen3_rerank(d: Dims) -> Draft {
    let mut m = qwen3(d);
    m.set("pooling_type", RANK);
    m.set("classifier.output_labels", labels(&["yes", "no"]));
    let template = "<|c3|>query{query}<|c4|>document{document}<|c5|>";
    m.metadata.push(("tokenizer.chat_template.rerank".to_owned(), template.into()));
    m.metadata.push(("tokenizer.chat_templates".to_owned(), labels(&["rerank"])));
    m.matrix("cls.output", &[d.width, 2], 2.0);
    m
}
