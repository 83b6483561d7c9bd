//! What holders of keys learn of each other: nothing.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use std::time::{Duration, Instant};

use parkade_core::{EngineConfig, SchedulerKind};
use parkade_server::{AppState, Policy, ServerConfig, router};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::keys::policy;
use crate::support::{Answer, CHAT, COMPLETIONS, PATIENCE, get, post, send, state_over};

/// A server for each scheduler of this build.
fn servers(policy: impl Fn() -> Policy) -> Vec<(Router, AppState)> {
    servers_over(EngineConfig::default(), policy)
}

fn servers_over(engine: EngineConfig, policy: impl Fn() -> Policy) -> Vec<(Router, AppState)> {
    let mut kinds = vec![SchedulerKind::Default];
    if cfg!(feature = "parking-lot-scheduler") {
        kinds.push(SchedulerKind::ParkingLot);
    }
    let server = |scheduler| {
        let (state, _) = state_over(ServerConfig::default(), EngineConfig { scheduler, ..engine.clone() });
        state.set_policy(policy()).expect("valid weights");
        (router(state.clone()), state)
    };
    kinds.into_iter().map(server).collect()
}

/// Sends a body, or asks for a path, with the key of this name.
async fn with_key(api: &Router, key: &str, path: &str, body: Option<&Value>) -> Answer {
    let request = Request::builder().uri(path).header("authorization", format!("Bearer sk-{key}"));
    let request = match body {
        Some(body) => request.method("POST").header("content-type", "application/json").body(body.to_string().into()),
        None => request.body(Body::empty()),
    };
    send(api, request.expect("a request")).await
}

fn cached(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().expect("a number")
}

fn prompt() -> Value {
    json!({"prompt": vec![5; 100], "max_tokens": 1})
}

fn salted(salt: &str) -> Value {
    let mut body = prompt();
    body["cache_salt"] = json!(salt);
    body
}

#[tokio::test]
async fn a_key_never_finds_what_another_has_had_computed_unless_they_share_a_group() {
    let keys =
        || policy(&[("ada", ""), ("bob", ""), ("cat", "cache_group = \"pets\""), ("dan", "cache_group = \"pets\"")]);
    for (api, _) in servers(keys) {
        let ask = async |key: &str, body: &Value| cached(&with_key(&api, key, COMPLETIONS, Some(body)).await);
        assert_eq!(ask("ada", &prompt()).await, 0);
        assert_eq!(ask("ada", &prompt()).await, 96);
        assert_eq!(ask("bob", &prompt()).await, 0, "a right guess looks like a wrong one");
        let mut as_ada = prompt();
        as_ada["user"] = json!("ada");
        assert_eq!(ask("cat", &as_ada).await, 0, "a user is no key");
        assert_eq!(ask("dan", &prompt()).await, 96, "they share on purpose");
        assert_eq!(ask("dan", &salted("s")).await, 0);
        assert_eq!(ask("cat", &salted("s")).await, 96, "a salt is honoured inside the group");
        assert_eq!(ask("ada", &salted("s")).await, 0, "and not outside");
        let chat = json!({"messages": [{"role": "user", "content": "hello ".repeat(60)}], "max_tokens": 1});
        let chatting = async |key: &str| cached(&with_key(&api, key, CHAT, Some(&chat)).await);
        assert_eq!(chatting("ada").await, 0);
        assert_eq!(chatting("bob").await, 0);
        assert!(chatting("ada").await > 0);
    }
}

#[tokio::test]
async fn a_group_is_taken_from_a_policy_that_is_read_again() {
    for (api, state) in servers(|| policy(&[("ada", ""), ("bob", "")])) {
        let ask = async |key: &str| cached(&with_key(&api, key, COMPLETIONS, Some(&prompt())).await);
        assert_eq!((ask("ada").await, ask("bob").await), (0, 0));
        let group = "cache_group = \"both\"";
        state.set_policy(policy(&[("ada", group), ("bob", group)])).expect("valid weights");
        assert_eq!((ask("ada").await, ask("bob").await), (0, 96), "what each had stays its own");
        state.set_policy(policy(&[("ada", ""), ("bob", "")])).expect("valid weights");
        assert_eq!((ask("ada").await, ask("bob").await), (96, 96));
    }
}

#[tokio::test]
async fn without_keys_users_share_and_salts_separate() {
    for (api, _) in servers(Policy::default) {
        let ask = async |body: &Value| cached(&post(&api, COMPLETIONS, body).await);
        let user = |name: &str| {
            let mut body = prompt();
            body["user"] = json!(name);
            body
        };
        assert_eq!((ask(&user("ada")).await, ask(&user("bob")).await), (0, 96));
        assert_eq!((ask(&salted("s")).await, ask(&salted("t")).await, ask(&salted("s")).await), (0, 0, 96));
        let mut none = prompt();
        none["cache_salt"] = json!(null);
        assert_eq!(ask(&none).await, 96, "null is as if it were not there");
        for bad in [json!(""), json!("s".repeat(257)), json!(7), json!(["s"])] {
            let answer = post(&api, COMPLETIONS, &json!({"prompt": "a", "cache_salt": bad})).await;
            assert_eq!((answer.error().0, answer.error().1.as_deref()), (400, Some("cache_salt")), "{bad}");
        }
        assert_eq!(get(&api, "/v1/models").await.status, 200);
    }
}

/// Asks in the background, as a client that waits for a whole answer.
fn asking(api: &Router, key: &'static str, id: &'static str, body: Value) -> JoinHandle<Answer> {
    let api = api.clone();
    tokio::spawn(async move {
        let request = Request::post(COMPLETIONS)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer sk-{key}"))
            .header("x-request-id", id)
            .body(Body::from(body.to_string()));
        send(&api, request.expect("a request")).await
    })
}

async fn eventually(what: &str, check: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < until, "{what} never happened");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// One sequence at a time: who comes while another answer is made has to wait.
fn narrow() -> EngineConfig {
    EngineConfig { max_seqs: 1, ..EngineConfig::default() }
}

fn long() -> Value {
    json!({"prompt": vec![5; 100], "max_tokens": 400, "ignore_eos": true})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_sees_nothing_of_the_load_and_the_sums_of_others() {
    let keys = || policy(&[("ada", ""), ("bob", ""), ("ops", "operator = true")]);
    for (api, state) in servers_over(narrow(), keys) {
        let page = async |key: &str| {
            let mut page = with_key(&api, key, "/v1/metrics", None).await.json();
            page["uptime_seconds"] = json!(null);
            page
        };
        let before = page("bob").await;
        for field in ["scheduler_type", "active_workers", "queued_tasks", "available_capacity", "total_capacity"] {
            assert!(!before[field].is_null(), "{field} is not in {before}");
        }
        let engine = state.models()[0].engine.clone();
        let hers = [asking(&api, "ada", "first", long()), asking(&api, "ada", "second", long())];
        eventually("one runs and one waits", || {
            let now = engine.snapshot();
            (now.requests.running, now.requests.waiting) == (1, 1) || hers.iter().any(JoinHandle::is_finished)
        })
        .await;
        let during = page("bob").await;
        let seen = page("ada").await;
        let all = page("ops").await;
        let scraped = [
            ("bob", with_key(&api, "bob", "/metrics", None).await.text),
            ("ada", with_key(&api, "ada", "/metrics", None).await.text),
            ("nobody", get(&api, "/metrics").await.text),
            ("ops", with_key(&api, "ops", "/metrics", None).await.text),
        ];
        for (who, text) in &scraped[..3] {
            assert!(text.contains("parkade_num_requests_running ") && !text.contains("tenant="), "{who}: {text}");
        }
        if !hers.iter().any(JoinHandle::is_finished) {
            assert_eq!((&seen["queued_tasks"], &seen["requests"]["waiting"]), (&json!(1), &json!(1)), "{seen}");
            assert_eq!(seen["tenants"]["ada"]["waiting"], 1, "{seen}");
            assert!(seen["available_capacity"].as_u64() < seen["total_capacity"].as_u64(), "{seen}");
            assert_eq!(all["tenants"]["ada"]["waiting"], 1, "an operator sees all: {all}");
            let line = "parkade_tenant_requests{tenant=\"ada\",state=\"waiting\"} 1";
            assert!(scraped[3].1.contains(line), "an operator's Prometheus too: {}", scraped[3].1);
            assert!(!all["work"].is_null() && seen["work"].is_null(), "the engine's work tells of all: {seen}");
        }
        for asking in hers {
            assert_eq!(asking.await.expect("no panic").status, 200);
        }
        assert_eq!((&during, &page("bob").await), (&before, &before));
        assert_eq!(page("ada").await["totals"]["completed"], 2);
        assert_eq!(with_key(&api, "bob", COMPLETIONS, Some(&prompt())).await.status, 200);
        let his = page("bob").await;
        assert_eq!((&his["totals"]["submitted"], &his["totals"]["completed"]), (&json!(1), &json!(1)), "{his}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_in_line_is_one_among_the_own_requests_and_a_wait_is_told_in_whole_seconds() {
    for (api, state) in servers_over(narrow(), || policy(&[("ada", ""), ("bob", "")])) {
        let engine = state.models()[0].engine.clone();
        let mut asked = vec![asking(&api, "ada", "first", long())];
        eventually("it runs", || engine.snapshot().requests.running == 1 || asked[0].is_finished()).await;
        asked.push(asking(&api, "ada", "second", long()));
        eventually("one waits", || engine.snapshot().requests.waiting >= 1).await;
        asked.push(asking(&api, "bob", "his", long()));
        eventually("two wait", || engine.snapshot().requests.waiting >= 2).await;
        let card = with_key(&api, "bob", "/v1/requests/his", None).await.json();
        if card["state"] == "waiting" {
            assert_eq!(card["place"], 0, "{card}");
            assert!(card["estimated_wait_ms"].as_u64().is_none_or(|wait| wait % 1000 == 0), "{card}");
        }
        for asking in asked {
            assert_eq!(asking.await.expect("no panic").status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_keys_that_use_one_request_id_do_not_learn_of_each_other() {
    for (api, _) in servers(|| policy(&[("ada", ""), ("bob", "")])) {
        let body = |tokens: usize| json!({"prompt": [5, 6], "max_tokens": tokens, "ignore_eos": true});
        let both = [asking(&api, "ada", "twin", body(300)), asking(&api, "bob", "twin", body(20))];
        for asking in both {
            let answer = asking.await.expect("no panic");
            assert_eq!((answer.status.as_u16(), answer.header("x-request-id")), (200, Some("twin")));
        }
        for (key, tokens) in [("ada", 300), ("bob", 20)] {
            let card = with_key(&api, key, "/v1/requests/twin", None).await.json();
            assert_eq!((&card["tenant"], &card["completion_tokens"]), (&json!(key), &json!(tokens)), "{card}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_for_want_of_room_tells_no_numbers_of_others() {
    let engine = EngineConfig { max_queue_depth: 1, ..narrow() };
    for (api, state) in servers_over(engine, || policy(&[("ada", ""), ("bob", "")])) {
        let engine = state.models()[0].engine.clone();
        // Both of hers are taken, or she has been quick; then there is nothing to be refused for.
        let hers: Vec<_> = ["a", "b", "c"].map(|id| asking(&api, "ada", id, long())).into();
        eventually("the line is full", || {
            engine.snapshot().requests.waiting == 1 || hers.iter().all(JoinHandle::is_finished)
        })
        .await;
        for answer in [asking(&api, "bob", "d", long()), asking(&api, "bob", "e", long())] {
            let answer = answer.await.expect("no panic");
            if answer.status == 503 {
                let message = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
                assert!(
                    message.starts_with("the server is overloaded: its waiting line is full; retry in "),
                    "{message}"
                );
                assert!(!message.contains("ada"));
            }
        }
        for asking in hers {
            asking.await.expect("no panic");
        }
    }
}
