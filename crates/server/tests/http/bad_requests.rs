//! What is refused: each row is a body, the status, the field that is named, and the code.

use serde_json::{Value, json};

use crate::support::{CHAT, COMPLETIONS, api, post, post_raw};

const INVALID: &str = "invalid_value";
const TYPE: &str = "invalid_type";
const MISSING: &str = "missing_required_parameter";
const UNSUPPORTED: &str = "unsupported_parameter";
const JSON: &str = "invalid_json";
const CONTEXT: &str = "context_length_exceeded";

type Row = (Value, u16, Option<&'static str>, &'static str);

/// A valid chat with some members replaced.
fn chat(members: Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "a"}], "max_tokens": 1});
    body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    body
}

/// A valid text completion with some members replaced.
fn text(members: Value) -> Value {
    let mut body = json!({"prompt": "a", "max_tokens": 1});
    body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    body
}

fn message(message: Value) -> Value {
    chat(json!({ "messages": [message] }))
}

/// Rows that both endpoints answer alike.
fn in_both() -> Vec<Row> {
    let mut rows = of_sampling();
    rows.extend(of_the_rest());
    rows
}

fn of_sampling() -> Vec<Row> {
    vec![
        (json!({"model": "gpt-4o"}), 404, Some("model"), "model_not_found"),
        (json!({"model": ""}), 404, Some("model"), "model_not_found"),
        (json!({"model": 4}), 400, Some("model"), TYPE),
        (json!({"temperature": "hot"}), 400, Some("temperature"), TYPE),
        (json!({"temperature": -0.1}), 400, Some("temperature"), INVALID),
        (json!({"temperature": 1e300}), 400, Some("temperature"), INVALID),
        (json!({"temperature": [1]}), 400, Some("temperature"), TYPE),
        (json!({"top_p": -0.1}), 400, Some("top_p"), INVALID),
        (json!({"top_p": 1.01}), 400, Some("top_p"), INVALID),
        (json!({"top_k": -2}), 400, Some("top_k"), INVALID),
        (json!({"top_k": 1.5}), 400, Some("top_k"), INVALID),
        (json!({"top_k": "all"}), 400, Some("top_k"), TYPE),
        (json!({"min_p": 2}), 400, Some("min_p"), INVALID),
        (json!({"typical_p": -1}), 400, Some("typical_p"), INVALID),
        (json!({"typ_p": 2}), 400, Some("typ_p"), INVALID),
        (json!({"typ_p": 0.2, "typical_p": 0.3}), 400, Some("typ_p"), INVALID),
        (json!({"temperature": 100.1}), 400, Some("temperature"), INVALID),
        (json!({"temperature": "1"}), 400, Some("temperature"), TYPE),
        (json!({"temperature": true}), 400, Some("temperature"), TYPE),
        (json!({"presence_penalty": 2.5}), 400, Some("presence_penalty"), INVALID),
        (json!({"frequency_penalty": -3}), 400, Some("frequency_penalty"), INVALID),
        (json!({"repetition_penalty": 0}), 400, Some("repetition_penalty"), INVALID),
        (json!({"repetition_penalty": -1e-60}), 400, Some("repetition_penalty"), INVALID),
        (json!({"repetition_penalty": 10.5}), 400, Some("repetition_penalty"), INVALID),
        (json!({"repeat_penalty": -1}), 400, Some("repeat_penalty"), INVALID),
        (json!({"repetition_penalty": 1.1, "repeat_penalty": 1.2}), 400, Some("repeat_penalty"), INVALID),
        (json!({"logit_bias": {"5": 101}}), 400, Some("logit_bias"), INVALID),
        (json!({"logit_bias": {"5": "much"}}), 400, Some("logit_bias"), TYPE),
        (json!({"logit_bias": {"": 1}}), 400, Some("logit_bias"), INVALID),
        (json!({"logit_bias": {"5.5": 1}}), 400, Some("logit_bias"), INVALID),
        (json!({"logit_bias": {"5": true}}), 400, Some("logit_bias"), TYPE),
        (json!({"logit_bias": {"-1": 1}}), 400, Some("logit_bias"), INVALID),
        (json!({"logit_bias": {"512": 1}}), 400, Some("logit_bias"), INVALID),
        (json!({"logit_bias": {"99999999999": 1}}), 400, Some("logit_bias"), INVALID),
        (json!({"logit_bias": [1]}), 400, Some("logit_bias[0]"), TYPE),
        (json!({"logit_bias": [[1, 2, 3]]}), 400, Some("logit_bias[0]"), TYPE),
        (json!({"logit_bias": [[-1, 2]]}), 400, Some("logit_bias[0][0]"), INVALID),
        (json!({"logit_bias": [[99999, 2]]}), 400, Some("logit_bias"), INVALID),
        (json!({"logit_bias": [["a", 101]]}), 400, Some("logit_bias"), INVALID),
        (json!({"allowed_token_ids": [5, 99999]}), 400, Some("allowed_token_ids[1]"), INVALID),
        (json!({"allowed_token_ids": 5}), 400, Some("allowed_token_ids"), TYPE),
        (json!({"allowed_token_ids": [5], "regex": "a+"}), 400, Some("allowed_token_ids"), INVALID),
        (json!({"bad_words": "a"}), 400, Some("bad_words"), TYPE),
        (json!({"bad_words": ["a", " "]}), 400, Some("bad_words[1]"), INVALID),
        (json!({"bad_words": ["a", 1]}), 400, Some("bad_words[1]"), TYPE),
        (json!({"stop_token_ids": [99999]}), 400, Some("stop_token_ids[0]"), INVALID),
        (json!({"stop_token_ids": vec![1; 1025]}), 400, Some("stop_token_ids"), INVALID),
        (json!({"min_tokens": 9, "max_tokens": 8}), 400, Some("min_tokens"), INVALID),
        (json!({"min_tokens": -1}), 400, Some("min_tokens"), INVALID),
        (json!({"min_tokens": 1, "min_new_tokens": 2}), 400, Some("min_new_tokens"), INVALID),
        (json!({"top_n_sigma": 101}), 400, Some("top_n_sigma"), INVALID),
        (json!({"xtc_probability": 1.5}), 400, Some("xtc_probability"), INVALID),
        (json!({"xtc_threshold": -0.1}), 400, Some("xtc_threshold"), INVALID),
        (json!({"dry_multiplier": 1, "dry_base": 0.5}), 400, Some("dry_base"), INVALID),
        (json!({"dry_multiplier": 101}), 400, Some("dry_multiplier"), INVALID),
        (json!({"dry_multiplier": 1, "dry_sequence_breakers": [""]}), 400, Some("dry_sequence_breakers[0]"), INVALID),
        (json!({"dry_sequence_breakers": vec!["a"; 33]}), 400, Some("dry_sequence_breakers"), INVALID),
        (json!({"dry_penalty_last_n": -2}), 400, Some("dry_penalty_last_n"), INVALID),
        (json!({"repeat_last_n": -2}), 400, Some("repeat_last_n"), INVALID),
    ]
}

fn of_the_rest() -> Vec<Row> {
    let long = "a".repeat(5000);
    vec![
        (json!({"seed": 1e30}), 400, Some("seed"), INVALID),
        (json!({"seed": "lucky"}), 400, Some("seed"), TYPE),
        (json!({"n": 0}), 400, Some("n"), INVALID),
        (json!({"n": -1}), 400, Some("n"), INVALID),
        (json!({"n": 129}), 400, Some("n"), INVALID),
        (json!({"n": "two"}), 400, Some("n"), TYPE),
        (json!({"max_tokens": -2}), 400, Some("max_tokens"), INVALID),
        (json!({"max_tokens": 2.5}), 400, Some("max_tokens"), INVALID),
        (json!({"max_tokens": -1e30}), 400, Some("max_tokens"), INVALID),
        (json!({"n": 80}), 400, Some("n"), "request_too_large"),
        (json!({"n": 80, "best_of": 80}), 400, Some("n"), "request_too_large"),
        (json!({"n_predict": 2}), 400, Some("n_predict"), INVALID),
        (json!({"max_tokens": null, "n_predict": -2}), 400, Some("n_predict"), INVALID),
        (json!({"max_tokens": null, "n_predict": "8"}), 400, Some("n_predict"), TYPE),
        (json!({"max_tokens": "8"}), 400, Some("max_tokens"), TYPE),
        (json!({"stop": 5}), 400, Some("stop"), TYPE),
        (json!({"stop": ["a", 5]}), 400, Some("stop[1]"), TYPE),
        (json!({"stop": ""}), 400, Some("stop"), INVALID),
        (json!({"stop": vec!["x"; 17]}), 400, Some("stop"), INVALID),
        (json!({"stop": long}), 400, Some("stop"), INVALID),
        (json!({"stream": "yes"}), 400, Some("stream"), TYPE),
        (json!({"stream_options": {"include_usage": true}}), 400, Some("stream_options"), INVALID),
        (json!({"stream": true, "stream_options": 1}), 400, Some("stream_options"), TYPE),
        (
            json!({"stream": true, "stream_options": {"include_usage": 1}}),
            400,
            Some("stream_options.include_usage"),
            TYPE,
        ),
        (json!({"user": 5}), 400, Some("user"), TYPE),
        (json!({"user": "a\u{0}b"}), 400, Some("user"), INVALID),
        (json!({"user": "u".repeat(257)}), 400, Some("user"), INVALID),
        (json!({"service_tier": "gold"}), 400, Some("service_tier"), INVALID),
        (json!({"priority": "high"}), 400, Some("priority"), TYPE),
        (json!({"priority": 1e19}), 400, Some("priority"), INVALID),
        (json!({"ignore_eos": 1}), 400, Some("ignore_eos"), TYPE),
        (json!({"response_format": {"type": "structural_tag"}}), 400, Some("response_format.type"), INVALID),
        (json!({"response_format": "json_object"}), 400, Some("response_format"), TYPE),
        (
            json!({"structured_outputs": {"structural_tag": "{}"}}),
            400,
            Some("structured_outputs.structural_tag"),
            UNSUPPORTED,
        ),
        (json!({"structured_outputs": {"choice": ["a", 1]}}), 400, Some("structured_outputs.choice[1]"), TYPE),
        (json!({"guided_json": "{"}), 400, Some("guided_json"), INVALID),
        (json!({"guided_regex": "a", "guided_choice": ["b"]}), 400, Some("guided_choice"), INVALID),
        (json!({"mirostat": 2}), 400, Some("mirostat"), UNSUPPORTED),
        (json!([]), 400, None, JSON),
        (json!("text"), 400, None, JSON),
        (json!(null), 400, None, JSON),
    ]
}

fn in_chat() -> Vec<Row> {
    let mut rows = of_messages();
    rows.extend(of_chat());
    rows
}

fn of_messages() -> Vec<Row> {
    let call = |arguments: Value| {
        message(json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}))
    };
    vec![
        (json!({"max_tokens": 1}), 400, Some("messages"), MISSING),
        (chat(json!({"messages": null})), 400, Some("messages"), MISSING),
        (chat(json!({"messages": []})), 400, Some("messages"), INVALID),
        (chat(json!({"messages": "hello"})), 400, Some("messages"), TYPE),
        (chat(json!({"messages": {"role": "user"}})), 400, Some("messages"), TYPE),
        (message(json!("hello")), 400, Some("messages[0]"), TYPE),
        (message(json!({"content": "a"})), 400, Some("messages[0].role"), MISSING),
        (message(json!({"role": "", "content": "a"})), 400, Some("messages[0].role"), INVALID),
        (message(json!({"role": 1, "content": "a"})), 400, Some("messages[0].role"), TYPE),
        (message(json!({"role": "user"})), 400, Some("messages[0].content"), MISSING),
        (message(json!({"role": "user", "content": 5})), 400, Some("messages[0].content"), TYPE),
        (message(json!({"role": "user", "content": [5]})), 400, Some("messages[0].content[0]"), TYPE),
        (message(json!({"role": "user", "content": [null]})), 400, Some("messages[0].content[0]"), TYPE),
        (message(json!({"role": "user", "content": [{}]})), 400, Some("messages[0].content[0].type"), MISSING),
        (
            message(json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]})),
            400,
            Some("messages[0].content[0].type"),
            UNSUPPORTED,
        ),
        (
            message(json!({"role": "user", "content": [{"type": "text", "text": 1}]})),
            400,
            Some("messages[0].content[0].text"),
            TYPE,
        ),
        (message(json!({"role": "user", "content": "a", "name": 1})), 400, Some("messages[0].name"), TYPE),
        (
            message(json!({"role": "user", "content": "a", "tool_calls": [{}]})),
            400,
            Some("messages[0].tool_calls"),
            INVALID,
        ),
        (call(json!(5)), 400, Some("messages[0].tool_calls[0].function.arguments"), TYPE),
        (
            message(json!({"role": "assistant", "tool_calls": [{}]})),
            400,
            Some("messages[0].tool_calls[0].function"),
            MISSING,
        ),
        (
            message(json!({"role": "assistant", "content": "a", "audio": {"id": "x"}})),
            400,
            Some("messages[0].audio"),
            UNSUPPORTED,
        ),
    ]
}

fn of_chat() -> Vec<Row> {
    let tool = json!({"type": "function", "function": {"name": "f"}});
    vec![
        (chat(json!({"tools": {}})), 400, Some("tools"), TYPE),
        (chat(json!({"tools": [{}]})), 400, Some("tools[0].type"), MISSING),
        (chat(json!({"tools": [{"type": "retrieval"}]})), 400, Some("tools[0].type"), INVALID),
        (chat(json!({"tools": [{"type": "function"}]})), 400, Some("tools[0].function"), MISSING),
        (chat(json!({"tools": [{"type": "function", "function": {}}]})), 400, Some("tools[0].function.name"), MISSING),
        (chat(json!({"tools": [], "tool_choice": "required"})), 400, Some("tool_choice"), INVALID),
        (chat(json!({"tools": [tool], "tool_choice": "perhaps"})), 400, Some("tool_choice"), INVALID),
        (chat(json!({"tools": [tool], "tool_choice": 5})), 400, Some("tool_choice"), TYPE),
        (
            chat(json!({"tools": [tool], "tool_choice": {"type": "function", "function": {"name": "g"}}})),
            400,
            Some("tool_choice"),
            INVALID,
        ),
        (chat(json!({"functions": [{"name": "f"}]})), 400, Some("functions"), UNSUPPORTED),
        (chat(json!({"documents": "none"})), 400, Some("documents"), TYPE),
        (chat(json!({"chat_template": "{{ 1 }}"})), 400, Some("chat_template"), UNSUPPORTED),
        (chat(json!({"chat_template_kwargs": []})), 400, Some("chat_template_kwargs"), TYPE),
        (chat(json!({"chat_template_kwargs": {"messages": []}})), 400, Some("chat_template_kwargs"), INVALID),
        (chat(json!({"chat_template_kwargs": {"raise": true}})), 400, Some("messages"), INVALID),
        (chat(json!({"add_generation_prompt": "no"})), 400, Some("add_generation_prompt"), TYPE),
        (chat(json!({"modalities": ["text", "audio"]})), 400, Some("modalities"), UNSUPPORTED),
        (chat(json!({"audio": {"voice": "alloy"}})), 400, Some("audio"), UNSUPPORTED),
        (chat(json!({"logprobs": 2})), 400, Some("logprobs"), TYPE),
        (chat(json!({"top_logprobs": 2})), 400, Some("top_logprobs"), INVALID),
        (chat(json!({"logprobs": true, "top_logprobs": 21})), 400, Some("top_logprobs"), INVALID),
        (chat(json!({"max_completion_tokens": 2, "max_tokens": 1})), 400, Some("max_tokens"), INVALID),
        (chat(json!({"max_tokens": 0})), 400, Some("max_tokens"), INVALID),
        (message(json!({"role": "user", "content": "a".repeat(2000)})), 400, Some("messages"), CONTEXT),
        (message(json!({"role": "user", "content": "a".repeat(2_000_000)})), 400, Some("messages"), CONTEXT),
    ]
}

fn in_completions() -> Vec<Row> {
    vec![
        (json!({"max_tokens": 1}), 400, Some("prompt"), MISSING),
        (text(json!({"prompt": {}})), 400, Some("prompt"), TYPE),
        (text(json!({"prompt": []})), 400, Some("prompt"), INVALID),
        (text(json!({"prompt": [true]})), 400, Some("prompt[0]"), TYPE),
        (text(json!({"prompt": ["a", 5]})), 400, Some("prompt[1]"), TYPE),
        (text(json!({"prompt": [5, "a"]})), 400, Some("prompt[1]"), TYPE),
        (text(json!({"prompt": [5, -1]})), 400, Some("prompt[1]"), INVALID),
        (text(json!({"prompt": [5, 1.5]})), 400, Some("prompt[1]"), INVALID),
        (text(json!({"prompt": [[5], "a"]})), 400, Some("prompt[1]"), TYPE),
        (text(json!({"prompt": ["a", [5]]})), 400, Some("prompt[1]"), TYPE),
        (text(json!({"prompt": [[5], ["a"]]})), 400, Some("prompt[1][0]"), TYPE),
        (text(json!({"prompt": [512]})), 400, Some("prompt"), INVALID),
        (text(json!({"prompt": [512], "echo": true})), 400, Some("prompt"), INVALID),
        (text(json!({"prompt": [4_294_967_296_u64]})), 400, Some("prompt[0]"), INVALID),
        (text(json!({"prompt": ""})), 400, Some("prompt"), INVALID),
        (text(json!({"prompt": [[]]})), 400, Some("prompt"), INVALID),
        (text(json!({"prompt": vec!["a"; 257]})), 400, Some("prompt"), INVALID),
        (text(json!({"prompt": "a".repeat(2000)})), 400, Some("prompt"), CONTEXT),
        (text(json!({"prompt": vec![18; 600]})), 400, Some("prompt"), CONTEXT),
        (text(json!({"prompt": vec![18; 512]})), 400, Some("prompt"), CONTEXT),
        (text(json!({"prompt": vec![18; 513], "max_tokens": 0})), 400, Some("prompt"), CONTEXT),
        (text(json!({"suffix": "end"})), 400, Some("suffix"), UNSUPPORTED),
        (text(json!({"n": 2, "best_of": 1})), 400, Some("best_of"), INVALID),
        (text(json!({"echo": "yes"})), 400, Some("echo"), TYPE),
        (text(json!({"logprobs": -1})), 400, Some("logprobs"), INVALID),
        (text(json!({"logprobs": 21})), 400, Some("logprobs"), INVALID),
        (text(json!({"logprobs": "5"})), 400, Some("logprobs"), TYPE),
    ]
}

async fn check(path: &str, rows: Vec<Row>) {
    let api = api();
    for (body, status, param, code) in rows {
        let shown: String = body.to_string().chars().take(200).collect();
        let answer = post(&api, path, &body).await;
        let expected = (status, param.map(str::to_owned), Some(code.to_owned()));
        assert_eq!(answer.error(), expected, "{path} {shown}: {}", answer.text);
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        // A stream that was asked for does not begin.
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

fn extended(rows: Vec<Row>, whole: fn(Value) -> Value) -> Vec<Row> {
    let extend = |body: Value| if body.is_object() { whole(body) } else { body };
    rows.into_iter().map(|(body, status, param, code)| (extend(body), status, param, code)).collect()
}

#[tokio::test]
async fn bad_chats_are_refused_by_the_field_at_fault() {
    check(CHAT, extended(in_both(), chat)).await;
    check(CHAT, in_chat()).await;
}

#[tokio::test]
async fn bad_completions_are_refused_by_the_field_at_fault() {
    check(COMPLETIONS, extended(in_both(), text)).await;
    check(COMPLETIONS, in_completions()).await;
}

#[tokio::test]
async fn a_stream_is_refused_before_it_begins() {
    let rows = in_both().into_iter().filter(|(body, ..)| body.is_object() && body.get("stream_options").is_none());
    let streamed = |body: Value| {
        let mut body = chat(body);
        if body["stream"].is_null() {
            body["stream"] = json!(true);
        }
        body
    };
    let rows = rows.map(|(body, status, param, code)| (streamed(body), status, param, code));
    check(CHAT, rows.collect()).await;
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let deep = format!("{{\"messages\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
    let many = format!("{{\"prompt\": [{}1]}}", "1,".repeat(300_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"   \n".to_vec(),
        b"{".to_vec(),
        b"{\"prompt\": \"a\"} trailing".to_vec(),
        b"{'prompt': 'a'}".to_vec(),
        b"{\"prompt\": \"a\", \"temperature\": NaN}".to_vec(),
        b"{\"prompt\": \"a\", \"temperature\": 1e999}".to_vec(),
        b"{\"prompt\": \"a\", \"temperature\": Infinity}".to_vec(),
        b"{\"prompt\": \"\xff\xfe\"}".to_vec(),
        b"{\"prompt\": \"\xed\xa0\x80\"}".to_vec(),
        b"{\"prompt\": \"\\ud800\"}".to_vec(),
        b"{\"prompt\": \"a\nb\"}".to_vec(),
        b"\xef\xbb\xbf{\"prompt\": \"a\"}".to_vec(),
        b"prompt=a".to_vec(),
        b"\0\0\0\0".to_vec(),
        deep.into_bytes(),
        many.into_bytes(),
    ];
    let api = api();
    for path in [CHAT, COMPLETIONS] {
        for body in &bodies {
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            let answer = post_raw(&api, path, body.clone()).await;
            assert_eq!(answer.error(), (400, None, Some(JSON.to_owned())), "{path} {shown}");
        }
    }
}

#[tokio::test]
async fn fields_that_nobody_knows_and_those_that_ask_for_nothing_are_taken() {
    let api = api();
    let extra = json!({
        "store": false, "metadata": {"a": "b"}, "parallel_tool_calls": true, "prediction": null, "cache_prompt": true,
        "response_format": {"type": "text"}, "tools": [], "tool_choice": "auto", "modalities": ["text"],
        "stop": null, "logit_bias": {}, "top_logprobs": 0, "n": 1.0, "seed": -1, "top_k": -1, "best_of": 1,
        "suffix": "", "min_tokens": 0, "logprobs": null, "user": "",
    });
    for (path, body) in [(CHAT, chat(extra.clone())), (COMPLETIONS, text(extra))] {
        let answer = post(&api, path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
}
