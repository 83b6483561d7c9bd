//! `/v1/chat/completions`, whole and streamed.

use serde_json::{Value, json};

use crate::support::{CHAT, api, post};

fn hello(extra: Value) -> Value {
    let mut body = json!({
        "model": "tiny", "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 8, "seed": 7, "ignore_eos": true,
    });
    let members = extra.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    body
}

fn text_of(events: &[Value], choice: u64) -> String {
    let choices = events.iter().flat_map(|event| event["choices"].as_array().expect("choices"));
    choices.filter(|c| c["index"] == choice).filter_map(|c| c["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn a_whole_answer_has_openais_shape() {
    let answer = post(&api(), CHAT, &hello(json!({"n": 2}))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-request-id").is_some_and(|id| id.starts_with("req_")));
    assert!(answer.header("x-parkade-queue-ms").is_some_and(|ms| ms.parse::<u64>().is_ok()));
    let body = answer.json();
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "tiny");
    assert!(body["created"].as_u64().is_some_and(|at| at > 1_700_000_000));
    assert!(body["system_fingerprint"].as_str().is_some_and(|f| f.starts_with('b')));
    assert_eq!(body["service_tier"], "default");
    let choices = body["choices"].as_array().expect("choices");
    assert_eq!(choices.len(), 2);
    for (i, choice) in choices.iter().enumerate() {
        assert_eq!(choice["index"], i);
        assert_eq!(choice["message"]["role"], "assistant");
        assert!(choice["message"]["content"].is_string());
        assert_eq!(choice["message"]["refusal"], Value::Null);
        assert_eq!(choice["logprobs"], Value::Null);
        assert_eq!(choice["finish_reason"], "length");
    }
    let usage = &body["usage"];
    let prompt = usage["prompt_tokens"].as_u64().expect("a count");
    assert!(prompt > 0);
    assert_eq!(usage["completion_tokens"], 16);
    assert_eq!(usage["total_tokens"], prompt + 16);
    assert!(usage["prompt_tokens_details"]["cached_tokens"].is_u64());
}

#[tokio::test]
async fn a_stream_has_a_role_first_one_id_a_reason_and_an_end() {
    let answer = post(&api(), CHAT, &hello(json!({"stream": true, "n": 2}))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let (events, done) = answer.events();
    assert!(done, "{}", answer.text);
    for choice in 0..2 {
        let own: Vec<_> = events.iter().filter(|event| event["choices"][0]["index"] == choice).collect();
        let (first, last) = (own[0], own[own.len() - 1]);
        assert_eq!(first["choices"][0]["delta"], json!({"role": "assistant", "content": null}));
        assert_eq!(first["choices"][0]["finish_reason"], Value::Null);
        assert_eq!(last["choices"][0]["delta"], json!({}));
        assert_eq!(last["choices"][0]["finish_reason"], "length");
        assert!(own[1..].iter().all(|event| event["choices"][0]["delta"].get("role").is_none()));
    }
    for event in &events {
        assert_eq!(event["object"], "chat.completion.chunk");
        assert_eq!(event["id"], events[0]["id"]);
        assert_eq!(event["created"], events[0]["created"]);
        assert!(event.get("usage").is_none(), "usage was not asked for: {event}");
    }
}

#[tokio::test]
async fn a_stream_says_the_same_as_a_whole_answer() {
    let api = api();
    let whole = post(&api, CHAT, &hello(json!({"n": 2, "max_tokens": 40}))).await.json();
    let streamed = post(&api, CHAT, &hello(json!({"n": 2, "max_tokens": 40, "stream": true}))).await;
    let (events, _) = streamed.events();
    for choice in 0..2 {
        let text = whole["choices"][choice]["message"]["content"].as_str().expect("text");
        assert_eq!(text_of(&events, choice as u64), text);
    }
}

#[tokio::test]
async fn the_usage_comes_last_when_it_is_asked_for() {
    let body = hello(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let answer = post(&api(), CHAT, &body).await;
    let (events, done) = answer.events();
    assert!(done);
    let (last, before) = events.split_last().expect("events");
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 8);
    assert!(last["usage"]["prompt_tokens_details"]["cached_tokens"].is_u64());
    assert!(before.iter().all(|event| event.get("usage") == Some(&Value::Null)), "{before:?}");
}

#[tokio::test]
async fn logprobs_come_with_each_token_whole_and_streamed() {
    let api = api();
    let with = |stream: bool| hello(json!({"logprobs": true, "top_logprobs": 3, "stream": stream}));
    let whole = post(&api, CHAT, &with(false)).await.json();
    let content = whole["choices"][0]["logprobs"]["content"].as_array().expect("tokens").clone();
    assert_eq!(content.len(), 8);
    for token in &content {
        assert!(token["logprob"].as_f64().is_some_and(|p| p <= 0.0), "{token}");
        assert!(token["bytes"].as_array().is_some_and(|b| !b.is_empty()), "{token}");
        let top = token["top_logprobs"].as_array().expect("alternatives");
        assert_eq!(top.len(), 3);
        let likelihoods: Vec<_> = top.iter().map(|t| t["logprob"].as_f64().expect("a number")).collect();
        assert!(likelihoods.is_sorted_by(|a, b| a >= b), "{likelihoods:?}");
    }
    let (events, _) = post(&api, CHAT, &with(true)).await.events();
    let streamed: Vec<Value> = events
        .iter()
        .filter_map(|event| event["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .cloned()
        .collect();
    assert_eq!(streamed, content);
}

#[tokio::test]
async fn a_seed_gives_the_same_text_and_the_prefix_cache_is_told() {
    let api = api();
    let long = "abcdefgh".repeat(20);
    let body = hello(json!({"messages": [{"role": "user", "content": long}]}));
    let first = post(&api, CHAT, &body).await.json();
    let second = post(&api, CHAT, &body).await.json();
    assert_eq!(first["choices"], second["choices"]);
    assert_ne!(first["id"], second["id"]);
    assert!(second["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().is_some_and(|n| n > 0), "{second}");
}

#[tokio::test]
async fn a_stop_string_ends_the_text_and_is_no_part_of_it() {
    let api = api();
    let whole = post(&api, CHAT, &hello(json!({"max_tokens": 60}))).await.json();
    let text = whole["choices"][0]["message"]["content"].as_str().expect("text").to_owned();
    let stop = &text[10..13];
    let kept = &text[..text.find(stop).expect("a part of it")];
    let body = hello(json!({"max_tokens": 60, "stop": [stop]}));
    let stopped = post(&api, CHAT, &body).await.json();
    assert_eq!(stopped["choices"][0]["message"]["content"], kept);
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    assert_eq!(stopped["choices"][0]["stop_reason"], stop);
    let streamed = post(&api, CHAT, &hello(json!({"max_tokens": 60, "stop": stop, "stream": true}))).await;
    assert_eq!(text_of(&streamed.events().0, 0), kept);
}

#[tokio::test]
async fn tools_and_keywords_reach_the_template() {
    let api = api();
    let count = async |extra: Value| {
        let answer = post(&api, CHAT, &hello(extra)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["usage"]["prompt_tokens"].as_u64().expect("a count")
    };
    let plain = count(json!({})).await;
    let tools = json!([{"type": "function", "function": {"name": "add", "parameters": {}}}]);
    assert!(count(json!({"tools": tools})).await > plain);
    assert_eq!(count(json!({"tools": tools, "tool_choice": "none"})).await, plain);
    assert!(count(json!({"add_generation_prompt": false})).await < plain);
    let refused = post(&api, CHAT, &hello(json!({"chat_template_kwargs": {"raise": true}}))).await;
    assert_eq!(refused.error().0, 400);
    assert!(refused.text.contains("as asked"), "{}", refused.text);
}

#[tokio::test]
async fn a_template_that_fails_is_the_servers_fault_and_is_named_with_its_line() {
    let api = api();
    for (keyword, expected) in [("fail", "has no attribute 'no'"), ("spin", "did not finish within 2000000 steps")] {
        let refused = post(&api, CHAT, &hello(json!({"chat_template_kwargs": {keyword: {"a": 1}}}))).await;
        let error = &refused.json()["error"];
        assert_eq!((refused.status.as_u16(), &error["type"]), (500, &json!("server_error")), "{}", refused.text);
        assert_eq!(error["code"], "chat_template_failed");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(expected) && message.contains("(line 2 of tokenizer.chat_template)"), "{message}");
        assert_eq!(refused.headers["x-should-retry"], "false");
    }
    // Nobody else notices.
    assert_eq!(post(&api, CHAT, &hello(json!({}))).await.status, 200);
}

#[tokio::test]
async fn the_served_tier_is_reported_and_ids_are_taken_over() {
    let api = api();
    for asked in ["auto", "default", "flex", "priority"] {
        let body = hello(json!({"service_tier": asked, "priority": -3, "user": "ada"}));
        // The default scheduler knows no classes.
        assert_eq!(post(&api, CHAT, &body).await.json()["service_tier"], "default", "{asked}");
    }
    let request = axum::http::Request::post(CHAT)
        .header("content-type", "application/json; charset=utf-8")
        .header("x-request-id", "mine-42")
        .header("x-slo-ttft-ms", "60000")
        .header("x-request-timeout-ms", "60000");
    let request = request.body(hello(json!({})).to_string().into()).expect("a request");
    let answer = crate::support::send(&api, request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-request-id"), Some("mine-42"));
}

#[tokio::test]
async fn a_model_is_found_by_its_name_its_aliases_as_default_and_without_a_name() {
    let api = api();
    for name in [json!("tiny"), json!("org/tiny-llama"), json!("default"), Value::Null] {
        let answer = post(&api, CHAT, &hello(json!({"model": name, "max_tokens": 1}))).await;
        assert_eq!(answer.json()["model"], "tiny", "{name}");
    }
}
