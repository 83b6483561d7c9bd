//! The ends of every number's range, and other servers' ways to say "the default".

use parkade_core::EngineConfig;
use parkade_server::ServerConfig;
use serde_json::{Value, json};

use crate::support::{Answer, CHAT, COMPLETIONS, api, post, state_over};

/// The tiny model's context in tokens.
const CONTEXT: u64 = 512;

fn chat(members: Value) -> Value {
    with(json!({"messages": [{"role": "user", "content": "ab"}], "max_tokens": 3, "ignore_eos": true}), members)
}

fn text(members: Value) -> Value {
    with(json!({"prompt": "ab", "max_tokens": 3, "ignore_eos": true}), members)
}

fn with(mut body: Value, members: Value) -> Value {
    body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    body
}

fn said(answer: &Answer) -> (String, String, u64) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let choice = &body["choices"][0];
    let text = choice["text"].as_str().or(choice["message"]["content"].as_str()).expect("text");
    let reason = choice["finish_reason"].as_str().expect("a reason");
    (text.to_owned(), reason.to_owned(), body["usage"]["completion_tokens"].as_u64().expect("a count"))
}

fn ends_of_further_samplers() -> Vec<Value> {
    vec![
        json!({"logit_bias": [[5, -100], [6, false], ["ab", 1.5]]}),
        json!({"logit_bias": {"ab": false}}),
        json!({"top_n_sigma": -1}),
        json!({"top_n_sigma": 1e-45}),
        json!({"top_n_sigma": 100}),
        json!({"xtc_probability": 1, "xtc_threshold": 0}),
        json!({"xtc_probability": 0, "xtc_threshold": 1}),
        json!({"dry_multiplier": 100, "dry_base": 10, "dry_allowed_length": 0, "dry_penalty_last_n": -1}),
        json!({"dry_multiplier": -1}),
        json!({"dry_multiplier": 1, "dry_base": 1, "dry_allowed_length": u64::MAX, "dry_penalty_last_n": 0}),
        json!({"dry_multiplier": 1, "dry_sequence_breakers": []}),
        json!({"dry_multiplier": 1, "dry_sequence_breakers": ["\n", "ab ab", "a"]}),
        json!({"repeat_last_n": -1, "repeat_penalty": 1.5}),
        json!({"repeat_last_n": 0, "repeat_penalty": 1.5}),
        json!({"penalty_last_n": 1e30, "presence_penalty": 2}),
        json!({"min_tokens": 0}),
        json!({"min_tokens": 3}),
        json!({"stop_token_ids": []}),
        json!({"allowed_token_ids": []}),
        json!({"allowed_token_ids": [20]}),
        json!({"bad_words": ["a", "b b"]}),
        json!({"skip_special_tokens": false, "include_stop_str_in_output": true}),
    ]
}

#[tokio::test]
async fn both_ends_of_every_range_are_taken() {
    let api = api();
    let ends = [
        json!({"temperature": 0}),
        json!({"temperature": 2}),
        json!({"temperature": 100}),
        json!({"temperature": 1e-45}),
        json!({"top_p": 0}),
        json!({"top_p": 1}),
        json!({"top_p": 1e-45}),
        json!({"top_p": 0.0, "temperature": 2}),
        json!({"top_k": -1}),
        json!({"top_k": 0}),
        json!({"top_k": 1}),
        json!({"top_k": u32::MAX}),
        json!({"min_p": 0}),
        json!({"min_p": 1}),
        json!({"typical_p": 0}),
        json!({"typical_p": 1}),
        json!({"typ_p": 1}),
        json!({"presence_penalty": -2}),
        json!({"presence_penalty": 2.0}),
        json!({"frequency_penalty": -2}),
        json!({"frequency_penalty": 2.0}),
        json!({"repetition_penalty": 1e-38}),
        json!({"repetition_penalty": 1e-45}),
        json!({"repetition_penalty": 1e-300}),
        json!({"temperature": 1e-300}),
        json!({"top_k": 1e30}),
        json!({"logit_bias": []}),
        json!({"best_of": 1.0}),
        json!({"repeat_penalty": 10}),
        json!({"repetition_penalty": 1e-38, "temperature": 2, "typical_p": 0.5, "top_k": 20, "presence_penalty": -2}),
        json!({"logit_bias": {"5": -100, "6": 100}}),
        json!({"logit_bias": {}}),
        json!({"seed": 0}),
        json!({"seed": -1}),
        json!({"seed": i64::MIN}),
        json!({"seed": u64::MAX}),
        json!({"seed": 7.0}),
        json!({"n": 1}),
        json!({"n": 2.0}),
        json!({"max_tokens": 1}),
        json!({"max_tokens": 3.0}),
        json!({"priority": i64::MIN}),
        json!({"priority": i64::MAX}),
        json!({"priority": -1.0}),
        json!({"stop": []}),
        json!({"user": ""}),
        json!({"stream_options": {}}),
        json!({"stream_options": {"include_usage": false}}),
    ];
    for end in ends.into_iter().chain(ends_of_further_samplers()) {
        said(&post(&api, CHAT, &chat(end.clone())).await);
        said(&post(&api, COMPLETIONS, &text(end)).await);
    }
    said(&post(&api, CHAT, &chat(json!({"logprobs": true, "top_logprobs": 0}))).await);
    said(&post(&api, CHAT, &chat(json!({"logprobs": true, "top_logprobs": 20}))).await);
    said(&post(&api, COMPLETIONS, &text(json!({"logprobs": 0}))).await);
    said(&post(&api, COMPLETIONS, &text(json!({"logprobs": 20}))).await);
}

#[tokio::test]
async fn null_is_as_good_as_absent_for_every_field() {
    const FIELDS: &[&str] = &[
        "model",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "typical_p",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
        "seed",
        "n",
        "stop",
        "stream",
        "stream_options",
        "user",
        "service_tier",
        "priority",
        "ignore_eos",
        "logprobs",
        "top_logprobs",
        "echo",
        "best_of",
        "suffix",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "documents",
        "chat_template_kwargs",
        "add_generation_prompt",
        "response_format",
        "max_completion_tokens",
        "n_predict",
        "metadata",
        "store",
        "functions",
        "function_call",
        "reasoning_effort",
    ];
    let api = api();
    let nulls = Value::Object(FIELDS.iter().map(|field| ((*field).to_owned(), Value::Null)).collect());
    let nulls = with(nulls, json!({"temperature": 0}));
    for (path, plain, nulls) in [
        (CHAT, chat(json!({"temperature": 0})), chat(nulls.clone())),
        (COMPLETIONS, text(json!({"temperature": 0})), text(nulls)),
    ] {
        assert_eq!(said(&post(&api, path, &nulls).await), said(&post(&api, path, &plain).await), "{path}");
    }
    // OpenAI's default of completions, not "no limit".
    let answer = said(&post(&api, COMPLETIONS, &text(json!({"max_tokens": null}))).await);
    assert_eq!(answer.2, 16);
}

#[tokio::test]
async fn a_nucleus_of_nothing_is_the_likeliest_token() {
    let api = api();
    let greedy = said(&post(&api, COMPLETIONS, &text(json!({"temperature": 0, "max_tokens": 20}))).await);
    for seed in 0..3 {
        let nucleus = text(json!({"temperature": 2, "top_p": 0, "seed": seed, "max_tokens": 20}));
        assert_eq!(said(&post(&api, COMPLETIONS, &nucleus).await), greedy);
    }
}

#[tokio::test]
async fn an_answer_longer_than_the_room_is_cut_to_it() {
    let api = api();
    let above = json!(i64::MAX as u64 + 1);
    for most in [json!(-1), json!(-1.0), json!(513), json!(1_000_000), json!(1e12), json!(i64::MAX), above, json!(1e30)]
    {
        for field in ["max_tokens", "max_completion_tokens", "n_predict"] {
            if field != "max_tokens" && most != json!(-1) {
                continue;
            }
            let mut body = chat(json!({"max_tokens": null}));
            body[field] = most.clone();
            let answer = post(&api, CHAT, &body).await;
            let (_, reason, tokens) = said(&answer);
            let prompt = answer.json()["usage"]["prompt_tokens"].as_u64().expect("a count");
            assert_eq!((reason.as_str(), prompt + tokens), ("length", CONTEXT), "{field} {most}");
        }
    }
    // A prompt that leaves room for one token gets one.
    let answer = said(&post(&api, COMPLETIONS, &text(json!({"prompt": vec![18; 511], "max_tokens": 100}))).await);
    assert_eq!((answer.1.as_str(), answer.2), ("length", 1));
}

#[tokio::test]
async fn an_answer_longer_than_the_memory_is_cut_to_it() {
    let (state, _) = crate::support::state_with_memory(20 << 10);
    let api = parkade_server::router(state);
    let answer = post(&api, COMPLETIONS, &text(json!({"max_tokens": 400}))).await;
    let (_, reason, tokens) = said(&answer);
    assert_eq!(reason, "length");
    assert!((1..400).contains(&tokens), "{tokens}");
    let refused = post(&api, COMPLETIONS, &text(json!({"prompt": vec![18; 500], "max_tokens": 1}))).await;
    assert_eq!(refused.error(), (400, Some("prompt".into()), Some("request_too_large".into())));
    assert!(refused.text.contains("reduce the length of the prompt"), "{}", refused.text);
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_refused_in_openais_words() {
    let api = api();
    let refused = post(&api, COMPLETIONS, &text(json!({"prompt": vec![18; 600]}))).await;
    assert!(
        refused.text.contains(
            "This model's maximum context length is 512 tokens. However, you requested 601 tokens (600 in the prompt, 1 in \
             the completion), which exceeds the available context size. Please reduce the length of the prompt or \
             completion."
        ),
        "{}",
        refused.text
    );
    for content in ["a".repeat(2000), "a".repeat(2_000_000)] {
        let refused = post(&api, CHAT, &json!({"messages": [{"role": "user", "content": content}]})).await;
        assert!(refused.text.contains("This model's maximum context length is 512 tokens"), "{}", refused.text);
        assert!(refused.text.contains("Please reduce the length of the messages"), "{}", refused.text);
    }
}

#[tokio::test]
async fn no_answer_at_all_can_be_asked_for() {
    let api = api();
    let (text_of, reason, tokens) = said(&post(&api, COMPLETIONS, &text(json!({"max_tokens": 0}))).await);
    assert_eq!((text_of.as_str(), reason.as_str(), tokens), ("", "length", 0));
}

#[tokio::test]
async fn a_prompt_without_an_answer_may_fill_the_context() {
    let prompt = vec![18; CONTEXT as usize];
    for scheduler in [EngineConfig::default(), lot()] {
        let api = parkade_server::router(state_over(ServerConfig::default(), scheduler).0);
        for (stream, n) in [(false, 1), (false, 2), (true, 1)] {
            let extra =
                json!({"prompt": prompt, "max_tokens": 0, "echo": true, "logprobs": 0, "stream": stream, "n": n});
            let answer = post(&api, COMPLETIONS, &text(extra)).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let bodies = if stream { answer.events().0 } else { vec![answer.json()] };
            let scored = bodies[0]["choices"][0]["logprobs"]["tokens"].as_array().map(Vec::len);
            assert_eq!(scored, Some(CONTEXT as usize));
            assert_eq!(bodies.last().expect("bodies")["choices"][0]["finish_reason"], "length");
            if !stream {
                assert_eq!(bodies[0]["usage"]["completion_tokens"], 0);
            }
        }
    }
}

/// The other scheduler, where there is one.
fn lot() -> EngineConfig {
    #[cfg(feature = "parking-lot-scheduler")]
    let scheduler = parkade_core::SchedulerKind::ParkingLot;
    #[cfg(not(feature = "parking-lot-scheduler"))]
    let scheduler = parkade_core::SchedulerKind::Default;
    EngineConfig { scheduler, ..EngineConfig::default() }
}

#[tokio::test]
async fn an_error_about_a_number_shows_it_as_it_was_sent_and_the_whole_range() {
    let api = api();
    for (body, expected) in [
        (json!({"max_tokens": -2}), "max_tokens is -2; allowed: -1 (no limit) or a whole number, 0 or more"),
        (
            json!({"max_tokens": "2"}),
            "max_tokens is the string '2'; allowed: -1 (no limit) or a whole number, 0 or more",
        ),
        (json!({"top_k": -2}), "top_k is -2; allowed: -1 (no limit) or a whole number, 0 or more"),
        (json!({"n": 129}), "n is 129; allowed: a whole number, 1 to 128"),
        (json!({"seed": 1e30}), "seed is 1e+30; allowed: a whole number, -9223372036854775808 to 18446744073709551615"),
        (json!({"priority": 1e19}), "allowed: a whole number, -9223372036854775808 to 9223372036854775807"),
        (json!({"temperature": 1e300}), "temperature is 1e+300; it must be from 0 to 100"),
        (json!({"repetition_penalty": 0}), "repetition_penalty is 0; it must be above 0 and at most 10"),
        (json!({"prompt": [18, -1]}), "prompt[1] is -1; allowed: a whole number, 0 to "),
        (
            json!({"logit_bias": {"5": 1e300}}),
            "logit_bias['5'] is 1e+300; allowed: a number from -100 to 100, or false",
        ),
        (json!({"logit_bias": {"-1": 1}}), "logit_bias['-1'] names no token; allowed: a token id, or a text"),
    ] {
        let answer = post(&api, COMPLETIONS, &text(body.clone())).await;
        let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400 && message.contains(expected), "{body}: {message}");
    }
    let answer = post(&api, CHAT, &chat(json!({"max_tokens": 0}))).await;
    assert!(answer.text.contains("allowed: -1 (no limit) or a whole number, 1 or more"), "{}", answer.text);
}

#[tokio::test]
async fn a_window_of_no_tokens_turns_the_penalties_off() {
    let api = api();
    let ask = async |members: Value| {
        let body = with(json!({"temperature": 0, "max_tokens": 40}), members);
        said(&post(&api, COMPLETIONS, &text(body)).await).0
    };
    let plain = ask(json!({})).await;
    let penalties = json!({"repeat_penalty": 5, "presence_penalty": 2, "frequency_penalty": 2});
    assert_ne!(ask(penalties.clone()).await, plain);
    for window in ["repeat_last_n", "penalty_last_n"] {
        assert_eq!(ask(with(penalties.clone(), json!({ window: 0 }))).await, plain);
        assert_eq!(ask(with(penalties.clone(), json!({ window: -1 }))).await, ask(penalties.clone()).await);
        assert_eq!(ask(json!({ window: 64 })).await, plain);
    }
}

#[tokio::test]
async fn a_seed_of_minus_one_is_another_one_each_time() {
    let api = api();
    let body = |seed: i64| text(json!({"seed": seed, "temperature": 2, "max_tokens": 40}));
    let (first, second) = (post(&api, COMPLETIONS, &body(-1)).await, post(&api, COMPLETIONS, &body(-1)).await);
    assert_ne!(said(&first).0, said(&second).0);
    let (first, second) = (post(&api, COMPLETIONS, &body(-2)).await, post(&api, COMPLETIONS, &body(-2)).await);
    assert_eq!(said(&first).0, said(&second).0);
}
