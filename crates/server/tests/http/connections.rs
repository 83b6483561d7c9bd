//! Clients that behave badly on the socket: each gets an end, and nobody else notices.

use std::time::{Duration, Instant};

use parkade_server::ServerConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{CHAT, COMPLETIONS, PATIENCE, read_to_end, read_until, start, wire_post};

fn long_stream() -> serde_json::Value {
    json!({"prompt": "hello", "max_tokens": 480, "ignore_eos": true, "stream": true, "n": 8})
}

#[tokio::test]
async fn headers_that_come_too_slowly_end_the_connection() {
    let header_timeout = Duration::from_millis(150);
    let server = start(ServerConfig { header_timeout, ..ServerConfig::default() }).await;
    let began = Instant::now();
    let mut socket = server.connect().await;
    // On a busy machine the time may be over before this.
    let _written = socket.write_all(b"POST /v1/completions HTTP/1.1\r\nhost: te").await;
    let answer = read_to_end(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("head_timeout"), "{answer}");
    assert!(began.elapsed() >= header_timeout);
}

#[tokio::test]
async fn garbage_ends_its_own_connection_and_no_other() {
    let server = start(ServerConfig::default()).await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\nzz\r\n",
    ] {
        let answer = server.exchange(garbage).await;
        assert!(!answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.1 5"), "{answer}");
    }
    let fine = server.exchange(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(fine.starts_with("HTTP/1.1 200"), "{fine}");
}

#[tokio::test]
async fn garbage_behind_a_request_does_not_spoil_its_answer() {
    let server = start(ServerConfig::default()).await;
    let mut bytes = wire_post(COMPLETIONS, "", &json!({"prompt": "a", "max_tokens": 1}));
    bytes.extend_from_slice(b"\x00\x01 not http at all\r\n\r\n");
    let answers = server.exchange(&bytes).await;
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert!(answers.contains("HTTP/1.1 400"), "{answers}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start(ServerConfig::default()).await;
    let mut bytes = Vec::new();
    for _ in 0..3 {
        bytes.extend(wire_post(COMPLETIONS, "", &json!({"prompt": "a", "max_tokens": 1})));
    }
    bytes.extend(wire_post(COMPLETIONS, "connection: close\r\n", &json!({"prompt": ""})));
    let answers = server.exchange(&bytes).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 400").count(), 1, "{answers}");
}

#[tokio::test]
async fn a_client_that_vanishes_in_a_stream_frees_its_memory() {
    let server = start(ServerConfig::default()).await;
    for _ in 0..5 {
        let mut socket = server.connect().await;
        socket.write_all(&wire_post(COMPLETIONS, "", &long_stream())).await.expect("writable");
        let begun = read_until(&mut socket, "data: ").await;
        assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
        drop(socket);
        server.idle().await;
    }
}

#[tokio::test]
async fn a_client_that_vanishes_before_its_answer_frees_its_memory() {
    let server = start(ServerConfig::default()).await;
    let body = json!({"prompt": "hello", "max_tokens": 500, "ignore_eos": true, "n": 32});
    for half_closed in [false, true] {
        let mut socket = server.connect().await;
        socket.write_all(&wire_post(COMPLETIONS, "", &body)).await.expect("writable");
        let until = Instant::now() + PATIENCE;
        while server.engine.snapshot().requests.running == 0 {
            assert!(Instant::now() < until, "it never ran");
            tokio::task::yield_now().await;
        }
        if half_closed {
            // Closing one side counts as leaving: the server cannot tell it from the other.
            socket.shutdown().await.expect("closable");
            assert_eq!(read_to_end(&mut socket).await, "");
        }
        drop(socket);
        server.idle().await;
    }
    // In the middle of the body, too.
    let mut socket = server.connect().await;
    socket.write_all(&wire_post(CHAT, "", &body)[..120]).await.expect("writable");
    drop(socket);
    server.idle().await;
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_given_up() {
    let write_timeout = Duration::from_millis(200);
    let server = start(ServerConfig { write_timeout, ..ServerConfig::default() }).await;
    // More than the buffers between hold, with log-probabilities to make it long.
    let body =
        json!({"prompt": "hello", "max_tokens": 500, "ignore_eos": true, "stream": true, "n": 40, "logprobs": 20});
    let mut socket = server.connect().await;
    socket.write_all(&wire_post(COMPLETIONS, "", &body)).await.expect("writable");
    read_until(&mut socket, "data: ").await;
    server.idle().await;
    drop(socket);
}

#[tokio::test]
async fn a_length_over_the_limit_is_answered_before_the_body_is_sent() {
    let server = start(ServerConfig::default()).await;
    let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99000000\r\n\
                expect: 100-continue\r\n\r\n";
    let mut socket = server.connect().await;
    socket.write_all(head.as_bytes()).await.expect("writable");
    let answer = read_until(&mut socket, "body_too_large").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_connections_at_once_are_all_answered() {
    let server = std::sync::Arc::new(start(ServerConfig::default()).await);
    let clients = (0..200).map(|i| {
        let server = server.clone();
        tokio::spawn(async move {
            let body = json!({"prompt": "hello", "max_tokens": 4, "ignore_eos": true, "seed": i, "stream": i % 2 == 0});
            server.exchange(&wire_post(COMPLETIONS, "connection: close\r\n", &body)).await
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        let answer = client.await.expect("a client");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\"length\""), "{answer}");
    }
    server.idle().await;
}

#[tokio::test]
async fn a_stream_is_kept_alive_with_comments_while_it_waits() {
    let keep_alive_comment = Duration::from_millis(20);
    let head_hold = keep_alive_comment;
    let server = start(ServerConfig { keep_alive_comment, head_hold, ..ServerConfig::default() }).await;
    // Fills all places for a while.
    let mut first = server.connect().await;
    let long = json!({"prompt": "hello", "max_tokens": 480, "ignore_eos": true, "n": 64});
    first.write_all(&wire_post(COMPLETIONS, "connection: close\r\n", &long)).await.expect("writable");
    let until = Instant::now() + PATIENCE;
    while server.engine.snapshot().requests.running == 0 {
        assert!(Instant::now() < until, "it never ran");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut second = server.connect().await;
    let body = json!({"prompt": "hello", "max_tokens": 4, "ignore_eos": true, "stream": true});
    second.write_all(&wire_post(COMPLETIONS, "connection: close\r\n", &body)).await.expect("writable");
    let begun = read_until(&mut second, ": keep-alive\n\n").await;
    assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
    let mut rest = Vec::new();
    second.read_to_end(&mut rest).await.expect("readable");
    assert!(String::from_utf8_lossy(&rest).contains("data: [DONE]"));
    assert!(read_to_end(&mut first).await.starts_with("HTTP/1.1 200"));
}
