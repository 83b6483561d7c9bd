//! A limit is charged for what was done, however a request ends and whoever reads it: exactly once, when the engine is done with it.

use std::time::{Duration, Instant};

use parkade_core::{EngineConfig, SchedulerKind};
use parkade_server::ServerConfig;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::keys::policy;
use crate::mortal;
use crate::support::{
    COMPLETIONS, Running, header_of, parts, read_to_end, read_until, start_at, start_over, wire_get, wire_post,
};

/// Nothing in these tests takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

const KEY: &str = "authorization: Bearer sk-ada\r\nconnection: close\r\n";

/// A server with one key, whose account was full at some moment.
struct Limited {
    server: Running,
    full: Instant,
    /// Tokens per minute. The account fills by a sixtieth of it each second: less than what the tests use.
    limit: u64,
}

async fn limited(limit: u64) -> Vec<Limited> {
    let mut kinds = vec![SchedulerKind::Default];
    if cfg!(feature = "parking-lot-scheduler") {
        kinds.push(SchedulerKind::ParkingLot);
    }
    let mut servers = Vec::new();
    for scheduler in kinds {
        let server = start_over(ServerConfig::default(), EngineConfig { scheduler, ..EngineConfig::default() }).await;
        server.state.set_policy(policy(&[("ada", &format!("tokens_per_minute = {limit}"))])).expect("valid weights");
        servers.push(Limited { server, full: Instant::now(), limit });
    }
    servers
}

/// So many answers with so many log-probabilities that they fill all buffers when nobody reads them, and pause: they are never complete before a
/// test says so.
fn endless() -> Value {
    json!({
        "prompt": vec![5; 20], "max_tokens": 480, "ignore_eos": true, "stream": true, "n": CHOICES, "logprobs": 20,
    })
}

const CHOICES: u64 = 40;

/// More than those answers can have.
const MUCH: u64 = 60_000;

impl Limited {
    /// Sends a request called `it`.
    async fn send(&self, extra: &str, body: &Value) -> TcpStream {
        let mut socket = self.server.connect().await;
        let post = wire_post(COMPLETIONS, &format!("{KEY}{extra}x-request-id: it\r\n"), body);
        socket.write_all(&post).await.expect("writable");
        socket
    }

    /// The same, and reads until its answer has begun.
    async fn begin(&self, body: &Value) -> (TcpStream, String) {
        let mut socket = self.send("", body).await;
        let begun = read_until(&mut socket, "data: ").await;
        (socket, begun)
    }

    async fn ask(&self, body: &Value) -> String {
        self.server.exchange(&wire_post(COMPLETIONS, KEY, body)).await
    }

    /// Where the request is when the engine is done with it: how many tokens it has, and the error that ended it.
    async fn ended(&self) -> (u64, Value) {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.server.exchange(&wire_get("/v1/requests/it", KEY)).await;
            let card: Value = serde_json::from_str(parts(&answer).2).expect("JSON");
            if card["state"] == "ended" {
                return (card["completion_tokens"].as_u64().expect("a number"), card["error"].clone());
            }
            assert!(Instant::now() < until, "it never ended: {card}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn cancel(&self) {
        let head = format!("POST /v1/requests/it/cancel HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n{KEY}\r\n");
        assert!(self.server.exchange(head.as_bytes()).await.starts_with("HTTP/1.1 200"));
    }

    /// Checks that so many tokens have been charged and none was given back, but what the account has filled by since.
    async fn has_charged(&self, tokens: u64) {
        let answer = self.ask(&json!({"prompt": [5], "max_tokens": 1, "ignore_eos": true})).await;
        let left = header_of(&answer, "x-ratelimit-remaining-tokens").and_then(|left| left.parse::<u64>().ok());
        let left = left.unwrap_or_else(|| panic!("no standing: {answer}"));
        let filled = (self.full.elapsed().as_secs_f64() * self.limit as f64 / 60.0).ceil() as u64;
        // The question itself takes two.
        let least = self.limit - tokens - 2;
        assert!((least..=least + filled).contains(&left), "{left} are left of {}, {tokens} were used", self.limit);
    }
}

/// Tokens in the chunks of a stream.
fn tokens_of(answer: &str) -> u64 {
    let chunks = answer.lines().filter_map(|line| line.strip_prefix("data: {")).map(|rest| {
        let chunk: Value = serde_json::from_str(&format!("{{{rest}")).expect("JSON");
        chunk["choices"][0]["logprobs"]["tokens"].as_array().map_or(0, Vec::len) as u64
    });
    chunks.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_is_charged_over_all_prompts_and_choices() {
    for limited in limited(1200).await {
        let body = json!({"prompt": [vec![5; 20], vec![6; 30]], "max_tokens": 11, "ignore_eos": true, "n": 2});
        let answer = limited.ask(&body).await;
        let usage: Value = serde_json::from_str(parts(&answer).2).expect("JSON");
        assert_eq!(usage["usage"]["total_tokens"], 20 + 30 + 4 * 11, "{answer}");
        limited.has_charged(20 + 30 + 4 * 11).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_cancelled_half_way_is_charged_for_what_it_had() {
    for limited in limited(MUCH).await {
        let (mut stream, begun) = limited.begin(&endless()).await;
        limited.cancel().await;
        let whole = begun + &read_to_end(&mut stream).await;
        let (tokens, error) = limited.ended().await;
        assert_eq!(error, "request_cancelled");
        // A token that is a part of a character waits for the rest of it, one in each answer.
        let sent = tokens_of(&whole);
        assert!(sent > 0 && (sent..=sent + CHOICES).contains(&tokens), "{tokens}, and {sent} were sent");
        assert!(tokens < CHOICES * 480, "{tokens}");
        limited.has_charged(20 + tokens).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_client_leaves_is_charged_for_what_was_computed() {
    for limited in limited(MUCH).await {
        drop(limited.begin(&endless()).await);
        let (tokens, error) = limited.ended().await;
        assert_eq!(error, "client_left");
        assert!(tokens > 0 && tokens < CHOICES * 480, "{tokens}");
        limited.has_charged(20 + tokens).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_deadline_passes_half_way_is_charged_for_what_it_had() {
    for limited in limited(MUCH).await {
        let stream = limited.send("x-request-timeout-ms: 1500\r\n", &endless()).await;
        let (tokens, error) = limited.ended().await;
        assert_eq!(error, "deadline_exceeded");
        // On a busy machine it may pass before the first token.
        if tokens > 0 {
            limited.has_charged(20 + tokens).await;
        }
        drop(stream);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_that_are_given_up_because_the_last_one_is_refused_are_charged_for_no_more_than_was_done() {
    for limited in limited(1200).await {
        let body = json!({"prompt": [vec![5; 20], vec![5; 511], vec![5; 600]], "max_tokens": 1});
        assert!(limited.ask(&body).await.starts_with("HTTP/1.1 400"));
        let until = Instant::now() + PATIENCE;
        while limited.server.engine.snapshot().requests.running + limited.server.engine.snapshot().requests.waiting > 0
        {
            assert!(Instant::now() < until, "they never ended");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let answer = limited.ask(&json!({"prompt": [5], "max_tokens": 1, "ignore_eos": true})).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "the account is not used up: {answer}");
    }
}

/// The one whose request it is pays for it, also for what others of his read.
#[cfg(feature = "parking-lot-scheduler")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_others_read_to_its_end_is_charged_in_full_although_its_first_reader_left() {
    let limited = limited(1200).await.pop().expect("the parking lot");
    let body = json!({"prompt": vec![5; 20], "max_tokens": 480, "ignore_eos": true, "stream": true, "logprobs": 20});
    let (stream, _) = limited.begin(&body).await;
    let mut along = limited.server.connect().await;
    along.write_all(&wire_get("/v1/requests/it/stream", KEY)).await.expect("writable");
    read_until(&mut along, "data: ").await;
    drop(stream);
    read_to_end(&mut along).await;
    assert_eq!(limited.ended().await, (480, json!(null)));
    limited.has_charged(20 + 480).await;
}

/// A token comes back each fiftieth of a second: that much may be used beside the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_cannot_use_more_than_the_limit_and_one_request() {
    const LIMIT: u64 = 3000;
    for scheduler in [SchedulerKind::Default, SchedulerKind::ParkingLot] {
        if scheduler == SchedulerKind::ParkingLot && !cfg!(feature = "parking-lot-scheduler") {
            continue;
        }
        for ignore_eos in [true, false] {
            let engine = EngineConfig { scheduler, ..EngineConfig::default() };
            let (state, engine, fate) = mortal::state_over(ServerConfig::default(), engine);
            state.set_policy(policy(&[("ada", &format!("tokens_per_minute = {LIMIT}"))])).expect("valid weights");
            let server = start_at("127.0.0.1", state, engine).await;
            // None of them ends before all have come.
            fate.allow(0);
            let begun = Instant::now();
            let body = json!({"prompt": vec![5; 20], "max_tokens": 400, "ignore_eos": ignore_eos});
            let mut sockets = Vec::new();
            for _ in 0..24 {
                let mut socket = server.connect().await;
                socket.write_all(&wire_post(COMPLETIONS, KEY, &body)).await.expect("writable");
                sockets.push(socket);
            }
            let decided = |page: &str| {
                let refused = page.lines().find_map(|line| {
                    line.strip_prefix("parkade_request_refusals_total{reason=\"rate_limit_exceeded\"} ")?.parse().ok()
                });
                refused.unwrap_or(0)
            };
            while {
                let taken = server.engine.snapshot().requests.running + server.engine.snapshot().requests.waiting;
                taken + decided(&server.exchange(&wire_get("/metrics", "")).await) < 24
            } {
                assert!(begun.elapsed() < PATIENCE, "they are never decided on");
            }
            let most = LIMIT + 420 + (begun.elapsed().as_secs_f64() * LIMIT as f64 / 60.0).ceil() as u64;
            fate.release();
            let (mut used, mut refused) = (0, 0);
            for socket in &mut sockets {
                let answer = read_to_end(socket).await;
                let (status, _, body) = parts(&answer);
                assert!(status == 200 || status == 429, "{answer}");
                refused += u64::from(status == 429);
                let body: Value = serde_json::from_str(body).expect("JSON");
                used += body["usage"]["total_tokens"].as_u64().unwrap_or(0);
            }
            assert!(used <= most, "{used} of {LIMIT} were used, {most} may be");
            assert!(used > LIMIT - 420 || !ignore_eos, "{used} of {LIMIT} were used: another one would have fitted");
            for totals in [server.engine.snapshot().totals, server.engine.snapshot_of("ada").totals] {
                assert_eq!((totals.submitted, totals.refused), (24, refused), "{totals:?}");
            }
        }
    }
}
