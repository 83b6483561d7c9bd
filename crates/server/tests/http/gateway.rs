//! The headers of an inference gateway: on whose account a request runs, and in which class.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use parkade_core::{Class, EngineConfig, SchedulerKind};
use parkade_server::{Policy, ServerConfig, router};
use serde_json::{Value, json};

use crate::keys::policy;
use crate::support::{Answer, COMPLETIONS, send, state_over};

const FAIRNESS_ID: &str = "x-gateway-inference-fairness-id";
const OBJECTIVE: &str = "x-gateway-inference-objective";

/// A server that knows one objective.
fn api(policy: Option<Policy>) -> Router {
    let config = ServerConfig { objectives: [("premium".to_owned(), Class::High)].into(), ..ServerConfig::default() };
    let engine = EngineConfig { scheduler: SchedulerKind::ParkingLot, ..EngineConfig::default() };
    let (state, _) = state_over(config, engine);
    if let Some(policy) = policy {
        state.set_policy(policy).expect("valid weights");
    }
    router(state)
}

async fn ask(api: &Router, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut request = Request::post(COMPLETIONS).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(api, request.body(Body::from(body.to_string())).expect("a request")).await
}

/// The tenant and the class that a request with these headers and further fields had, and the tier that its answer tells.
async fn served(api: &Router, headers: &[(&str, &str)], more: &[(&str, &str)]) -> [String; 3] {
    let mut body = json!({"prompt": "a", "max_tokens": 1});
    for (name, value) in more {
        body[*name] = json!(value);
    }
    let answer = ask(api, headers, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let id = answer.header("x-request-id").expect("an id").to_owned();
    let key = headers.iter().find(|(name, _)| *name == "x-api-key").map_or("", |(_, key)| key);
    let asked = Request::get(format!("/v1/requests/{id}")).header("x-api-key", key).body(Body::empty());
    let card = send(api, asked.expect("a request")).await.json();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text in {card}")).to_owned();
    [text(&card["tenant"]), text(&card["class"]), text(&answer.json()["service_tier"])]
}

#[tokio::test]
async fn without_keys_a_gateway_says_tenant_and_class() {
    let api = api(None);
    let both = [(FAIRNESS_ID, "team-a"), (OBJECTIVE, "low")];
    assert_eq!(served(&api, &both, &[]).await, ["team-a", "low", "flex"]);
    let body = [("user", "ada"), ("service_tier", "priority")];
    assert_eq!(served(&api, &both, &body).await, ["team-a", "low", "flex"], "the gateway's word counts");
    assert_eq!(served(&api, &[(OBJECTIVE, "premium")], &body[..1]).await, ["ada", "high", "priority"]);
    let unknown = [(FAIRNESS_ID, ""), (OBJECTIVE, "somebody-elses")];
    assert_eq!(served(&api, &unknown, &body).await, ["ada", "high", "priority"], "as if it had said nothing");
}

#[tokio::test]
async fn a_key_is_the_tenant_and_caps_what_a_gateway_asks_for() {
    let api = api(Some(policy(&[("ada", "highest_class = \"normal\"")])));
    let headers = [("x-api-key", "sk-ada"), (FAIRNESS_ID, "bob"), (OBJECTIVE, "premium")];
    assert_eq!(served(&api, &headers, &[]).await, ["ada", "normal", "default"]);
    let lower = [("x-api-key", "sk-ada"), (OBJECTIVE, "low")];
    assert_eq!(served(&api, &lower, &[]).await, ["ada", "low", "flex"]);
}

#[tokio::test]
async fn a_fairness_id_that_is_no_name_is_refused_by_its_header() {
    let answer = ask(&api(None), &[(FAIRNESS_ID, &"x".repeat(257))], &json!({"prompt": "a"})).await;
    assert_eq!(answer.error(), (400, Some(FAIRNESS_ID.to_owned()), Some("invalid_value".to_owned())));
}
