//! Nobody can hold the server's door: whoever only holds a connection gives way, and bodies that do not come cost nothing.

use std::time::{Duration, Instant};

use parkade_core::EngineConfig;
use parkade_server::ServerConfig;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::keys::policy;
use crate::mortal;
use crate::support::{
    COMPLETIONS, PATIENCE, Running, parts, read_to_end, read_until, start, start_at, state_with, wire_get, wire_post,
};

const CLOSE: &str = "connection: close\r\n";

fn small() -> serde_json::Value {
    json!({"prompt": "a", "max_tokens": 1})
}

/// Sends to a new connection, which stays open.
async fn open(server: &Running, bytes: &[u8]) -> TcpStream {
    let mut socket = server.connect().await;
    socket.write_all(bytes).await.expect("writable");
    socket
}

/// The head of a request whose body is not sent.
fn head_alone(length: usize, extra: &str) -> Vec<u8> {
    let fields = format!("host: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{extra}");
    format!("POST {COMPLETIONS} HTTP/1.1\r\n{fields}\r\n").into_bytes()
}

async fn status(server: &Running, request: &[u8]) -> u16 {
    parts(&server.exchange(request).await).0
}

/// Asks until the answer is 200.
async fn served_in_the_end(server: &Running, request: &[u8]) {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = server.exchange(request).await;
        if answer.starts_with("HTTP/1.1 200") {
            return;
        }
        assert!(Instant::now() < until, "{answer}");
    }
}

#[tokio::test]
async fn connections_that_wait_for_their_clients_give_way_to_newcomers() {
    let server = start(ServerConfig { max_connections: 3, ..ServerConfig::default() }).await;
    let silent: &[u8] = b"";
    let half_a_head = b"POST /v1/completions HTTP/1.1\r\nhost: localh";
    for beginning in [silent, half_a_head, b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut socket = open(&server, beginning).await;
            if beginning.ends_with(b"\r\n\r\n") {
                read_until(&mut socket, "\"status\"").await;
            }
            held.push(socket);
        }
        for _ in 0..5 {
            served_in_the_end(&server, &wire_post(COMPLETIONS, CLOSE, &small())).await;
        }
        // The first to come has been idle longest.
        assert_eq!(read_to_end(&mut held[0]).await, "");
    }
    let page = server.exchange(&wire_get("/metrics", "")).await;
    assert!(!page.contains("parkade_http_connections_evicted_total 0\n"), "{page}");
}

#[tokio::test]
async fn bodies_that_stand_still_give_way_and_are_told_so() {
    let server = start(ServerConfig { max_connections: 3, body_grace: PATIENCE, ..ServerConfig::default() }).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut socket = open(&server, &head_alone(1000, "expect: 100-continue\r\n")).await;
        read_until(&mut socket, "100 Continue").await;
        held.push(socket);
    }
    served_in_the_end(&server, &wire_post(COMPLETIONS, CLOSE, &small())).await;
    let answer = read_to_end(&mut held[0]).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("stood still"), "{answer}");
}

#[tokio::test]
async fn when_every_connection_is_at_work_one_can_still_ask_how_the_server_is() {
    let config = ServerConfig { max_connections: 3, ..ServerConfig::default() };
    let (state, engine, fate) = mortal::state_over(config, EngineConfig::default());
    let server = start_at("127.0.0.1", state, engine).await;
    fate.allow(0);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(open(&server, &wire_post(COMPLETIONS, CLOSE, &small())).await);
    }
    let until = Instant::now() + PATIENCE;
    while server.engine.snapshot().requests.running + server.engine.snapshot().requests.waiting < 3 {
        assert!(Instant::now() < until, "they never came");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Not even many who say nothing can take the places for that.
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(server.connect().await);
    }
    for path in ["/health", "/health/ready", "/metrics"] {
        assert_eq!(status(&server, &wire_get(path, "")).await, 200, "{path}");
    }
    let refused = server.exchange(&wire_post(COMPLETIONS, "", &small())).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("server_is_overloaded") && refused.contains("retry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("3 connections") && refused.contains("connection: close\r\n"), "{refused}");
    fate.release();
    for socket in &mut held {
        assert!(read_to_end(socket).await.starts_with("HTTP/1.1 200"), "they kept their places");
    }
    served_in_the_end(&server, &wire_post(COMPLETIONS, CLOSE, &small())).await;
}

#[tokio::test]
async fn an_idle_connection_lives_as_long_as_configured_whatever_heads_may_take() {
    let short = Duration::from_millis(100);
    let get = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let patient = start(ServerConfig { header_timeout: short, ..ServerConfig::default() }).await;
    let mut socket = patient.connect().await;
    for _ in 0..3 {
        tokio::time::sleep(short * 2).await;
        socket.write_all(get).await.expect("still open");
        read_until(&mut socket, "\"status\"").await;
    }
    let hasty = start(ServerConfig { idle_timeout: short, ..ServerConfig::default() }).await;
    let mut silent = hasty.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");
    let mut after_a_request = open(&hasty, get).await;
    read_until(&mut after_a_request, "\"status\"").await;
    assert_eq!(read_to_end(&mut after_a_request).await, "");
}

#[tokio::test]
async fn a_long_answer_is_no_idleness() {
    let short = Duration::from_millis(50);
    let config = ServerConfig { idle_timeout: short, header_timeout: short, ..ServerConfig::default() };
    let (state, engine, fate) = mortal::state_over(config, EngineConfig::default());
    let server = start_at("127.0.0.1", state, engine).await;
    fate.allow(0);
    let mut socket = open(&server, &wire_post(COMPLETIONS, CLOSE, &small())).await;
    tokio::time::sleep(short * 4).await;
    fate.release();
    assert!(read_to_end(&mut socket).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let config = ServerConfig {
        body_grace: Duration::from_millis(100),
        body_bytes_per_second: 1 << 20,
        ..ServerConfig::default()
    };
    let server = start(config).await;
    let mut socket = open(&server, &head_alone(1 << 20, "")).await;
    let (mut reader, mut writer) = socket.split();
    let dripping = async {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut answer = vec![0; 4096];
    let reading = tokio::io::AsyncReadExt::read(&mut reader, &mut answer);
    let count = tokio::select! {
        count = reading => count.expect("an answer"),
        () = dripping => panic!("closed without an answer"),
    };
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");
    assert!(answer.contains("1048576 bytes a second"), "{answer}");
}

#[tokio::test]
async fn announced_bytes_that_do_not_come_cost_nothing() {
    let (state, engine) = state_with(ServerConfig { body_memory_bytes: 8 << 20, ..ServerConfig::default() });
    state.set_policy(policy(&[("alpha", ""), ("beta", "")])).expect("valid weights");
    let server = start_at("127.0.0.1", state, engine).await;
    let mut held = Vec::new();
    for _ in 0..32 {
        let mut bytes = head_alone(8 << 20, "authorization: Bearer sk-alpha\r\n");
        bytes.extend_from_slice(b"{\"prompt\": \"");
        held.push(open(&server, &bytes).await);
    }
    for key in ["sk-beta", "sk-alpha"] {
        let with_key = format!("{CLOSE}authorization: Bearer {key}\r\n");
        assert_eq!(status(&server, &wire_post(COMPLETIONS, &with_key, &small())).await, 200, "{key}");
    }
}

#[tokio::test]
async fn the_bodies_of_one_key_leave_room_for_those_of_others() {
    let config = ServerConfig {
        max_body_bytes: 1 << 20,
        max_json_values: 1000,
        body_memory_bytes: 6 << 20,
        ..ServerConfig::default()
    };
    let (state, engine) = state_with(config);
    state.set_policy(policy(&[("alpha", ""), ("beta", "")])).expect("valid weights");
    let server = start_at("127.0.0.1", state, engine).await;
    let mut held = Vec::new();
    let mut part = head_alone(1 << 20, "authorization: Bearer sk-alpha\r\n");
    part.resize(part.len() + 1_000_000, b' ');
    // One fits into a quarter of the memory, as the largest that there may be, and two do not.
    held.push(open(&server, &part).await);
    let over = loop {
        let mut socket = open(&server, &part).await;
        let answer = read_until(&mut socket, "\r\n\r\n");
        match tokio::time::timeout(Duration::from_millis(200), answer).await {
            Ok(answer) => break answer,
            Err(_) => held.push(socket),
        }
        assert!(held.len() < 6, "nobody was refused");
    };
    assert!(over.starts_with("HTTP/1.1 429"), "{over}");
    let with_key = format!("{CLOSE}authorization: Bearer sk-beta\r\n");
    assert_eq!(status(&server, &wire_post(COMPLETIONS, &with_key, &small())).await, 200);
}

#[tokio::test]
async fn one_key_cannot_have_all_connections_at_work() {
    let config = ServerConfig { max_connections: 4, ..ServerConfig::default() };
    let (state, engine, fate) = mortal::state_over(config, EngineConfig::default());
    state.set_policy(policy(&[("alpha", ""), ("beta", "")])).expect("valid weights");
    let server = start_at("127.0.0.1", state, engine).await;
    fate.allow(0);
    let request = |key: &str| wire_post(COMPLETIONS, &format!("{CLOSE}authorization: Bearer {key}\r\n"), &small());
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(open(&server, &request("sk-alpha")).await);
    }
    let over = server.exchange(&request("sk-alpha")).await;
    assert!(over.starts_with("HTTP/1.1 429") && over.contains("retry-after: 1\r\n"), "{over}");
    held.push(open(&server, &request("sk-beta")).await);
    fate.release();
    for socket in &mut held {
        assert!(read_to_end(socket).await.starts_with("HTTP/1.1 200"));
    }
}
