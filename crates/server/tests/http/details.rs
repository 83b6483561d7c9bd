//! What answers say besides their text if they are asked to: token ids, the prompt's log-probabilities, usage as it grows, timings, and the
//! best of several.

use parkade_core::EngineConfig;
use serde_json::{Value, json};

use crate::support::{Answer, CHAT, COMPLETIONS, api, api_over, post};

fn text(members: Value) -> Value {
    with(json!({"prompt": "ab", "max_tokens": 6, "seed": 5, "ignore_eos": true}), members)
}

fn chat(members: Value) -> Value {
    with(
        json!({"messages": [{"role": "user", "content": "ab"}], "max_tokens": 6, "seed": 5, "ignore_eos": true}),
        members,
    )
}

fn with(mut body: Value, members: Value) -> Value {
    body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    body
}

fn ok(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// The token ids of a choice in all chunks of a stream.
fn streamed(events: &[Value], index: u64) -> Vec<Value> {
    let choices = events.iter().flat_map(|event| event["choices"].as_array().expect("choices"));
    let of_it = choices.filter(|choice| choice["index"] == index);
    of_it.flat_map(|choice| choice["token_ids"].as_array().expect("token ids").clone()).collect()
}

#[tokio::test]
async fn token_ids_are_told_of_prompts_and_answers_whole_and_streamed() {
    let api = api();
    let asked = json!({"return_token_ids": true, "n": 2});
    let body = ok(&post(&api, COMPLETIONS, &text(asked.clone())).await);
    let prompt = body["choices"][0]["prompt_token_ids"].clone();
    assert_eq!(body["usage"]["prompt_tokens"].as_u64(), prompt.as_array().map(|ids| ids.len() as u64));
    assert_eq!(body["choices"][1]["prompt_token_ids"], prompt);
    assert_eq!(body.get("prompt_token_ids"), None);
    let again = ok(&post(&api, COMPLETIONS, &text(json!({ "prompt": prompt, "return_token_ids": true }))).await);
    assert_eq!(again["choices"][0]["token_ids"], body["choices"][0]["token_ids"]);
    let stream = post(&api, COMPLETIONS, &text(with(asked.clone(), json!({"stream": true})))).await;
    let events = stream.events().0;
    for index in 0..2 {
        assert_eq!(json!(streamed(&events, index)), body["choices"][index as usize]["token_ids"]);
    }
    let told = events.iter().filter(|event| event["choices"][0]["prompt_token_ids"] == prompt).count();
    assert_eq!(told, 2, "once for each choice");
    // In a chat the prompt's stand beside the choices.
    let whole = ok(&post(&api, CHAT, &chat(asked.clone())).await);
    assert_eq!(
        whole["prompt_token_ids"].as_array().map(|ids| ids.len() as u64),
        whole["usage"]["prompt_tokens"].as_u64()
    );
    let events = post(&api, CHAT, &chat(with(asked, json!({"stream": true})))).await.events().0;
    for index in 0..2 {
        assert_eq!(json!(streamed(&events, index)), whole["choices"][index as usize]["token_ids"]);
    }
    assert_eq!(events[0]["prompt_token_ids"], whole["prompt_token_ids"]);
    let plain = ok(&post(&api, CHAT, &chat(json!({}))).await);
    assert_eq!((plain.get("prompt_token_ids"), plain["choices"][0].get("token_ids")), (None, None));
}

#[tokio::test]
async fn the_token_that_ends_an_answer_is_among_its_ids() {
    let api = api();
    // 2 is the end of a text; the bias makes it come at once.
    let body = json!({"return_token_ids": true, "ignore_eos": false, "logit_bias": {"2": 100}});
    let answer = ok(&post(&api, COMPLETIONS, &text(body.clone())).await);
    assert_eq!((&answer["choices"][0]["token_ids"], &answer["choices"][0]["text"]), (&json!([2]), &json!("")));
    let events = post(&api, COMPLETIONS, &text(with(body, json!({"stream": true})))).await.events().0;
    assert_eq!(streamed(&events, 0), [json!(2)]);
}

#[tokio::test]
async fn the_prompts_log_probabilities_are_those_of_an_echo() {
    let api = api();
    let prompt = json!([20, 21, 22, 23]);
    let body = ok(&post(&api, COMPLETIONS, &text(json!({ "prompt": prompt, "prompt_logprobs": 2 }))).await);
    let places = body["choices"][0]["prompt_logprobs"].as_array().expect("places").clone();
    assert_eq!((places.len(), &places[0]), (4, &Value::Null));
    let echo = json!({"prompt": prompt, "echo": true, "logprobs": 2});
    let echo = ok(&post(&api, COMPLETIONS, &text(echo)).await);
    for (place, id) in [(1, "21"), (2, "22"), (3, "23")] {
        assert_eq!(places[place][id]["logprob"], echo["choices"][0]["logprobs"]["token_logprobs"][place]);
        let ranked = places[place].as_object().expect("entries").values().filter(|entry| entry["rank"].is_u64());
        assert_eq!(ranked.count(), 2);
        assert!(places[place][id]["decoded_token"].is_string());
    }
    let chat_body = ok(&post(&api, CHAT, &chat(json!({"prompt_logprobs": 0}))).await);
    let count = chat_body["prompt_logprobs"].as_array().map(|places| places.len() as u64);
    assert_eq!(count, chat_body["usage"]["prompt_tokens"].as_u64());
    for (members, param) in [
        (json!({"prompt_logprobs": 1, "stream": true}), "prompt_logprobs"),
        (json!({"prompt_logprobs": 21}), "prompt_logprobs"),
        (json!({"prompt_logprobs": 1, "echo": true, "logprobs": 1}), "prompt_logprobs"),
    ] {
        let answer = post(&api, COMPLETIONS, &text(members)).await;
        assert_eq!((answer.status.as_u16(), answer.error().1.as_deref()), (400, Some(param)), "{}", answer.text);
    }
}

#[tokio::test]
async fn usage_and_timings_grow_with_the_stream() {
    let api = api();
    let asked = json!({
        "stream": true, "timings_per_token": true,
        "stream_options": {"include_usage": true, "continuous_usage_stats": true},
    });
    for (path, body) in [(COMPLETIONS, text(asked.clone())), (CHAT, chat(asked))] {
        let events = post(&api, path, &body).await.events().0;
        let counts: Vec<u64> =
            events.iter().map(|event| event["usage"]["completion_tokens"].as_u64().expect("a count")).collect();
        assert!(counts.is_sorted() && counts.last() == Some(&6), "{path}: {counts:?}");
        let begun = events.iter().filter(|event| event["usage"]["completion_tokens"] != 0);
        assert!(begun.clone().all(|event| event["timings"]["predicted_n"] == event["usage"]["completion_tokens"]));
        assert!(begun.count() >= 6 && events[0]["timings"].is_object() == (path == COMPLETIONS), "{path}");
        let prompts: Vec<&Value> = events.iter().map(|event| &event["usage"]["prompt_tokens"]).collect();
        assert!(prompts.iter().all(|tokens| *tokens == prompts[0] && tokens.as_u64() > Some(0)), "{prompts:?}");
    }
    let plain = json!({"stream": true, "stream_options": {"include_usage": true}});
    let events = post(&api, COMPLETIONS, &text(plain)).await.events().0;
    let (last, before) = events.split_last().expect("events");
    assert!(before.iter().all(|event| event["usage"].is_null() && event.get("timings").is_none()));
    assert_eq!((&last["timings"]["predicted_n"], &last["usage"]["completion_tokens"]), (&json!(6), &json!(6)));
    assert_eq!(ok(&post(&api, COMPLETIONS, &text(json!({}))).await)["timings"]["predicted_n"], 6);
}

#[tokio::test]
async fn the_best_of_several_answers_are_the_likeliest_ones() {
    let api = api();
    let all = ok(&post(&api, COMPLETIONS, &text(json!({"n": 5, "logprobs": 0}))).await);
    let mean = |choice: &Value| {
        let logprobs: Vec<f64> = serde_json::from_value(choice["logprobs"]["token_logprobs"].clone()).expect("numbers");
        logprobs.iter().sum::<f64>() / logprobs.len() as f64
    };
    let mut choices = all["choices"].as_array().expect("choices").clone();
    choices.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
    let best = ok(&post(&api, COMPLETIONS, &text(json!({"n": 2, "best_of": 5, "return_token_ids": true}))).await);
    let texts: Vec<&Value> =
        best["choices"].as_array().expect("choices").iter().map(|choice| &choice["text"]).collect();
    assert_eq!(texts, [&choices[0]["text"], &choices[1]["text"]]);
    assert_eq!((&best["choices"][0]["index"], &best["choices"][0]["logprobs"]), (&json!(0), &Value::Null));
    assert_eq!(best["choices"][1]["token_ids"].as_array().map(Vec::len), Some(6));
    assert_eq!(best["usage"]["completion_tokens"], 30, "all that was generated counts");
    for (path, body) in [
        (COMPLETIONS, text(json!({"n": 1, "best_of": 2, "stream": true}))),
        (COMPLETIONS, text(json!({"n": 3, "best_of": 2}))),
        (CHAT, chat(json!({"best_of": 2}))),
    ] {
        let answer = post(&api, path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.error().1.as_deref()), (400, Some("best_of")), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_stream_tells_how_much_of_its_prompt_is_computed() {
    let api = api_over(EngineConfig { max_batched_tokens: 16, ..EngineConfig::default() });
    let ids: Vec<u32> = (0..50).map(|at| 20 + at % 9).collect();
    let asked = json!({"return_progress": true, "stream": true});
    let told = |answer: &Answer| -> Vec<Value> {
        let (events, _) = answer.events();
        let told: Vec<Value> = events.iter().map(|event| event["prompt_progress"].clone()).collect();
        let first_token = told.iter().rposition(Value::is_object).map_or(0, |last| last + 1);
        told[..first_token].to_vec()
    };
    let processed = |told: &[Value]| -> Vec<u64> {
        told.iter().map(|event| event["processed"].as_u64().expect("a count")).collect()
    };
    let first = post(&api, COMPLETIONS, &text(with(asked.clone(), json!({ "prompt": ids })))).await;
    let first = told(&first);
    assert_eq!(processed(&first), [0, 16, 32, 48, 50]);
    assert!(first.iter().all(|event| event["total"] == 50 && event["cache"] == 0 && event["time_ms"].is_u64()));
    // What the cache has is there before anything is computed.
    let again = post(&api, "/completion", &text(with(asked.clone(), json!({ "prompt": ids })))).await;
    let again = told(&again);
    assert_eq!(processed(&again), [48, 50]);
    assert!(again.iter().all(|event| event["cache"] == 48));
    let of_chat = told(&post(&api, CHAT, &chat(asked.clone())).await);
    // A chat's stream begins with who speaks.
    let of_chat: Vec<Value> = of_chat.into_iter().skip_while(Value::is_null).collect();
    assert_eq!(of_chat.last().map(|event| event["processed"] == event["total"]), Some(true), "{of_chat:?}");
    // A whole answer comes when all is computed, and a stream that does not ask has nothing of it.
    let whole = ok(&post(&api, COMPLETIONS, &text(json!({"return_progress": true}))).await);
    assert_eq!(whole.get("prompt_progress"), None);
    assert_eq!(told(&post(&api, COMPLETIONS, &text(json!({"stream": true}))).await), Vec::<Value>::new());
}

#[tokio::test]
async fn a_responses_events_tell_of_its_prompt_and_how_fast_it_goes_if_they_are_to() {
    let body = json!({
        "input": "hello", "max_output_tokens": 5, "stream": true, "store": false,
        "return_progress": true, "timings_per_token": true,
    });
    let (events, _) = post(&api(), "/v1/responses", &body).await.events();
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    let progress: Vec<&Value> = events.iter().filter(|event| event.get("prompt_progress").is_some()).collect();
    assert!(!progress.is_empty() && progress.iter().all(|event| event["type"] == "response.in_progress"));
    let deltas = events.iter().filter(|event| event["type"] == "response.output_text.delta");
    assert!(deltas.clone().count() > 0 && deltas.clone().all(|event| event["timings"]["predicted_n"].is_u64()));
    assert_eq!(events.last().map(|event| event["timings"]["prompt_n"].is_u64()), Some(true));
}

#[tokio::test]
async fn a_verbose_answer_has_the_prompt_as_the_model_reads_it() {
    let api = api();
    let verbose = ok(&post(&api, CHAT, &chat(json!({"verbose": true}))).await);
    let prompt = verbose["__verbose"]["prompt"].as_str().expect("text");
    assert!(prompt.contains("user") && prompt.contains("ab") && prompt.ends_with("assistant\n"), "{prompt}");
    for quiet in [json!({}), json!({"verbose": false})] {
        assert_eq!(ok(&post(&api, CHAT, &chat(quiet)).await).get("__verbose"), None);
    }
    let streamed = post(&api, CHAT, &chat(json!({"verbose": true, "stream": true}))).await;
    assert_eq!((streamed.status.as_u16(), streamed.error().1.as_deref()), (400, Some("verbose")));
}

#[tokio::test]
async fn a_chats_tokens_are_counted_without_an_answer() {
    let api = api();
    let messages = json!([{"role": "user", "content": "ab"}]);
    for path in ["/v1/chat/completions/input_tokens", "/chat/completions/input_tokens"] {
        let counted = ok(&post(&api, path, &json!({ "messages": messages })).await);
        assert_eq!(counted["input_tokens"], ok(&post(&api, CHAT, &chat(json!({}))).await)["usage"]["prompt_tokens"]);
    }
    let refused = post(&api, "/v1/chat/completions/input_tokens", &json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.error().1.as_deref()), (400, Some("messages")));
}
