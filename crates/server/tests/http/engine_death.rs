//! What clients are told when the engine's worker dies: the same everywhere, and the truth.

use std::time::{Duration, Instant};

use parkade_core::{Engine, EngineConfig, EngineSnapshot, SchedulerKind};
use parkade_server::{ModelEntry, ServerConfig, router};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::mortal::{self, Control};
use crate::support::{
    CHAT, COMPLETIONS, PATIENCE, Running, get, header_of, model_with, parts, post, read_to_end, read_until, start_at,
    state_over, wire_get, wire_post,
};

const CLOSE: &str = "connection: close\r\n";

async fn until(engine: &Engine, what: impl Fn(&EngineSnapshot) -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !what(&engine.snapshot()) {
        assert!(Instant::now() < limit, "never: {:?}", engine.snapshot());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Those of this build.
fn schedulers() -> impl Iterator<Item = SchedulerKind> {
    [SchedulerKind::Default, SchedulerKind::ParkingLot].into_iter().filter(|scheduler| scheduler.is_in_this_build())
}

fn code(body: &str) -> Value {
    serde_json::from_str::<Value>(body).unwrap_or_else(|error| panic!("{error}: {body}"))["error"]["code"].clone()
}

/// A server over an engine that runs two requests at once.
async fn start(scheduler: SchedulerKind) -> (Running, Control) {
    let config = EngineConfig { scheduler, max_seqs: 2, ..EngineConfig::default() };
    let (state, engine, control) = mortal::state_over(ServerConfig::default(), config);
    (start_at("127.0.0.1", state, engine).await, control)
}

fn body(stream: bool) -> Value {
    json!({"prompt": "a", "max_tokens": 500, "ignore_eos": true, "stream": stream})
}

/// A stream that has begun, and two requests that come during its next step, which panics. What is left of the stream,
/// and the sockets of the others.
async fn three_when_a_step_panics(server: &Running, control: &Control) -> (String, [TcpStream; 2]) {
    control.allow(2);
    let mut stream = server.connect().await;
    let post = wire_post(COMPLETIONS, &format!("{CLOSE}x-request-id: first\r\n"), &body(true));
    stream.write_all(&post).await.expect("writable");
    read_until(&mut stream, "data: ").await;
    until(&server.engine, |_| control.holds_a_step()).await;
    let mut others = [server.connect().await, server.connect().await];
    for (number, socket) in others.iter_mut().enumerate() {
        socket.write_all(&wire_post(COMPLETIONS, CLOSE, &body(false))).await.expect("writable");
        until(&server.engine, |now| now.requests.running + now.requests.waiting >= 2 + number).await;
    }
    control.kill();
    (read_to_end(&mut stream).await, others)
}

async fn everything_is_engine_stopped(server: &Running) {
    for stream in [false, true] {
        let answer = server.exchange(&wire_post(COMPLETIONS, CLOSE, &body(stream))).await;
        let (status, _, body) = parts(&answer);
        assert_eq!((status, code(body)), (503, json!("engine_stopped")), "{answer}");
        assert_eq!(header_of(&answer, "x-should-retry"), Some("false"), "only a restart helps");
    }
    // Nothing else about a request matters then.
    let chat = json!({"messages": []});
    for (path, body) in [(CHAT, &chat), (COMPLETIONS, &json!([])), (COMPLETIONS, &json!({"prompt": vec![5; 9999]}))] {
        let answer = server.exchange(&wire_post(path, CLOSE, body)).await;
        assert_eq!((parts(&answer).0, code(parts(&answer).2)), (503, json!("engine_stopped")), "{answer}");
    }
    // Whoever watches it has to start it again.
    for path in ["/health/ready", "/health"] {
        let answer = server.exchange(&wire_get(path, "")).await;
        assert_eq!((parts(&answer).0, code(parts(&answer).2)), (503, json!("engine_stopped")), "{answer}");
    }
    for path in ["/version", "/metrics", "/v1/metrics", "/v1/models"] {
        assert_eq!(parts(&server.exchange(&wire_get(path, "")).await).0, 200, "{path}");
    }
}

#[tokio::test]
async fn a_worker_that_outlives_a_panic_says_that_the_request_may_be_sent_again() {
    for scheduler in schedulers() {
        let (server, control) = start(scheduler).await;
        let (rest, mut others) = three_when_a_step_panics(&server, &control).await;
        assert!(rest.contains("event: error\n") && rest.contains("internal_error"), "{rest}");
        assert!(rest.contains("may be sent again"), "{rest}");
        control.release();
        for socket in &mut others {
            assert!(read_to_end(socket).await.starts_with("HTTP/1.1 200"), "they had no part in that step");
        }
        let ready = server.exchange(&wire_get("/health/ready", "")).await;
        assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    }
}

#[tokio::test]
async fn an_engine_that_ended_by_itself_does_not_say_that_the_server_shuts_down() {
    for scheduler in schedulers() {
        let (server, _control) = start(scheduler).await;
        let engine = server.engine.clone();
        tokio::task::spawn_blocking(move || engine.drain(Duration::ZERO)).await.expect("an end");
        everything_is_engine_stopped(&server).await;
    }
}

#[tokio::test]
async fn a_model_whose_engine_died_refuses_its_own_requests_and_no_others() {
    let (state, _) = state_over(ServerConfig::default(), EngineConfig::default());
    let dead = model_with(EngineConfig::default());
    dead.engine.drain(Duration::ZERO);
    state.set_model(ModelEntry::new("dead", dead.engine, dead.tokenizer, None, dead.config));
    let api = router(state);
    let ask =
        async |model: &str| post(&api, COMPLETIONS, &json!({"model": model, "prompt": "a", "max_tokens": 2})).await;
    assert_eq!(ask("tiny").await.status, 200);
    let refused = ask("dead").await;
    assert_eq!((refused.status.as_u16(), refused.error().2.as_deref()), (503, Some("engine_stopped")));
    assert_eq!(get(&api, "/health").await.status, 503, "a restart helps");
}
