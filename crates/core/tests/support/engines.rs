//! Engines with their worker threads over the fake model, and what tests do with them.
#![allow(clippy::unwrap_used)] // It is for tests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use parkade_core::parking_lot::AttachedStream;
use parkade_core::{Engine, EngineConfig, Event, Request, RequestStream, SamplingParams, SchedulerKind, TokenId};

use super::{Collected, Controls, FIRST_LETTER, FakeBackend, Letters};

/// The schedulers of this build.
pub fn schedulers() -> impl Iterator<Item = SchedulerKind> {
    [SchedulerKind::Default, SchedulerKind::ParkingLot].into_iter().filter(|scheduler| scheduler.is_in_this_build())
}

pub fn engine(blocks: usize, config: EngineConfig) -> (Engine, Arc<Controls>) {
    let backend = FakeBackend::new(blocks, 4, 200);
    let controls = Arc::clone(&backend.controls);
    (Engine::start_with(Box::new(backend), Arc::new(Letters), config).unwrap(), controls)
}

/// A request with sampling, penalties and stop strings in flight.
pub fn request(name: impl Into<String>, prompt: usize, answer: usize) -> Request {
    let letters = (0..prompt).map(|at| FIRST_LETTER + ((prompt + at * at * 7 + at) % 37) as TokenId).collect();
    let sampling = SamplingParams {
        seed: Some(prompt as u64),
        presence_penalty: 0.3,
        frequency_penalty: 0.2,
        repetition_penalty: 1.1,
        ..SamplingParams::default()
    };
    Request {
        max_tokens: Some(answer),
        sampling,
        stop: vec!["abcabc".to_owned(), "ffff".to_owned()],
        ignore_eos: true,
        ..Request::new(name, letters)
    }
}

pub fn alone(request: &Request) -> Collected {
    let (engine, _) = engine(2000, EngineConfig::default());
    Collected::all(&mut engine.submit(request.clone()).unwrap())
}

/// Reads to the end of a stream that was attached to.
pub fn read_along(mut stream: AttachedStream) -> Collected {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut collected = Collected::default();
        let patience = Duration::from_secs(60);
        while let Some(event) = tokio::time::timeout(patience, stream.next()).await.expect("the stream goes on") {
            collected.take(event.unwrap().1);
        }
        collected
    })
}

pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what} never happened");
        thread::sleep(Duration::from_millis(1));
    }
}

pub fn idle(engine: &Engine) -> bool {
    let now = engine.snapshot();
    (now.requests.running, now.requests.waiting, now.requests.parked, now.kv_blocks.used, now.kv_blocks.promised)
        == (0, 0, 0, 0, 0)
}

/// Everything that was submitted has exactly one place in the books.
pub fn the_books_balance(engine: &Engine) {
    let now = engine.snapshot();
    let totals = now.totals;
    let given_up = totals.cancelled + totals.superseded;
    let ended = totals.refused + totals.completed + totals.failed + given_up + totals.expired;
    let here = (now.requests.waiting + now.requests.running + now.requests.parked) as u64;
    assert_eq!(totals.submitted, ended + here, "{totals:?}");
}

/// An engine in the pass after a request's first token, which came before the deadline; and when it is over.
pub fn after_a_timely_first_token(
    name: &str,
    scheduler: SchedulerKind,
    dated: Dated,
) -> (Engine, Arc<Controls>, Started) {
    let mut allowed = Duration::from_millis(100);
    loop {
        // Another engine each time: one has measured how long a held pass takes.
        let (engine, controls) = engine(400, EngineConfig { scheduler, ..EngineConfig::default() });
        controls.hold_from.store(3, Ordering::SeqCst);
        let request = dated(Request { stop: Vec::new(), ..request(name, 5, 190) }, allowed);
        let submitted = Instant::now();
        let mut stream = engine.submit(request).unwrap();
        if matches!(stream.blocking_next(), Some(Event::Token { .. })) {
            return (engine, controls, Started { stream, over: submitted + allowed });
        }
        // The machine is busy.
        allowed *= 2;
    }
}

pub type Dated = fn(Request, Duration) -> Request;

/// A request that has had its first token, and the moment of its deadline.
pub struct Started {
    pub stream: RequestStream,
    over: Instant,
}

impl Started {
    pub fn await_deadline(&self) {
        thread::sleep(self.over.saturating_duration_since(Instant::now()));
    }
}
