//! llama.cpp's answers: for the tiny models in all weight types, for the default model, and for whatever `PARKADE_ORACLE_DIR` names.
//!
//! A case is a JSON file as in `tests/oracle` (see its README). Its model is `NAME.gguf` beside it, or an installed model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parkade_kernels::KvType;
use parkade_model::TokenId;
use parkade_model::gguf::Gguf;
use parkade_model::tokenizer::{Bos, SpecialTokens, Tokenizer};
use serde::Deserialize;

use crate::installed::installed_model;
use crate::support::{BLOCK_LEN, Part, Runner, argmax, log_softmax, oracle_dir, table, tiny_models};

/// Token ids with their log-probabilities, likeliest first.
type Likeliest = Vec<(TokenId, f64)>;

#[derive(Deserialize)]
struct Case {
    model: String,
    /// Tiny models: one text, and the answers after its first n tokens.
    #[serde(default)]
    ids: Vec<TokenId>,
    #[serde(default)]
    top10_after: BTreeMap<usize, Likeliest>,
    /// Real models: several texts with an answer after each token.
    #[serde(default)]
    logits: Vec<Prefixes>,
    #[serde(default)]
    greedy: Vec<Greedy>,
}

#[derive(Deserialize)]
struct Prefixes {
    ids: Vec<TokenId>,
    top10_after_each_position: Vec<Likeliest>,
}

#[derive(Deserialize)]
struct Greedy {
    text: String,
    ids: Vec<TokenId>,
    top1_minus_top2: Vec<f64>,
}

/// A gap between the first two log-probabilities below which rounding may decide.
const CLEAR_GAP: f64 = 0.1;

/// The same for a whole answer, whose tokens are as many chances. In Gemma 3 270M rounding moves log-probabilities by 0.06 on average (llama.cpp's
/// by as much), and ten times as far at some tokens: one that leads by 0.4 in llama.cpp's answers is second, by 0.2, without any rounding.
fn clear_gap_of_answers(case: &Case) -> f64 {
    if case.model.starts_with("gemma") { 0.6 } else { CLEAR_GAP }
}

fn cases() -> Vec<(PathBuf, Case)> {
    let mut folders = vec![oracle_dir()];
    folders.extend(std::env::var_os("PARKADE_ORACLE_DIR").map(PathBuf::from));
    let mut cases = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "json") {
                let text = std::fs::read_to_string(&path).unwrap();
                let case: Case = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                cases.push((model_of(&path, &case), case));
            }
        }
    }
    cases.sort_by(|a, b| a.1.model.cmp(&b.1.model));
    assert!(cases.len() > tiny_models().len());
    cases
}

fn model_of(json: &Path, case: &Case) -> PathBuf {
    let beside = json.with_file_name(format!("{}.gguf", case.model));
    if beside.is_file() { beside } else { installed_model(&case.model) }
}

/// How near our answers come to the reference's.
#[derive(Default)]
struct Score {
    positions: usize,
    divergence: f64,
    clear: usize,
    same_top: usize,
}

impl Score {
    /// Adds the divergence over the listed tokens and, as one more, all others together: without those it would be no divergence, and
    /// errors of two signs could cancel.
    fn add(&mut self, theirs: &Likeliest, ours: &[f32]) {
        let ours_log = log_softmax(ours);
        let (mut p_rest, mut q_rest) = (1.0, 1.0);
        for &(id, p) in theirs {
            let q = ours_log[id as usize];
            self.divergence += p.exp() * (p - q);
            p_rest -= p.exp();
            q_rest -= q.exp();
        }
        // The reference's numbers have five digits; a rest below that is none.
        let (p_rest, q_rest) = (f64::max(p_rest, 1e-9), f64::max(q_rest, 1e-9));
        self.divergence += p_rest * (p_rest / q_rest).ln();
        self.positions += 1;
        if theirs[0].1 - theirs[1].1 > CLEAR_GAP {
            self.clear += 1;
            self.same_top += usize::from(argmax(ours) == theirs[0].0 as usize);
        }
    }

    fn mean(&self) -> f64 {
        self.divergence / self.positions as f64
    }
}

/// What passes.
struct Bars {
    /// The largest mean divergence.
    divergence: f64,
    /// The smallest share of clear positions with the same likeliest token.
    same_top: f64,
}

/// 1e-3 and 98 % for quantised models holds for those of a few layers. With dozens, single activations that round the other way grow to more
/// than that: in the default model, noise of 2e-7 on the activations, which is what another order of f32 sums makes, changes an f64 pass with
/// llama.cpp's roundings by 3.5e-3, and llama.cpp itself is 2.6e-3 away from a pass without any rounding. Of its 39 clear positions one
/// turns over or not with the type of the KV cache.
fn bars(case: &Case, layers: usize) -> Bars {
    match case.model.rsplit(['-', '.']).next() {
        Some("F32" | "F16" | "BF16") => Bars { divergence: 1e-4, same_top: 0.98 },
        _ if layers > 8 => Bars { divergence: 5e-3, same_top: 0.95 },
        _ => Bars { divergence: 1e-3, same_top: 0.98 },
    }
}

fn score(case: &Case, runner: &mut Runner) -> Score {
    let mut score = Score::default();
    if !case.ids.is_empty() {
        let ours = runner.whole(&case.ids);
        case.top10_after.iter().for_each(|(&n, theirs)| score.add(theirs, &ours[n - 1]));
    }
    for text in &case.logits {
        assert_eq!(text.ids.len(), text.top10_after_each_position.len());
        let ours = runner.whole(&text.ids);
        text.top10_after_each_position.iter().zip(&ours).for_each(|(theirs, ours)| score.add(theirs, ours));
    }
    score
}

fn blocks_for(case: &Case) -> usize {
    let texts = case.logits.iter().map(|t| t.ids.len());
    texts.chain([case.ids.len(), 256]).max().unwrap().div_ceil(BLOCK_LEN)
}

#[test]
fn logits_agree_with_llama_cpp_in_every_weight_type() {
    println!("{:<32} {:>6} {:>10} {:>12} {:>12}", "model", "rows", "same top", "KL, F32 KV", "KL, F16 KV");
    let mut failures = Vec::new();
    for (path, case) in cases() {
        let [wide, usual] = [KvType::F32, KvType::F16].map(|ty| {
            let mut runner = Runner::open(&path, 2, blocks_for(&case), ty);
            let score = score(&case, &mut runner);
            let Bars { divergence, same_top } = bars(&case, runner.model.config().layers);
            if score.mean() > divergence || (score.same_top as f64) < same_top * score.clear as f64 {
                failures.push(format!("{} with {ty:?} KV: KL {:.2e}", case.model, score.mean()));
            }
            score
        });
        let top = format!("{}/{}", usual.same_top, usual.clear);
        println!("{:<32} {:>6} {top:>10} {:>12.2e} {:>12.2e}", case.model, usual.positions, wide.mean(), usual.mean());
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn greedy_answers_agree_with_llama_cpp() {
    let mut compared = 0;
    for (path, case) in cases() {
        let tokenizer = match case.greedy.is_empty() {
            true => continue,
            false => Tokenizer::from_gguf(&Gguf::open(&path).unwrap()).unwrap(),
        };
        let mut runner = Runner::open(&path, 2, blocks_for(&case), KvType::F16);
        for Greedy { text, ids, top1_minus_top2 } in &case.greedy {
            let prompt = tokenizer.encode(text, SpecialTokens::Parse, Bos::AsModel).unwrap();
            let blocks = table(0, prompt.len() + ids.len());
            let mut tokens = prompt.clone();
            let mut past = 0;
            for (i, (&theirs, &gap)) in ids.iter().zip(top1_minus_top2).enumerate() {
                let logits = runner.step(&[Part { tokens: &tokens[past..], past, blocks: &blocks }]).remove(0);
                past = tokens.len();
                let ours = argmax(logits.last().unwrap()) as TokenId;
                if ours != theirs {
                    assert!(
                        gap <= clear_gap_of_answers(&case),
                        "{text:?}: token {i} is {ours}, not {theirs}, which leads by {gap}"
                    );
                    break;
                }
                compared += 1;
                tokens.push(ours);
            }
        }
    }
    assert!(compared >= 32, "only {compared} tokens were compared");
}
