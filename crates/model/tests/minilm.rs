//! all-MiniLM-L6-v2, which the tests' set-up converts, against what transformers makes of the same tokens.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[allow(dead_code, reason = "this test has no use for the default model")]
#[path = "support/installed.rs"]
mod installed;

use std::path::Path;
use std::sync::Arc;

use parkade_kernels::{KvType, Span, Team};
use parkade_model::gguf::Gguf;
use parkade_model::{Batch, Model, Outputs, Pooled, TokenId};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    embeddings: Vec<Embedded>,
}

#[derive(Deserialize)]
struct Embedded {
    text: String,
    ids: Vec<TokenId>,
    embedding: Vec<f64>,
}

fn cosine(a: &[f32], b: &[f64]) -> f64 {
    let a: Vec<f64> = a.iter().map(|&x| x.into()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(&a, b) / (dot(&a, &a) * dot(b, b)).sqrt()
}

#[test]
fn embeddings_are_those_of_transformers() {
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/all-minilm-l6-v2.json");
    let reference: Reference = serde_json::from_str(&std::fs::read_to_string(Path::new(reference)).unwrap()).unwrap();
    let gguf = Gguf::open(&installed::installed_model("all-MiniLM-L6-v2")).unwrap();
    let mut model = Model::load(&gguf, Arc::new(Team::new(2))).unwrap();
    let mut kv = model.new_kv_cache(32, 16, KvType::F16).unwrap();
    let mut states = model.new_states(0).unwrap();
    let blocks: Vec<u32> = (0..32).collect();
    for Embedded { text, ids, embedding } in &reference.embeddings {
        let spans = [Span { first_row: 0, rows: ids.len(), past: 0, blocks: &blocks }];
        let rows: Vec<usize> = (0..ids.len()).collect();
        let mut hidden = Vec::new();
        model
            .forward(
                &Batch { tokens: ids, spans: &spans, states: &[], outputs: Outputs::Hidden(&rows) },
                &mut kv,
                &mut states,
                &mut hidden,
            )
            .unwrap();
        let mut pooled = Pooled::default();
        pooled.add(&hidden, embedding.len());
        let near = cosine(&pooled.finish(), embedding);
        assert!(near >= 0.9999, "{text:?}: {near}");
    }
    assert!(reference.embeddings.len() >= 20);
}
