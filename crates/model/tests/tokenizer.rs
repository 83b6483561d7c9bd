//! Tokenizers against llama.cpp's answers, on long texts, and on hostile vocabularies.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, in its helpers too")]

#[path = "support/installed.rs"]
mod installed;

use parkade_model::TokenId;
use parkade_model::tokenizer::{Bos, SpecialTokens, TextStream, Tokenizer, Vocabulary};
use proptest::prelude::*;
use serde_json::Value;

use self::installed::default_model;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn json(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(format!("{ROOT}/{path}")).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<TokenId> {
    serde_json::from_value(value.clone()).unwrap()
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<TokenId> {
    tokenizer.encode(text, SpecialTokens::Parse, Bos::AsModel).unwrap()
}

/// llama.cpp puts a second BOS before a text that begins with one; that is the one difference.
fn one_bos(tokenizer: &Tokenizer, mut ids: Vec<TokenId>) -> Vec<TokenId> {
    if ids.len() > 1 && ids[..2].iter().all(|&id| Some(id) == tokenizer.bos()) {
        ids.remove(0);
    }
    ids
}

#[test]
fn the_default_model_tokenises_as_llama_cpp_does() {
    let tokenizer = Tokenizer::from_gguf(&default_model()).unwrap();
    let oracle = json("../../tests/oracle/smollm2-q4_1.json");
    let cases = oracle["tokenize"].as_array().unwrap();
    assert!(cases.len() >= 10);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        assert_eq!(encode(&tokenizer, text), ids(&case["ids"]), "{text:?}");
        assert_eq!(
            tokenizer.decode(&encode(&tokenizer, text)),
            text.replace("<|im_start|>", "").replace("<|im_end|>", "")
        );
    }
    assert_eq!((tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos()), (49152, Some(1), Some(2)));
    let ends: Vec<&str> = (0..49152).filter(|&id| tokenizer.is_end(id)).map(|id| tokenizer.token_text(id)).collect();
    assert_eq!(ends, ["<|endoftext|>", "<|im_end|>", "<reponame>"]);
    assert_eq!(encode(&tokenizer, "a<|im_end|>")[1..], [2]);
    assert!(tokenizer.encode("a<|im_end|>", SpecialTokens::AsText, Bos::Never).unwrap().len() > 2);
}

#[test]
fn the_default_models_template_writes_the_prompts_of_the_oracle() {
    let gguf = default_model();
    let tokenizer = Tokenizer::from_gguf(&gguf).unwrap();
    let template = parkade_model::chat_template::ChatTemplate::from_gguf(&gguf, &tokenizer).unwrap().unwrap();
    let oracle = json("../../tests/oracle/smollm2-q4_1.json");
    for case in oracle["chats"].as_array().unwrap() {
        let input = parkade_model::chat_template::ChatInput {
            messages: &case["messages"],
            tools: None,
            documents: None,
            add_generation_prompt: true,
            extra: &serde_json::Map::new(),
        };
        let prompt = template.render(&input).unwrap();
        assert_eq!(prompt.text(), case["prompt"].as_str().unwrap());
        let parsed = encode(&tokenizer, prompt.text());
        assert_eq!(tokenizer.encode_prompt(&prompt).unwrap(), parsed, "this model adds no BOS");
    }
}

#[test]
fn every_family_splits_words_as_llama_cpp_does() {
    let gguf = default_model();
    let mut types = gguf.get_int_array("tokenizer.ggml.token_type").unwrap().unwrap();
    types[5] = 4;
    let cases = json("tests/data/pre_tokenizers.json");
    let texts = cases["texts"].as_array().unwrap();
    for (family, expected) in cases["families"].as_object().unwrap() {
        let tokenizer = Tokenizer::from_vocabulary(&Vocabulary {
            model: "gpt2",
            pre: Some(family),
            tokens: gguf.require_str_array("tokenizer.ggml.tokens").unwrap(),
            types: Some(&types),
            merges: gguf.get_str_array("tokenizer.ggml.merges").unwrap(),
            bos: Some(1),
            ..Vocabulary::default()
        })
        .unwrap();
        for (text, expected) in texts.iter().zip(expected.as_array().unwrap()) {
            let expected = one_bos(&tokenizer, ids(expected));
            assert_eq!(encode(&tokenizer, text.as_str().unwrap()), expected, "{family}: {text}");
        }
    }
}

/// A vocabulary of `sentencepiece.json`.
fn sentencepiece(case: &Value) -> Tokenizer {
    let tokens: Vec<String> = serde_json::from_value(case["tokens"].clone()).unwrap();
    let types: Vec<i64> = serde_json::from_value(case["types"].clone()).unwrap();
    let scores: Vec<f32> = serde_json::from_value(case["scores"].clone()).unwrap();
    Tokenizer::from_vocabulary(&Vocabulary {
        model: "llama",
        tokens: &tokens,
        types: Some(&types),
        scores: Some(&scores),
        add_space_prefix: case["add_space_prefix"].as_bool(),
        ..Vocabulary::default()
    })
    .unwrap()
}

#[test]
fn sentencepiece_tokenises_as_llama_cpp_does() {
    for (name, case) in json("tests/data/sentencepiece.json").as_object().unwrap() {
        let tokenizer = sentencepiece(case);
        for (index, text) in case["texts"].as_array().unwrap().iter().enumerate() {
            let text = text.as_str().unwrap();
            assert_eq!(encode(&tokenizer, text), one_bos(&tokenizer, ids(&case["parsed"][index])), "{name}: {text:?}");
            let plain = tokenizer.encode(text, SpecialTokens::AsText, Bos::AsModel).unwrap();
            assert_eq!(plain, ids(&case["as_text"][index]), "{name}: {text:?}");
            // U+2581 is how the vocabulary writes a space, so it comes back as one.
            assert_eq!(tokenizer.decode(&plain), text.replace('\u{2581}', " "), "{name}");
        }
    }
}

#[test]
fn a_leading_space_is_the_vocabularys_at_the_start_and_the_texts_own_later() {
    let cases = json("tests/data/sentencepiece.json");
    let tokenizer = sentencepiece(&cases["llama"]);
    let the = tokenizer.encode("the", SpecialTokens::Parse, Bos::Never).unwrap();
    assert!(tokenizer.token_text(the[0]).starts_with('\u{2581}'));
    let push = |mut stream: TextStream| {
        let mut text = stream.push(&tokenizer, 1);
        the.iter().for_each(|&id| text.push_str(&stream.push(&tokenizer, id)));
        text + &stream.finish()
    };
    assert_eq!(push(TextStream::at_start()), "the");
    assert_eq!(push(TextStream::new()), " the");
    assert_eq!(encode(&tokenizer, "<s>the"), encode(&tokenizer, "the"), "BOS is not doubled");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn streams_make_the_text_that_decoding_makes(ids in proptest::collection::vec(0u32..1600, 0..60)) {
        for case in json("tests/data/sentencepiece.json").as_object().unwrap().values() {
            let tokenizer = sentencepiece(case);
            let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).copied().collect();
            for (mut stream, whole) in [
                (TextStream::at_start(), tokenizer.decode(&ids)),
                (TextStream::new(), String::from_utf8_lossy(&bytes).into_owned()),
            ] {
                let mut text = String::new();
                for &id in &ids {
                    text.push_str(&stream.push(&tokenizer, id));
                    prop_assert!(whole.starts_with(&text), "{text:?} is no beginning of {whole:?}");
                }
                text.push_str(&stream.finish());
                prop_assert_eq!(text, whole);
            }
        }
    }
}

/// A quadratic algorithm would take hours for these, and never end the test.
#[test]
fn a_megabyte_of_anything_is_tokenised_in_time() {
    let gguf = default_model();
    let cases = json("tests/data/sentencepiece.json");
    let tokenizers =
        [Tokenizer::from_gguf(&gguf).unwrap(), sentencepiece(&cases["llama"]), sentencepiece(&cases["gemma"])];
    let million = |unit: &str| unit.repeat(1_000_000 / unit.len());
    let texts = [
        million("a"),
        million(" "),
        million("\n"),
        million(" \n"),
        million("ab"),
        million("🙂"),
        million("\u{301}"),
        million("<|im_end|>"),
        million("<|im_en"),
        million("'"),
        million("7"),
        million("の"),
        million(" a") + " ",
        million(" ") + "a",
        million("\t") + "\n",
    ];
    for tokenizer in &tokenizers {
        for text in &texts {
            let ids = encode(tokenizer, text);
            assert!(ids.len() <= text.len() + 2 && !ids.is_empty());
        }
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn what_is_wrong_with_a_vocabulary_is_named() {
    let tokens = strings(&["a", "b", "ab", "<s>"]);
    let merges = strings(&["a b"]);
    let good = Vocabulary {
        model: "gpt2",
        pre: Some("gpt-2"),
        tokens: &tokens,
        types: Some(&[1, 1, 1, 3]),
        merges: Some(&merges),
        ..Vocabulary::default()
    };
    assert_eq!(encode(&Tokenizer::from_vocabulary(&good).unwrap(), "ab<s>ba"), [2, 3, 1, 0]);
    let error = |bad: Vocabulary<'_>| Tokenizer::from_vocabulary(&bad).unwrap_err().to_string();

    let is = |error: String, parts: &[&str]| {
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
    };
    is(error(Vocabulary { model: "plamo2", ..good.clone() }), &["tokenizer.ggml.model is 'plamo2'", "gpt2", "llama"]);
    is(error(Vocabulary { pre: Some("tea"), ..good.clone() }), &["tokenizer.ggml.pre is 'tea'", "smollm", "qwen2"]);
    is(error(Vocabulary { tokens: &[], ..good.clone() }), &["tokenizer.ggml.tokens is empty"]);
    is(error(Vocabulary { types: Some(&[1]), ..good.clone() }), &["token_type has 1 entries", "has 4"]);
    is(error(Vocabulary { scores: Some(&[]), ..good.clone() }), &["scores has 0 entries"]);
    is(error(Vocabulary { types: Some(&[1, 9, 1, 1]), ..good.clone() }), &["token_type[1] is \"9\"", "0 to 6"]);
    is(error(Vocabulary { types: Some(&[1, 6, 1, 1]), ..good.clone() }), &["tokens[1] is \"b\"", "<0x00>"]);
    is(error(Vocabulary { merges: None, ..good.clone() }), &["tokenizer.ggml.merges"]);
    let twice = strings(&["a", "b", "ab", "a"]);
    is(error(Vocabulary { tokens: &twice, ..good.clone() }), &["tokens[3] is \"a\"", "first at 0"]);
    for (merge, problem) in [
        ("ab", "no pair"),
        ("", "no pair"),
        (" ", "no pair"),
        ("x b", "the first"),
        ("a x", "the second"),
        ("a b c", "the second"),
        ("b a", "joined"),
        ("日本 語", "the first"),
    ] {
        let merges = strings(&["a b", merge]);
        is(error(Vocabulary { merges: Some(&merges), ..good.clone() }), &["merges[1] is", problem]);
    }
    let long = strings(&["a", &"é".repeat(100_000), "ab", "<s>"]);
    let types = [1, 6, 1, 1];
    let message = error(Vocabulary { tokens: &long, types: Some(&types), merges: Some(&[]), ..good.clone() });
    assert!(message.len() < 500, "{} bytes", message.len());
    let llama = Vocabulary { model: "llama", scores: Some(&[0.0, f32::NAN, 0.0, 0.0]), ..good };
    is(error(llama), &["scores[1]", "not a number"]);
}

#[test]
fn holes_in_a_vocabulary_and_ids_outside_of_it_do_no_harm() {
    let tokens = strings(&["", "a", "", "<0x41>", "<|im_end|>"]);
    let tokenizer = Tokenizer::from_vocabulary(&Vocabulary {
        model: "gpt2",
        pre: None,
        tokens: &tokens,
        types: Some(&[3, 1, 4, 6, 1]),
        merges: Some(&[]),
        ..Vocabulary::default()
    })
    .unwrap();
    assert_eq!(encode(&tokenizer, "a<|im_end|>Aa"), [1, 4, 1]);
    assert_eq!(tokenizer.decode(&[0, 1, 2, 3, 4, 5, u32::MAX]), "aA");
    assert_eq!((tokenizer.token_text(5), tokenizer.is_end(5), tokenizer.is_control(u32::MAX)), ("", false, false));
    assert!(tokenizer.is_end(4) && tokenizer.is_control(4), "known by its name");
    assert_eq!(tokenizer.bos(), None);
}

#[test]
fn a_character_that_cannot_be_expressed_is_an_error_without_an_unknown_token() {
    let tokens = strings(&["\u{2581}", "a"]);
    let mut vocabulary = Vocabulary { model: "llama", tokens: &tokens, types: Some(&[1, 1]), ..Vocabulary::default() };
    vocabulary.unknown = Some(0);
    let with_unknown = Tokenizer::from_vocabulary(&vocabulary).unwrap();
    assert_eq!(with_unknown.encode("a?", SpecialTokens::Parse, Bos::Never).unwrap(), [0, 1, 0]);
}
