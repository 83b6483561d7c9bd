//! Requests whose heads or bodies are not in order: each gets one clear answer, and its connection an end.

use parkade_server::ServerConfig;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{COMPLETIONS, PATIENCE, header_of, parts, read_to_end, read_until, start, wire_get, wire_post};

const JSON: &str = "host: localhost\r\ncontent-type: application/json\r\n";
const BODY: &str = r#"{"prompt": "a", "max_tokens": 1}"#;

fn post(fields: &str, body: &str) -> String {
    format!("POST /v1/completions HTTP/1.1\r\n{fields}\r\n{body}")
}

#[tokio::test]
async fn a_head_that_is_not_in_order_gets_the_envelope_and_an_end() {
    let server = start(ServerConfig::default()).await;
    let many: String = (0..150).map(|i| format!("x-{i}: a\r\n")).collect();
    let long = "a".repeat(500_000);
    for (request, status, code) in [
        ("BAD REQUEST LINE\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET /health HTTP/1.1\r\nhost: localhost\r\nx: a\0b\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET /health HTTP/1.1\r\nhost: localhost\r\nx : a\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400, "http_version_not_supported"),
        ("GET /hea lth HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET /health HTTP/1.1\r\n\r\n".to_owned(), 400, "invalid_host"),
        ("GET /health HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n".to_owned(), 400, "invalid_host"),
        (format!("GET /health HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n"), 431, "headers_too_large"),
        (format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), 431, "headers_too_large"),
        (format!("GET /health HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), 431, "headers_too_large"),
        (post(&format!("{JSON}content-length: -5\r\n"), ""), 400, "invalid_content_length"),
        (post(&format!("{JSON}content-length: 5\r\ncontent-length: 6\r\n"), "hello!"), 400, "invalid_content_length"),
        (post(&format!("{JSON}content-length: 99999999999999999999\r\n"), ""), 413, "body_too_large"),
        (post(&format!("{JSON}transfer-encoding: gzip\r\n"), ""), 400, "invalid_transfer_encoding"),
        (
            post(&format!("{JSON}transfer-encoding: gzip, chunked\r\n"), "0\r\n\r\n"),
            501,
            "unsupported_transfer_encoding",
        ),
        (post(&format!("{JSON}expect: a-miracle\r\ncontent-length: 2\r\n"), "{}"), 417, "expectation_failed"),
    ] {
        let answer = server.exchange(request.as_bytes()).await;
        let shown = &request[..request.len().min(120)];
        let (got, head, body) = parts(&answer);
        let error = serde_json::from_str::<Value>(body).unwrap_or_else(|error| panic!("{error}: {shown}: {answer}"));
        assert_eq!((got, &error["error"]["code"]), (status, &json!(code)), "{shown}");
        assert!(error["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
        assert!(head.contains("connection: close") && head.contains("content-type: application/json"), "{head}");
        assert!(header_of(&answer, "x-request-id").is_some_and(|id| id.starts_with("req_")), "{head}");
    }
    let page = server.exchange(&wire_get("/metrics", "")).await;
    assert!(page.contains("parkade_http_errors_total{code=\"malformed_request\"} 5\n"), "{page}");
    assert!(page.contains("parkade_http_requests_total{method=\"other\",route=\"none\",status=\"417\"} 1\n"), "{page}");
}

#[tokio::test]
async fn a_second_request_cannot_be_hidden_in_a_body() {
    let server = start(ServerConfig::default()).await;
    let hidden = "GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for fields in [
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
    ] {
        let answer = server.exchange(post(&format!("{JSON}{fields}"), &format!("0\r\n\r\n{hidden}")).as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_in_order_gets_the_envelope() {
    let server = start(ServerConfig::default()).await;
    for (fields, body, status, code) in [
        ("content-encoding: gzip\r\ncontent-length: 4\r\n", "\x1f\u{7f}\x08\0", 415, "unsupported_content_encoding"),
        ("content-encoding: br\r\ncontent-length: 2\r\n", "{}", 415, "unsupported_content_encoding"),
        ("content-length: 2\r\n", "{]", 400, "invalid_json"),
    ] {
        let fields = format!("{JSON}{fields}connection: close\r\n");
        let answer = server.exchange(post(&fields, body).as_bytes()).await;
        let (got, _, body) = parts(&answer);
        let error = serde_json::from_str::<Value>(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert_eq!((got, &error["error"]["code"]), (status, &json!(code)), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_as_http_says_is_malformed_whatever_is_in_it() {
    let server = start(ServerConfig::default()).await;
    let chunked = "transfer-encoding: chunked\r\n";
    let short = format!("content-length: {}\r\n", BODY.len() + 1);
    let in_chunks = format!("{:x}\r\n{BODY}\r\n", BODY.len());
    for (fields, body) in [
        (chunked, "zz\r\nhello\r\n0\r\n\r\n"),
        (chunked, "5\r\nhello_without_an_end"),
        (chunked, "-5\r\nhello\r\n0\r\n\r\n"),
        (chunked, "0x5\r\nhello\r\n0\r\n\r\n"),
        (chunked, "\r\n5\r\nhello\r\n0\r\n\r\n"),
        (chunked, "fffffffffffffffff\r\nhello"),
        (chunked, &in_chunks.replace("}\r\n", "}XX0\r\n\r\n")),
        // Cut short: the client ends without the rest.
        (chunked, ""),
        (chunked, "5"),
        (chunked, "5\r\nhel"),
        (chunked, &in_chunks),
        (chunked, &format!("{in_chunks}0\r\n")),
        (&short, ""),
        (&short, BODY),
    ] {
        let mut socket = server.connect().await;
        let request = post(&format!("{JSON}{fields}"), body);
        socket.write_all(request.as_bytes()).await.expect("writable");
        socket.shutdown().await.expect("closable");
        let answer = read_to_end(&mut socket).await;
        let (status, _, text) = parts(&answer);
        let error = serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert_eq!((status, &error["error"]["code"]), (400, &json!("malformed_request")), "{body:?}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_answered_at_once_and_the_client_sees_it() {
    // Whoever waits for the body waits longer than this test.
    let never = PATIENCE * 4;
    let config =
        ServerConfig { max_body_bytes: 1000, body_grace: never, body_timeout: never, ..ServerConfig::default() };
    let server = start(config).await;
    let refused = |answer: &str| {
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    };
    // It announces more than it may, and sends little of it: nothing, a piece, or a piece in chunks.
    let announced = format!("{JSON}content-length: {}\r\n", 1 << 30);
    for (fields, body) in [
        (announced.as_str(), String::new()),
        (&announced, BODY.to_owned()),
        (&format!("{announced}expect: 100-continue\r\n"), String::new()),
        (&format!("{JSON}transfer-encoding: chunked\r\n"), format!("{:x}\r\n{}", 1 << 30, " ".repeat(2000))),
    ] {
        refused(&server.exchange(post(fields, &body).as_bytes()).await);
    }
    // It sends all of it before it reads.
    let long = " ".repeat(20 << 20);
    let whole = post(&format!("{JSON}content-length: {}\r\n", long.len()), &long);
    refused(&server.exchange(whole.as_bytes()).await);
}

#[tokio::test]
async fn requests_of_every_framing_follow_each_other_on_one_connection() {
    let server = start(ServerConfig::default()).await;
    let chunked =
        format!("5\r\n{}\r\n{:x};x=y\r\n{}\r\n0\r\nx-trailer: a\r\n\r\n", &BODY[..5], BODY.len() - 5, &BODY[5..]);
    let plain = post(&format!("{JSON}content-length: {}\r\ncontent-encoding: identity\r\n", BODY.len()), BODY);
    let last = String::from_utf8(wire_get("/health", "")).expect("text");
    let long = format!("GET /health HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(20_000));
    let get = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let bytes =
        [get, &post(&format!("{JSON}transfer-encoding: chunked\r\n"), &chunked), get, &plain, &long, &last].concat();
    let whole = server.exchange(bytes.as_bytes()).await;
    assert_eq!(whole.matches("HTTP/1.1 200").count(), 6, "{whole}");
    // However the bytes come.
    let mut socket = server.connect().await;
    socket.set_nodelay(true).expect("a socket");
    for piece in bytes.as_bytes().chunks(7) {
        socket.write_all(piece).await.expect("writable");
        tokio::task::yield_now().await;
    }
    let in_pieces = read_to_end(&mut socket).await;
    assert_eq!(in_pieces.matches("HTTP/1.1 200").count(), 6, "{in_pieces}");
}

#[tokio::test]
async fn a_client_that_asks_for_leave_to_send_gets_it() {
    let server = start(ServerConfig::default()).await;
    let mut socket = server.connect().await;
    let head =
        post(&format!("{JSON}expect: 100-continue\r\nconnection: close\r\ncontent-length: {}\r\n", BODY.len()), "");
    socket.write_all(head.as_bytes()).await.expect("writable");
    read_until(&mut socket, "HTTP/1.1 100 Continue\r\n\r\n").await;
    socket.write_all(BODY.as_bytes()).await.expect("writable");
    assert!(read_to_end(&mut socket).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_old_version_and_its_ways_are_understood() {
    let server = start(ServerConfig::default()).await;
    let answer = server.exchange(b"GET /health HTTP/1.0\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    let star = server.exchange(b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(star.starts_with("HTTP/1.1 204"), "{star}");
    let absolute = server.exchange(&wire_get("http://localhost/health", "")).await;
    assert!(absolute.starts_with("HTTP/1.1 200"), "{absolute}");
    let mut after_empty_lines = b"\r\n\r\n".to_vec();
    after_empty_lines.extend(wire_post(COMPLETIONS, "connection: close\r\n", &json!({"prompt": "a", "max_tokens": 1})));
    assert!(server.exchange(&after_empty_lines).await.starts_with("HTTP/1.1 200"));
}
