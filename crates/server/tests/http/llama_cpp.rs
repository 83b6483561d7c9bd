//! llama.cpp's own paths, and those that it has in common with vLLM.

use std::sync::Arc;

use axum::Router;
use parkade_core::EngineConfig;
use parkade_model::tokenizer::{Tokenizer, Vocabulary};
use parkade_server::{AppState, ServerConfig, router};
use serde_json::{Value, json};

use crate::support::{Answer, COMPLETIONS, api, get, model_with, post};

fn with(mut body: Value, members: &Value) -> Value {
    body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    body
}

fn completion(members: Value) -> Value {
    with(json!({"prompt": "ab", "n_predict": 8, "seed": 3, "ignore_eos": true}), &members)
}

async fn ok(api: &Router, path: &str, body: &Value) -> Value {
    let answer = post(api, path, body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

fn refused(answer: &Answer, param: &str) {
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert_eq!(answer.error().1.as_deref(), Some(param), "{}", answer.text);
}

#[tokio::test]
async fn a_text_becomes_tokens_and_comes_back_in_both_shapes() {
    let api = api();
    let text = "abcdefba";
    let plain = ok(&api, "/tokenize", &json!({"content": text})).await;
    let tokens = plain["tokens"].as_array().expect("tokens").clone();
    assert_eq!(plain.as_object().expect("an object").len(), 1);
    let back = ok(&api, "/detokenize", &json!({"tokens": tokens})).await;
    assert_eq!(back["content"].as_str().map(str::trim), Some(text));
    assert_eq!(back["prompt"], back["content"]);
    let pieces = ok(&api, "/tokenize", &json!({"content": text, "with_pieces": true})).await;
    let ids: Vec<Value> =
        pieces["tokens"].as_array().expect("pieces").iter().map(|piece| piece["id"].clone()).collect();
    assert_eq!(ids, tokens);
    let vllm = ok(&api, "/tokenize", &json!({"prompt": text, "return_token_strs": true})).await;
    let special = ok(&api, "/tokenize", &json!({"content": text, "add_special": true})).await;
    assert_eq!(vllm["tokens"], special["tokens"]);
    assert_eq!(vllm["count"].as_u64(), Some(vllm["tokens"].as_array().expect("tokens").len() as u64));
    assert_eq!(vllm["token_strs"].as_array().map(Vec::len), vllm["tokens"].as_array().map(Vec::len));
    assert_eq!(vllm["max_model_len"], 512);
    let bare = ok(&api, "/tokenize", &json!({"prompt": text, "add_special_tokens": false})).await;
    assert_eq!(bare["tokens"], plain["tokens"]);
    assert_eq!(bare["token_strs"], Value::Null);
}

#[tokio::test]
async fn what_cannot_be_tokenised_or_come_back_is_named() {
    let api = api();
    refused(&post(&api, "/tokenize", &json!({})).await, "content");
    refused(&post(&api, "/tokenize", &json!({"content": "a", "prompt": "a"})).await, "prompt");
    refused(&post(&api, "/tokenize", &json!({"content": ["a"]})).await, "content");
    refused(&post(&api, "/tokenize", &json!({"content": "a".repeat((1 << 20) + 1)})).await, "content");
    refused(&post(&api, "/tokenize", &json!({"prompt": "a", "add_special_tokens": 1})).await, "add_special_tokens");
    refused(&post(&api, "/detokenize", &json!({})).await, "tokens");
    refused(&post(&api, "/detokenize", &json!({"tokens": [1, 99999]})).await, "tokens[1]");
    assert_eq!(post(&api, "/tokenize", &json!({"content": "a", "model": "other"})).await.status, 404);
}

#[tokio::test]
async fn the_template_shows_what_a_chat_would_read() {
    let api = api();
    let messages = json!([{"role": "user", "content": "hi"}]);
    let prompt = ok(&api, "/apply-template", &json!({"messages": messages})).await["prompt"].clone();
    assert_eq!(prompt, "user\nhiassistant\n");
    let open = ok(&api, "/apply-template", &json!({"messages": messages, "add_generation_prompt": false})).await;
    assert_eq!(open["prompt"], "user\nhi");
    let tokens = ok(&api, "/tokenize", &json!({"messages": messages})).await;
    let chat = json!({"messages": messages, "max_tokens": 1});
    let used = ok(&api, "/v1/chat/completions", &chat).await["usage"]["prompt_tokens"].clone();
    assert_eq!(tokens["count"], used);
    refused(&post(&api, "/apply-template", &json!({"messages": 1})).await, "messages");
    let info = get(&api, "/tokenizer_info").await.json();
    assert_eq!(info["vocab_size"], 512);
    assert!(info["bos_token"].is_string() && info["chat_template"].as_str().is_some_and(|text| text.contains("role")));
}

#[tokio::test]
async fn a_completion_has_llama_cpps_shape() {
    let api = api();
    let body = ok(&api, "/completion", &completion(json!({"return_tokens": true}))).await;
    assert_eq!((&body["stop"], &body["stop_type"], &body["truncated"]), (&json!(true), &json!("limit"), &json!(false)));
    assert_eq!((&body["tokens_predicted"], &body["index"]), (&json!(8), &json!(0)));
    assert_eq!(body["tokens"].as_array().map(Vec::len), Some(8));
    assert_eq!(body["timings"]["predicted_n"], 8);
    assert_eq!(body["generation_settings"]["n_predict"], 8);
    assert_eq!(body["generation_settings"]["seed"], 3);
    assert!(body["prompt"].as_str().is_some_and(|prompt| prompt.ends_with("ab")), "{body}");
    assert!(body["has_new_line"].is_boolean() && body["content"].is_string());
    assert_eq!(body.get("completion_probabilities"), None);
    // OpenAI's path with llama.cpp's defaults says the same.
    let same = json!({"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "max_tokens": 8});
    let openai = ok(&api, COMPLETIONS, &with(completion(json!({"n_predict": null})), &same)).await;
    assert_eq!(openai["choices"][0]["text"], body["content"]);
    let stop = body["content"].as_str().expect("text")[3..5].to_owned();
    let stopped = ok(&api, "/completion", &completion(json!({"stop": [stop]}))).await;
    assert_eq!((&stopped["stop_type"], &stopped["stopping_word"]), (&json!("word"), &json!(stop)));
    let endless = ok(&api, "/completion", &completion(json!({"n_predict": -1, "temperature": 0}))).await;
    assert_eq!((&endless["stop_type"], &endless["truncated"]), (&json!("limit"), &json!(true)));
    let fields = json!({"response_fields": ["content", "generation_settings/n_predict", "nothing"]});
    let few = ok(&api, "/completion", &completion(fields)).await;
    assert_eq!(few, json!({"content": body["content"], "generation_settings/n_predict": 8}));
}

#[tokio::test]
async fn probabilities_cover_each_token_whole_and_streamed() {
    let api = api();
    let body = ok(&api, "/completion", &completion(json!({"n_probs": 3}))).await;
    let whole = body["completion_probabilities"].as_array().expect("probabilities").clone();
    assert_eq!(whole.len(), 8);
    for token in &whole {
        assert!(token["id"].is_u64() && token["token"].is_string() && token["bytes"].is_array(), "{token}");
        assert!(token["logprob"].as_f64().is_some_and(|logprob| logprob <= 0.0));
        assert_eq!(token["top_logprobs"].as_array().map(Vec::len), Some(3));
    }
    let answer = post(&api, "/completion", &completion(json!({"n_probs": 3, "stream": true}))).await;
    let (events, done) = answer.events();
    assert!(!done, "llama.cpp's own stream ends with its last event");
    let (last, pieces) = events.split_last().expect("events");
    let text: String = events.iter().filter_map(|event| event["content"].as_str()).collect();
    assert_eq!(json!(text), body["content"]);
    assert_eq!(
        (&last["stop"], &last["stop_type"], &last["tokens_predicted"]),
        (&json!(true), &json!("limit"), &json!(8))
    );
    assert_eq!(last["timings"]["predicted_n"], 8);
    let streamed: Vec<Value> =
        pieces.iter().flat_map(|piece| piece["completion_probabilities"].as_array().expect("some").clone()).collect();
    assert_eq!(streamed, whole);
    assert!(
        pieces.iter().all(|piece| piece["stop"] == false && !piece["tokens"].as_array().expect("tokens").is_empty())
    );
    let timed = post(&api, "/completion", &completion(json!({"timings_per_token": true, "stream": true}))).await;
    assert!(timed.events().0.iter().all(|event| event["timings"]["predicted_n"].is_u64()), "{}", timed.text);
}

#[tokio::test]
async fn probabilities_may_be_those_that_tokens_were_drawn_by() {
    let asked = json!({"n_probs": 5, "post_sampling_probs": true, "top_k": 3, "temperature": 1.5});
    let api = api();
    let body = ok(&api, "/completion", &completion(asked.clone())).await;
    assert_eq!(body["generation_settings"]["post_sampling_probs"], true);
    let tokens = body["completion_probabilities"].as_array().expect("probabilities").clone();
    assert_eq!(tokens.len(), 8);
    for token in &tokens {
        let top = token["top_probs"].as_array().expect("the likeliest");
        let sum: f64 = top.iter().map(|one| one["prob"].as_f64().expect("a probability")).sum();
        assert!((1..=3).contains(&top.len()) && (sum - 1.0).abs() < 1e-3, "three were left: {token}");
        assert!(top.iter().any(|one| one["id"] == token["id"] && one["prob"] == token["prob"]), "{token}");
        assert_eq!((token.get("logprob"), token.get("top_logprobs")), (None, None));
    }
    let greedy = json!({"n_probs": 5, "post_sampling_probs": true, "temperature": 0});
    let certain = ok(&api, "/completion", &completion(greedy)).await;
    let certain = &certain["completion_probabilities"][0];
    assert_eq!((&certain["prob"], certain["top_probs"].as_array().map(Vec::len)), (&json!(1.0), Some(1)));
}

#[tokio::test]
async fn prompts_may_be_texts_tokens_and_both_in_one() {
    let api = api();
    let tokens = ok(&api, "/tokenize", &json!({"content": "ab", "add_special": true})).await["tokens"].clone();
    let single = ok(&api, "/completion", &completion(json!({}))).await["content"].clone();
    assert_eq!(ok(&api, "/completion", &completion(json!({"prompt": tokens}))).await["content"], single);
    let both = ok(&api, "/completion", &completion(json!({"prompt": [tokens, "ab"]}))).await;
    assert_eq!(both.as_array().map(Vec::len), Some(2));
    assert_eq!((&both[0]["content"], &both[1]["content"], &both[1]["index"]), (&single, &single, &json!(1)));
    let one = ok(&api, "/completion", &completion(json!({"prompt": ["ab"]}))).await;
    assert_eq!(one[0]["content"], single, "a list of one gets a list of one");
    let object = json!({"prompt": {"prompt_string": "ab", "multimodal_data": []}});
    assert_eq!(ok(&api, "/completion", &completion(object)).await["content"], single);
    let mixed = ok(&api, "/completion", &completion(json!({"prompt": [20, "ab", 21]}))).await;
    assert!(mixed["content"].is_string());
    for (prompt, param) in [
        (json!([]), "prompt"),
        (json!(5), "prompt"),
        (json!([1, 99999]), "prompt[1]"),
        (json!(["a", {}]), "prompt[1].prompt_string"),
        (json!({"prompt_string": "a", "multimodal_data": ["QUJD"]}), "prompt.multimodal_data"),
        (Value::Null, "prompt"),
    ] {
        refused(&post(&api, "/completion", &completion(json!({ "prompt": prompt }))).await, param);
    }
    for (members, param) in [
        (json!({"n": 2}), "n"),
        (json!({"n_probs": 101}), "n_probs"),
        (json!({"response_fields": [1]}), "response_fields[0]"),
        (json!({"mirostat": 2}), "mirostat"),
        (json!({"return_tokens": 1}), "return_tokens"),
    ] {
        refused(&post(&api, "/completion", &completion(members)).await, param);
    }
}

#[tokio::test]
async fn a_model_without_tokens_for_gaps_says_so() {
    let api = api();
    let gap = json!({"input_prefix": "a", "input_suffix": "b", "n_predict": 4});
    refused(&post(&api, "/infill", &gap).await, "input_prefix");
    refused(&post(&api, "/infill", &json!({"input_prefix": "a"})).await, "input_suffix");
    refused(&post(&api, COMPLETIONS, &json!({"prompt": "a", "suffix": "b"})).await, "suffix");
    refused(&post(&api, COMPLETIONS, &json!({"prompt": "a", "suffix": "b", "echo": true})).await, "suffix");
}

/// The tiny model with words of another one, which fills gaps.
fn filling() -> Router {
    let letters = (b'a'..=b'z').map(|letter| char::from(letter).to_string());
    let marks = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<reponame>", "\u{10a}"];
    let tokens: Vec<String> = marks.map(str::to_owned).into_iter().chain(letters).collect();
    let kinds: Vec<i64> = (0..tokens.len()).map(|id| if id < 4 { 3 } else { 1 }).collect();
    let vocabulary = Vocabulary {
        model: "gpt2",
        pre: Some("default"),
        tokens: &tokens,
        types: Some(&kinds),
        merges: Some(&[]),
        ..Vocabulary::default()
    };
    let mut model = model_with(EngineConfig::default());
    model.tokenizer = Arc::new(Tokenizer::from_vocabulary(&vocabulary).expect("a vocabulary"));
    let state = AppState::new(ServerConfig::default()).expect("valid limits");
    state.set_model(model);
    router(state)
}

#[tokio::test]
async fn a_gap_is_put_between_its_marks() {
    let api = filling();
    let common = json!({"max_tokens": 4, "seed": 1, "temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05});
    // a is 5: prefix, "ab", suffix, "c", middle.
    let by_hand = ok(&api, COMPLETIONS, &with(json!({"prompt": [0, 5, 6, 1, 7, 2]}), &common)).await;
    let suffix = ok(&api, COMPLETIONS, &with(json!({"prompt": "ab", "suffix": "c"}), &common)).await;
    assert_eq!(suffix["choices"][0]["text"], by_hand["choices"][0]["text"]);
    assert_eq!(suffix["usage"]["prompt_tokens"], 6);
    let gap = json!({"input_prefix": "a", "prompt": "b", "input_suffix": "c"});
    let infill = ok(&api, "/infill", &with(gap.clone(), &common)).await;
    assert_eq!(infill["content"], by_hand["choices"][0]["text"]);
    assert_eq!(infill["prompt"], "<fim_prefix>ab<fim_suffix>c<fim_middle>");
    let extra = with(gap.clone(), &json!({"input_extra": [{"filename": "f", "text": "xyz"}]}));
    let prompt = ok(&api, "/infill", &with(extra, &common)).await["prompt"].as_str().expect("text").to_owned();
    assert!(
        prompt.starts_with("<reponame>") && prompt.ends_with("<fim_prefix>ab<fim_suffix>c<fim_middle>"),
        "{prompt}"
    );
    assert!(prompt.contains("xyz"));
    refused(&post(&api, COMPLETIONS, &json!({"prompt": [5], "suffix": "c"})).await, "suffix");
    for bad in [json!({}), json!({"filename": "a"}), json!({"filename": 1, "text": "a"}), json!("a")] {
        let answer = post(&api, "/infill", &with(gap.clone(), &json!({ "input_extra": [bad] }))).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
    // What does not fit is cut where it is farthest from the gap.
    let long = json!({"input_prefix": "a".repeat(2000) + "b", "input_suffix": "c".repeat(2000), "n_predict": 4});
    let prompt = ok(&api, "/infill", &long).await["prompt"].as_str().expect("text").to_owned();
    assert!(prompt.contains("b<fim_suffix>c") && prompt.contains("aaab"), "{prompt}");
    assert!(prompt.matches('a').count() > prompt.matches('c').count());
}

#[tokio::test]
async fn what_the_server_is_like_can_be_asked() {
    let api = api();
    let props = get(&api, "/props").await.json();
    assert_eq!(props["default_generation_settings"]["n_ctx"], 512);
    assert_eq!(
        props["default_generation_settings"]["params"]["temperature"].as_f64().map(|t| (t * 10.0).round()),
        Some(8.0)
    );
    assert!(props["chat_template"].as_str().is_some_and(|text| text.contains("message")));
    let slots = get(&api, "/slots").await.json();
    assert_eq!(slots.as_array().map(Vec::len), props["total_slots"].as_u64().map(|slots| slots as usize));
    assert!(slots.as_array().expect("slots").iter().all(|slot| slot["is_processing"] == false && slot["n_ctx"] == 512));
    let model = get(&api, "/v1/models/tiny").await.json();
    assert_eq!((&model["context_length"], &model["meta"]["n_vocab"]), (&json!(512), &json!(512)));
    assert_eq!(model["capabilities"], json!(["completion", "chat", "tools"]));
}

#[tokio::test]
async fn what_only_openais_completions_read_is_reported_and_not_passed_over() {
    let body = completion(json!({"echo": true, "suffix": "b", "logprobs": 2}));
    let answer = post(&api(), "/completion", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut names: Vec<_> = answer.header("x-parkade-ignored-fields").expect("a header").split(", ").collect();
    names.sort_unstable();
    assert_eq!(names, ["echo", "logprobs", "suffix"]);
    let nothing = completion(json!({"echo": false, "suffix": ""}));
    assert_eq!(post(&api(), "/completion", &nothing).await.header("x-parkade-ignored-fields"), None);
}
