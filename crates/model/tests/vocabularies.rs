//! Tokenizers of all schemes against llama.cpp's ids, on small vocabularies and, where there are some, on real ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, in its helpers too")]

use std::path::{Path, PathBuf};

use parkade_model::TokenId;
use parkade_model::gguf::write::GgufWriter;
use parkade_model::gguf::{Array, Gguf, Value};
use parkade_model::tokenizer::{Bos, SpecialTokens, TextStream, Tokenizer};
use serde_json::Value as Json;

fn ids(value: &Json) -> Vec<TokenId> {
    serde_json::from_value(value.clone()).unwrap()
}

fn json(path: &Path) -> Json {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A file with these keys.
fn file(keys: &serde_json::Map<String, Json>) -> Gguf {
    let mut writer = GgufWriter::new();
    for (key, value) in keys {
        let value: Value = match value {
            Json::Bool(flag) => (*flag).into(),
            Json::Number(number) => (number.as_u64().unwrap() as u32).into(),
            Json::String(text) => text.as_str().into(),
            Json::Array(list) if list[0].is_string() => {
                Array::Str(serde_json::from_value(value.clone()).unwrap()).into()
            }
            Json::Array(list) if key.ends_with("scores") => {
                Array::F32(list.iter().map(|score| score.as_f64().unwrap() as f32).collect()).into()
            }
            Json::Array(list) => Array::I32(list.iter().map(|kind| kind.as_i64().unwrap() as i32).collect()).into(),
            other => panic!("{key} is {other}"),
        };
        writer.set(key, value);
    }
    let mut file = Vec::new();
    writer.write(&mut file, |_| Ok(Vec::new())).unwrap();
    Gguf::from_bytes(file).unwrap()
}

/// Of each scheme that has small vocabularies, its name, its tokenizer and its cases.
fn small() -> Vec<(String, Tokenizer, Vec<Json>)> {
    let cases = json(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vocabularies.json")));
    let cases = cases.as_object().unwrap().iter();
    cases
        .map(|(name, case)| {
            let tokenizer = Tokenizer::from_gguf(&file(case["keys"].as_object().unwrap())).unwrap();
            (name.clone(), tokenizer, case["cases"].as_array().unwrap().clone())
        })
        .collect()
}

#[test]
fn small_vocabularies_of_all_schemes_tokenise_as_llama_cpp_does() {
    for (name, tokenizer, cases) in small() {
        assert!(tokenizer.warnings().is_empty(), "{name}: {:?}", tokenizer.warnings());
        for case in cases {
            let text = case["text"].as_str().unwrap();
            let parsed = tokenizer.encode(text, SpecialTokens::Parse, Bos::AsModel).unwrap();
            assert_eq!(parsed, ids(&case["parsed"]), "{name}: {text:?}");
            let plain = tokenizer.encode(text, SpecialTokens::AsText, Bos::Never).unwrap();
            assert_eq!(plain, ids(&case["plain"]), "{name}: {text:?}");
        }
    }
}

#[test]
fn a_stream_makes_the_text_that_decoding_makes_in_all_schemes() {
    for (name, tokenizer, cases) in small() {
        for case in cases {
            let ids = ids(&case["parsed"]);
            let mut stream = TextStream::at_start();
            let mut text: String = ids.iter().map(|&id| stream.push(&tokenizer, id)).collect();
            text.push_str(&stream.finish());
            assert_eq!(text, tokenizer.decode(&ids), "{name}");
        }
        let text = if name.starts_with("whitespace") { "quick" } else { "a quick test" };
        let ids = tokenizer.encode(text, SpecialTokens::AsText, Bos::AsModel).unwrap();
        assert_eq!(tokenizer.decode(&ids), text, "{name}");
    }
}

#[test]
fn letters_of_dna_come_back_as_letters() {
    let (_, tokenizer, _) = small().into_iter().find(|(name, ..)| name == "hybriddna").unwrap();
    let text = "the CCCCCC <dna>CCCCCCacgtacGATT</dna> test";
    let ids = tokenizer.encode(text, SpecialTokens::AsText, Bos::Never).unwrap();
    assert_eq!(tokenizer.decode(&ids), "the CCCCCC <dna>CCCCCCACGTAC<oov></dna> test");
}

#[test]
fn a_pair_is_framed_as_its_model_was_trained() {
    let pair = |name: &str| {
        let (_, tokenizer, _) = small().into_iter().find(|(known, ..)| known == name).unwrap();
        tokenizer.encode_pair("what is water", "water is what people drink").unwrap()
    };
    assert_eq!(pair("bert"), [2, 95, 76, 153, 3, 153, 76, 95, 142, 8, 181, 426, 174, 3]);
    assert_eq!(pair("xlm-roberta"), [0, 125, 91, 246, 2, 2, 246, 91, 125, 225, 34, 22, 499, 15, 2]);
}

/// The files of a directory that an environment variable names, with this ending.
fn outside(variable: &str, ending: &str) -> Vec<PathBuf> {
    let folder = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no directory"));
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    assert!(!files.is_empty(), "{variable} has no {ending}");
    files.sort();
    files
}

/// Says which files have ids that differ, and where first.
fn report(differing: &[String]) {
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

fn tokenizer(path: &Path) -> Result<(Gguf, Tokenizer), String> {
    let gguf = Gguf::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let tokenizer = Tokenizer::from_gguf(&gguf).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((gguf, tokenizer))
}

#[test]
#[ignore = "PARKADE_ORACLE_ARCH names a directory of models with llama.cpp's answers beside them"]
fn models_of_all_architectures_tokenise_as_llama_cpp_does() {
    let mut differing = Vec::new();
    for path in outside("PARKADE_ORACLE_ARCH", ".json") {
        let answers = json(&path);
        let (gguf, tokenizer) = match tokenizer(&path.with_extension("gguf")) {
            Ok(read) => read,
            Err(error) => {
                differing.push(error);
                continue;
            }
        };
        let mut check = |text: &str, found: Vec<TokenId>, expected: &Json| {
            if found != ids(expected) {
                differing.push(format!("{}: {text:?}: {found:?}, expected {expected}", path.display()));
            }
        };
        let list = |key: &str| answers[key].as_array().cloned().unwrap_or_default();
        for case in list("tokenize").iter().chain(&list("embeddings")) {
            let text = case["text"].as_str().unwrap();
            check(text, tokenizer.encode(text, SpecialTokens::Parse, Bos::AsModel).unwrap(), &case["ids"]);
        }
        for case in list("scores") {
            let [query, document] = ["query", "document"].map(|key| case[key].as_str().unwrap());
            let found = match gguf.get_str("tokenizer.chat_template.rerank").unwrap() {
                Some(template) => {
                    let prompt = template.replace("{query}", query).replace("{document}", document);
                    tokenizer.encode(&prompt, SpecialTokens::Parse, Bos::Never)
                }
                None => tokenizer.encode_pair(query, document),
            };
            check(query, found.unwrap(), &case["ids"]);
        }
    }
    report(&differing);
}

#[test]
#[ignore = "PARKADE_VOCABS names a directory of vocabularies with llama.cpp's test texts (.inp) and ids (.out) beside them"]
fn real_vocabularies_tokenise_as_llama_cpp_does() {
    let mut differing = Vec::new();
    for path in outside("PARKADE_VOCABS", ".gguf") {
        let (_, tokenizer) = tokenizer(&path).unwrap();
        let plain = |text: &str| tokenizer.encode(text, SpecialTokens::AsText, Bos::Never).unwrap();
        let framed = |text: &str| tokenizer.encode(text, SpecialTokens::Parse, Bos::AsModel).unwrap();
        let mut cases: Vec<(String, Vec<TokenId>, Vec<TokenId>)> = Vec::new();
        let beside = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
        if let (Ok(texts), Ok(lines)) =
            (std::fs::read_to_string(beside(".inp")), std::fs::read_to_string(beside(".out")))
        {
            for (text, line) in texts.split("\n__ggml_vocab_test__\n").zip(lines.lines()) {
                let expected = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
                cases.push((text.to_owned(), plain(text), expected));
            }
        }
        if let Ok(more) = std::fs::read(beside(".more.json")) {
            for case in serde_json::from_slice::<Vec<Json>>(&more).unwrap() {
                let text = case["text"].as_str().unwrap();
                cases.push((text.to_owned(), plain(text), ids(&case["ids"])));
                cases.push((text.to_owned(), framed(text), ids(&case["framed"])));
            }
        }
        let mut equal = 0;
        for (text, found, expected) in &cases {
            if found == expected {
                equal += 1;
            } else {
                differing.push(format!("{}: {text:?}: {found:?}, expected {expected:?}", path.display()));
            }
        }
        println!("{}: {equal} of {} texts equal", path.file_name().unwrap().to_string_lossy(), cases.len());
    }
    report(&differing);
}
