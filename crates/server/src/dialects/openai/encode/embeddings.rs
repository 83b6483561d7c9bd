//! The answers of `/v1/embeddings` and `/v1/rerank` on the wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parkade_core::Usage;
use serde::Serialize;

/// How an embedding is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// A list of numbers.
    Float,
    /// Their bytes, 32 bits each and little-endian.
    Base64,
}

#[derive(Serialize)]
struct List<'a, Items> {
    object: &'static str,
    model: &'a str,
    #[serde(flatten)]
    items: Items,
    usage: TextUsage,
}

/// What texts used: nothing is generated.
#[derive(Serialize)]
struct TextUsage {
    prompt_tokens: usize,
    total_tokens: usize,
}

impl From<&Usage> for TextUsage {
    fn from(usage: &Usage) -> Self {
        Self { prompt_tokens: usage.prompt_tokens, total_tokens: usage.prompt_tokens }
    }
}

#[derive(Serialize)]
struct Data<'a> {
    data: Vec<Embedding<'a>>,
}

#[derive(Serialize)]
struct Embedding<'a> {
    object: &'static str,
    index: usize,
    embedding: Values<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Values<'a> {
    Float(&'a [f32]),
    Base64(String),
}

/// The answer with the embedding of each text.
pub(crate) fn write(
    model: &str,
    embeddings: &[Vec<f32>],
    encoding: Encoding,
    usage: &Usage,
) -> serde_json::Result<Vec<u8>> {
    let values = |embedding| match encoding {
        Encoding::Float => Values::Float(embedding),
        Encoding::Base64 => Values::Base64(base64(embedding)),
    };
    let data = embeddings
        .iter()
        .enumerate()
        .map(|(index, embedding)| Embedding { object: "embedding", index, embedding: values(embedding) })
        .collect();
    serde_json::to_vec(&List { object: "list", model, items: Data { data }, usage: usage.into() })
}

fn base64(values: &[f32]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// A document, and how well it matches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ranked<'a> {
    pub index: usize,
    pub score: f32,
    /// Its text, if it is to be repeated.
    pub text: Option<&'a str>,
}

#[derive(Serialize)]
struct Results<'a> {
    results: Vec<Scored<'a>>,
}

#[derive(Serialize)]
struct Scored<'a> {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document<'a>>,
}

#[derive(Serialize)]
struct Document<'a> {
    text: &'a str,
}

/// The answer with documents in the order of their scores, in the form of Jina's, Cohere's and llama.cpp's servers.
pub(crate) fn write_ranked(model: &str, ranked: &[Ranked<'_>], usage: &Usage) -> serde_json::Result<Vec<u8>> {
    let results = ranked
        .iter()
        .map(|of| Scored {
            index: of.index,
            relevance_score: of.score,
            document: of.text.map(|text| Document { text }),
        })
        .collect();
    serde_json::to_vec(&List { object: "list", model, items: Results { results }, usage: usage.into() })
}

#[derive(Serialize)]
struct Plain<'a> {
    index: usize,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// As [`write_ranked`], in the form of text-embeddings-inference: a bare list.
pub(crate) fn write_ranked_plainly(ranked: &[Ranked<'_>]) -> serde_json::Result<Vec<u8>> {
    let plain = ranked.iter().map(|&Ranked { index, score, text }| Plain { index, score, text });
    serde_json::to_vec(&plain.collect::<Vec<_>>())
}
