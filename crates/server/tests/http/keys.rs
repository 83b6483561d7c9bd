//! API keys, the classes that they allow, and their rates.

use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
#[cfg(feature = "parking-lot-scheduler")]
use parkade_core::Class;
use parkade_core::EngineConfig;
use parkade_server::{ApiKeys, AppState, Policy, ServerConfig, hash_key, router};
use serde_json::{Value, json};

use crate::support::{Answer, CHAT, COMPLETIONS, get, send, state_over};

/// A policy with one key for each name, `sk-NAME`, and more lines for its entry.
pub fn policy(entries: &[(&str, &str)]) -> Policy {
    let file: String = entries
        .iter()
        .map(|(name, more)| {
            let more = if more.contains("highest_class") {
                (*more).to_owned()
            } else {
                format!("highest_class = \"high\"\n{more}")
            };
            format!("[[key]]\nname = \"{name}\"\nkey_sha256 = \"{}\"\n{more}\n", hash_key(&format!("sk-{name}")))
        })
        .collect();
    Policy { keys: Some(ApiKeys::parse(&file, Path::new("keys.toml")).expect("valid")), ..Policy::default() }
}

fn guarded(entries: &[(&str, &str)]) -> (Router, AppState) {
    guarded_over(EngineConfig::default(), entries)
}

fn guarded_over(engine: EngineConfig, entries: &[(&str, &str)]) -> (Router, AppState) {
    let (state, _) = state_over(ServerConfig::default(), engine);
    state.set_policy(policy(entries)).expect("valid weights");
    (router(state.clone()), state)
}

async fn ask(api: &Router, key: &str, body: &Value) -> Answer {
    let request = Request::post(COMPLETIONS)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {key}"))
        .body(Body::from(body.to_string()));
    send(api, request.expect("a request")).await
}

#[tokio::test]
async fn without_a_key_there_is_only_health_and_metrics() {
    let (api, _) = guarded(&[("ada", "")]);
    for (method, path) in [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/default"),
        ("GET", "/v1/metrics"),
        ("GET", "/v1/requests/a"),
        ("POST", "/v1/requests/a/cancel"),
        ("GET", "/v1/requests/a/stream"),
        ("POST", COMPLETIONS),
        ("POST", CHAT),
    ] {
        for authorization in [None, Some("Bearer sk-bob"), Some("Basic sk-ada"), Some("sk-ada"), Some("Bearer ")] {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            let answer = send(&api, request.body(Body::empty()).expect("a request")).await;
            assert_eq!(answer.error(), (401, None, Some("invalid_api_key".into())), "{method} {path}");
            assert_eq!(answer.header("x-should-retry"), Some("false"));
            assert!(!answer.text.contains("sk-"), "{}", answer.text);
        }
    }
    for path in ["/health", "/health/ready", "/metrics", "/version"] {
        assert_eq!(get(&api, path).await.status, 200, "{path}");
    }
    assert_eq!(ask(&api, "sk-ada", &json!({"prompt": "a", "max_tokens": 1})).await.status, 200);
}

#[tokio::test]
async fn a_key_may_come_as_anthropics_clients_send_it() {
    let (api, _) = guarded(&[("ada", "")]);
    for (key, status) in [("sk-ada", 200), ("sk-bob", 401)] {
        let request = Request::get("/v1/models").header("x-api-key", key).body(Body::empty());
        assert_eq!(send(&api, request.expect("a request")).await.status.as_u16(), status, "{key}");
    }
}

#[cfg(feature = "parking-lot-scheduler")]
#[tokio::test]
async fn the_tier_that_was_served_is_reported_and_capped_by_the_key() {
    let (api, state) = guarded_over(
        crate::lot::lot(4),
        &[
            ("low", "highest_class = \"low\""),
            ("high", "default_class = \"high\""),
            ("top", "highest_class = \"critical\"\ndefault_class = \"critical\""),
        ],
    );
    for (key, asked, served) in [
        ("sk-low", json!("priority"), "flex"),
        ("sk-low", json!(null), "flex"),
        ("sk-high", json!(null), "priority"),
        ("sk-high", json!("auto"), "priority"),
        ("sk-high", json!("default"), "default"),
        ("sk-high", json!("flex"), "flex"),
        ("sk-top", json!("priority"), "priority"),
    ] {
        let answer = ask(&api, key, &json!({"prompt": "a", "max_tokens": 1, "service_tier": asked})).await;
        assert_eq!(answer.json()["service_tier"], served, "{key} asks for {asked}");
    }
    // What was reported is what the lot was told.
    let running = async |key: &'static str, tier: Value| {
        let long = json!({"prompt": "a", "max_tokens": 400, "ignore_eos": true, "service_tier": tier});
        let api = api.clone();
        let asking = tokio::spawn(async move { ask(&api, key, &long).await });
        let class = loop {
            let classes = state.models()[0].engine.snapshot().classes;
            match classes.iter().find(|class| class.waiting + class.running > 0) {
                Some(class) => break class.class,
                None if asking.is_finished() => panic!("it was never seen to run"),
                None => tokio::task::yield_now().await,
            }
        };
        asking.await.expect("no panic");
        class
    };
    assert_eq!(running("sk-low", json!("priority")).await, Class::Low);
    assert_eq!(running("sk-top", json!(null)).await, Class::Critical);
    assert_eq!(running("sk-high", json!("priority")).await, Class::High);
    let critical = ask(&api, "sk-top", &json!({"prompt": "a", "max_tokens": 1, "service_tier": "critical"})).await;
    assert_eq!(critical.error(), (400, Some("service_tier".into()), Some("invalid_value".into())));
}

#[tokio::test]
async fn requests_over_the_rate_are_429_with_the_time_to_come_back() {
    let (api, _) = guarded(&[("ada", "requests_per_minute = 2"), ("bob", "")]);
    let body = json!({"prompt": "a", "max_tokens": 1});
    for left in ["1", "0"] {
        let answer = ask(&api, "sk-ada", &body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("2"));
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some(left));
        assert!(answer.header("x-ratelimit-reset-requests").is_some_and(|reset| reset.ends_with('s')));
        assert_eq!(answer.header("x-ratelimit-limit-tokens"), None, "there is no such limit");
    }
    let over = ask(&api, "sk-ada", &body).await;
    assert_eq!(over.error(), (429, None, Some("rate_limit_exceeded".into())));
    assert_eq!(over.json()["error"]["type"], "rate_limit_error");
    let wait: u64 = over.header("retry-after").and_then(|s| s.parse().ok()).expect("seconds");
    assert!((25..=30).contains(&wait), "one in thirty seconds: {wait}");
    assert_eq!(over.header("x-should-retry"), Some("true"));
    assert_eq!(over.header("x-ratelimit-remaining-requests"), Some("0"));
    let page = get(&api, "/metrics").await.text;
    assert!(page.contains("parkade_request_refusals_total{reason=\"rate_limit_exceeded\"} 1"), "{page}");
    let other = ask(&api, "sk-bob", &body).await;
    assert_eq!(other.status, 200, "another key has its own rate");
    assert_eq!(other.header("x-ratelimit-limit-requests"), None);
}

#[tokio::test]
async fn tokens_are_charged_before_and_settled_after() {
    let (api, _) = guarded(&[("ada", "tokens_per_minute = 200")]);
    let remaining = |answer: &Answer| -> i64 {
        answer.header("x-ratelimit-remaining-tokens").and_then(|n| n.parse().ok()).expect("a number")
    };
    let prompt: Vec<u32> = vec![5; 20];
    // A stop string ends it early: most of what was charged comes back.
    let early = ask(
        &api,
        "sk-ada",
        &json!({"prompt": prompt, "max_tokens": 150, "logit_bias": {"7": 100}, "temperature": 0,
        "stop": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o"]}),
    )
    .await;
    assert_eq!(early.status, 200, "{}", early.text);
    assert_eq!(remaining(&early), 200 - 20 - 150);
    let used = early.json()["usage"]["total_tokens"].as_i64().expect("a number");
    let second = ask(&api, "sk-ada", &json!({"prompt": prompt, "max_tokens": 1})).await;
    let expected = 200 - used - 21;
    // Time goes on between the two: some tokens have come back.
    assert!((expected..expected + 60).contains(&remaining(&second)), "{} of {expected}", remaining(&second));
    let long: Vec<u32> = vec![5; 201];
    let never = ask(&api, "sk-ada", &json!({"prompt": long, "max_tokens": 1})).await;
    assert_eq!(never.error(), (429, None, Some("rate_limit_exceeded".into())));
    assert_eq!(never.header("x-should-retry"), Some("false"));
    assert_eq!(never.header("retry-after"), None);
}

#[tokio::test]
async fn what_can_never_be_served_is_told_so_whatever_the_rate_allows_and_costs_nothing_of_it() {
    let (api, _) = guarded(&[("ada", "requests_per_minute = 1\ntokens_per_minute = 100")]);
    let never = async |when: &str| {
        for (body, param, code) in [
            (json!({"prompt": vec![5; 600]}), "prompt", "context_length_exceeded"),
            (json!({"prompt": [vec![5; 3], vec![5; 512]]}), "prompt", "context_length_exceeded"),
            (json!({"prompt": "a ".repeat(5000)}), "prompt", "context_length_exceeded"),
            (json!({"prompt": [5], "n": 65}), "n", "request_too_large"),
            (json!({"prompt": [5], "n": 129}), "n", "invalid_value"),
            (json!({"prompt": [1 << 20]}), "prompt", "invalid_value"),
        ] {
            let refused = ask(&api, "sk-ada", &body).await;
            assert_eq!(refused.error(), (400, Some(param.into()), Some(code.into())), "{when}: {}", refused.text);
            assert_eq!(refused.header("x-should-retry"), Some("false"));
        }
    };
    never("when all is left").await;
    let answer = ask(&api, "sk-ada", &json!({"prompt": [5], "max_tokens": 1})).await;
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"), "{}", answer.text);
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some("98"));
    assert_eq!(ask(&api, "sk-ada", &json!({"prompt": [5], "max_tokens": 1})).await.status, 429);
    never("when nothing is left").await;
    let page = get(&api, "/metrics").await.text;
    assert!(page.contains("parkade_request_refusals_total{reason=\"context_length_exceeded\"} 4"), "{page}");
}

#[tokio::test]
async fn what_the_whole_memory_cannot_hold_is_told_so_before_any_rate() {
    let (state, _) = crate::support::state_with_memory(32 << 10);
    state.set_policy(policy(&[("ada", "tokens_per_minute = 10")])).expect("valid weights");
    let refused = ask(&router(state), "sk-ada", &json!({"prompt": vec![5; 400], "max_tokens": 1})).await;
    assert_eq!(refused.error(), (400, Some("prompt".into()), Some("request_too_large".into())), "{}", refused.text);
}

#[tokio::test]
async fn without_a_limit_of_its_own_an_answer_is_charged_as_far_as_the_context_goes() {
    let (api, _) = guarded(&[("ada", "tokens_per_minute = 5000")]);
    let chat = json!({"messages": [{"role": "user", "content": "a"}], "max_tokens": null, "temperature": 0});
    let request = Request::post(CHAT)
        .header("content-type", "application/json")
        .header("authorization", "Bearer sk-ada")
        .body(Body::from(chat.to_string()));
    let answer = send(&api, request.expect("a request")).await;
    // The tiny model's context has 512 tokens.
    assert_eq!((answer.status.as_u16(), answer.header("x-ratelimit-remaining-tokens")), (200, Some("4488")));
}

#[cfg(feature = "parking-lot-scheduler")]
#[tokio::test]
async fn a_key_sees_its_own_tenant_and_an_operators_sees_all() {
    let (api, _) = guarded_over(crate::lot::lot(4), &[("ada", ""), ("bob", ""), ("ops", "operator = true")]);
    let long = json!({"prompt": "a", "max_tokens": 500, "ignore_eos": true, "n": 4});
    let asking = tokio::spawn({
        let api = api.clone();
        async move { ask(&api, "sk-ada", &long).await }
    });
    let seen_by = async |key: &str| {
        let request = Request::get("/v1/metrics").header("authorization", format!("Bearer {key}"));
        let page = send(&api, request.body(Body::empty()).expect("a request")).await.json();
        page["tenants"].as_object().expect("tenants").keys().cloned().collect::<Vec<_>>()
    };
    while seen_by("sk-ops").await.is_empty() {
        assert!(!asking.is_finished(), "it was never seen");
        tokio::task::yield_now().await;
    }
    assert_eq!(seen_by("sk-bob").await, Vec::<String>::new());
    assert!(asking.is_finished() || seen_by("sk-ada").await == ["ada"]);
    assert_eq!(asking.await.expect("no panic").status, 200);
}

#[tokio::test]
async fn keys_are_replaced_without_touching_what_runs() {
    let (api, state) = guarded(&[("ada", "")]);
    let long = json!({"prompt": "hello", "max_tokens": 400, "ignore_eos": true, "stream": true});
    let running = tokio::spawn({
        let api = api.clone();
        async move { ask(&api, "sk-ada", &long).await }
    });
    while state.models()[0].engine.snapshot().requests.running == 0 && !running.is_finished() {
        tokio::task::yield_now().await;
    }
    state.set_policy(policy(&[("bob", "")])).expect("valid weights");
    let body = json!({"prompt": "a", "max_tokens": 1});
    assert_eq!(ask(&api, "sk-ada", &body).await.status, 401);
    assert_eq!(ask(&api, "sk-bob", &body).await.status, 200);
    let (events, done) = running.await.expect("no panic").events();
    assert!(done && !events.is_empty());
    state.set_policy(Policy::default()).expect("valid weights");
    assert_eq!(ask(&api, "whatever", &body).await.status, 200, "no keys, no questions");
}

#[tokio::test]
async fn locks_are_for_operators() {
    let (api, _) = guarded(&[("ada", ""), ("ops", "operator = true")]);
    for (key, sees) in [("sk-ada", false), ("sk-ops", true)] {
        let request = Request::get("/v1/metrics").header("authorization", format!("Bearer {key}"));
        let page = send(&api, request.body(Body::empty()).expect("a request")).await.json();
        assert_eq!(page.get("locks").is_some(), sees, "{page}");
    }
}
