//! `/v1/completions`, whole and streamed.

use serde_json::{Value, json};

use crate::support::{COMPLETIONS, api, post};

fn continue_(prompt: Value, extra: Value) -> Value {
    let mut body = json!({"model": "tiny", "prompt": prompt, "max_tokens": 6, "seed": 7, "ignore_eos": true});
    let members = extra.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    body
}

#[tokio::test]
async fn a_whole_answer_has_openais_shape() {
    let answer = post(&api(), COMPLETIONS, &continue_(json!("hello"), json!({}))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("cmpl-")));
    assert_eq!(body["object"], "text_completion");
    let choice = &body["choices"][0];
    assert!(choice["text"].is_string());
    assert_eq!(choice["index"], 0);
    assert_eq!(choice["logprobs"], Value::Null);
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(body["usage"]["completion_tokens"], 6);
}

#[tokio::test]
async fn the_default_length_is_openais() {
    let body = json!({"prompt": "hello", "ignore_eos": true});
    let answer = post(&api(), COMPLETIONS, &body).await.json();
    assert_eq!(answer["usage"]["completion_tokens"], 16);
}

#[tokio::test]
async fn all_four_forms_of_a_prompt_are_taken() {
    let api = api();
    let text = post(&api, COMPLETIONS, &continue_(json!("ab"), json!({}))).await.json();
    for (prompt, choices) in [(json!(["ab", "cd"]), 2), (json!([18, 19]), 1), (json!([[18, 19], [20]]), 2)] {
        let answer = post(&api, COMPLETIONS, &continue_(prompt.clone(), json!({"n": 2}))).await.json();
        let indices: Vec<_> =
            answer["choices"].as_array().expect("choices").iter().map(|c| c["index"].clone()).collect();
        assert_eq!(indices, (0..choices * 2).map(Value::from).collect::<Vec<_>>(), "{prompt}");
        assert_eq!(answer["usage"]["completion_tokens"], 6 * 2 * choices, "{prompt}");
    }
    // The first of several prompts is answered as if it were alone.
    let both = post(&api, COMPLETIONS, &continue_(json!(["ab", "cd"]), json!({}))).await.json();
    assert_eq!(both["choices"][0]["text"], text["choices"][0]["text"]);
}

#[tokio::test]
async fn an_echo_puts_the_prompt_first_whole_and_streamed() {
    let api = api();
    for prompt in [json!("hello"), json!([18, 19, 20])] {
        let plain = post(&api, COMPLETIONS, &continue_(prompt.clone(), json!({}))).await.json();
        let echoed = post(&api, COMPLETIONS, &continue_(prompt.clone(), json!({"echo": true}))).await.json();
        let prefix = prompt.as_str().unwrap_or("abc");
        let expected = format!("{prefix}{}", plain["choices"][0]["text"].as_str().expect("text"));
        assert_eq!(echoed["choices"][0]["text"], expected);
        let streamed = post(&api, COMPLETIONS, &continue_(prompt, json!({"echo": true, "stream": true}))).await;
        let (events, done) = streamed.events();
        assert!(done);
        let text: String = events.iter().filter_map(|e| e["choices"][0]["text"].as_str()).collect();
        assert_eq!(text, expected);
        assert_eq!(events.last().expect("events")["choices"][0]["finish_reason"], "length");
        assert!(events.iter().all(|event| event["object"] == "text_completion"));
    }
}

/// Four lists of equal length, whose offsets point at the tokens' text.
fn check_logprobs(choice: &Value) -> Value {
    let text = choice["text"].as_str().expect("text");
    let logprobs = &choice["logprobs"];
    let list = |name: &str| logprobs[name].as_array().unwrap_or_else(|| panic!("no {name}: {choice}"));
    let tokens = list("tokens");
    for name in ["token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(list(name).len(), tokens.len(), "{name}");
    }
    for (token, offset) in tokens.iter().zip(list("text_offset")) {
        let token = token.as_str().expect("text");
        let rest: String = text.chars().skip(offset.as_u64().expect("an offset") as usize).collect();
        // In an answer control tokens have a name and no text.
        assert!(rest.starts_with(token) || token.starts_with("<|c"), "{token:?} at {offset} of {text:?}");
    }
    logprobs.clone()
}

#[tokio::test]
async fn logprobs_are_four_lists_that_match_the_text() {
    let body = continue_(json!("hello"), json!({"logprobs": 2, "logit_bias": {"2": -100}}));
    let answer = post(&api(), COMPLETIONS, &body).await.json();
    let logprobs = check_logprobs(&answer["choices"][0]);
    assert_eq!(logprobs["tokens"].as_array().map(Vec::len), Some(6));
    for (i, top) in logprobs["top_logprobs"].as_array().expect("a list").iter().enumerate() {
        let top = top.as_object().expect("a map");
        assert!((2..=3).contains(&top.len()), "{top:?}");
        let chosen = logprobs["tokens"][i].as_str().expect("text");
        assert_eq!(top[chosen], logprobs["token_logprobs"][i]);
    }
}

#[tokio::test]
async fn an_echo_with_logprobs_scores_the_prompt() {
    let api = api();
    let with = |stream: bool| continue_(json!("hello"), json!({"echo": true, "logprobs": 1, "stream": stream}));
    let answer = post(&api, COMPLETIONS, &with(false)).await.json();
    let whole = check_logprobs(&answer["choices"][0]);
    assert_eq!(whole["token_logprobs"][0], Value::Null);
    assert_eq!(whole["top_logprobs"][0], Value::Null);
    assert!(whole["token_logprobs"][1].is_f64());
    let prompt = answer["usage"]["prompt_tokens"].as_u64().expect("a count") as usize;
    assert_eq!(whole["tokens"].as_array().map(Vec::len), Some(prompt + 6));
    let (events, _) = post(&api, COMPLETIONS, &with(true)).await.events();
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        let lists = events.iter().filter_map(|event| event["choices"][0]["logprobs"][name].as_array());
        let streamed: Vec<Value> = lists.flatten().cloned().collect();
        assert_eq!(Value::from(streamed), whole[name], "{name}");
    }
}

#[tokio::test]
async fn positions_are_positions_in_the_text_whatever_the_prompt_is() {
    let api = api();
    for prompt in
        [json!([0, 1, 18, 2, 19]), json!([0]), json!("ab cd"), json!([[0, 0, 18], [1], [19, 20]]), json!(["ab", "c"])]
    {
        let with = |stream: bool| {
            let extra = json!({"echo": true, "logprobs": 0, "n": 2, "temperature": 1, "stream": stream});
            continue_(prompt.clone(), extra)
        };
        let whole = post(&api, COMPLETIONS, &with(false)).await;
        assert_eq!(whole.status, 200, "{}", whole.text);
        let (events, _) = post(&api, COMPLETIONS, &with(true)).await.events();
        for choice in whole.json()["choices"].as_array().expect("choices") {
            let logprobs = check_logprobs(choice);
            assert_eq!(logprobs["text_offset"][0], 0, "{choice}");
            let own = || events.iter().filter(|event| event["choices"][0]["index"] == choice["index"]);
            let text: String = own().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
            assert_eq!(text, choice["text"].as_str().expect("text"));
            for name in ["tokens", "text_offset", "token_logprobs"] {
                let lists = own().filter_map(|event| event["choices"][0]["logprobs"][name].as_array());
                let streamed: Vec<Value> = lists.flatten().cloned().collect();
                assert_eq!(Value::from(streamed), logprobs[name], "{name} of {prompt}");
            }
        }
    }
}

#[tokio::test]
async fn control_tokens_of_a_prompt_of_ids_are_spelled_in_its_echo() {
    let answer =
        post(&api(), COMPLETIONS, &continue_(json!([1, 18]), json!({"echo": true, "logprobs": 0}))).await.json();
    let choice = &answer["choices"][0];
    let name = choice["logprobs"]["tokens"][0].as_str().expect("a name");
    assert!(!name.is_empty());
    assert!(choice["text"].as_str().is_some_and(|text| text.starts_with(&format!("{name}a"))), "{choice}");
    assert_eq!(choice["logprobs"]["text_offset"][1], name.chars().count());
}

#[tokio::test]
async fn a_prompt_alone_can_be_scored() {
    let api = api();
    for stream in [false, true] {
        let extra = json!({"echo": true, "logprobs": 1, "max_tokens": 0, "stream": stream});
        let answer = post(&api, COMPLETIONS, &continue_(json!("hello"), extra)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let bodies = if stream { answer.events().0 } else { vec![answer.json()] };
        let text: String = bodies.iter().filter_map(|body| body["choices"][0]["text"].as_str()).collect();
        assert_eq!(text, "hello");
        assert_eq!(bodies.last().expect("bodies")["choices"][0]["finish_reason"], "length");
        check_logprobs(&bodies[0]["choices"][0]);
        if !stream {
            assert_eq!(bodies[0]["usage"]["completion_tokens"], 0);
        }
    }
}

#[tokio::test]
async fn a_stream_of_several_prompts_says_the_same_as_whole_answers() {
    let api = api();
    let prompt = json!(["ab", "cd", "ef"]);
    let whole = post(&api, COMPLETIONS, &continue_(prompt.clone(), json!({"n": 2}))).await.json();
    let options = json!({"n": 2, "stream": true, "stream_options": {"include_usage": true}});
    let (events, done) = post(&api, COMPLETIONS, &continue_(prompt, options)).await.events();
    assert!(done);
    for choice in whole["choices"].as_array().expect("choices") {
        let own = events.iter().filter(|event| event["choices"][0]["index"] == choice["index"]);
        let text: String = own.filter_map(|event| event["choices"][0]["text"].as_str()).collect();
        assert_eq!(text, choice["text"].as_str().expect("text"));
    }
    let usage = &events.last().expect("events")["usage"];
    assert_eq!(usage["completion_tokens"], whole["usage"]["completion_tokens"]);
    assert_eq!(usage["prompt_tokens"], whole["usage"]["prompt_tokens"]);
}

#[tokio::test]
async fn one_bad_prompt_among_several_refuses_all_and_leaves_nothing_behind() {
    let (state, engine) = crate::support::state_with(parkade_server::ServerConfig::default());
    let api = parkade_server::router(state);
    let answer = post(&api, COMPLETIONS, &continue_(json!(["ab", "a".repeat(2000)]), json!({"max_tokens": 400}))).await;
    assert_eq!(answer.error(), (400, Some("prompt".into()), Some("context_length_exceeded".into())));
    let until = std::time::Instant::now() + crate::support::PATIENCE;
    while engine.snapshot().requests.running + engine.snapshot().requests.waiting > 0 {
        assert!(std::time::Instant::now() < until, "{:?}", engine.snapshot());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
