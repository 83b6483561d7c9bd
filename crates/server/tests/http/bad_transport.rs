//! Wrong paths, methods, headers and lengths: all of them get the envelope.

use axum::body::Body;
use axum::http::{Method, Request};
use parkade_server::{AppState, ServerConfig, router};
use serde_json::json;

use crate::support::{Answer, CHAT, COMPLETIONS, api, get, post, send, state_with};

async fn with_headers(headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::post(COMPLETIONS);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&api(), request.body(Body::from(body.to_owned())).expect("a request")).await
}

fn expected(status: u16, param: Option<&str>, code: &str) -> (u16, Option<String>, Option<String>) {
    (status, param.map(str::to_owned), Some(code.to_owned()))
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let body = r#"{"prompt": "a", "max_tokens": 1}"#;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"] {
        let answer = with_headers(&[("content-type", kind)], body).await;
        assert_eq!(answer.error(), expected(400, Some("content-type"), "invalid_value"), "{kind}");
    }
    assert_eq!(with_headers(&[], body).await.error(), expected(400, Some("content-type"), "invalid_value"));
    for kind in ["application/json", "Application/JSON; charset=UTF-8", "application/vnd.api+json"] {
        assert_eq!(with_headers(&[("content-type", kind)], body).await.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn deadlines_that_are_no_milliseconds_are_refused_by_header() {
    for header in ["x-request-timeout-ms", "x-slo-ttft-ms"] {
        for bad in ["soon", "-1", "0", "1.5"] {
            let headers = [("content-type", "application/json"), (header, bad)];
            let answer = with_headers(&headers, r#"{"prompt": "a"}"#).await;
            assert_eq!(answer.error(), expected(400, Some(header), "invalid_value"), "{header}: {bad}");
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_have_the_envelope() {
    let api = api();
    for path in ["/", "/v1", "/v1/chat", "/v1/chat/completions/", "/v1/images/generations", "/%ff", "/../etc/passwd"] {
        let answer = get(&api, path).await;
        assert_eq!(answer.error(), expected(404, None, "unknown_url"), "{path}");
    }
    for path in ["/v1/requests/%ff", "/v1/models/%ff", "/v1/requests/%ff/stream"] {
        assert_eq!(get(&api, path).await.error(), expected(400, Some("path"), "invalid_value"), "{path}");
    }
    let twice = get(&api, "/v1/requests/a/stream?from=1&from=2").await;
    assert_eq!(twice.error(), expected(400, Some("query"), "invalid_value"));
    for (method, path, allow) in [
        (Method::GET, CHAT, "POST"),
        (Method::DELETE, COMPLETIONS, "POST"),
        (Method::POST, "/v1/models", "GET,HEAD"),
        (Method::POST, "/health", "GET,HEAD"),
        (Method::from_bytes(b"BREW").expect("a method"), "/metrics", "GET,HEAD"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty());
        let answer = send(&api, request.expect("a request")).await;
        assert_eq!(answer.error(), expected(405, None, "method_not_allowed"), "{path}");
        assert_eq!(answer.header("allow"), Some(allow), "{path}");
    }
}

#[tokio::test]
async fn bodies_over_the_limit_are_413_with_and_without_a_length() {
    let config = ServerConfig { max_body_bytes: 1000, ..ServerConfig::default() };
    let api = router(state_with(config).0);
    let long = json!({"prompt": "a".repeat(2000)}).to_string();
    let answer = crate::support::post_raw(&api, COMPLETIONS, long.clone()).await;
    assert_eq!(answer.error(), expected(413, None, "body_too_large"));
    let pieces = futures_util::stream::iter(
        long.into_bytes().chunks(100).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect::<Vec<_>>(),
    );
    let answer = crate::support::post_raw(&api, COMPLETIONS, Body::from_stream(pieces)).await;
    assert_eq!(answer.error(), expected(413, None, "body_too_large"));
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let body_timeout = std::time::Duration::from_millis(50);
    let api = router(state_with(ServerConfig { body_timeout, ..ServerConfig::default() }).0);
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let answer = crate::support::post_raw(&api, COMPLETIONS, Body::from_stream(never)).await;
    assert_eq!(answer.error(), expected(408, None, "body_timeout"));
}

#[tokio::test]
async fn models_are_listed_and_found() {
    let api = api();
    let list = get(&api, "/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let ids: Vec<_> = list["data"].as_array().expect("a list").iter().map(|m| m["id"].clone()).collect();
    assert_eq!(ids, ["tiny"]);
    assert_eq!(list["data"][0]["object"], "model");
    assert_eq!(list["data"][0]["max_model_len"], 512);
    for (path, id) in [("tiny", "tiny"), ("org/tiny-llama", "org/tiny-llama"), ("default", "tiny")] {
        assert_eq!(get(&api, &format!("/v1/models/{path}")).await.json()["id"], id);
    }
    let unknown = get(&api, "/v1/models/gpt-4o").await;
    assert_eq!(unknown.error(), expected(404, Some("model"), "model_not_found"));
    assert!(unknown.text.contains("tiny"), "the known names are told: {}", unknown.text);
}

#[tokio::test]
async fn without_a_model_the_port_answers_and_nothing_is_ready() {
    let api = router(AppState::new(ServerConfig::default()).expect("valid limits"));
    let live = get(&api, "/health").await;
    assert_eq!(live.status, 200);
    assert_eq!(live.json()["ready"], false);
    assert!(live.json()["version"].is_string());
    let ready = get(&api, "/health/ready").await;
    assert_eq!(ready.error(), expected(503, None, "model_loading"));
    assert_eq!(ready.header("retry-after"), Some("1"));
    let chat = post(&api, CHAT, &json!({"messages": [{"role": "user", "content": "a"}]})).await;
    assert_eq!(chat.error(), expected(503, None, "model_loading"));
    assert_eq!(get(&api, "/v1/models").await.json()["data"], json!([]));
    assert_eq!(get(&api, "/metrics").await.status, 200);
}

#[tokio::test]
async fn every_path_says_what_may_be_done_with_it_and_get_has_its_head() {
    let api = api();
    for (path, allow) in [(CHAT, "POST"), ("/v1/models", "GET,HEAD"), ("/health", "GET,HEAD")] {
        let request = Request::builder().method(Method::OPTIONS).uri(path).body(Body::empty());
        let answer = send(&api, request.expect("a request")).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (204, Some(allow)), "{path}");
    }
    for path in ["/v1/models", "/v1/models/tiny", "/models", "/health", "/health/ready", "/version", "/metrics"] {
        let request = Request::builder().method(Method::HEAD).uri(path).body(Body::empty());
        let answer = send(&api, request.expect("a request")).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""), "{path}");
    }
}

#[tokio::test]
async fn a_base_url_without_its_version_works_too() {
    let api = api();
    let chat = json!({"messages": [{"role": "user", "content": "a"}], "max_tokens": 1});
    assert_eq!(post(&api, "/chat/completions", &chat).await.status, 200);
    assert_eq!(post(&api, "/completions", &json!({"prompt": "a", "max_tokens": 1})).await.status, 200);
    assert_eq!(get(&api, "/models").await.json(), get(&api, "/v1/models").await.json());
    assert_eq!(get(&api, "/models/org/tiny-llama").await.json()["root"], "tiny");
}

#[tokio::test]
async fn a_preflight_allows_the_headers_that_it_names() {
    let ask = async |origins: &[&str]| {
        let cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let config = ServerConfig { cors_origins, ..ServerConfig::default() };
        let api = router(AppState::new(config).expect("valid"));
        let request = Request::builder()
            .method(Method::OPTIONS)
            .uri(CHAT)
            .header("origin", "https://chat.example.org")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-api-key,x-stainless-os");
        send(&api, request.body(Body::empty()).expect("a request")).await
    };
    for origin in ["*", "https://chat.example.org"] {
        let allowed = ask(&[origin]).await;
        // By its own name, also where any may.
        assert_eq!(allowed.header("access-control-allow-origin"), Some("https://chat.example.org"), "{origin}");
        let headers = allowed.header("access-control-allow-headers").expect("headers");
        for name in ["authorization", "content-type", "x-api-key", "x-stainless-os"] {
            assert!(headers.split(',').any(|header| header.trim() == name), "`*` never covers {name}: {headers}");
        }
        let methods = allowed.header("access-control-allow-methods").expect("methods");
        assert!(["POST", "GET", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    }
    for origins in [&[][..], &["https://other.example.org"]] {
        let refused = ask(origins).await;
        assert_eq!(refused.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn foreign_pages_may_read_answers_only_when_they_are_listed() {
    let ask_from = async |page: &str, origins: &[&str]| {
        let cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let config = ServerConfig { cors_origins, ..ServerConfig::default() };
        let api = router(AppState::new(config).expect("valid"));
        let request = Request::get("/health").header("origin", page);
        let answer = send(&api, request.body(Body::empty()).expect("a request")).await;
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    let ask = async |origins: &[&str]| ask_from("https://chat.example.org", origins).await;
    assert_eq!(ask(&[]).await, None);
    assert_eq!(ask(&["https://other.example.org"]).await, None);
    assert_eq!(ask(&["https://chat.example.org"]).await.as_deref(), Some("https://chat.example.org"));
    assert_eq!(ask(&["*"]).await.as_deref(), Some("https://chat.example.org"));
    // Those of this machine, whatever their port, and none that only look like them.
    for local in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"] {
        assert_eq!(ask_from(local, &["localhost"]).await.as_deref(), Some(local));
    }
    for other in ["https://chat.example.org", "http://localhost.example.org", "http://notlocalhost"] {
        assert_eq!(ask_from(other, &["localhost"]).await, None, "{other}");
    }
    assert_eq!(ask(&["localhost", "https://chat.example.org"]).await.as_deref(), Some("https://chat.example.org"));
}

#[tokio::test]
async fn metrics_come_in_both_formats_and_count() {
    let api = api();
    let body = json!({"prompt": "hello", "max_tokens": 3, "ignore_eos": true});
    assert_eq!(post(&api, COMPLETIONS, &body).await.status, 200);
    assert_eq!(post(&api, COMPLETIONS, &json!({})).await.status, 400);
    let plain = get(&api, "/metrics").await;
    assert!(plain.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    for line in [
        "# TYPE parkade_http_requests_total counter",
        "parkade_http_requests_total{method=\"POST\",route=\"/v1/completions\",status=\"200\"} 1",
        "parkade_http_requests_total{method=\"POST\",route=\"/v1/completions\",status=\"400\"} 1",
        "# TYPE parkade_generation_tokens_total counter",
        "parkade_generation_tokens_total 3",
        "parkade_http_requests_in_flight 1",
    ] {
        assert!(plain.text.lines().any(|l| l == line), "no line {line:?} in:\n{}", plain.text);
    }
    let request = Request::get("/metrics").header("accept", "application/openmetrics-text;version=1.0.0");
    let open = send(&api, request.body(Body::empty()).expect("a request")).await;
    assert!(open.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    assert!(open.text.ends_with("# EOF\n"));
    assert!(open.text.contains("# TYPE parkade_generation_tokens counter\n"));
}
