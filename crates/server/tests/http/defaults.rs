//! What an operator wants of requests that do not say, and under which names the model answers.

use axum::Router;
use parkade_core::EngineConfig;
use parkade_model::chat_template::ChatTemplate;
use parkade_server::{AppState, Defaults, ModelEntry, ServerConfig, router};
use serde_json::{Value, json};

use crate::support::{CHAT, COMPLETIONS, get, model_with, post};

fn api_of(model: ModelEntry) -> Router {
    let state = AppState::new(ServerConfig::default()).expect("valid limits");
    state.set_model(model);
    router(state)
}

fn api_with(defaults: Defaults) -> Router {
    api_of(model_with(EngineConfig::default()).with_defaults(defaults))
}

async fn ok(api: &Router, path: &str, body: &Value) -> Value {
    let answer = post(api, path, body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

#[tokio::test]
async fn what_a_request_leaves_out_is_the_operators_to_say_in_every_api() {
    let defaults =
        Defaults { temperature: Some(0.5), top_k: Some(9), seed: Some(7), max_tokens: Some(5), ..Defaults::default() };
    let (own, plain) = (api_with(defaults), api_with(Defaults::default()));
    let said = json!({"temperature": 0.5, "top_k": 9, "seed": 7, "max_tokens": 5, "ignore_eos": true});
    let with = |body: &Value, members: &Value| {
        let mut body = body.clone();
        body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        body
    };
    let messages = json!([{"role": "user", "content": "hello"}]);
    for (path, body, answer, least) in [
        (CHAT, json!({"messages": messages}), "/choices/0/message/content", json!({"ignore_eos": true})),
        (COMPLETIONS, json!({"prompt": "ab"}), "/choices/0/text", json!({"ignore_eos": true})),
    ] {
        let left_out = ok(&own, path, &with(&body, &least)).await;
        let all_said = ok(&plain, path, &with(&body, &said)).await;
        assert!(left_out.pointer(answer).is_some_and(Value::is_string), "{left_out}");
        assert_eq!(left_out.pointer(answer), all_said.pointer(answer), "{path}");
        assert_eq!(left_out["usage"]["completion_tokens"], 5, "{path}");
        // What is said holds.
        let longer = ok(&own, path, &with(&with(&body, &least), &json!({"max_tokens": 7}))).await;
        assert_eq!(longer["usage"]["completion_tokens"], 7, "{path}");
    }
    let settings = ok(&own, "/completion", &json!({"prompt": "ab", "ignore_eos": true})).await;
    let settings = &settings["generation_settings"];
    assert_eq!((&settings["temperature"], &settings["top_k"]), (&json!(0.5), &json!(9)));
    assert_eq!((&settings["seed"], &settings["n_predict"]), (&json!(7), &json!(5)));
    // The rest is as the API has it.
    assert_eq!(settings["min_p"], 0.05);
    let drawn = ok(&own, "/completion", &json!({"prompt": "ab", "seed": -1})).await;
    assert_eq!(drawn["generation_settings"]["seed"], u32::MAX);
    let props = get(&own, "/props").await.json();
    assert_eq!(props["default_generation_settings"]["params"]["seed"], 7);
    let response = ok(&own, "/v1/responses", &json!({"input": "hello", "store": false})).await;
    assert!(response["usage"]["output_tokens"].as_u64().is_some_and(|tokens| tokens <= 5), "{response}");
}

#[test]
fn a_default_that_no_sampler_takes_is_named() {
    let wrong = Defaults { top_p: Some(1.5), ..Defaults::default() }.validate().expect_err("out of range");
    assert_eq!((wrong.field, wrong.value.as_str()), ("top_p", "1.5"));
    assert_eq!(Defaults { temperature: Some(0.0), seed: Some(1), ..Defaults::default() }.validate(), Ok(()));
}

/// The prompt that a body makes.
async fn prompt(api: &Router, body: Value) -> String {
    ok(api, "/apply-template", &body).await["prompt"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn whether_a_model_thinks_is_the_operators_to_say_where_the_request_does_not() {
    const THINKS: &str = "{% if enable_thinking is not defined %}as usual{% elif enable_thinking %}yes\
        {% else %}no{% endif %}{% for message in messages %}{{ message.content }}{% endfor %}<think></think>";
    let api = |thinking| {
        let mut model = model_with(EngineConfig::default());
        model.template = Some(ChatTemplate::new(THINKS, "", "").expect("the template").into());
        api_of(model.with_defaults(Defaults { thinking, ..Defaults::default() }))
    };
    let asked = |members: Value| {
        let mut body = json!({"messages": [{"role": "user", "content": "?"}]});
        body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        body
    };
    for (thinking, said) in [(None, "as usual?"), (Some(true), "yes?"), (Some(false), "no?")] {
        assert_eq!(prompt(&api(thinking), asked(json!({}))).await.trim_end_matches("<think></think>"), said);
    }
    let off = api(Some(false));
    for (members, said) in [
        (json!({"enable_thinking": true}), "yes?"),
        (json!({"chat_template_kwargs": {"enable_thinking": true}}), "yes?"),
        (json!({"reasoning_effort": "high"}), "as usual?"),
        (json!({"thinking_budget": 5}), "as usual?"),
    ] {
        let prompt = prompt(&off, asked(members.clone())).await;
        assert_eq!(prompt.trim_end_matches("<think></think>"), said, "{members}");
    }
}

#[tokio::test]
async fn the_last_message_of_the_assistant_begins_the_answer_if_the_operator_wants_it() {
    let (own, plain) = (api_with(Defaults { prefill: true, ..Defaults::default() }), api_with(Defaults::default()));
    let messages = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "Sure"}]);
    let body = json!({ "messages": messages });
    assert_eq!(prompt(&own, body.clone()).await, "user\naassistant\nSure");
    assert_eq!(prompt(&plain, body).await, "user\naassistant\nSureassistant\n");
    for members in ["continue_final_message", "add_generation_prompt"] {
        let says_otherwise = json!({"messages": messages, members: members == "add_generation_prompt"});
        assert_eq!(prompt(&own, says_otherwise).await, "user\naassistant\nSureassistant\n", "{members}");
    }
    let alone = json!({"messages": [{"role": "assistant", "content": "Sure"}]});
    assert_eq!(prompt(&own, alone).await, "assistant\nSureassistant\n");
    let twice = json!({"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "assistant", "content": "c"},
    ]});
    let refused = post(&own, CHAT, &twice).await;
    assert_eq!(refused.error(), (400, Some("messages".to_owned()), Some("invalid_value".to_owned())));
    assert!(refused.text.contains("continue_final_message: false"), "{}", refused.text);
}

#[tokio::test]
async fn a_model_answers_to_any_name_if_the_operator_says_so() {
    let named = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        api_of(model_with(EngineConfig::default()).with_given_aliases(&names))
    };
    let body = json!({"model": "gpt-3.5-turbo", "prompt": "a", "max_tokens": 1});
    assert_eq!(post(&named(&["mine"]), COMPLETIONS, &body).await.status, 404);
    for (names, own) in [(&["mine", "*"][..], "mine"), (&["*"][..], "tiny")] {
        let api = named(names);
        assert_eq!(ok(&api, COMPLETIONS, &body).await["model"], own);
        let listed = get(&api, "/v1/models").await.json();
        assert_eq!((&listed["data"][0]["id"], listed["data"].as_array().map(Vec::len)), (&json!(own), Some(1)));
        assert!(!listed.to_string().contains('*'), "it is no name: {listed}");
    }
}

#[tokio::test]
async fn slots_are_told_of_unless_the_operator_keeps_them() {
    let state = AppState::new(ServerConfig { slots: false, ..ServerConfig::default() }).expect("valid limits");
    state.set_model(model_with(EngineConfig::default()));
    let kept = get(&router(state), "/slots").await;
    assert_eq!(kept.error(), (501, None, Some("slots_not_told".to_owned())));
    assert!(kept.text.contains("--slots"), "{}", kept.text);
    assert_eq!(get(&api_with(Defaults::default()), "/slots").await.status, 200);
}
