//! Answers have what the description says, and no more.

use serde_json::{Value, json};

use super::servers::Servers;
use crate::support::{get, post};

/// What is added to an operation's example, so that the members of an answer are there. Calls are not: the tiny model has no letters for
/// them, so those are left to the tests with a real one.
fn variants(path: &str) -> Vec<Value> {
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
    match path {
        "/v1/chat/completions" => vec![
            json!({"logprobs": true, "top_logprobs": 2, "n": 2, "prompt_logprobs": 1, "return_token_ids": true, "temperature": 1}),
            json!({"stream": true, "logprobs": true, "top_logprobs": 1, "return_token_ids": true, "timings_per_token": true,
                "stream_options": {"include_usage": true, "continuous_usage_stats": true}}),
            json!({"verbose": true}),
            json!({"stream": true, "return_progress": true}),
            json!({"tools": [tool.clone()], "tool_choice": "auto"}),
            json!({"tools": [tool], "tool_choice": "auto", "stream": true}),
            json!({"stop_token_ids": (0..200).collect::<Vec<_>>(), "reasoning": {"effort": "low"}}),
        ],
        "/v1/completions" => vec![
            json!({"logprobs": 2, "echo": true, "n": 2, "best_of": 3, "temperature": 1, "return_token_ids": true}),
            json!({"prompt_logprobs": 2, "stop": ["a", "b", "e", "o"]}),
            json!({"stream": true, "logprobs": 1, "echo": true, "stream_options": {"include_usage": true}}),
        ],
        "/completion" => vec![
            json!({"n_probs": 2, "return_tokens": true}),
            json!({"n_probs": 2, "post_sampling_probs": true}),
            json!({"stream": true, "return_progress": true}),
            json!({"prompt": ["ab", [1, "b"]], "stream": true, "n_probs": 2, "timings_per_token": true}),
            json!({"response_fields": ["content", "generation_settings"]}),
        ],
        "/v1/responses" => vec![
            json!({"stream": true, "instructions": "Be brief.", "metadata": {"a": "b"}}),
            json!({"stream": true, "return_progress": true, "timings_per_token": true}),
            json!({"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}], "tool_choice": "auto"}),
            json!({"background": true}),
        ],
        "/v1/messages" => vec![
            json!({"stream": true}),
            json!({"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "auto"}}),
            json!({"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "auto"},
                "stream": true}),
        ],
        "/v1/embeddings" => vec![json!({"encoding_format": "base64"})],
        "/v1/rerank" => vec![
            json!({"return_documents": true}),
            json!({"documents": null, "texts": ["a", "b"], "return_text": true}),
        ],
        "/tokenize" => vec![
            json!({"with_pieces": true}),
            json!({"content": null, "prompt": "ab", "return_token_strs": true}),
            json!({"content": null, "messages": [{"role": "user", "content": "ab"}]}),
        ],
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn answers_to_bodies_keep_to_the_description() {
    let servers = Servers::start().await;
    for operation in servers.operations() {
        for further in [json!({})].into_iter().chain(variants(&operation.path)) {
            let mut body = operation.example();
            body.as_object_mut().expect("an object").extend(further.as_object().expect("an object").clone());
            let answer = post(servers.at(&operation.path), &operation.path, &body).await;
            // The tiny model has not learnt to fill gaps.
            let expected = if operation.path == "/infill" { 400 } else { 200 };
            assert_eq!(answer.status, expected, "{} {body}: {}", operation.path, answer.text);
            let checked = servers.check(&operation.described, &answer);
            checked.unwrap_or_else(|problem| panic!("{} {body}: {problem}", operation.path));
        }
    }
}

#[tokio::test]
async fn answers_without_bodies_keep_to_the_description() {
    let servers = Servers::start().await;
    let api = servers.at("");
    let response = post(api, "/v1/responses", &json!({"input": "ab", "max_output_tokens": 2})).await.json();
    let chat = json!({"messages": [{"role": "user", "content": "ab"}], "max_tokens": 2, "stream": true});
    let chat = post(api, "/v1/chat/completions", &chat).await;
    let request = chat.header("x-request-id").expect("an id").to_owned();
    for (path, methods) in servers.document["paths"].as_object().expect("paths") {
        let Some(described) = methods.get("get") else { continue };
        let id = match path.split('/').nth(2) {
            Some("responses") => response["id"].as_str().expect("an id"),
            Some("files") => &servers.file,
            Some("batches") => &servers.batch,
            _ => &request,
        };
        let found = path.replace("{id}", id).replace("{name}", "tiny");
        let answer = get(api, &found).await;
        assert_eq!(answer.status, 200, "{found}: {}", answer.text);
        servers.check(described, &answer).unwrap_or_else(|problem| panic!("{found}: {problem}"));
        let missing = get(api, &path.replace("{id}", "none").replace("{name}", "none")).await;
        servers.check(described, &missing).unwrap_or_else(|problem| panic!("{path}: {problem}"));
    }
}
