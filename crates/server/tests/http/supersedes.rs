//! Requests that take the place of earlier ones with the same key. What is to be superseded is a stream that nobody reads, or waits in
//! line behind one: it cannot have ended before.

use std::time::Instant;

use parkade_core::EngineConfig;
use parkade_server::ServerConfig;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::keys::policy;
use crate::lot::{fill, lot, waiting};
use crate::support::{
    CHAT, COMPLETIONS, PATIENCE, Running, header_of, parts, read_to_end, read_until, start_over, wire_get, wire_post,
};

const CLOSE: &str = "connection: close\r\n";

fn short() -> Value {
    json!({"prompt": "hello", "max_tokens": 2, "ignore_eos": true, "supersedes": "cursor"})
}

fn code(answer: &str) -> String {
    let body: Value = serde_json::from_str(parts(answer).2).unwrap_or_else(|error| panic!("{error}: {answer}"));
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}

fn was_superseded(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 409")
        && code(answer) == "superseded"
        && header_of(answer, "x-should-retry") == Some("false")
}

async fn ask(server: &Running, path: &str, extra: &str, body: &Value) -> String {
    server.exchange(&wire_post(path, &format!("{CLOSE}{extra}"), body)).await
}

async fn card(server: &Running, id: &str, extra: &str) -> Value {
    let answer = server.exchange(&wire_get(&format!("/v1/requests/{id}"), extra)).await;
    serde_json::from_str(parts(&answer).2).expect("JSON")
}

/// A stream of this user's that runs as long as nobody reads it, as [`fill`] does.
async fn hold(server: &Running, user: &str, extra: &str) -> TcpStream {
    let body = json!({
        "prompt": "hello", "max_tokens": 500, "ignore_eos": true, "stream": true, "n": 40, "logprobs": 20,
        "user": user, "supersedes": "cursor",
    });
    let mut socket = server.connect().await;
    socket.write_all(&wire_post(COMPLETIONS, extra, &body)).await.expect("writable");
    read_until(&mut socket, "data: ").await;
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_ends_the_one_that_runs_with_its_key() {
    let server = start_over(ServerConfig::default(), lot(41)).await;
    let mut earlier =
        fill(&server, 40, "connection: close\r\nx-request-id: earlier\r\nx-parkade-supersedes: cursor\r\n").await;
    // By header or field, at whatever path.
    let chat = json!({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2});
    let later = ask(&server, CHAT, "x-parkade-supersedes: cursor\r\n", &chat).await;
    assert!(later.starts_with("HTTP/1.1 200"), "{later}");
    let rest = read_to_end(&mut earlier).await;
    assert!(rest.contains("event: error\ndata: ") && rest.contains("superseded") && !rest.contains("[DONE]"), "{rest}");
    let card = card(&server, "earlier", "").await;
    assert_eq!((&card["state"], &card["error"]), (&json!("ended"), &json!("superseded")), "{card}");
    assert_eq!(card["supersedes"], "cursor");
    let totals = server.engine.snapshot().totals;
    assert_eq!((totals.superseded, totals.cancelled, totals.completed), (1, 0, 1));
    let metrics = server.exchange(&wire_get("/metrics", "")).await;
    for line in [
        "parkade_lot_requests_total{outcome=\"superseded\"} 1",
        "parkade_lot_requests_total{outcome=\"cancelled\"} 0",
        "parkade_request_success_total{finished_reason=\"superseded\"} 40",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    server.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_in_line_gives_its_place_up() {
    // Heads are held, so that streams get a status too.
    let config = ServerConfig { waiting_comment: PATIENCE, ..ServerConfig::default() };
    let server = start_over(config, EngineConfig { max_queue_depth: 1, ..lot(40) }).await;
    let held = fill(&server, 40, "").await;
    for stream in [false, true] {
        let mut body = short();
        body["stream"] = json!(stream);
        let mut earlier = server.connect().await;
        earlier.write_all(&wire_post(COMPLETIONS, CLOSE, &body)).await.expect("writable");
        waiting(&server, 1).await;
        let mut later = server.connect().await;
        later.write_all(&wire_post(COMPLETIONS, CLOSE, &body)).await.expect("writable");
        let answer = read_to_end(&mut earlier).await;
        assert!(was_superseded(&answer), "{answer}");
        // There is one place in line, and it was free.
        waiting(&server, 1).await;
        drop(later);
        let until = Instant::now() + PATIENCE;
        while server.engine.snapshot().requests.waiting > 0 {
            assert!(Instant::now() < until, "it left");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_keys_of_others_are_others() {
    let server = start_over(ServerConfig::default(), lot(128)).await;
    let _ada = hold(&server, "ada", "").await;
    let _bob = hold(&server, "bob", "").await;
    server.state.set_policy(policy(&[("ada", "")])).expect("valid weights");
    let key = "authorization: Bearer sk-ada\r\n";
    // The holder of the key is not the user who called herself so.
    let _key = hold(&server, "eve", key).await;
    assert_eq!(server.engine.snapshot().totals.superseded, 0);
    let extra = format!("{key}x-parkade-supersedes: other\r\n");
    let other_key = ask(&server, COMPLETIONS, &extra, &json!({"prompt": "hello", "max_tokens": 1})).await;
    assert!(other_key.starts_with("HTTP/1.1 200"));
    assert_eq!(server.engine.snapshot().totals.superseded, 0);
    assert!(ask(&server, COMPLETIONS, key, &short()).await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.engine.snapshot().totals.superseded, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_with_one_key_the_last_is_answered_and_each_of_the_others_ends_once() {
    const KEYSTROKES: usize = 40;
    let server = start_over(ServerConfig::default(), lot(40)).await;
    let held = fill(&server, 40, CLOSE).await;
    let mut sockets = Vec::new();
    for _ in 0..KEYSTROKES {
        let mut socket = server.connect().await;
        let post = wire_post(COMPLETIONS, "connection: close\r\nexpect: 100-continue\r\n", &short());
        let end = post.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an end of the head") + 4;
        socket.write_all(&post[..end]).await.expect("writable");
        // It has been read before the next one is sent: the order is known.
        read_until(&mut socket, "100 Continue\r\n\r\n").await;
        socket.write_all(&post[end..]).await.expect("writable");
        sockets.push(socket);
    }
    waiting(&server, 1).await;
    drop(held);
    let last = sockets.len() - 1;
    for (number, mut socket) in sockets.into_iter().enumerate() {
        let answer = read_to_end(&mut socket).await;
        assert!(if number == last { answer.starts_with("HTTP/1.1 200") } else { was_superseded(&answer) }, "{answer}");
    }
    server.idle().await;
    let totals = server.engine.snapshot().totals;
    // The stream that held the room was cancelled.
    assert_eq!((totals.completed, totals.cancelled), (1, 1), "{totals:?}");
    assert_eq!(totals.submitted, totals.completed + totals.cancelled + totals.superseded, "{totals:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_none_is_refused_and_ends_nothing() {
    let server = start_over(ServerConfig::default(), lot(41)).await;
    let _earlier = hold(&server, "anonymous", "").await;
    for (extra, body, param) in [
        ("x-parkade-supersedes: \r\n", json!({"prompt": "a"}), "x-parkade-supersedes"),
        ("", json!({"prompt": "a", "supersedes": 1}), "supersedes"),
        ("", json!({"prompt": "a", "supersedes": "cursor", "max_tokens": -3}), "max_tokens"),
        ("", json!({"prompt": "a".repeat(5000), "supersedes": "cursor"}), "prompt"),
    ] {
        let answer = ask(&server, COMPLETIONS, extra, &body).await;
        let said: Value = serde_json::from_str(parts(&answer).2).expect("JSON");
        assert_eq!((parts(&answer).0, &said["error"]["param"]), (400, &json!(param)), "{answer}");
    }
    assert_eq!(server.engine.snapshot().totals.superseded, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_along_is_told_too() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    let _stream = fill(&server, 40, "x-request-id: it\r\nx-parkade-supersedes: cursor\r\n").await;
    let mut along = server.connect().await;
    along.write_all(&wire_get("/v1/requests/it/stream", "")).await.expect("writable");
    read_until(&mut along, "data: ").await;
    assert!(ask(&server, COMPLETIONS, "", &short()).await.starts_with("HTTP/1.1 200"));
    let rest = read_to_end(&mut along).await;
    assert!(rest.contains("superseded") || rest.contains("events_forgotten"), "{rest}");
}
