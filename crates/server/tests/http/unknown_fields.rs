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
        ("truncate_prompt_tokens", json!(5)),
        ("n_probs", json!(2)),
        ("samplers", json!(["top_k", "temperature"])),
        ("t_max_predict_ms", json!(5)),
        ("structural_tag", json!("{}")),
        ("mirostat", json!(2)),
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
async fn what_the_template_would_leave_out_is_put_into_words_or_refused_by_name() {
    let api = api_with_template(PLAIN);
    let tools = json!([{"type": "function", "function": {"name": "add", "parameters": {}}}]);
    refused(&post(&api, CHAT, &chat(json!({"documents": [{"title": "a", "text": "b"}]}))).await, "documents");
    let calls = json!([{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]);
    let history = json!([
        {"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "7"},
    ]);
    let older = json!([{"role": "user", "content": "a"}, {"role": "assistant", "function_call": {"name": "f"}}]);
    let plain = prompt_tokens(&api, json!({})).await;
    for members in [
        json!({"tools": tools}),
        json!({"tools": tools, "tool_choice": "auto"}),
        json!({"messages": history}),
        json!({"messages": older}),
    ] {
        assert!(prompt_tokens(&api, members.clone()).await > plain + 5, "{members}");
    }
    // What asks for nothing.
    for members in
        [json!({"tools": []}), json!({"tools": null, "documents": []}), json!({"tools": tools, "tool_choice": "none"})]
    {
        assert_eq!(prompt_tokens(&api, members.clone()).await, plain, "{members}");
    }
}

async fn prompt_tokens(api: &axum::Router, members: Value) -> u64 {
    let answer = post(api, CHAT, &chat(members)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["usage"]["prompt_tokens"].as_u64().expect("a count")
}

#[tokio::test]
async fn results_of_tools_do_not_vanish_either() {
    let silent = "{% for m in messages %}{% if m.role != 'tool' %}{{ m.content }}{% endif %}{% endfor %}";
    let api = api_with_template(silent);
    let history = |result: &str| json!([{"role": "user", "content": "a"}, {"role": "tool", "content": result}]);
    let short = prompt_tokens(&api, json!({"messages": history("g")})).await;
    assert!(prompt_tokens(&api, json!({"messages": history(&"g".repeat(40))})).await > short);
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
    assert_eq!(post(&api, CHAT, &chat(json!({"parallel_tool_calls": false}))).await.status, 200);
}

/// What the header names, in order.
fn named(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut names: Vec<String> =
        answer.header(IGNORED).map(|names| names.split(", ").map(str::to_owned).collect()).unwrap_or_default();
    names.sort_unstable();
    names
}

/// A template with tools that writes their names, and the names of calls.
const TOOLS: &str = "{% for t in tools or [] %}{{ t.function.name }}{{ t.function.description }}{% endfor %}\
    {% for m in messages %}{{ m.role }}{{ m.content }}\
    {% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments }}{% endfor %}{% endfor %}";

/// Everything that a chat can have, with a member that nobody knows in each object.
fn full_of_strangers() -> Value {
    json!({
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "bar": 1}], "foo": 1},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "1", "type": "function", "baz": {}, "function": {"name": "f", "arguments": "{}", "qux": [1]}},
            ]},
            {"role": "tool", "tool_call_id": "1", "content": "7", "name": "f", "quux": "x"},
            {"role": "assistant", "content": "b", "reasoning_content": "hm", "prefix": true},
            {"role": "user", "content": "c", "name": "ada"},
        ],
        "tools": [{"type": "function", "one": 1, "function": {
            "name": "f", "description": "d", "parameters": {"type": "object", "anything": 1}, "strict": true, "two": 2,
        }}],
        "stream_options": {"three": 3}, "response_format": {"type": "text", "four": 4},
        "chat_template_kwargs": {"five": true, "six": false},
    })
}

#[tokio::test]
async fn members_that_nobody_reads_are_named_by_their_path() {
    let api = api_with_template(TOOLS);
    let names = named(&post(&api, CHAT, &chat(full_of_strangers())).await);
    let expected = [
        "chat_template_kwargs.five",
        "messages[0].content[1].bar",
        "messages[0].foo",
        "messages[1].tool_calls[0].baz",
        "messages[1].tool_calls[0].function.qux",
        "messages[2].quux",
        "messages[3].reasoning_content",
        "messages[4].name",
        "response_format.four",
        "stream_options.three",
        "tools[0].function.two",
        "tools[0].one",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_strict_server_names_members_that_nobody_reads() {
    let config = ServerConfig { strict: true, ..ServerConfig::default() };
    let api = router(state_with(config).0);
    let answer =
        post(&api, CHAT, &chat(json!({"messages": [{"role": "user", "content": "a", "foo": 1, "bar": 2}]}))).await;
    let (status, param, code) = answer.error();
    assert_eq!((status, code.as_deref()), (400, Some("unknown_parameter")));
    assert!(param.is_some_and(|param| param.starts_with("messages[0].")));
    assert!(answer.text.contains("messages[0].foo") && answer.text.contains("messages[0].bar"), "{}", answer.text);
    let harmless = json!({"messages": [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}], "id": "m1"},
        {"role": "assistant", "content": "b", "refusal": null, "audio": null, "annotations": [], "function_call": null},
        {"role": "assistant", "content": null, "tool_calls": [
            {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ]},
        {"role": "tool", "content": "7", "tool_call_id": "c", "name": "f"},
        {"role": "user", "content": "c", "prefix": false, "partial": false, "reasoning_content": ""},
    ]});
    let answer = post(&api, CHAT, &chat(harmless)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn what_the_template_reads_is_not_reported() {
    for template in [
        // By name, in several spellings.
        "{% for m in messages %}{{ m.content }}{{ m.foo }}{{ m['name'] }}{{ m.get('reasoning_content') }}{% if 'prefix' in m %}p{% endif %}{{ m.quux }}{% for c in m.tool_calls or [] %}{{ c.baz }}{{ c.function.name }}{{ c.function.qux }}{% endfor %}{% endfor %}{% for t in tools or [] %}{{ t.one }}{{ t.function | tojson }}{% endfor %}{{ five }}",
        // As a whole.
        "{{ messages | tojson }}{{ tools | tojson }}{% if five is defined %}5{% endif %}",
        "{% for m in messages %}{% for k, v in m.items() %}{{ k }}{{ v }}{% endfor %}{% endfor %}{{ tools }}{{ five }}",
    ] {
        let names = named(&post(&api_with_template(template), CHAT, &chat(full_of_strangers())).await);
        // Parts are passed on as their text alone.
        let unread = ["messages[0].content[1].bar", "response_format.four", "stream_options.three"];
        assert_eq!(names, unread, "{template}");
    }
}

#[tokio::test]
async fn documents_and_thoughts_are_reported_where_nobody_reads_them() {
    let api = api_with_template(
        "{% for d in documents or [] %}{{ d.text }}{% endfor %}{% for m in messages %}{{ m.content }}{% endfor %}",
    );
    let members = json!({"documents": [{"text": "a"}, {"text": "b", "title": "c"}, "d"], "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "c"},
    ]});
    let names = named(&post(&api, CHAT, &chat(members)).await);
    assert_eq!(names, ["documents[1].title", "messages[1].content[0].thinking"]);
    let answer = post(&api, CHAT, &chat(json!({"add_generation_prompt": false}))).await;
    assert_eq!(named(&answer), ["add_generation_prompt"]);
}

#[tokio::test]
async fn an_answer_goes_on_with_the_last_message_if_that_says_so() {
    let messages = |member: &str| {
        json!({"messages": [
            {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", member: true},
        ]})
    };
    for member in ["prefix", "partial"] {
        assert_eq!(named(&post(&api(), CHAT, &chat(messages(member))).await), [""; 0]);
        let api = api_with_template("{% for m in messages %}{{ m.content }}{{ m.prefix }}{{ m.partial }}{% endfor %}");
        assert_eq!(named(&post(&api, CHAT, &chat(messages(member))).await), [""; 0]);
    }
}

#[tokio::test]
async fn many_members_that_nobody_reads_make_a_short_header() {
    let mut message: serde_json::Map<String, Value> = (0..500).map(|i| (format!("foo{i}"), json!(1))).collect();
    message.insert("role".into(), "user".into());
    message.insert("content".into(), "a".into());
    let answer = post(&api(), CHAT, &chat(json!({"messages": [message]}))).await;
    let names = answer.header(IGNORED).expect("a header");
    assert!(names.starts_with("messages[0].foo") && names.ends_with(", and 484 more"), "{names}");
    assert!(names.len() < 2000, "{names}");
}

#[tokio::test]
async fn what_the_sampler_reads_is_not_reported_by_any_dialect() {
    let api = api();
    let sampler =
        json!({"typical_p": 0.9, "xtc_probability": 0.5, "dry_multiplier": 1, "bad_words": ["x"], "top_n_sigma": 2});
    for (path, basics) in [
        ("/v1/messages", json!({"messages": [{"role": "user", "content": "ab"}], "max_tokens": 1})),
        ("/v1/responses", json!({"input": "ab", "max_output_tokens": 1})),
    ] {
        let mut body = basics;
        body.as_object_mut().expect("an object").extend(sampler.as_object().expect("an object").clone());
        let answer = post(&api, path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.header(IGNORED)), (200, None), "{path}: {}", answer.text);
    }
}
