//! The parking lot's promises, over sockets: what is refused is refused at once and with the right code.

use std::time::{Duration, Instant};

use parkade_core::{DrainWaiting, EngineConfig, Limits, SchedulerKind, TenantPolicy};
use parkade_server::{Policy, ServerConfig};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{
    COMPLETIONS, PATIENCE, Running, header_of, parts, read_to_end, read_until, start_over, wire_get, wire_post,
};

/// How long [`fill`] holds its sequences after the buffers are full: longer than a test takes to find them taken.
const HELD: Duration = Duration::from_secs(10);

const CLOSE: &str = "connection: close\r\n";

pub fn lot(max_seqs: usize) -> EngineConfig {
    EngineConfig { scheduler: SchedulerKind::ParkingLot, max_seqs, slow_reader: HELD, ..EngineConfig::default() }
}

/// A stream that nobody reads and that takes all sequences: it holds them until it is dropped, or for as long as the buffers between
/// and [`HELD`] more.
pub async fn fill(server: &Running, sequences: usize, extra: &str) -> TcpStream {
    let body = json!({
        "prompt": "hello", "max_tokens": 500, "ignore_eos": true, "stream": true, "n": sequences, "logprobs": 20,
    });
    let mut socket = server.connect().await;
    socket.write_all(&wire_post(COMPLETIONS, extra, &body)).await.expect("writable");
    read_until(&mut socket, "data: ").await;
    socket
}

pub async fn waiting(server: &Running, count: usize) {
    let until = Instant::now() + PATIENCE;
    while server.engine.snapshot().requests.waiting < count {
        assert!(Instant::now() < until, "nobody waits: {:?}", server.engine.snapshot());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn short(stream: bool) -> Value {
    json!({"prompt": "hello", "max_tokens": 4, "ignore_eos": true, "stream": stream})
}

fn code(answer: &str) -> String {
    let (_, _, body) = parts(answer);
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}

async fn ask(server: &Running, extra: &str, body: &Value) -> String {
    server.exchange(&wire_post(COMPLETIONS, &format!("{CLOSE}{extra}"), body)).await
}

/// What was refused at the door was in no line, and came back while all sequences were taken.
fn was_refused_at_once(server: &Running, answer: &str) -> bool {
    header_of(answer, "x-parkade-queue-ms").is_none() && server.engine.snapshot().requests.running == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passes_in_line_is_a_503_also_for_a_stream() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    let _held = fill(&server, 40, "").await;
    for (stream, header, ms) in [
        (false, "x-request-timeout-ms", 150),
        (true, "x-request-timeout-ms", 150),
        (true, "x-slo-ttft-ms", 150),
        (false, "x-request-timeout-ms", 1),
        (true, "x-slo-ttft-ms", 1),
    ] {
        let answer = ask(&server, &format!("{header}: {ms}\r\n"), &short(stream)).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{header}: {answer}");
        assert!(answer.contains(&format!("deadline of {ms} ms ")), "what the client said: {answer}");
        assert_eq!(code(&answer), "deadline_exceeded");
        assert_eq!(header_of(&answer, "x-should-retry"), Some("false"));
        let seconds = header_of(&answer, "retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| (1..=120).contains(&seconds)), "{answer}");
        // It was in line, or it was refused at the door.
        assert!(header_of(&answer, "x-parkade-queue-ms").is_none_or(|ms| ms.parse::<u64>().is_ok()), "{answer}");
        assert_eq!(server.engine.snapshot().requests.running, 1, "nothing had to end for that");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_line_is_a_503_at_once() {
    let engine = EngineConfig { max_queue_depth: 2, ..lot(40) };
    let server = start_over(ServerConfig::default(), engine).await;
    let held = fill(&server, 40, "").await;
    let mut waiters = Vec::new();
    for _ in 0..2 {
        let mut socket = server.connect().await;
        socket.write_all(&wire_post(COMPLETIONS, CLOSE, &short(true))).await.expect("writable");
        waiters.push(socket);
    }
    waiting(&server, 2).await;
    // So that the time in line, which is told in whole milliseconds, is some however quick the machine is.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let answer = ask(&server, "", &short(true)).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(code(&answer), "server_is_overloaded");
    let wait: u64 = header_of(&answer, "retry-after").and_then(|s| s.parse().ok()).expect("seconds");
    assert!((1..=120).contains(&wait) && was_refused_at_once(&server, &answer), "{answer}");
    drop(held);
    for mut socket in waiters {
        let answer = read_to_end(&mut socket).await;
        assert!(answer.contains("data: [DONE]"), "{answer}");
        let queued: u64 = header_of(&answer, "x-parkade-queue-ms").and_then(|ms| ms.parse().ok()).expect("a time");
        assert!(queued > 0, "it waited for the stream that nobody reads");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_own_line_is_a_429_and_others_are_not_concerned() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    let policy = TenantPolicy { max_waiting: Some(1), max_concurrent: Some(2), ..TenantPolicy::default() };
    let limits = Limits { tenants: [("ada".to_owned(), policy)].into(), ..Limits::default() };
    server.state.set_policy(Policy { limits, ..Policy::default() }).expect("valid weights");
    let held = fill(&server, 40, "").await;
    let of = |user: &str| json!({"prompt": "hello", "max_tokens": 4, "user": user, "stream": true});
    let mut waiter = server.connect().await;
    waiter.write_all(&wire_post(COMPLETIONS, CLOSE, &of("ada"))).await.expect("writable");
    waiting(&server, 1).await;
    let answer = ask(&server, "", &of("ada")).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert_eq!(code(&answer), "tenant_queue_full");
    assert!(header_of(&answer, "retry-after").is_some() && was_refused_at_once(&server, &answer), "{answer}");
    drop(held);
    let others = ask(&server, "", &of("bob")).await;
    assert!(others.starts_with("HTTP/1.1 200") && others.contains("[DONE]"), "{others}");
    assert!(read_to_end(&mut waiter).await.contains("[DONE]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_at_once_than_a_tenant_may_have_is_a_429() {
    let server = start_over(ServerConfig::default(), lot(41)).await;
    let tenant = TenantPolicy { max_concurrent: Some(1), ..TenantPolicy::default() };
    let limits = Limits { tenant, ..Limits::default() };
    server.state.set_policy(Policy { limits, ..Policy::default() }).expect("valid weights");
    let _held = fill(&server, 40, "").await;
    let answer = ask(&server, "", &short(false)).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert_eq!(code(&answer), "rate_limit_exceeded");
    assert!(header_of(&answer, "retry-after").is_some() && was_refused_at_once(&server, &answer), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_higher_tier_does_not_wait_for_a_lower_one() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    let body = json!({
        "prompt": "hello", "max_tokens": 500, "ignore_eos": true, "stream": true, "n": 40, "logprobs": 20,
        "service_tier": "flex",
    });
    let mut low = server.connect().await;
    low.write_all(&wire_post(COMPLETIONS, "", &body)).await.expect("writable");
    read_until(&mut low, "\"service_tier\":\"flex\"").await;
    let mut high = short(false);
    high["service_tier"] = json!("priority");
    let answer = ask(&server, "", &high).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"service_tier\":\"priority\""), "{answer}");
    let now = server.engine.snapshot();
    assert!(now.totals.class_preemptions >= 1, "it took the room of the lower one: {now:?}");
    assert_eq!(now.requests.running + now.requests.parked, 1, "which has not ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_a_stream_is_held_no_longer_than_configured() {
    let head_hold = Duration::from_millis(50);
    let config = ServerConfig { head_hold, keep_alive_comment: head_hold, ..ServerConfig::default() };
    let server = start_over(config, lot(40)).await;
    let _held = fill(&server, 40, "").await;
    let mut waiter = server.connect().await;
    let post = wire_post(COMPLETIONS, &format!("{CLOSE}x-request-id: it\r\n"), &short(true));
    waiter.write_all(&post).await.expect("writable");
    let begun = read_until(&mut waiter, ": keep-alive\n\n").await;
    assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
    let cancel =
        "POST /v1/requests/it/cancel HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert!(server.exchange(cancel.as_bytes()).await.starts_with("HTTP/1.1 200"));
    let answer = begun + &read_to_end(&mut waiter).await;
    assert!(answer.contains("event: error\ndata: ") && answer.contains("request_cancelled"), "{answer}");
    assert_eq!(header_of(&answer, "x-parkade-queue-ms"), None, "it is not known yet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_in_line_is_told_how_it_stands() {
    let waiting_comment = Duration::from_millis(20);
    let server = start_over(ServerConfig { waiting_comment, ..ServerConfig::default() }, lot(40)).await;
    // Once something has run, rates are known.
    assert!(ask(&server, "", &short(false)).await.starts_with("HTTP/1.1 200"));
    let held = fill(&server, 40, "").await;
    let mut waiters = Vec::new();
    for id in ["first", "second"] {
        let mut waiter = server.connect().await;
        let post = wire_post(COMPLETIONS, &format!("{CLOSE}x-request-id: {id}\r\n"), &short(true));
        waiter.write_all(&post).await.expect("writable");
        waiting(&server, waiters.len() + 1).await;
        waiters.push(waiter);
    }
    let mut begun = read_until(&mut waiters[1], ": queued 2, about ").await;
    assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
    assert_eq!(header_of(&begun, "x-parkade-queue-position"), Some("2"), "{begun}");
    let wait = header_of(&begun, "x-parkade-estimated-wait-ms").and_then(|wait| wait.parse::<u64>().ok());
    assert!(wait.is_some(), "{begun}");
    let mut along = server.connect().await;
    along.write_all(&wire_get("/v1/requests/second/stream", "")).await.expect("writable");
    read_until(&mut along, ": queued 2").await;
    drop(waiters.remove(0));
    begun += &read_until(&mut waiters[0], ": queued 1").await;
    drop(held);
    let answer = begun + &read_to_end(&mut waiters[0]).await;
    assert!(answer.contains("data: [DONE]"), "{answer}");
    let lines: Vec<&str> = parts(&answer).2.lines().filter(|line| line.starts_with(':')).collect();
    assert!(lines.iter().all(|line| line.starts_with(": queued ") || *line == ": keep-alive"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_an_answer_that_has_begun_says_nothing_of_a_line() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    let answer = ask(&server, "", &short(true)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(header_of(&answer, "x-parkade-queue-position"), None, "{answer}");
    assert_eq!(header_of(&answer, "x-parkade-estimated-wait-ms"), None, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_gives_everybody_an_end_as_configured() {
    for in_line in [DrainWaiting::Refuse, DrainWaiting::Finish] {
        let config = ServerConfig { drain_waiting: in_line, waiting_comment: PATIENCE, ..ServerConfig::default() };
        let mut server = start_over(config, lot(40)).await;
        let mut running = fill(&server, 40, "").await;
        let mut waiter = server.connect().await;
        waiter.write_all(&wire_post(COMPLETIONS, CLOSE, &short(true))).await.expect("writable");
        waiting(&server, 1).await;
        server.shut_down();
        if in_line == DrainWaiting::Refuse {
            let answer = read_to_end(&mut waiter).await;
            assert!(answer.starts_with("HTTP/1.1 503") && code(&answer) == "shutting_down", "{answer}");
            assert!(header_of(&answer, "retry-after").is_some(), "{answer}");
            assert_eq!(server.engine.snapshot().requests.running, 1, "nothing had to end for that");
            let ready = server.exchange(&wire_get("/health/ready", "")).await;
            assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
        }
        let rest = read_to_end(&mut running).await;
        assert!(rest.contains("data: [DONE]"), "…{}", &rest[rest.len().saturating_sub(300)..]);
        if in_line == DrainWaiting::Finish {
            let answer = read_to_end(&mut waiter).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("data: [DONE]"), "{answer}");
        }
        server.ended().await;
    }
}
