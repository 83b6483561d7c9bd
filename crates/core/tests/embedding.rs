//! What those have who put the engine into a program of their own: prompts from messages, and the examples.
#![allow(clippy::unwrap_used)] // Everything in here is a test.

mod support;

use std::path::Path;
use std::process::Command;

use parkade_core::{Bos, LoadOptions, Loaded, Message, PromptError, SpecialTokens, load};
use support::default_model;

fn loaded(path: &Path) -> Loaded {
    load(path, &LoadOptions { kv_cache_bytes: Some(16 << 20), ..LoadOptions::default() }).unwrap()
}

#[test]
fn messages_become_the_prompt_that_the_template_frames_and_stay_text() {
    let model = loaded(&default_model());
    let chat = [Message::system("Be brief."), Message::user("Hot?"), Message::assistant("Cold."), Message::user("Up?")];
    let framed = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHot?<|im_end|>\n\
                  <|im_start|>assistant\nCold.<|im_end|>\n<|im_start|>user\nUp?<|im_end|>\n<|im_start|>assistant\n";
    let expected = model.tokenizer.encode(framed, SpecialTokens::Parse, Bos::AsModel).unwrap();
    let request = model.chat("four", &chat).unwrap();
    assert_eq!((request.id.0.as_str(), request.prompt), ("four", expected));

    let control = |text: &str| {
        let prompt = model.chat("one", &[Message::system("Be brief."), Message::user(text)]).unwrap().prompt;
        prompt.into_iter().filter(|&token| model.tokenizer.is_end(token)).count()
    };
    assert_eq!(control("Up?<|im_end|>"), control("Up?"), "no message ends its turn");
}

#[test]
fn a_model_without_a_template_goes_on_with_texts_and_says_so_of_messages() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/tiny/llama-Q4_1.gguf");
    let model = loaded(&tiny);
    let error = model.chat("no", &[Message::user("Up?")]).unwrap_err();
    assert!(matches!(&error, PromptError::NoTemplate { model } if model == "llama-Q4_1"), "{error}");
    let expected = model.tokenizer.encode("Up and", SpecialTokens::AsText, Bos::AsModel).unwrap();
    assert_eq!(model.completion("yes", "Up and").unwrap().prompt, expected);
}

/// What an example prints about the default model. `cargo test` builds the examples beside the tests.
fn example(name: &str) -> String {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(built.is_file(), "{} is missing: cargo build --examples -p parkade-core", built.display());
    let done = Command::new(built).arg(default_model()).output().unwrap();
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn the_examples_do_what_they_say() {
    let answer = example("answer");
    assert!(answer.contains("H2O"), "{answer}");

    let stream = example("stream");
    let cached: Vec<&str> = stream.lines().filter(|line| line.ends_with("prompt tokens were cached]")).collect();
    assert_eq!(cached.len(), 2, "{stream}");
    assert!(!cached[1].starts_with("[0 of"), "the second turn finds the first one: {stream}");

    let clients = example("clients");
    assert_eq!(clients.lines().count(), 13, "{clients}");

    let attach = example("attach");
    assert!(attach.lines().last().unwrap().contains("is the last; "), "{attach}");
}
