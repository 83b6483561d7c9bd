//! Whatever a client sends, the fault is not the server's: no body gives a 5xx, and what is refused has the envelope.

use std::sync::OnceLock;

use axum::Router;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::support::{Answer, CHAT, COMPLETIONS, api, post_raw};

const FIELDS: &[&str] = &[
    "model",
    "messages",
    "prompt",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "repeat_penalty",
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
    "suffix",
    "best_of",
    "tools",
    "tool_choice",
    "documents",
    "chat_template_kwargs",
    "add_generation_prompt",
    "response_format",
    "max_completion_tokens",
    "n_predict",
    "typ_p",
    "role",
    "content",
    "name",
    "tool_calls",
    "type",
    "text",
    "function",
    "arguments",
    "include_usage",
];

/// Any JSON, with a liking for the words of the API.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..10).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3.0..3.0).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        select(vec!["user", "system", "assistant", "tool", "text", "function", "auto", "none", "default", "ab", ""])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(FIELDS).prop_map(str::to_owned), 1 => ".{0,6}", 1 => (0_u32..600).prop_map(|id| id.to_string())]
}

/// A body that is mostly valid, with a few members replaced by anything.
fn any_body() -> impl Strategy<Value = Value> {
    let members = prop::collection::vec((select(FIELDS), any_value()), 0..4);
    // What a valid request may ask for stays small, so that the test ends.
    let length = select(vec![json!(1), json!(2), json!(3), json!(-2), json!("x"), json!(1e30)]);
    (members, length, any::<bool>()).prop_map(|(members, length, with_basics)| {
        let mut body = Map::new();
        if with_basics {
            body.insert("prompt".into(), json!("ab"));
            body.insert("messages".into(), json!([{"role": "user", "content": "ab"}]));
        }
        body.extend(members.into_iter().map(|(field, value)| (field.to_owned(), value)));
        body.remove("max_completion_tokens");
        body.remove("n_predict");
        body.insert("max_tokens".into(), length);
        Value::Object(body)
    })
}

fn send(path: &str, body: Vec<u8>) -> Answer {
    static SHARED: OnceLock<(Runtime, Router)> = OnceLock::new();
    let (runtime, api) = SHARED.get_or_init(|| {
        let runtime = Runtime::new().expect("a runtime");
        let api = api();
        (runtime, api)
    });
    runtime.block_on(post_raw(api, path, body))
}

fn check(path: &str, body: Vec<u8>) -> Result<(), TestCaseError> {
    let answer = send(path, body);
    let status = answer.status.as_u16();
    prop_assert!(status == 200 || status == 400 || status == 404, "{status}: {}", answer.text);
    if status != 200 {
        answer.error();
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_json_is_the_servers_fault(path in select(vec![CHAT, COMPLETIONS]), body in any_body()) {
        check(path, body.to_string().into_bytes())?;
    }

    #[test]
    fn no_value_is_the_servers_fault(path in select(vec![CHAT, COMPLETIONS]), body in any_value()) {
        // Bodies that are objects could ask for long answers.
        prop_assume!(!body.is_object());
        check(path, body.to_string().into_bytes())?;
    }

    #[test]
    fn no_bytes_are_the_servers_fault(path in select(vec![CHAT, COMPLETIONS]), body in prop::collection::vec(any::<u8>(), 0..200)) {
        check(path, body)?;
    }
}
