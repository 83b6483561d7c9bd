//! Who may use a server that has no keys: programs and pages of this machine, by names that are its own.

use parkade_server::ServerConfig;
use serde_json::{Value, json};

use crate::keys::policy;
use crate::support::{COMPLETIONS, Running, header_of, parts, start, start_at, state_with, wire_post};

fn get(target: &str, host: &str, extra: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{extra}\r\n").into_bytes()
}

/// Status and error code of what the server says to a request.
async fn said(server: &Running, request: &[u8]) -> (u16, Option<String>) {
    let answer = server.exchange(request).await;
    let (status, _, body) = parts(&answer);
    assert!(header_of(&answer, "x-request-id").is_some(), "{answer}");
    let code =
        serde_json::from_str::<Value>(body).ok().and_then(|body| body["error"]["code"].as_str().map(str::to_owned));
    (status, code)
}

fn refused(status: u16, code: &str) -> (u16, Option<String>) {
    (status, Some(code.to_owned()))
}

#[tokio::test]
async fn a_name_that_somebody_else_owns_reaches_nothing_on_a_loopback_address_without_keys() {
    let server = start(ServerConfig::default()).await;
    let elsewhere = refused(421, "host_not_allowed");
    for target in ["/v1/models", "/v1/metrics", "/metrics", "/health", "/v1/requests/a/stream", "/nowhere"] {
        assert_eq!(said(&server, &get(target, "evil.example:1234", "")).await, elsewhere, "{target}");
    }
    assert_eq!(said(&server, &get("http://evil.example/v1/models", "localhost", "")).await, elsewhere);
    assert_eq!(said(&server, b"GET /v1/models HTTP/1.0\r\n\r\n").await, elsewhere);
    assert_eq!(said(&server, b"GET /health HTTP/1.0\r\n\r\n").await.0, 200);
    for own in ["localhost", "127.0.0.1:1234", "[::1]"] {
        assert_eq!(said(&server, &get("/v1/models", own, "")).await.0, 200, "{own}");
    }
}

#[tokio::test]
async fn keys_a_public_address_and_listed_hosts_open_a_server_to_other_names() {
    let (state, engine) = state_with(ServerConfig::default());
    state.set_policy(policy(&[("ada", "")])).expect("valid weights");
    let keyed = start_at("127.0.0.1", state, engine).await;
    let with_key = get("/v1/models", "llm.example.org", "authorization: Bearer sk-ada\r\n");
    assert_eq!(said(&keyed, &with_key).await.0, 200);
    let (state, engine) = state_with(ServerConfig::default());
    let public = start_at("0.0.0.0", state, engine).await;
    assert_eq!(said(&public, &get("/v1/models", "llm.example.org", "")).await.0, 200);
    let allowed_hosts = vec!["llm.example.org".to_owned()];
    let behind_a_proxy = start(ServerConfig { allowed_hosts, ..ServerConfig::default() }).await;
    assert_eq!(said(&behind_a_proxy, &get("/v1/models", "llm.example.org", "")).await.0, 200);
    let other = said(&behind_a_proxy, &get("/v1/models", "evil.example", "")).await;
    assert_eq!(other, refused(421, "host_not_allowed"));
}

#[tokio::test]
async fn a_foreign_page_cannot_post_and_one_of_this_machine_can() {
    let server = start(ServerConfig::default()).await;
    let body = json!({"prompt": "a", "max_tokens": 1});
    for foreign in ["https://evil.example", "null", "http://localhost.evil.example:1234"] {
        let request = wire_post(COMPLETIONS, &format!("origin: {foreign}\r\nconnection: close\r\n"), &body);
        assert_eq!(said(&server, &request).await, refused(403, "origin_not_allowed"), "{foreign}");
        // What needs neither a body nor a content type, and so no leave of the browser.
        let cancel = format!(
            "POST /v1/requests/a/cancel HTTP/1.1\r\nhost: localhost\r\norigin: {foreign}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(said(&server, cancel.as_bytes()).await, refused(403, "origin_not_allowed"), "{foreign}");
    }
    let own = wire_post(COMPLETIONS, "origin: http://localhost:3000\r\nconnection: close\r\n", &body);
    assert_eq!(said(&server, &own).await.0, 200);
    let listed = ServerConfig { cors_origins: vec!["https://chat.example.org".to_owned()], ..ServerConfig::default() };
    let listed = start(listed).await;
    let page = wire_post(COMPLETIONS, "origin: https://chat.example.org\r\nconnection: close\r\n", &body);
    assert_eq!(said(&listed, &page).await.0, 200);
}
