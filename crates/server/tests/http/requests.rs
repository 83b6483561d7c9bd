//! Asking for a request, cancelling it, and reading along with it.

use std::time::{Duration, Instant};

use parkade_server::ServerConfig;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::keys::policy;
use crate::lot::{fill, lot, waiting};
use crate::support::{
    COMPLETIONS, PATIENCE, Running, header_of, parts, read_to_end, read_until, start_over, wire_get, wire_post,
};

async fn get(server: &Running, path: &str, extra: &str) -> (u16, String) {
    let answer = server.exchange(&wire_get(path, extra)).await;
    let (status, _, body) = parts(&answer);
    (status, body.to_owned())
}

async fn card(server: &Running, path: &str, extra: &str) -> Value {
    let (status, body) = get(server, path, extra).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

async fn cancel(server: &Running, id: &str, extra: &str) -> (u16, Value) {
    let post = format!(
        "POST /v1/requests/{id}/cancel HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n{extra}\r\n"
    );
    let answer = server.exchange(post.as_bytes()).await;
    let (status, _, body) = parts(&answer);
    (status, serde_json::from_str(body).expect("JSON"))
}

fn code(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_line_can_be_asked_for_and_cancelled() {
    // Heads are held, so that a stream gets a status too.
    let config = ServerConfig { waiting_comment: PATIENCE, ..ServerConfig::default() };
    let server = start_over(config, lot(40)).await;
    let _held = fill(&server, 40, "x-request-id: first\r\n").await;
    let first = card(&server, "/v1/requests/first", "").await;
    assert_eq!(
        (&first["state"], &first["class"], &first["tenant"]),
        (&json!("running"), &json!("normal"), &json!("anonymous"))
    );
    assert_eq!((&first["place"], &first["estimated_wait_ms"]), (&json!(null), &json!(null)));
    let until = Instant::now() + PATIENCE;
    while card(&server, "/v1/requests/first", "").await["completion_tokens"].as_u64().is_none_or(|tokens| tokens == 0) {
        assert!(Instant::now() < until, "its tokens are never counted");
    }

    for (id, stream) in [("second", true), ("third", false)] {
        let mut waiter = server.connect().await;
        let body = json!({"prompt": "hello", "max_tokens": 4, "stream": stream, "user": "ada", "service_tier": "flex"});
        waiter
            .write_all(&wire_post(COMPLETIONS, &format!("connection: close\r\nx-request-id: {id}\r\n"), &body))
            .await
            .expect("writable");
        waiting(&server, 1).await;
        let status = card(&server, &format!("/v1/requests/{id}"), "").await;
        assert_eq!(
            (&status["state"], &status["class"], &status["tenant"]),
            (&json!("waiting"), &json!("low"), &json!("ada"))
        );
        assert_eq!((&status["place"], &status["completion_tokens"]), (&json!(0), &json!(0)), "{status}");
        assert!(
            status["prompt_tokens"].as_u64().is_some_and(|tokens| tokens > 0) && status["age_ms"].is_u64(),
            "{status}"
        );
        assert_eq!(status["service_tier"], "flex");

        let (status, said) = cancel(&server, id, "").await;
        assert_eq!((status, &said["cancelled"]), (200, &json!(true)), "{said}");
        assert_ne!(said["state"], "running", "it never ran: {said}");
        let answer = read_to_end(&mut waiter).await;
        assert!(answer.starts_with("HTTP/1.1 499") && answer.contains("request_cancelled"), "{answer}");
        assert_eq!(header_of(&answer, "x-request-id"), Some(id));
        let after = card(&server, &format!("/v1/requests/{id}"), "").await;
        assert_eq!((&after["state"], &after["error"]), (&json!("ended"), &json!("request_cancelled")), "{after}");
        assert_eq!(cancel(&server, id, "").await.1["cancelled"], false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_stream_that_is_cancelled_ends_with_the_reason_and_frees_its_memory() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    let mut stream = fill(&server, 40, "connection: close\r\nx-request-id: one\r\n").await;
    assert_eq!(cancel(&server, "one", "").await.0, 200);
    let rest = read_to_end(&mut stream).await;
    assert!(rest.contains("event: error\ndata: ") && rest.contains("request_cancelled") && !rest.contains("[DONE]"));
    server.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_has_ended_hides_none_of_its_name_that_runs() {
    let server = start_over(ServerConfig::default(), lot(41)).await;
    let named = "connection: close\r\nx-request-id: same\r\n";
    let mut runs = fill(&server, 40, named).await;
    let body = json!({"prompt": "hello", "max_tokens": 1});
    let short = server.exchange(&wire_post(COMPLETIONS, named, &body)).await;
    assert!(short.starts_with("HTTP/1.1 200"), "{short}");
    let status = card(&server, "/v1/requests/same", "").await;
    assert_eq!(status["state"], "running", "{status}");
    assert_eq!(cancel(&server, "same", "").await.1["cancelled"], true);
    assert!(read_to_end(&mut runs).await.contains("request_cancelled"));
}

#[tokio::test]
async fn what_is_not_known_is_404() {
    let server = start_over(ServerConfig::default(), lot(4)).await;
    for path in ["/v1/requests/none", "/v1/requests/none/stream"] {
        let (status, body) = get(&server, path, "").await;
        assert_eq!((status, code(&body).as_str()), (404, "request_not_found"));
    }
    assert_eq!(cancel(&server, "none", "").await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_see_their_own_requests_only() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    server.state.set_policy(policy(&[("ada", ""), ("bob", "")])).expect("valid weights");
    let (ada, bob) = ("authorization: Bearer sk-ada\r\n", "authorization: Bearer sk-bob\r\n");
    let _held = fill(&server, 40, &format!("{ada}x-request-id: hers\r\n")).await;
    assert_eq!(card(&server, "/v1/requests/hers", ada).await["tenant"], "ada");
    for path in ["/v1/requests/hers", "/v1/requests/hers/stream"] {
        let (status, body) = get(&server, path, bob).await;
        assert_eq!((status, code(&body).as_str()), (404, "request_not_found"));
    }
    assert_eq!(cancel(&server, "hers", bob).await.0, 404);
    assert_eq!(server.engine.snapshot().requests.running, 1);
    assert_eq!(cancel(&server, "hers", ada).await.0, 200);
}

/// The text of a stream's chunks, and the numbers of its events.
fn read(stream: &str) -> (String, Vec<u64>) {
    let numbers = stream.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    let chunks = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let text = chunks.map(|data| {
        let chunk: Value = serde_json::from_str(data).expect("JSON");
        chunk["choices"][0]["text"].as_str().unwrap_or_default().to_owned()
    });
    (text.collect(), numbers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_can_be_joined_while_it_runs_and_after_from_any_event() {
    let server = start_over(ServerConfig::default(), lot(4)).await;
    let body = json!({"prompt": "hello", "max_tokens": 300, "ignore_eos": true, "stream": true, "seed": 7});
    let mut stream = server.connect().await;
    stream
        .write_all(&wire_post(COMPLETIONS, "connection: close\r\nx-request-id: it\r\n", &body))
        .await
        .expect("writable");
    let begun = read_until(&mut stream, "data: ").await;
    let along = server.exchange(&wire_get("/v1/requests/it/stream", "")).await;
    let original = begun + &read_to_end(&mut stream).await;
    let (_, _, body) = parts(&original);
    let unchunked: String =
        body.lines().filter(|line| line.starts_with("data: ")).flat_map(|line| [line, "\n"]).collect();
    let (text, _) = read(&unchunked);
    let (joined, numbers) = read(&along);
    assert!(along.starts_with("HTTP/1.1 200") && along.contains("text/event-stream") && along.contains("[DONE]"));
    assert_eq!(joined, text);
    assert!(!along.contains("usage"), "its own reader did not ask for it: {along}");
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]) && numbers.last() == Some(&301), "{numbers:?}");

    let middle = numbers[numbers.len() / 2];
    for (path, extra) in [
        (format!("/v1/requests/it/stream?from={}", middle + 1), String::new()),
        ("/v1/requests/it/stream".to_owned(), format!("last-event-id: {middle}\r\n")),
    ] {
        let rest = server.exchange(&wire_get(&path, &extra)).await;
        let (rest, rest_numbers) = read(&rest);
        assert!(rest_numbers.iter().all(|number| *number > middle) && rest_numbers.last() == Some(&301));
        assert!(!rest.is_empty() && text.ends_with(&rest));
    }
    for (query, param, code) in [
        ("from=-1", "from", "invalid_value"),
        ("from=x", "from", "invalid_value"),
        ("from=", "from", "invalid_value"),
        ("from=%2B5", "from", "invalid_value"),
        ("from=1.5", "from", "invalid_value"),
        ("from=303", "from", "out_of_range"),
        ("from=18446744073709551615", "from", "out_of_range"),
        ("from=99999999999999999999", "from", "out_of_range"),
        ("prompt=1", "prompt", "invalid_value"),
        ("prompt=99999999999999999999", "prompt", "invalid_value"),
    ] {
        let (status, body) = get(&server, &format!("/v1/requests/it/stream?{query}"), "").await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let error = &body["error"];
        assert_eq!((status, &error["param"], &error["code"]), (400, &json!(param), &json!(code)), "{query}");
        if code == "out_of_range" {
            assert!(error["message"].as_str().is_some_and(|said| said.contains("has 302 so far")), "{error}");
        }
    }
    for (path, extra) in [("/v1/requests/it/stream?from=302", ""), ("/v1/requests/it/stream", "last-event-id: 301\r\n")]
    {
        assert_eq!(get(&server, path, extra).await, (204, String::new()), "all of it was read: {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_runs_cannot_be_joined_beyond_its_next_event() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    let _held = fill(&server, 40, "x-request-id: it\r\n").await;
    for extra in ["", "last-event-id: 99999999\r\n"] {
        let query = if extra.is_empty() { "?from=99999999" } else { "" };
        let (status, body) = get(&server, &format!("/v1/requests/it/stream{query}"), extra).await;
        assert_eq!((status, code(&body).as_str()), (400, "out_of_range"), "{body}");
    }
    assert_eq!(server.engine.snapshot().requests.running, 1, "it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_are_forgotten_are_410() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    let body = json!({"prompt": "hello", "max_tokens": 450, "ignore_eos": true, "n": 10});
    let post = wire_post(COMPLETIONS, "connection: close\r\nx-request-id: long\r\n", &body);
    assert!(server.exchange(&post).await.starts_with("HTTP/1.1 200"));
    let (status, body) = get(&server, "/v1/requests/long/stream?from=0", "").await;
    assert_eq!((status, code(&body).as_str()), (410, "events_forgotten"), "4511 events are more than are remembered");
    let (status, body) = get(&server, "/v1/requests/long/stream?from=4500", "").await;
    assert!(status == 200 && body.contains("[DONE]"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_on_while_somebody_reads_along() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    let mut stream = fill(&server, 40, "x-request-id: it\r\n").await;
    let mut along = server.connect().await;
    along.write_all(&wire_get("/v1/requests/it/stream", "")).await.expect("writable");
    read_until(&mut along, "data: ").await;
    stream.shutdown().await.expect("closable");
    drop(stream);
    let rest = read_to_end(&mut along).await;
    assert!(
        rest.contains("[DONE]") || rest.contains("events_forgotten"),
        "…{}",
        &rest[rest.len().saturating_sub(300)..]
    );
    drop(along);
    let until = Instant::now() + PATIENCE;
    while server.engine.snapshot().requests.running > 0 {
        assert!(Instant::now() < until, "it never ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_integer_priority_says_who_is_ahead_and_the_wait_is_estimated() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    // Once something has run, rates are known.
    let warm = json!({"prompt": "hello", "max_tokens": 8, "ignore_eos": true});
    assert!(server.exchange(&wire_post(COMPLETIONS, "connection: close\r\n", &warm)).await.starts_with("HTTP/1.1 200"));
    let held = fill(&server, 40, "").await;
    let mut waiters = Vec::new();
    for (count, (id, priority)) in
        [("last", json!(5)), ("middle", json!(null)), ("first", json!(-1))].into_iter().enumerate()
    {
        let mut waiter = server.connect().await;
        let body = json!({"prompt": "hello", "max_tokens": 4, "priority": priority});
        let extra = format!("connection: close\r\nx-request-id: {id}\r\n");
        waiter.write_all(&wire_post(COMPLETIONS, &extra, &body)).await.expect("writable");
        waiting(&server, count + 1).await;
        waiters.push(waiter);
    }
    let mut waits = Vec::new();
    for (place, id) in ["first", "middle", "last"].into_iter().enumerate() {
        let card = card(&server, &format!("/v1/requests/{id}"), "").await;
        assert_eq!(card["place"], json!(place), "{card}");
        waits.push(card["estimated_wait_ms"].as_u64().unwrap_or_else(|| panic!("no estimate: {card}")));
    }
    assert!(waits.is_sorted(), "{waits:?}");
    drop(held);
    for mut waiter in waiters {
        assert!(read_to_end(&mut waiter).await.starts_with("HTTP/1.1 200"));
    }
}
