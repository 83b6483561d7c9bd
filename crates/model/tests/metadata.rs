//! The tokenizer's and the chat template's metadata: what is needed must be right, and what is not refuses no model.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, in its helpers too")]

use parkade_model::chat_template::ChatTemplate;
use parkade_model::gguf::write::GgufWriter;
use parkade_model::gguf::{self, Gguf};
use parkade_model::tokenizer::{Bos, SpecialTokens, Tokenizer, Vocabulary};
use parkade_model::{Prompt, TokenId};

fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<TokenId> {
    tokenizer.encode(text, SpecialTokens::Parse, Bos::AsModel).unwrap()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A file with a small vocabulary of the default model's kind.
fn small_gguf(extra: &[(&str, gguf::Value)]) -> Gguf {
    let mut writer = GgufWriter::new();
    writer.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", "gpt-2");
    writer.set("tokenizer.ggml.tokens", gguf::Array::Str(strings(&["a", "b", "ab", "<s>"])));
    writer.set("tokenizer.ggml.token_type", gguf::Array::I32(vec![1, 1, 1, 3]));
    writer.set("tokenizer.ggml.merges", gguf::Array::Str(strings(&["a b"])));
    extra.iter().for_each(|(key, value)| {
        writer.set(key, value.clone());
    });
    let mut file = Vec::new();
    writer.write(&mut file, |_| Ok(Vec::new())).unwrap();
    Gguf::from_bytes(file).unwrap()
}

#[test]
fn special_ids_that_name_no_token_are_warnings_and_count_as_missing() {
    let keys = [
        "bos",
        "eos",
        "unknown",
        "eot",
        "eom",
        "padding",
        "separator",
        "seperator",
        "mask",
        "cls",
        "fim_pad",
        "fim_rep",
        "fim_sep",
        "fim_pre",
        "fim_suf",
        "fim_mid",
        "prefix",
        "suffix",
        "middle",
    ];
    let none: [gguf::Value; 8] = [
        4u32.into(),
        u32::MAX.into(),
        (-1i32).into(),
        (-1i64).into(),
        u64::MAX.into(),
        1.5f32.into(),
        "3".into(),
        true.into(),
    ];
    let plain = Tokenizer::from_gguf(&small_gguf(&[])).unwrap();
    assert!(plain.warnings().is_empty(), "{:?}", plain.warnings());
    for name in keys {
        let key = format!("tokenizer.ggml.{name}_token_id");
        for value in &none {
            let tokenizer = Tokenizer::from_gguf(&small_gguf(&[(&key, value.clone())])).unwrap();
            let [warning] = tokenizer.warnings() else { panic!("{key} {value}: {:?}", tokenizer.warnings()) };
            assert!(warning.contains(&key) && warning.contains("it counts as missing"), "{warning}");
            assert_eq!((tokenizer.bos(), tokenizer.eos()), (None, None));
            assert!((0..4).all(|id| !tokenizer.is_end(id)));
            assert_eq!(encode(&tokenizer, "ab<s>ba"), [2, 3, 1, 0]);
        }
        let right = Tokenizer::from_gguf(&small_gguf(&[(&key, 3u64.into())])).unwrap();
        assert!(right.warnings().is_empty(), "any type that fits: {:?}", right.warnings());
    }
    let flags = [("tokenizer.ggml.bos_token_id", 3u32.into()), ("tokenizer.ggml.add_bos_token", 1u8.into())];
    assert_eq!(encode(&Tokenizer::from_gguf(&small_gguf(&flags)).unwrap(), "a"), [3, 0]);
}

#[test]
fn a_flag_for_a_token_that_is_not_named_counts_as_false() {
    for (flag, key) in [("add_bos_token", "bos_token_id"), ("add_eos_token", "eos_token_id")] {
        let (flag, key) = (format!("tokenizer.ggml.{flag}"), format!("tokenizer.ggml.{key}"));
        let tokenizer = Tokenizer::from_gguf(&small_gguf(&[(&flag, true.into())])).unwrap();
        let expected = format!("{flag} is true, but {key} names no token; it counts as false");
        assert_eq!((tokenizer.warnings(), encode(&tokenizer, "a")), (&[expected][..], vec![0]));
        let odd = Tokenizer::from_gguf(&small_gguf(&[(&flag, "yes".into())])).unwrap();
        assert!(odd.warnings()[0].contains(&flag) && encode(&odd, "a") == [0], "{:?}", odd.warnings());
    }
    // Llama's vocabularies have their places for them: a wrong id leaves these.
    let data = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sentencepiece.json")).unwrap();
    let case = &serde_json::from_slice::<serde_json::Value>(&data).unwrap()["llama"];
    let tokens: Vec<String> = serde_json::from_value(case["tokens"].clone()).unwrap();
    let vocabulary = Vocabulary { model: "llama", tokens: &tokens, bos: Some(u32::MAX), ..Vocabulary::default() };
    let tokenizer = Tokenizer::from_vocabulary(&vocabulary).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.warnings().len()), (Some(1), Some(2), 1));
}

/// As llama.cpp and Hugging Face's tokenizers do for a text that is a prompt, and nobody for one that a chat template wrote.
#[test]
fn eos_goes_behind_a_text_if_the_file_asks_for_it_and_never_behind_a_chat() {
    let key = "tokenizer.ggml.add_eos_token";
    for (flag, expected) in [(true, vec![0, 3]), (false, vec![0])] {
        let file = small_gguf(&[("tokenizer.ggml.eos_token_id", 3u32.into()), (key, flag.into())]);
        let tokenizer = Tokenizer::from_gguf(&file).unwrap();
        assert_eq!(encode(&tokenizer, "a"), expected);
        assert_eq!(tokenizer.encode("a", SpecialTokens::Parse, Bos::Never).unwrap(), [0]);
        assert_eq!(tokenizer.encode_prompt(&Prompt::from_template("a")).unwrap(), [0]);
    }
}

/// A value of each type that a file can have.
fn any_value() -> [gguf::Value; 8] {
    let array = gguf::Array::Str(strings(&["a"]));
    let numbers = gguf::Array::F32(vec![1.0]);
    [7u32.into(), (-7i64).into(), 2.5f32.into(), true.into(), "text".into(), array.into(), numbers.into(), 1u8.into()]
}

#[test]
fn hints_of_any_type_are_taken_or_warned_of_and_refuse_no_model() {
    let hints = [
        "tokenizer.chat_template",
        "tokenizer.chat_template.tool_use",
        "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.padding_token_id",
        "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.add_eos_token",
        "tokenizer.ggml.add_space_prefix",
        // Of the other kind of vocabulary, or of nobody.
        "tokenizer.ggml.scores",
        "tokenizer.ggml.precompiled_charsmap",
        "general.name",
        "general.file_type",
    ];
    for key in hints {
        for value in any_value() {
            let file = small_gguf(&[(key, value.clone())]);
            let tokenizer = Tokenizer::from_gguf(&file).unwrap_or_else(|error| panic!("{key} {value}: {error}"));
            assert!(tokenizer.warnings().iter().all(|warning| warning.contains(key)), "{:?}", tokenizer.warnings());
            assert!(!encode(&tokenizer, "ab").is_empty());
            let template = ChatTemplate::from_gguf(&file, &tokenizer).unwrap();
            let is_template = key.contains("chat_template") && matches!(value, gguf::Value::Str(_));
            assert_eq!(template.is_some(), is_template, "{key} {value}");
            assert!(is_template || !key.contains("chat_template") || tokenizer.warnings().len() == 1, "{key} {value}");
        }
    }
}

#[test]
fn a_template_that_is_no_text_is_warned_of_and_the_others_stay() {
    let file = small_gguf(&[
        ("tokenizer.chat_template", gguf::Array::Str(strings(&["{{ x }}"])).into()),
        ("tokenizer.chat_template.tool_use", "{{ messages }}".into()),
    ]);
    let tokenizer = Tokenizer::from_gguf(&file).unwrap();
    let [warning] = tokenizer.warnings() else { panic!("{:?}", tokenizer.warnings()) };
    assert!(warning.starts_with("metadata key 'tokenizer.chat_template'"), "{warning}");
    assert!(warning.contains("expected a string") && warning.ends_with("it counts as missing"), "{warning}");
    let template = ChatTemplate::from_gguf(&file, &tokenizer).unwrap().unwrap();
    assert!(template.uses(false).is_err() && template.uses(true).is_ok());
}

#[test]
fn what_a_vocabulary_needs_stays_an_error() {
    for (key, value) in [
        ("tokenizer.ggml.tokens", gguf::Value::from(1u32)),
        ("tokenizer.ggml.tokens", gguf::Array::Str(Vec::new()).into()),
        ("tokenizer.ggml.merges", "a b".into()),
        ("tokenizer.ggml.token_type", gguf::Array::F32(vec![1.0; 4]).into()),
        ("tokenizer.ggml.pre", 7u32.into()),
        ("tokenizer.ggml.model", 7u32.into()),
    ] {
        let error = Tokenizer::from_gguf(&small_gguf(&[(key, value)])).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}
