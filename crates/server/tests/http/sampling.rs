//! Fields that say which tokens may come, and where an answer ends.

use serde_json::{Value, json};

use crate::support::{Answer, CHAT, COMPLETIONS, api, post};

fn text(members: Value) -> Value {
    let mut body = json!({"prompt": "ab", "max_tokens": 24, "seed": 5, "ignore_eos": true});
    body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    body
}

fn said(answer: &Answer) -> (String, String, Value) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let choice = answer.json()["choices"][0].clone();
    let text = choice["text"].as_str().expect("text").to_owned();
    (text, choice["finish_reason"].as_str().expect("a reason").to_owned(), choice["stop_reason"].clone())
}

/// What a stream says in all its chunks, and at its end.
fn streamed(answer: &Answer) -> (String, String, Value) {
    let (events, done) = answer.events();
    assert!(done, "{}", answer.text);
    let text = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    let last = &events.last().expect("chunks")["choices"][0];
    (text, last["finish_reason"].as_str().expect("a reason").to_owned(), last["stop_reason"].clone())
}

/// The ids of the letters `a` and `b` in the tiny vocabulary.
async fn letters() -> [u64; 2] {
    let api = api();
    let mut ids = Vec::new();
    for letter in ["a", "b"] {
        // A bias by text falls on the same token as one by id.
        let by_text = post(&api, COMPLETIONS, &text(json!({"logit_bias": {letter: 100}, "max_tokens": 4}))).await;
        assert_eq!(said(&by_text).0, letter.repeat(4));
        let list = json!({"logit_bias": [[letter, 100]], "max_tokens": 4});
        assert_eq!(said(&post(&api, COMPLETIONS, &text(list)).await), said(&by_text));
        for id in 0..100u64 {
            let by_id = post(&api, COMPLETIONS, &text(json!({"logit_bias": [[id, 100]], "max_tokens": 4}))).await;
            if said(&by_id).0 == letter.repeat(4) {
                ids.push(id);
                break;
            }
        }
    }
    ids.try_into().expect("both letters are among the first hundred tokens")
}

#[tokio::test]
async fn only_allowed_tokens_come_and_stop_tokens_end_the_answer() {
    let api = api();
    let [a, b] = letters().await;
    let allowed = json!({"allowed_token_ids": [a, b], "temperature": 2});
    let (both, reason, _) = said(&post(&api, COMPLETIONS, &text(allowed.clone())).await);
    assert!(both.chars().all(|letter| letter == 'a' || letter == 'b') && both.len() == 24, "{both}");
    assert_eq!(reason, "length");
    let end = both.find('b').expect("a b among 24 letters");
    let mut body = allowed.clone();
    body["stop_token_ids"] = json!([b]);
    let stopped = post(&api, COMPLETIONS, &text(body.clone())).await;
    assert_eq!(said(&stopped), (both[..end].to_owned(), "stop".to_owned(), json!(b)));
    body["include_stop_str_in_output"] = json!(true);
    let kept = post(&api, COMPLETIONS, &text(body.clone())).await;
    assert_eq!(said(&kept), (both[..=end].to_owned(), "stop".to_owned(), json!(b)));
    body["stream"] = json!(true);
    assert_eq!(streamed(&post(&api, COMPLETIONS, &text(body)).await), said(&kept));
    let banned = json!({"allowed_token_ids": [a, b], "logit_bias": [["b", false]]});
    assert_eq!(said(&post(&api, COMPLETIONS, &text(banned)).await).0, "a".repeat(24));
    let words = json!({"allowed_token_ids": [a, b], "temperature": 2, "bad_words": ["b"]});
    assert_eq!(said(&post(&api, COMPLETIONS, &text(words)).await).0, "a".repeat(24));
}

#[tokio::test]
async fn a_stop_string_is_kept_if_that_is_asked_for_and_counts_only_after_the_least_length() {
    let api = api();
    let (whole, ..) = said(&post(&api, COMPLETIONS, &text(json!({}))).await);
    let stop = &whole[6..8];
    let at = whole.find(stop).expect("it is there");
    for (keep, end) in [(false, at), (true, at + 2)] {
        let body = json!({"stop": stop, "include_stop_str_in_output": keep, "logprobs": 0});
        let answer = post(&api, COMPLETIONS, &text(body.clone())).await;
        assert_eq!(said(&answer), (whole[..end].to_owned(), "stop".to_owned(), json!(stop)));
        let offsets = answer.json()["choices"][0]["logprobs"]["text_offset"].clone();
        let offsets: Vec<usize> = serde_json::from_value(offsets).expect("numbers");
        assert!(offsets.iter().all(|&offset| offset < end) && offsets.contains(&0), "{offsets:?}");
        let mut body = body;
        body["stream"] = json!(true);
        assert_eq!(streamed(&post(&api, COMPLETIONS, &text(body)).await), said(&answer));
    }
    let late = post(&api, COMPLETIONS, &text(json!({"stop": stop, "min_tokens": 24}))).await;
    assert_eq!(late.json()["usage"]["completion_tokens"], 24);
}

#[tokio::test]
async fn control_tokens_are_spelled_unless_they_are_skipped() {
    let api = api();
    // The unknown token and the first of a text have no text of their own.
    let body = |skip: bool| text(json!({"logit_bias": {"1": 100}, "max_tokens": 3, "skip_special_tokens": skip}));
    let (shown, ..) = said(&post(&api, COMPLETIONS, &body(false)).await);
    let (hidden, ..) = said(&post(&api, COMPLETIONS, &body(true)).await);
    assert_eq!(hidden, "");
    assert!(shown.len() >= 9 && shown == shown[..shown.len() / 3].repeat(3), "{shown}");
    let mut with_logprobs = body(false);
    with_logprobs["logprobs"] = json!(0);
    let logprobs = post(&api, COMPLETIONS, &with_logprobs).await.json()["choices"][0]["logprobs"].clone();
    let step = shown.chars().count() / 3;
    assert_eq!(logprobs["text_offset"], json!([0, step, 2 * step]));
    let chat = json!({"messages": [{"role": "user", "content": "a"}], "logit_bias": {"1": 100}, "max_tokens": 3,
        "ignore_eos": true, "skip_special_tokens": false});
    assert_eq!(post(&api, CHAT, &chat).await.json()["choices"][0]["message"]["content"], shown);
}

#[tokio::test]
async fn samplers_that_look_back_or_draw_twice_give_the_same_answer_to_the_same_seed() {
    let api = api();
    let body = |members: &Value| {
        let mut body = text(members.clone());
        body["logit_bias"] = json!({"a": 5});
        body
    };
    let plain = said(&post(&api, COMPLETIONS, &body(&json!({}))).await);
    for sampler in [
        json!({"dry_multiplier": 50, "dry_allowed_length": 1, "dry_sequence_breakers": ["z"]}),
        json!({"xtc_probability": 1, "xtc_threshold": 0.001}),
        json!({"top_n_sigma": 0.1}),
        json!({"presence_penalty": 2, "repeat_last_n": 4}),
    ] {
        let first = said(&post(&api, COMPLETIONS, &body(&sampler)).await);
        assert_ne!(first, plain, "{sampler} does something");
        assert_eq!(said(&post(&api, COMPLETIONS, &body(&sampler)).await), first);
    }
}
