//! Responses and detached answers that outlive their server, in the store.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt;
use parkade_core::EngineConfig;
use parkade_server::{ServerConfig, router};
use parkade_store::{AnswerState, Deed, Place, Store, StoreConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::support::{Answer, CHAT, PATIENCE, Running, get, post, send, start_at, state_over};

const RESPONSES: &str = "/v1/responses";

/// A server over a store, and its API.
struct Node {
    server: Running,
    api: Router,
}

fn place(folder: &TempDir) -> Place {
    Place::Sqlite(folder.path().join("parkade.db"))
}

async fn node(place: &Place) -> Node {
    let store = Some(StoreConfig { lease: Duration::from_secs(60), ..StoreConfig::at(place.clone()) });
    let config = ServerConfig { store, ..ServerConfig::default() };
    let (state, engine) = state_over(config, EngineConfig::default());
    let server = start_at("127.0.0.1", state.clone(), engine).await;
    Node { server, api: router(state) }
}

impl Node {
    async fn end(mut self) {
        self.server.shut_down();
        self.server.ended().await;
    }

    async fn delete(&self, path: &str) -> Answer {
        send(&self.api, Request::delete(path).body(Body::empty()).expect("a request")).await
    }

    /// Asks until the answer is as it will be.
    async fn await_end(&self, id: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let response = get(&self.api, &format!("{RESPONSES}/{id}")).await.json();
            if !["queued", "in_progress"].contains(&response["status"].as_str().expect("a status")) {
                return response;
            }
            assert!(Instant::now() < until, "{response}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A body whose answer has many tokens.
fn long(more: Value) -> Value {
    let mut body = json!({"input": "ab", "max_output_tokens": 400});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

fn text_of(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {response}"))
}

/// Reads so many events of a stream, and leaves.
async fn first_events(api: &Router, request: Request<Body>, count: usize) -> Vec<Value> {
    let mut body = api.clone().oneshot(request).await.expect("infallible").into_body().into_data_stream();
    let mut text = String::new();
    while text.matches("data: ").count() <= count {
        let Some(piece) = tokio::time::timeout(PATIENCE, body.next()).await.expect("an event in time") else { break };
        text.push_str(std::str::from_utf8(&piece.expect("a piece")).expect("UTF-8"));
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.take(count).map(|json| serde_json::from_str(json).expect("JSON")).collect()
}

fn stream_of(body: &Value) -> Request<Body> {
    let request = Request::post(RESPONSES).header("content-type", "application/json");
    request.body(Body::from(body.to_string())).expect("a request")
}

/// The text that events tell, after checking that none is missing.
fn told(events: &[Value]) -> String {
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
    }
    let deltas = events.iter().filter(|event| event["type"] == "response.output_text.delta");
    deltas.map(|event| event["delta"].as_str().expect("text")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_outlives_its_server() {
    let folder = TempDir::new().expect("a folder");
    let first = node(&place(&folder)).await;
    let asked = json!({"input": "ab", "max_output_tokens": 4, "temperature": 0, "metadata": {"a": "b"}});
    let response = post(&first.api, RESPONSES, &asked).await.json();
    let id = response["id"].as_str().expect("an id").to_owned();
    let follow = json!({"input": "cd", "previous_response_id": id, "max_output_tokens": 8, "temperature": 0});
    let followed = text_of(&post(&first.api, RESPONSES, &follow).await.json()).to_owned();
    first.end().await;

    let second = node(&place(&folder)).await;
    assert_eq!(get(&second.api, &format!("{RESPONSES}/{id}")).await.json(), response);
    let items = get(&second.api, &format!("{RESPONSES}/{id}/input_items")).await.json();
    assert_eq!(items["data"][0]["content"][0]["text"], "ab");
    assert_eq!(text_of(&post(&second.api, RESPONSES, &follow).await.json()), followed);
    assert_eq!(second.delete(&format!("{RESPONSES}/{id}")).await.status, 200);
    assert_eq!(get(&second.api, &format!("{RESPONSES}/{id}")).await.status, 404);
    second.end().await;

    let third = node(&place(&folder)).await;
    assert_eq!(get(&third.api, &format!("{RESPONSES}/{id}")).await.status, 404);
    let gone = post(&third.api, RESPONSES, &follow).await.error();
    assert_eq!(gone.2.as_deref(), Some("previous_response_not_found"));
    third.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_read_a_stream_finds_its_response() {
    let folder = TempDir::new().expect("a folder");
    let node = node(&place(&folder)).await;
    let (events, _) = post(&node.api, RESPONSES, &long(json!({"stream": true, "max_output_tokens": 9}))).await.events();
    let last = &events.last().expect("an event")["response"];
    let id = last["id"].as_str().expect("an id");
    assert_eq!(&get(&node.api, &format!("{RESPONSES}/{id}")).await.json(), last);
    node.end().await;
    let store = Store::new(StoreConfig::at(place(&folder)));
    assert_eq!(store.answer_state("", id).await.expect("a store"), Some(AnswerState::Ended));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_made_before_something_is_to_be_kept() {
    let folder = TempDir::new().expect("a folder");
    let node = node(&place(&folder)).await;
    let is_empty = || std::fs::read_dir(folder.path()).expect("a folder").next().is_none();
    let chat = json!({"messages": [{"role": "user", "content": "ab"}], "max_tokens": 2});
    assert_eq!(post(&node.api, CHAT, &chat).await.status, 200);
    let unkept = json!({"input": "ab", "max_output_tokens": 2, "store": false});
    assert_eq!(post(&node.api, RESPONSES, &unkept).await.status, 200);
    assert_eq!(get(&node.api, &format!("{RESPONSES}/resp_1")).await.status, 404);
    assert_eq!(get(&node.api, "/v1/requests/a/answer").await.status, 404);
    assert!(is_empty(), "a file was made");
    assert_eq!(post(&node.api, RESPONSES, &json!({"input": "ab", "max_output_tokens": 2})).await.status, 200);
    assert!(!is_empty());
    node.end().await;
}

/// Without a seed of its own: the one that it was given must be used again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_given_back_goes_on_where_its_reader_was() {
    let folder = TempDir::new().expect("a folder");
    let first = node(&place(&folder)).await;
    let mut events = first_events(&first.api, stream_of(&long(json!({"background": true, "stream": true}))), 12).await;
    let id = events[0]["response"]["id"].as_str().expect("an id").to_owned();
    first.end().await;

    let second = node(&place(&folder)).await;
    let rest = get(&second.api, &format!("{RESPONSES}/{id}?stream=true&starting_after=11")).await;
    events.extend(rest.events().0);
    let ended = second.await_end(&id).await;
    assert_eq!(told(&events), text_of(&ended));
    assert_eq!(events.last().expect("an end")["response"], ended);
    let again = get(&second.api, &format!("{RESPONSES}/{id}?stream=true")).await.events().0;
    assert_eq!(again, events);
    let beyond = get(&second.api, &format!("{RESPONSES}/{id}?stream=true&starting_after=9999")).await.error();
    assert_eq!(beyond, (400, Some("starting_after".to_owned()), Some("out_of_range".to_owned())));
    second.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_taken_up_is_that_of_an_undisturbed_run() {
    let folder = TempDir::new().expect("a folder");
    let first = node(&place(&folder)).await;
    let earlier = post(&first.api, RESPONSES, &json!({"input": "xy", "max_output_tokens": 3})).await.json();
    let asked = long(json!({"seed": 11, "previous_response_id": earlier["id"]}));
    let undisturbed = text_of(&post(&first.api, RESPONSES, &asked).await.json()).to_owned();
    let mut background = asked.clone();
    background["background"] = true.into();
    let begun = post(&first.api, RESPONSES, &background).await.json();
    assert_eq!((&begun["status"], &begun["background"]), (&json!("queued"), &json!(true)));
    // What it follows is not needed any more.
    first.delete(&format!("{RESPONSES}/{}", earlier["id"].as_str().expect("an id"))).await;
    first.end().await;

    let second = node(&place(&folder)).await;
    let ended = second.await_end(begun["id"].as_str().expect("an id")).await;
    assert_eq!(text_of(&ended), undisturbed);
    assert_eq!(ended["created_at"], begun["created_at"]);
    second.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_in_the_background_are_told_in_the_transaction_that_writes_them() {
    let folder = TempDir::new().expect("a folder");
    let first = node(&place(&folder)).await;
    let whole = post(&first.api, RESPONSES, &long(json!({"background": true, "max_output_tokens": 3}))).await.json();
    let ended = first.await_end(whole["id"].as_str().expect("an id")).await;
    let endless = long(json!({"background": true, "stream": true}));
    let stopped = first_events(&first.api, stream_of(&endless), 3).await[0]["response"]["id"].clone();
    let path = format!("{RESPONSES}/{}", stopped.as_str().expect("an id"));
    let cancelled = post(&first.api, &format!("{path}/cancel"), &json!({})).await.json();
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    first.end().await;

    let store = Store::new(StoreConfig::at(place(&folder)));
    let told = store.take_deliveries(9).await.expect("a store");
    let mut told: Vec<_> = told
        .iter()
        .map(|attempt| {
            let payload: Value = serde_json::from_str(&attempt.delivery.payload).expect("JSON");
            (payload["type"].clone(), payload["data"]["id"].clone())
        })
        .collect();
    told.sort_by_key(|(kind, _)| kind.to_string());
    let outcome = format!("response.{}", ended["status"].as_str().expect("a status"));
    assert_eq!(told, [(json!("response.cancelled"), stopped), (json!(outcome), whole["id"].clone())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cancelled_while_nobody_computed_it_is_not_begun_again() {
    let folder = TempDir::new().expect("a folder");
    let first = node(&place(&folder)).await;
    let endless = long(json!({"background": true, "stream": true}));
    let id = first_events(&first.api, stream_of(&endless), 5).await[0]["response"]["id"].clone();
    let id = id.as_str().expect("an id");
    first.end().await;
    {
        let store = Store::new(StoreConfig::at(place(&folder)));
        assert_eq!(store.answer_state("", id).await.expect("a store"), Some(AnswerState::Waiting));
        assert!(store.cancel_answer("", id, &Deed::default()).await.expect("a store"));
        store.close().await;
    }
    let second = node(&place(&folder)).await;
    let ended = second.await_end(id).await;
    assert_eq!(ended["status"], "cancelled", "{ended}");
    let (events, _) = get(&second.api, &format!("{RESPONSES}/{id}?stream=true")).await.events();
    told(&events);
    assert_eq!(events.last().expect("an end")["response"], ended);
    second.end().await;
}

fn detached(path: &str, id: &str, body: &Value) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.header("x-parkade-detach", "true").header("x-request-id", id);
    request.body(Body::from(body.to_string())).expect("a request")
}

fn chat(more: Value) -> Value {
    let mut body =
        json!({"messages": [{"role": "user", "content": "ab"}], "max_tokens": 300, "ignore_eos": true, "seed": 5});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

/// Asks until the answer is there.
async fn answer_to(api: &Router, id: &str) -> Answer {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = get(api, &format!("/v1/requests/{id}/answer")).await;
        if answer.status != 202 {
            return answer;
        }
        assert!(answer.header("retry-after").is_some() && answer.json()["object"] == "request.answer");
        assert!(Instant::now() < until, "no answer");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends a request and leaves as soon as it can be asked for.
async fn ask_and_leave(api: &Router, id: &str, body: &Value) {
    let asking = tokio::spawn(api.clone().oneshot(detached(CHAT, id, body)));
    let until = Instant::now() + PATIENCE;
    while get(api, &format!("/v1/requests/{id}/answer")).await.status == 404 {
        assert!(Instant::now() < until, "it is not there");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    asking.abort();
}

fn said(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

/// In memory, and in a store.
async fn nodes(folder: &TempDir) -> [Node; 2] {
    let (state, engine) = state_over(ServerConfig::default(), EngineConfig::default());
    let server = start_at("127.0.0.1", state.clone(), engine).await;
    [Node { server, api: router(state) }, node(&place(folder)).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_a_client_that_went_away_is_kept_under_its_id() {
    let folder = TempDir::new().expect("a folder");
    for node in nodes(&folder).await {
        let undisturbed = post(&node.api, CHAT, &chat(json!({}))).await;
        ask_and_leave(&node.api, "job-1", &chat(json!({}))).await;
        let kept = answer_to(&node.api, "job-1").await;
        assert_eq!((kept.status.as_u16(), said(&kept)), (200, said(&undisturbed)));
        assert_eq!(kept.header("content-type"), Some("application/json"));

        let again = send(&node.api, detached(CHAT, "job-1", &chat(json!({})))).await;
        assert_eq!(again.error(), (409, None, Some("request_id_in_use".to_owned())));
        assert_eq!(again.header("x-should-retry"), Some("false"));
        assert_eq!(node.delete("/v1/requests/job-1/answer").await.json()["deleted"], true);
        assert_eq!(get(&node.api, "/v1/requests/job-1/answer").await.error().2.as_deref(), Some("answer_not_found"));

        let here = send(&node.api, detached(CHAT, "job-2", &chat(json!({"max_tokens": 5})))).await;
        assert_eq!((here.status.as_u16(), here.header("x-request-id")), (200, Some("job-2")));
        assert_eq!(get(&node.api, "/v1/requests/job-2/answer").await.text, here.text);
        let stream = send(&node.api, detached(CHAT, "job-3", &chat(json!({"stream": true})))).await;
        assert!(stream.events().1, "{}", stream.text);
        let kept = answer_to(&node.api, "job-3").await;
        assert_eq!((kept.header("content-type"), &kept.text), (Some("text/event-stream"), &stream.text));
        node.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_its_client_was_told_is_not_kept() {
    let folder = TempDir::new().expect("a folder");
    for node in nodes(&folder).await {
        for body in [chat(json!({"max_tokens": -7})), json!([])] {
            let refused = send(&node.api, detached(CHAT, "job", &body)).await;
            assert_eq!(refused.error().0, 400, "{}", refused.text);
            let kept = answer_to(&node.api, "job").await;
            assert_eq!(kept.status, 404, "{}", kept.text);
        }
        assert_eq!(send(&node.api, detached(CHAT, "job", &chat(json!({"max_tokens": 2})))).await.status, 200);
        let elsewhere = send(&node.api, detached(RESPONSES, "job", &json!({"input": "ab"}))).await.error();
        assert_eq!(elsewhere.1.as_deref(), Some("x-parkade-detach"));
        let mut strange = detached(CHAT, "job-2", &chat(json!({})));
        strange.headers_mut().insert("x-parkade-detach", "perhaps".parse().expect("a header"));
        assert_eq!(send(&node.api, strange).await.error().2.as_deref(), Some("invalid_value"));
        node.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_request_outlives_its_server() {
    let folder = TempDir::new().expect("a folder");
    let first = node(&place(&folder)).await;
    let undisturbed = post(&first.api, CHAT, &chat(json!({}))).await;
    for id in ["early", "late"] {
        ask_and_leave(&first.api, id, &chat(json!({}))).await;
    }
    answer_to(&first.api, "early").await;
    first.end().await;
    assert!(Path::new(&folder.path().join("parkade.db")).exists());
    let second = node(&place(&folder)).await;
    for id in ["early", "late"] {
        assert_eq!(said(&answer_to(&second.api, id).await), said(&undisturbed));
    }
    second.end().await;
}
