//! A chat model and an embedder in one server, with one worker.

use std::path::Path;

use axum::http::StatusCode;
use parkade_core::{EngineConfig, LoadOptions, load_joint};
use parkade_server::{AppState, ModelEntry, ServerConfig, router};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::embedders::{pooling, tiny_with, two_way};
use crate::support::{
    CHAT, COMPLETIONS, Running, chatml, get, parts, post, read_to_end, read_until, start_at, wire_get, wire_post,
};

const EMBEDDINGS: &str = "/v1/embeddings";
const CLOSE: &str = "connection: close\r\n";

/// A server that knows them as `chat` and `embedder`, the chat model first.
fn state() -> (AppState, parkade_core::Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let embedder = tiny_with(folder.path(), &[pooling(1), two_way()]);
    let chat = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/tiny/llama-F32.gguf");
    let engine = EngineConfig { scheduler: parkade_core::SchedulerKind::of_this_build(), ..EngineConfig::default() };
    let options = LoadOptions { threads: Some(1), kv_cache_bytes: Some(16 << 20), engine, ..LoadOptions::default() };
    let beside = LoadOptions { kv_cache_bytes: None, ..options.clone() };
    let (chat, embedder) = load_joint((Path::new(chat), &options), (&embedder, &beside)).expect("the tiny models");
    let state = AppState::new(ServerConfig::default()).expect("valid limits");
    let engine = chat.engine.clone();
    state.set_model(ModelEntry::new("chat", chat.engine, chat.tokenizer, Some(chatml()), chat.config));
    state.set_model(ModelEntry::new("embedder", embedder.engine, embedder.tokenizer, None, embedder.config));
    (state, engine)
}

async fn start() -> Running {
    let (state, engine) = state();
    start_at("127.0.0.1", state, engine).await
}

fn texts(count: usize) -> Value {
    json!({"input": (0..count).map(|number| format!("text {number}")).collect::<Vec<_>>()})
}

#[tokio::test]
async fn each_path_finds_the_model_that_does_it_and_a_wrong_name_is_told_of_the_right_one() {
    let api = router(state().0);
    let list = get(&api, "/v1/models").await.json();
    let names: Vec<_> = list["data"].as_array().expect("a list").iter().map(|model| model["id"].clone()).collect();
    assert_eq!(names, ["chat", "embedder"]);
    let chat =
        |model: Option<&str>| json!({"model": model, "messages": [{"role": "user", "content": "a"}], "max_tokens": 2});
    let embeds = |model: Option<&str>| json!({"model": model, "input": "a"});
    for (path, body, served) in [
        (CHAT, chat(None), "chat"),
        (CHAT, chat(Some("default")), "chat"),
        (CHAT, chat(Some("chat")), "chat"),
        (EMBEDDINGS, embeds(None), "embedder"),
        (EMBEDDINGS, embeds(Some("default")), "embedder"),
        (EMBEDDINGS, embeds(Some("embedder")), "embedder"),
    ] {
        let answer = post(&api, path, &body).await;
        assert_eq!((answer.status, answer.json()["model"].as_str()), (StatusCode::OK, Some(served)), "{}", answer.text);
    }
    for (path, body, right) in [
        (CHAT, chat(Some("embedder")), "chat"),
        (COMPLETIONS, json!({"model": "embedder", "prompt": "a"}), "chat"),
        (EMBEDDINGS, embeds(Some("chat")), "embedder"),
    ] {
        let answer = post(&api, path, &body).await;
        let (status, param, code) = answer.error();
        assert_eq!((status, param.as_deref(), code.as_deref()), (400, Some("model"), Some("model_not_supported")));
        let message = answer.json()["error"]["message"].to_string();
        assert!(message.contains(right), "{message}");
    }
    // Nobody here ranks.
    let answer = post(&api, "/v1/rerank", &json!({"query": "a", "documents": ["b"]})).await;
    assert_eq!(answer.error().2.as_deref(), Some("model_not_supported"));
}

#[tokio::test]
async fn a_chat_streams_while_a_batch_of_texts_goes_through_and_both_have_their_figures() {
    let mut server = start().await;
    let mut batch = server.connect().await;
    batch.write_all(&wire_post(EMBEDDINGS, CLOSE, &texts(300))).await.expect("writable");
    let mut chat = server.connect().await;
    let ask = json!({"prompt": "a", "max_tokens": 40, "ignore_eos": true, "stream": true});
    chat.write_all(&wire_post(COMPLETIONS, CLOSE, &ask)).await.expect("writable");
    read_until(&mut chat, "data: ").await;
    let (streamed, embedded) = (read_to_end(&mut chat).await, read_to_end(&mut batch).await);
    assert!(streamed.contains("[DONE]"), "{streamed}");
    let (status, _, body) = parts(&embedded);
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((status, body["data"].as_array().map(Vec::len)), (200, Some(300)));
    let page = server.exchange(&wire_get("/v1/metrics", "")).await;
    let page: Value = serde_json::from_str(parts(&page).2).expect("JSON");
    let completed = |number: usize| page["models"][number]["totals"]["completed"].clone();
    assert_eq!((completed(0), completed(1)), (json!(1), json!(300)), "{page}");
    let page = server.exchange(&wire_get("/metrics", "")).await;
    for line in [
        "parkade_lot_requests_total{model=\"embedder\",outcome=\"completed\"} 300",
        "parkade_lot_requests_total{model=\"chat\",outcome=\"completed\"} 1",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    server.shut_down();
    server.ended().await;
}

#[tokio::test]
async fn a_drain_lets_both_models_finish() {
    let mut server = start().await;
    let mut batch = server.connect().await;
    batch.write_all(&wire_post(EMBEDDINGS, CLOSE, &texts(200))).await.expect("writable");
    let mut chat = server.connect().await;
    let ask = json!({"prompt": "a", "max_tokens": 200, "ignore_eos": true, "stream": true});
    chat.write_all(&wire_post(COMPLETIONS, CLOSE, &ask)).await.expect("writable");
    read_until(&mut chat, "data: ").await;
    server.shut_down();
    let streamed = read_to_end(&mut chat).await;
    assert!(streamed.contains("[DONE]"), "{streamed}");
    // Texts that had not been handed in by then are refused, and the batch with them.
    let embedded = read_to_end(&mut batch).await;
    let (status, ..) = parts(&embedded);
    assert!([200, 503].contains(&status), "{status}");
    server.ended().await;
}
