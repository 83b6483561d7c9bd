//! `/v1/embeddings` and `/v1/rerank`.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use parkade_core::{EngineConfig, LoadOptions};
use parkade_model::gguf::Value as Meta;
use parkade_server::{AppState, ModelEntry, ServerConfig, router};
use serde_json::{Value, json};

use crate::embedders::{pooling, tiny_with, two_way};
use crate::support::{CHAT, COMPLETIONS, api, get, post as send, send as send_request};

const EMBEDDINGS: &str = "/v1/embeddings";
const RERANK: &str = "/v1/rerank";

pub fn api_of(metadata: &[(&str, Meta)], engine: EngineConfig) -> Router {
    let folder = tempfile::tempdir().expect("a folder");
    let path = tiny_with(folder.path(), metadata);
    let options = LoadOptions { threads: Some(1), kv_cache_bytes: Some(16 << 20), engine, ..LoadOptions::default() };
    let loaded = parkade_core::load(&path, &options).expect("the tiny model");
    let state = AppState::new(ServerConfig::default()).expect("valid limits");
    let entry = ModelEntry::new("tiny", loaded.engine, loaded.tokenizer, None, loaded.config).with_pairs(loaded.pairs);
    state.set_model(entry);
    router(state)
}

fn embedder() -> Router {
    api_of(&[pooling(1), two_way()], EngineConfig::default())
}

async fn post(api: &Router, path: &str, body: &Value) -> (StatusCode, Value) {
    let answer = send(api, path, body).await;
    (answer.status, answer.json())
}

fn vector(of: &Value) -> Vec<f64> {
    of["embedding"].as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn length(of: &[f64]) -> f64 {
    of.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[tokio::test]
async fn each_text_has_its_embedding_of_length_1_in_its_place() {
    let api = embedder();
    let (status, all) = post(&api, EMBEDDINGS, &json!({"model": "tiny", "input": ["abc", "a long text", "abc"]})).await;
    assert_eq!(status, StatusCode::OK, "{all}");
    let data = all["data"].as_array().expect("a list");
    assert_eq!(data.iter().map(|of| of["index"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    assert_eq!(
        (data[0]["embedding"] == data[2]["embedding"], data[0]["embedding"] == data[1]["embedding"]),
        (true, false)
    );
    data.iter().for_each(|of| assert!((length(&vector(of)) - 1.0).abs() < 1e-6));
    assert_eq!((all["object"].as_str(), data[0]["object"].as_str()), (Some("list"), Some("embedding")));
    let (_, one) = post(&api, EMBEDDINGS, &json!({"input": "abc"})).await;
    assert_eq!(one["data"][0]["embedding"], data[0]["embedding"], "alone as in company");
    assert_eq!(one["usage"]["prompt_tokens"], one["usage"]["total_tokens"]);
}

#[tokio::test]
async fn embeddings_are_cut_and_written_as_asked() {
    use base64::Engine as _;
    let api = embedder();
    let ask = async |body: Value| post(&api, EMBEDDINGS, &body).await.1["data"][0].clone();
    let whole = vector(&ask(json!({"input": "abc"})).await);
    let cut = vector(&ask(json!({"input": "abc", "dimensions": 8})).await);
    assert_eq!(cut.len(), 8);
    assert!((length(&cut) - 1.0).abs() < 1e-6);
    let ratio = cut[0] / whole[0];
    assert!(cut.iter().zip(&whole).all(|(cut, whole)| (cut - whole * ratio).abs() < 1e-6));
    let coded = ask(json!({"input": "abc", "encoding_format": "base64"})).await;
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(coded["embedding"].as_str().expect("text")).expect("base64");
    let values: Vec<f32> =
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four"))).collect();
    assert_eq!(values, whole.iter().map(|&x| x as f32).collect::<Vec<_>>());
    let ids = ask(json!({"input": [[20, 21, 22]]})).await;
    assert_eq!(ids, ask(json!({"input": [20, 21, 22]})).await);
}

#[tokio::test]
async fn more_texts_than_may_wait_go_through_a_few_at_a_time() {
    let api =
        api_of(&[pooling(1), two_way()], EngineConfig { max_queue_depth: 4, max_seqs: 2, ..EngineConfig::default() });
    let texts: Vec<String> = (0..2048).map(|i| format!("text {}", i % 50)).collect();
    let (status, answer) = post(&api, EMBEDDINGS, &json!({ "input": texts })).await;
    assert_eq!(status, StatusCode::OK, "{}", answer["error"]);
    assert_eq!(answer["data"].as_array().map(Vec::len), Some(2048));
    assert_eq!(answer["data"][0]["embedding"], answer["data"][2000]["embedding"]);
}

#[tokio::test]
async fn a_batch_of_texts_can_be_asked_for_and_cancelled_by_its_id() {
    let api = api_of(&[pooling(1), two_way()], EngineConfig { max_seqs: 1, ..EngineConfig::default() });
    let ask = |id: &str, texts: usize| {
        let body = json!({ "input": vec!["a text of some length that takes a while"; texts] }).to_string();
        let request = Request::post(EMBEDDINGS).header("content-type", "application/json").header("x-request-id", id);
        let (request, api) = (request.body(Body::from(body)).expect("a request"), api.clone());
        tokio::spawn(async move { send_request(&api, request).await })
    };
    let status = async |id: &str| get(&api, &format!("/v1/requests/{id}")).await.json();
    let batch = ask("batch", 2048);
    while status("batch").await["state"] != "running" {
        tokio::task::yield_now().await;
    }
    let stream = get(&api, "/v1/requests/batch/stream").await;
    assert_eq!(stream.error(), (404, None, Some("stream_not_found".to_owned())));
    let (_, cancelled) = post(&api, "/v1/requests/batch/cancel", &json!({})).await;
    assert_eq!(cancelled["cancelled"], true, "{cancelled}");
    assert_eq!(batch.await.expect("an answer").error().2.as_deref(), Some("request_cancelled"));
    while status("batch").await["state"] != "ended" {
        tokio::task::yield_now().await;
    }
    let ended = status("batch").await;
    assert_eq!((&ended["error"], &ended["completion_tokens"]), (&json!("request_cancelled"), &json!(0)), "{ended}");

    let whole = ask("whole", 40).await.expect("an answer").json();
    let ended = status("whole").await;
    assert_eq!((&ended["state"], &ended["error"]), (&json!("ended"), &Value::Null), "{ended}");
    assert_eq!(ended["prompt_tokens"], whole["usage"]["prompt_tokens"]);
    let (_, late) = post(&api, "/v1/requests/whole/cancel", &json!({})).await;
    assert_eq!(late["cancelled"], false, "{late}");
}

#[tokio::test]
async fn what_cannot_be_embedded_is_named_by_its_place() {
    let api = embedder();
    let long = "a ".repeat(600);
    for (body, param, code) in [
        (json!({}), "input", "missing_required_parameter"),
        (json!({"input": ""}), "input", "invalid_value"),
        (json!({"input": ["a", ""]}), "input[1]", "invalid_value"),
        (json!({"input": []}), "input", "invalid_value"),
        (json!({"input": [[]]}), "input[0]", "invalid_value"),
        (json!({"input": [[5], [600]]}), "input[1]", "invalid_value"),
        (json!({"input": [5, 600]}), "input", "invalid_value"),
        (json!({"input": vec![5; 600]}), "input", "context_length_exceeded"),
        (json!({"input": 5}), "input", "invalid_type"),
        (json!({"input": vec!["a"; 2049]}), "input", "invalid_value"),
        (json!({"input": ["a", long]}), "input[1]", "context_length_exceeded"),
        (json!({"input": "a", "dimensions": 0}), "dimensions", "invalid_value"),
        (json!({"input": "a", "dimensions": 100_000}), "dimensions", "invalid_value"),
        (json!({"input": "a", "encoding_format": "hex"}), "encoding_format", "invalid_value"),
        (json!({"input": "a", "truncate": 5}), "truncate", "invalid_type"),
        (json!({"input": "a", "model": "no"}), "model", "model_not_found"),
    ] {
        let (status, answer) = post(&api, EMBEDDINGS, &body).await;
        assert!(status.is_client_error(), "{body}: {answer}");
        let error = &answer["error"];
        assert_eq!((error["param"].as_str(), error["code"].as_str()), (Some(param), Some(code)), "{error}");
    }
    for cut in [json!({"truncate": true}), json!({"truncate": "START"}), json!({"truncate_prompt_tokens": -1})] {
        let mut body = json!({"input": ["a", long]});
        body.as_object_mut().expect("an object").extend(cut.as_object().expect("an object").clone());
        let (status, answer) = post(&api, EMBEDDINGS, &body).await;
        assert_eq!(status, StatusCode::OK, "{cut}: {answer}");
    }
}

#[tokio::test]
async fn a_model_answers_at_the_paths_of_what_it_has_learnt() {
    let refused = async |api: &Router, path: &str, body: Value| {
        let (status, answer) = post(api, path, &body).await;
        let error = &answer["error"];
        assert_eq!(
            (status, error["code"].as_str()),
            (StatusCode::BAD_REQUEST, Some("model_not_supported")),
            "{path}: {answer}"
        );
        assert_eq!(error["param"], "model");
    };
    let chat = json!({"messages": [{"role": "user", "content": "a"}]});
    let embedder = embedder();
    refused(&embedder, CHAT, chat.clone()).await;
    refused(&embedder, COMPLETIONS, json!({"prompt": "a"})).await;
    refused(&embedder, RERANK, json!({"query": "a", "documents": ["b"]})).await;
    let generates = api();
    refused(&generates, EMBEDDINGS, json!({"input": "a"})).await;
    refused(&generates, RERANK, json!({"query": "a", "documents": ["b"]})).await;
}

#[tokio::test]
async fn documents_come_in_the_order_of_their_scores() {
    let api = api_of(&[pooling(4), two_way()], EngineConfig::default());
    let documents = json!(["abc", {"text": "a long text"}, "xyz"]);
    let (status, all) =
        post(&api, RERANK, &json!({"query": "what", "documents": documents, "return_documents": true})).await;
    assert_eq!(status, StatusCode::OK, "{all}");
    let results = all["results"].as_array().expect("a list");
    assert_eq!(results.len(), 3);
    let scores: Vec<f64> = results.iter().map(|of| of["relevance_score"].as_f64().expect("a score")).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let second = results.iter().find(|of| of["index"] == 1).expect("the second");
    assert_eq!(second["document"]["text"], "a long text");
    let (_, top) = post(&api, "/rerank", &json!({"query": "what", "documents": documents, "top_n": 1})).await;
    assert_eq!(top["results"][0]["relevance_score"], results[0]["relevance_score"]);
    assert_eq!((top["results"].as_array().map(Vec::len), &top["results"][0]["document"]), (Some(1), &Value::Null));
    // As text-embeddings-inference has it: a bare list, of probabilities.
    let (_, plain) = post(&api, RERANK, &json!({"query": "what", "texts": ["abc", "a long text", "xyz"]})).await;
    assert_eq!(plain[0]["index"], results[0]["index"]);
    assert!(plain[0]["score"].as_f64().is_some_and(|score| (score - 1.0 / (1.0 + (-scores[0]).exp())).abs() < 1e-6));
}

#[tokio::test]
async fn a_document_that_is_cut_leaves_the_query_and_what_stands_around_both() {
    let api = api_of(&[pooling(4), two_way()], EngineConfig::default());
    let scores = async |documents: [&str; 2], truncate: Value| {
        let body = json!({"query": "what", "documents": documents, "truncate": truncate});
        let (status, ranked) = post(&api, RERANK, &body).await;
        assert_eq!(status, StatusCode::OK, "{ranked}");
        let mut results = ranked["results"].as_array().unwrap().clone();
        results.sort_by_key(|result| result["index"].as_u64());
        (results.iter().map(|result| result["relevance_score"].clone()).collect::<Vec<_>>(), ranked["usage"].clone())
    };
    // Where a document is cut at its end, what was there is all the same, and so at its beginning.
    let (long, other) = ("a ".repeat(600) + &"b ".repeat(600), "a ".repeat(600) + &"c ".repeat(600));
    let (ends, usage) = scores([&long, &other], json!("END")).await;
    assert_eq!(ends[0], ends[1]);
    assert_eq!(usage["prompt_tokens"], 2 * 512);
    let (starts, _) = scores([&long, &other], json!("START")).await;
    assert_ne!(starts[0], starts[1]);
    assert_ne!(starts[0], ends[0]);
}

#[tokio::test]
async fn what_cannot_be_ranked_is_named_by_its_place() {
    let api = api_of(&[pooling(4), two_way()], EngineConfig::default());
    let long = "a ".repeat(600);
    for (body, param) in [
        (json!({"documents": ["a"]}), "query"),
        (json!({"query": "", "documents": ["a"]}), "query"),
        (json!({"query": "a"}), "documents"),
        (json!({"query": "a", "documents": []}), "documents"),
        (json!({"query": "a", "documents": ["b", 5]}), "documents[1]"),
        (json!({"query": "a", "documents": [{"title": "b"}]}), "documents[0].text"),
        (json!({"query": "a", "documents": ["b", long]}), "documents[1]"),
        (json!({"query": "a", "documents": ["b"], "top_n": 0}), "top_n"),
        (json!({"query": "a", "documents": ["b"], "texts": ["c"]}), "texts"),
        (json!({"query": long, "documents": ["b"]}), "query"),
        (json!({"query": long, "documents": ["b"], "truncate": true}), "query"),
        (json!({"query": "abc", "documents": ["b"], "truncate_prompt_tokens": 2}), "query"),
    ] {
        let (status, answer) = post(&api, RERANK, &body).await;
        assert_eq!((status, answer["error"]["param"].as_str()), (StatusCode::BAD_REQUEST, Some(param)), "{answer}");
    }
}
