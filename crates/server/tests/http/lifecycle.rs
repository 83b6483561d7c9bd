//! From the open port to the end of the process.

use std::time::{Duration, Instant};

use parkade_server::ServerConfig;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{
    COMPLETIONS, PATIENCE, Running, header_of, parts, read_to_end, read_until, start, wire_get, wire_post,
};

const READY: &[u8] = b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// A stream that lasts as long as its client reads slowly.
async fn begin_stream(server: &Running) -> tokio::net::TcpStream {
    let body = json!({
        "prompt": "hello", "max_tokens": 500, "ignore_eos": true, "stream": true, "n": 40, "logprobs": 20,
    });
    let mut socket = server.connect().await;
    socket.write_all(&wire_post(COMPLETIONS, "", &body)).await.expect("writable");
    read_until(&mut socket, "data: ").await;
    socket
}

async fn draining(server: &Running) {
    let until = Instant::now() + PATIENCE;
    while !server.state.is_draining() {
        assert!(Instant::now() < until, "the drain never began");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_drain_refuses_new_work_and_lets_running_streams_end() {
    let mut server = start(ServerConfig::default()).await;
    assert!(server.exchange(READY).await.starts_with("HTTP/1.1 200"));
    let mut stream = begin_stream(&server).await;
    server.shut_down();
    draining(&server).await;

    let ready = server.exchange(READY).await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("shutting_down"), "{ready}");
    let live = server.exchange(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(live.starts_with("HTTP/1.1 200"), "{live}");
    let body = json!({"prompt": "a", "max_tokens": 1});
    let refused = server.exchange(&wire_post(COMPLETIONS, "connection: close\r\n", &body)).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("shutting_down"), "{refused}");
    assert!(refused.contains("retry-after: "), "{refused}");
    assert!(refused.contains("x-should-retry: true"), "{refused}");
    let page = server.exchange(&wire_get("/metrics", "")).await;
    assert!(page.contains("parkade_request_refusals_total{reason=\"shutting_down\"} 1\n"), "{page}");
    assert!(page.contains("parkade_http_errors_total{code=\"shutting_down\"}"), "{page}");

    let rest = read_to_end(&mut stream).await;
    assert!(rest.contains("data: [DONE]"), "cut off: …{}", &rest[rest.len().saturating_sub(300)..]);
    server.ended().await;
}

#[tokio::test]
async fn a_drain_ends_at_its_limit_and_tells_the_clients() {
    let drain_limit = Duration::from_millis(200);
    let mut server = start(ServerConfig { drain_limit, ..ServerConfig::default() }).await;
    let mut stream = begin_stream(&server).await;
    server.shut_down();
    // Whoever reads late is told too.
    tokio::time::sleep(drain_limit * 3).await;
    let rest = read_to_end(&mut stream).await;
    assert!(rest.contains("event: error\ndata: "), "…{}", &rest[rest.len().saturating_sub(300)..]);
    assert!(rest.contains("shutting_down") && !rest.contains("[DONE]"));
    server.ended().await;
}

#[tokio::test]
async fn an_idle_server_with_open_connections_ends_at_once() {
    let drain_limit = Duration::from_secs(86_400);
    let mut server = start(ServerConfig { drain_limit, ..ServerConfig::default() }).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("writable");
    read_until(&mut idle, "\"status\"").await;
    server.shut_down();
    server.ended().await;
    assert_eq!(read_to_end(&mut idle).await, "");
}

#[tokio::test]
async fn the_default_scheduler_answers_for_requests_and_keeps_their_streams() {
    let server = start(ServerConfig::default()).await;
    let body = json!({"prompt": "hello", "max_tokens": 4, "ignore_eos": true});
    let answer = server.exchange(&wire_post(COMPLETIONS, "connection: close\r\n", &body)).await;
    let id = header_of(&answer, "x-request-id").expect("an id").to_owned();
    let json_of = |answer: String| {
        let (status, _, body) = parts(&answer);
        (status, serde_json::from_str::<Value>(body).expect("JSON"))
    };
    let (status, card) = json_of(server.exchange(&wire_get(&format!("/v1/requests/{id}"), "")).await);
    assert_eq!((status, &card["state"], &card["completion_tokens"]), (200, &json!("ended"), &json!(4)), "{card}");
    let stream = server.exchange(&wire_get(&format!("/v1/requests/{id}/stream"), "connection: close\r\n")).await;
    assert!(stream.starts_with("HTTP/1.1 200") && stream.contains("data: [DONE]"), "{stream}");
}
