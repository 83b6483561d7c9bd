//! What holders of keys learn of each other: nothing.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use parkade_core::{EngineConfig, SchedulerKind};
use parkade_server::{AppState, Policy, ServerConfig, router};
use serde_json::{Value, json};

use crate::keys::policy;
use crate::support::{Answer, CHAT, COMPLETIONS, get, post, send, state_over};

/// A server for each scheduler of this build.
pub fn servers(policy: impl Fn() -> Policy) -> Vec<(Router, AppState)> {
    let mut kinds = vec![SchedulerKind::Default];
    if cfg!(feature = "parking-lot-scheduler") {
        kinds.push(SchedulerKind::ParkingLot);
    }
    let server = |scheduler| {
        let (state, _) = state_over(ServerConfig::default(), EngineConfig { scheduler, ..EngineConfig::default() });
        state.set_policy(policy()).expect("valid weights");
        (router(state.clone()), state)
    };
    kinds.into_iter().map(server).collect()
}

/// Sends a body, or asks for a path, with the key of this name.
pub async fn with_key(api: &Router, key: &str, path: &str, body: Option<&Value>) -> Answer {
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
