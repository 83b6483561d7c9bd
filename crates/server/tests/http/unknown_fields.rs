//! What becomes of fields that are not read: refused, reported, or refused by a strict server. None vanishes.

use parkade_server::{ServerConfig, router};
use serde_json::{Value, json};

use crate::support::{Answer, CHAT, COMPLETIONS, api, api_with_template, post, state_with};

const IGNORED: &str = "x-parkade-ignored-fields";

fn chat(members: Value) -> Value {
    with(json!({"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}), members)
}

fn text(members: Value) -> Value {
    with(json!({"prompt": "a", "max_tokens": 1}), members)
}

fn with(mut body: Value, members: Value) -> Value {
    body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    body
}

fn refused(answer: &Answer, param: &str) {
    let expected = (400, Some(param.to_owned()), Some("unsupported_parameter".to_owned()));
    assert_eq!(answer.error(), expected, "{}", answer.text);
}

#[tokio::test]
async fn a_field_that_is_not_known_is_named_in_the_response() {
    let api = api();
    for stream in [false, true] {
        let extra = json!({"temprature": 0.1, "zeta": {}, "stream": stream});
        for (path, body) in [(CHAT, chat(extra.clone())), (COMPLETIONS, text(extra))] {
            let answer = post(&api, path, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let mut names: Vec<_> = answer.header(IGNORED).expect("a header").split(", ").collect();
            names.sort_unstable();
            assert_eq!(names, ["temprature", "zeta"]);
        }
    }
    // What is known, and what asks for nothing, is not reported.
    let known = json!({"store": true, "cache_prompt": false, "nothing": null, "min_tokens": 0, "user": "ada"});
    assert_eq!(post(&api, CHAT, &chat(known)).await.header(IGNORED), None);
    let nested = json!({"stream": true, "stream_options": {"include_usage": true, "foo": 1}});
    assert_eq!(post(&api, CHAT, &chat(nested)).await.header(IGNORED), Some("stream_options.foo"));
}

#[tokio::test]
async fn a_name_of_a_field_can_do_no_harm_in_a_header() {
    let api = api();
    for name in ["a\r\nx-evil: 1", "naïve", "", " ", "\u{0}", &"x".repeat(10_000)] {
        let answer = post(&api, COMPLETIONS, &text(json!({ name: 1 }))).await;
        assert_eq!(answer.status, 200, "{name:?}: {}", answer.text);
        assert!(answer.header(IGNORED).is_some_and(|names| names.len() <= 64), "{name:?}");
        assert_eq!(answer.header("x-evil"), None);
    }
    let many: serde_json::Map<String, Value> = (0..5000).map(|i| (format!("field{i}"), json!(1))).collect();
    let answer = post(&api, COMPLETIONS, &text(Value::Object(many))).await;
    assert!(answer.header(IGNORED).is_some_and(|names| names.len() < 2000 && names.ends_with("and 4984 more")));
}

#[tokio::test]
async fn a_strict_server_refuses_what_it_does_not_know() {
    let api = router(state_with(ServerConfig { strict: true, ..ServerConfig::default() }).0);
    for (path, body) in [(CHAT, chat(json!({"temprature": 1}))), (COMPLETIONS, text(json!({"temprature": 1})))] {
        let answer = post(&api, path, &body).await;
        let expected = (400, Some("temprature".to_owned()), Some("unknown_parameter".to_owned()));
        assert_eq!(answer.error(), expected, "{}", answer.text);
    }
    let known = json!({"store": true, "cache_prompt": true, "n_predict": 1, "user": "ada", "nothing": null});
    assert_eq!(post(&api, CHAT, &chat(known)).await.status, 200);
}

#[tokio::test]
async fn what_other_servers_heed_is_refused_by_name() {
    let api = api();
    for (field, value) in [
        ("repeat_last_n", json!(64)),
        ("truncate_prompt_tokens", json!(5)),
        ("skip_special_tokens", json!(false)),
        ("best_of", json!(3)),
        ("n_probs", json!(2)),
        ("samplers", json!(["top_k", "temperature"])),
        ("t_max_predict_ms", json!(5)),
        ("reasoning_effort", json!("high")),
        ("json_schema", json!({})),
        ("xtc_probability", json!(0.5)),
        ("options", json!({"temperature": 1})),
    ] {
        refused(&post(&api, CHAT, &chat(json!({ field: value }))).await, field);
        refused(&post(&api, COMPLETIONS, &text(json!({ field: value }))).await, field);
    }
    refused(&post(&api, CHAT, &chat(json!({"add_special_tokens": true}))).await, "add_special_tokens");
    refused(&post(&api, COMPLETIONS, &text(json!({"add_special_tokens": false}))).await, "add_special_tokens");
}

/// A template in the manner of most models without tools.
const PLAIN: &str = "{% for m in messages %}{{ m.role }}\n{{ m.content }}\n{% endfor %}";

#[tokio::test]
async fn what_the_template_would_leave_out_is_refused_by_name() {
    let api = api_with_template(PLAIN);
    let tools = json!([{"type": "function", "function": {"name": "add", "parameters": {}}}]);
    refused(&post(&api, CHAT, &chat(json!({"tools": tools}))).await, "tools");
    refused(&post(&api, CHAT, &chat(json!({"tools": tools, "tool_choice": "auto"}))).await, "tools");
    refused(&post(&api, CHAT, &chat(json!({"documents": [{"title": "a", "text": "b"}]}))).await, "documents");
    let calls = json!([{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]);
    let history = json!([
        {"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "7"},
    ]);
    refused(&post(&api, CHAT, &chat(json!({"messages": history}))).await, "messages[1].tool_calls");
    // What asks for nothing, and what the template does write.
    for members in [
        json!({"tools": []}),
        json!({"tools": null, "documents": []}),
        json!({"tools": tools, "tool_choice": "none"}),
        json!({"messages": [{"role": "assistant", "content": "a", "tool_calls": []}, {"role": "tool", "content": "b"}]}),
    ] {
        let answer = post(&api, CHAT, &chat(members.clone())).await;
        assert_eq!(answer.status, 200, "{members}: {}", answer.text);
    }
}

#[tokio::test]
async fn results_of_tools_do_not_vanish_either() {
    let silent = "{% for m in messages %}{% if m.role != 'tool' %}{{ m.content }}{% endif %}{% endfor %}";
    let api = api_with_template(silent);
    let history = json!([{"role": "user", "content": "a"}, {"role": "tool", "content": "7"}]);
    refused(&post(&api, CHAT, &chat(json!({"messages": history}))).await, "messages[1].role");
}

#[tokio::test]
async fn what_the_template_uses_is_taken() {
    let api = api_with_template(
        "{% for d in documents or [] %}{{ d.title }}{% endfor %}\
         {% for t in tools or [] %}{{ t.function.name }}{% endfor %}\
         {% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}{% endfor %}",
    );
    let tools = json!([{"type": "function", "function": {"name": "add", "parameters": {}}}]);
    let calls = json!([{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]);
    let history = json!([{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": calls}]);
    for members in [
        json!({"tools": tools}),
        json!({"documents": [{"title": "a"}]}),
        json!({"messages": history}),
        json!({"messages": history, "tools": tools}),
    ] {
        let answer = post(&api, CHAT, &chat(members.clone())).await;
        assert_eq!(answer.status, 200, "{members}: {}", answer.text);
    }
    // A limit on the number of calls cannot be kept.
    refused(
        &post(&api, CHAT, &chat(json!({"tools": tools, "parallel_tool_calls": false}))).await,
        "parallel_tool_calls",
    );
    assert_eq!(post(&api, CHAT, &chat(json!({"parallel_tool_calls": false}))).await.status, 200);
    let strict = json!([{"type": "function", "function": {"name": "add", "strict": true}}]);
    let answer = post(&api, CHAT, &chat(json!({"tools": strict}))).await;
    assert_eq!((answer.status.as_u16(), answer.header(IGNORED)), (200, Some("tools[].function.strict")));
}
