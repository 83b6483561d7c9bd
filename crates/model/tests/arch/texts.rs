//! Models that embed and rank: their values are compared with llama.cpp's, and with themselves however they are run.

use std::cell::RefCell;
use std::sync::Arc;

use parkade_kernels::{KvType, Span, Team};
use parkade_model::gguf::{Gguf, Value};
use parkade_model::tokenizer::{Bos, SpecialTokens, Tokenizer};
use parkade_model::{Batch, Embeds, Model, Outputs, Pairs, Pooled, Pooling, TokenId, normalize};
use serde::Deserialize;

use crate::models::{TEXTS, sources};
use crate::rewrite::{widened, with_metadata};
use crate::runner::{BLOCK_LEN, table};

/// With the weights in F32, the furthest from llama.cpp: in 1 - cosine, or of a score.
const FURTHEST: f64 = 1e-4;
const FURTHEST_SCORE: f64 = 0.01;
/// With activations rounded, the typical distance to llama.cpp without that rounding, in that of llama.cpp with it.
const TYPICAL: f64 = 1.3;
/// The same of one model, whose four to six texts leave more to chance.
const TYPICAL_OF_ONE: f64 = 2.0;

/// What llama.cpp makes of texts.
#[derive(Deserialize)]
pub struct TextAnswers {
    #[serde(default)]
    embeddings: Vec<Embedded>,
    #[serde(default)]
    scores: Vec<Scored>,
}

#[derive(Deserialize)]
struct Embedded {
    text: String,
    ids: Vec<TokenId>,
    embedding: Vec<f64>,
    embedding_f32: Vec<f64>,
}

#[derive(Deserialize)]
struct Scored {
    query: String,
    document: String,
    ids: Vec<TokenId>,
    score: f64,
    score_f32: f64,
}

impl TextAnswers {
    fn texts(&self) -> Vec<&[TokenId]> {
        let embedded = self.embeddings.iter().map(|of| &of.ids[..]);
        embedded.chain(self.scores.iter().map(|of| &of.ids[..])).collect()
    }

    /// How far values are from those without rounding, text by text; `None` are llama.cpp's own with it.
    fn distances(&self, values: Option<&[Vec<f32>]>) -> Vec<f64> {
        let value = |place: usize| values.map(|values| values[place].iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        let embedded =
            self.embeddings.iter().enumerate().map(|(place, of)| {
                1.0 - cosine(&value(place).unwrap_or_else(|| of.embedding.clone()), &of.embedding_f32)
            });
        let scored = self.scores.iter().enumerate();
        embedded
            .chain(scored.map(|(place, of)| (value(place).map_or(of.score, |value| value[0]) - of.score_f32).abs()))
            .collect()
    }
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The values of texts that are run in one batch. The pass is left between layers, and goes on.
fn run(model: &mut Model, texts: &[&[TokenId]], ty: KvType) -> Vec<Vec<f32>> {
    let embedder = model.embedder().expect("a model that embeds");
    let mut tables = Vec::new();
    for text in texts {
        tables.push(table(tables.iter().map(Vec::len).sum(), text.len()));
    }
    let mut kv = model.new_kv_cache(tables.iter().map(Vec::len).sum(), BLOCK_LEN, ty).unwrap();
    let mut states = model.new_states(0).unwrap();
    let tokens = texts.concat();
    let (mut spans, mut wanted) = (Vec::new(), Vec::new());
    let mut first_row = 0;
    for (text, blocks) in texts.iter().zip(&tables) {
        spans.push(Span { first_row, rows: text.len(), past: 0, blocks });
        wanted.extend(embedder.pooling.rows(0, text.len(), text.len()).map(|row| first_row + row));
        first_row += text.len();
    }
    let batch = Batch { tokens: &tokens, spans: &spans, states: &[], outputs: Outputs::Hidden(&wanted) };
    let mut hidden = Vec::new();
    let mut paused = model.forward_until(&batch, &mut kv, &mut states, &mut hidden, &|| true).unwrap();
    while let Some(pass) = paused {
        paused = model.resume(pass, &batch, &mut kv, &mut states, &mut hidden, &|| true).unwrap();
    }
    let mut rows = hidden.chunks_exact(embedder.hidden);
    let mut values = Vec::new();
    for text in texts {
        let mut pooled = Pooled::default();
        for _ in embedder.pooling.rows(0, text.len(), text.len()) {
            pooled.add(rows.next().unwrap(), embedder.hidden);
        }
        let mut of_text = pooled.finish();
        model.finish(1, &mut of_text);
        assert_eq!(of_text.len(), embedder.outputs);
        if embedder.embeds == Embeds::Texts {
            normalize(&mut of_text, None);
        }
        values.push(of_text);
    }
    values
}

fn load(gguf: &Gguf, threads: usize) -> Model {
    Model::load(gguf, Arc::new(Team::new(threads))).unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

/// Runs `check` on all models, and fails with the list of what failed.
fn of_all(names: &[&str], check: impl Fn(&Gguf, &TextAnswers) -> Result<String, String>) {
    let mut failures = Vec::new();
    for name in names {
        for (gguf, answers) in sources(name) {
            let answers = serde_json::from_str(&std::fs::read_to_string(answers).unwrap()).unwrap();
            match check(&gguf, &answers) {
                Ok(figures) => println!("{name:<32} {figures}"),
                Err(problem) => failures.push(format!("{name}: {problem}")),
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn embeddings_and_scores_agree_with_llama_cpp() {
    let ratios = RefCell::new(Vec::new());
    of_all(TEXTS, |gguf, answers| {
        let texts = answers.texts();
        let wide = answers.distances(Some(&run(&mut load(&widened(gguf), 2), &texts, KvType::F32)));
        let wide = wide.into_iter().fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most });
        let ours = median(answers.distances(Some(&run(&mut load(gguf, 2), &texts, KvType::F32))));
        let theirs = median(answers.distances(None));
        let figures = format!("furthest in F32 {wide:.2e}, median {ours:.2e}, llama.cpp's {theirs:.2e}");
        let furthest = if answers.scores.is_empty() { FURTHEST } else { FURTHEST_SCORE };
        ratios.borrow_mut().push(ours / theirs);
        if wide <= furthest && ours <= TYPICAL_OF_ONE * theirs { Ok(figures) } else { Err(figures) }
    });
    let ratio = median(ratios.into_inner());
    assert!(ratio <= TYPICAL, "the distance to llama.cpp without rounding is {ratio:.2} of that of llama.cpp with it");
}

#[test]
fn a_text_has_the_same_bits_alone_and_in_company() {
    of_all(TEXTS, |gguf, answers| {
        let texts = answers.texts();
        let bits = |values: Vec<Vec<f32>>| values.concat().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for ty in [KvType::F32, KvType::F16] {
            let (mut one, mut two) = (load(gguf, 1), load(gguf, 2));
            let together = bits(run(&mut two, &texts, ty));
            let alone: Vec<u32> = texts.iter().flat_map(|text| bits(run(&mut one, &[text], ty))).collect();
            if alone != together {
                return Err(format!("{ty:?}: other bits in company"));
            }
        }
        Ok("the same bits".to_owned())
    });
}

#[test]
fn texts_and_pairs_are_the_tokens_of_llama_cpp() {
    of_all(TEXTS, |gguf, answers| {
        let tokenizer = Tokenizer::from_gguf(gguf).map_err(|error| error.to_string())?;
        let pairs = Pairs::from_gguf(gguf).unwrap();
        for of in &answers.embeddings {
            let ids = tokenizer.encode(&of.text, SpecialTokens::Parse, Bos::AsModel).unwrap();
            if ids != of.ids {
                return Err(format!("{:?} is {ids:?}, not {:?}", of.text, of.ids));
            }
        }
        for of in &answers.scores {
            let ids = pairs.join(&tokenizer, &of.query, &of.document).unwrap();
            if ids != of.ids {
                return Err(format!("{:?} and {:?} are {ids:?}, not {:?}", of.query, of.document, of.ids));
            }
        }
        Ok("the same tokens".to_owned())
    });
}

#[test]
fn an_encoder_pools_and_computes_as_its_file_says() {
    let rerank = sources("modern-bert-rerank-Q8_0").remove(0).0;
    let with = |key: &str, value: Value| with_metadata(&rerank, &format!("modern-bert.{key}"), value);
    let pooling = |gguf: &Gguf| load(gguf, 1).embedder().unwrap().pooling;
    assert_eq!(pooling(&rerank), Pooling::Mean);
    assert_eq!(pooling(&with("classifier.pooling_type", 2u32.into())), Pooling::First);
    let refused = |key: &str, value: Value, part: &str| {
        let message = Model::load(&with(key, value), Arc::new(Team::new(1))).unwrap_err().to_string();
        assert!(message.contains(key) && message.contains(part), "{message:?} does not say {part:?}");
    };
    refused("classifier.pooling_type", 3u32.into(), "is 3; expected 1 (mean) or 2 (cls)");
    refused("hidden_activation", "relu".into(), "is relu; expected gelu or silu");
    let text: &[TokenId] = &[1, 40, 25, 63, 2];
    let score = |gguf: &Gguf| run(&mut load(gguf, 1), &[text], KvType::F32)[0][0];
    assert_eq!(score(&with("hidden_activation", "gelu".into())), score(&rerank));
    assert_ne!(score(&with("hidden_activation", "silu".into())), score(&rerank));
}
