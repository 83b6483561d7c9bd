//! What is on record of a request however it ends, under both schedulers: charges and status answers are made of it.
#![allow(clippy::unwrap_used)] // Everything in here is a test.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parkade_core::{
    Decoder, End, Engine, EngineConfig, Event, LiveRequest, Request, RequestError, RequestState, RequestStream,
    SamplingParams, TokenId, Vocabulary,
};
use support::engines::{eventually, schedulers};
use support::{Controls, END, FIRST_LETTER, FakeBackend, Letters, POISON};

const PROMPT: usize = 9;

fn engines(max_seqs: usize) -> Vec<(Engine, Arc<Controls>)> {
    engines_over(max_seqs, || Arc::new(Letters))
}

fn engines_over(max_seqs: usize, vocabulary: impl Fn() -> Arc<dyn Vocabulary>) -> Vec<(Engine, Arc<Controls>)> {
    let start = |scheduler| {
        let backend = FakeBackend::new(400, 4, 200);
        let controls = Arc::clone(&backend.controls);
        // Long answers pause until they are read: they are never complete before a test has done what it is about.
        let config = EngineConfig { scheduler, max_seqs, stream_capacity: 16, ..EngineConfig::default() };
        (Engine::start_with(Box::new(backend), vocabulary(), config).unwrap(), controls)
    };
    schedulers().map(start).collect()
}

fn request(name: &str, answer: usize) -> Request {
    Request {
        max_tokens: Some(answer),
        sampling: SamplingParams { seed: Some(7), ..SamplingParams::default() },
        ignore_eos: true,
        ..Request::new(name, (0..PROMPT).map(|at| FIRST_LETTER + at as TokenId).collect())
    }
}

/// Reads tokens, `most` of them or all; says how many there were, and the last event if it came.
fn read(stream: &mut RequestStream, most: usize) -> (usize, Option<Event>) {
    let mut tokens = 0;
    while tokens < most {
        match stream.blocking_next() {
            Some(Event::Token { .. }) => tokens += 1,
            Some(Event::Finished { .. } | Event::PromptLogprobs(_)) => {}
            last => return (tokens, last),
        }
    }
    (tokens, None)
}

/// Waits for the end and checks that the record tells of it.
fn ended(record: &LiveRequest) -> (usize, usize, Option<RequestError>) {
    eventually("the end", || record.end().is_some());
    let End { usage, error } = record.end().unwrap().clone();
    assert_eq!((record.state(), record.usage()), (RequestState::Ended, usage));
    (usage.prompt_tokens, usage.completion_tokens, error)
}

#[test]
fn an_answer_that_is_complete_is_on_record_before_its_reader_knows() {
    for (engine, _) in engines(8) {
        for n in [1, 3] {
            let mut stream = engine.submit(Request { n, ..request("r", 20) }).unwrap();
            let record = stream.request();
            let (tokens, last) = read(&mut stream, usize::MAX);
            let Some(Event::Done(usage)) = last else { panic!("{last:?}") };
            assert_eq!(tokens, 20 * n);
            assert_eq!(record.end(), Some(&End { usage, error: None }));
            assert_eq!((record.generated(), usage.completion_tokens), (tokens, tokens));
        }
    }
}

#[test]
fn what_was_computed_before_a_cancel_is_on_record() {
    for (engine, _) in engines(8) {
        for n in [1, 2] {
            let mut stream = engine.submit(Request { n, ..request("r", 180) }).unwrap();
            let (before, _) = read(&mut stream, 10);
            assert!(engine.cancel(&"r".into()));
            let (after, last) = read(&mut stream, usize::MAX);
            assert_eq!(last, Some(Event::Failed(RequestError::Cancelled)));
            let expected = (PROMPT, before + after, Some(RequestError::Cancelled));
            assert_eq!(ended(&stream.request()), expected);
        }
    }
}

#[test]
fn what_was_computed_for_a_reader_that_left_is_on_record() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (engine, _) in engines(8) {
        let mut stream = engine.submit(request("r", 180)).unwrap();
        let record = stream.request();
        read(&mut stream, 10);
        drop(stream);
        let End { usage, error } = runtime.block_on(record.ended());
        assert_eq!((usage.prompt_tokens, error), (PROMPT, Some(RequestError::Cancelled)));
        assert_eq!(usage.completion_tokens, record.generated());
        assert!((10..=180).contains(&usage.completion_tokens), "{usage:?}");
    }
}

#[test]
fn what_was_computed_before_a_deadline_is_on_record() {
    for (engine, controls) in engines(8) {
        // 180 tokens would take longer, however quick the machine is.
        controls.pass_us.store(5000, Ordering::SeqCst);
        let timeout = Duration::from_millis(300);
        let mut stream = engine.submit(Request { timeout: Some(timeout), ..request("r", 180) }).unwrap();
        let (tokens, last) = read(&mut stream, usize::MAX);
        assert_eq!(last, Some(Event::Failed(RequestError::Deadline { allowed: timeout })));
        assert_eq!(ended(&stream.request()).1, tokens);
    }
}

#[test]
fn what_never_ran_has_used_nothing() {
    for (engine, controls) in engines(1) {
        controls.hold.store(true, Ordering::SeqCst);
        let running = engine.submit(request("running", 20)).unwrap();
        eventually("a pass", || controls.passes.load(Ordering::SeqCst) == 1);
        let mut waiting = engine.submit(request("waiting", 20)).unwrap();
        assert_eq!((waiting.request().state(), waiting.request().usage().prompt_tokens), (RequestState::Waiting, 0));
        assert!(engine.cancel(&"waiting".into()));
        controls.hold.store(false, Ordering::SeqCst);
        assert_eq!(read(&mut waiting, usize::MAX).1, Some(Event::Failed(RequestError::Cancelled)));
        assert_eq!(ended(&waiting.request()), (0, 0, Some(RequestError::Cancelled)));
        drop(running);
    }
}

#[test]
fn what_was_computed_before_a_shutdown_or_a_failure_is_on_record() {
    for (engine, _) in engines(8) {
        let mut poisoned = engine.submit(Request { prompt: vec![POISON; PROMPT], ..request("bad", 20) }).unwrap();
        assert_eq!(read(&mut poisoned, usize::MAX).1, Some(Event::Failed(RequestError::NoLogits)));
        assert_eq!(ended(&poisoned.request()), (PROMPT, 0, Some(RequestError::NoLogits)));
        let mut stream = engine.submit(request("r", 190)).unwrap();
        let (before, _) = read(&mut stream, 5);
        engine.drain(Duration::ZERO);
        let (after, last) = read(&mut stream, usize::MAX);
        let (prompt, completion, error) = ended(&stream.request());
        assert_eq!((prompt, completion, error), (PROMPT, before + after, Some(RequestError::ShuttingDown)));
        assert_eq!(last, Some(Event::Failed(RequestError::ShuttingDown)));
    }
}

/// Letters, until it is asked for a third decoder: that is a fault of the engine's own thread.
struct Fatal(AtomicUsize);

impl Vocabulary for Fatal {
    fn is_end(&self, id: TokenId) -> bool {
        id == END
    }

    fn decoder(self: Arc<Self>) -> Box<dyn Decoder> {
        assert!(self.0.fetch_add(1, Ordering::SeqCst) < 2, "as the test wants it");
        Arc::new(Letters).decoder()
    }
}

#[test]
fn what_was_computed_before_the_engines_thread_panicked_is_on_record() {
    for (engine, _) in engines_over(8, || Arc::new(Fatal(AtomicUsize::new(0)))) {
        let mut stream = engine.submit(Request { n: 2, ..request("r", 190) }).unwrap();
        let (before, _) = read(&mut stream, 6);
        let mut fatal = engine.submit(request("fatal", 5)).unwrap();
        assert_eq!(read(&mut fatal, usize::MAX), (0, Some(Event::Failed(RequestError::Stopped))));
        assert_eq!((ended(&fatal.request()).1, ended(&fatal.request()).2), (0, Some(RequestError::Stopped)));
        // The worker goes on with the others.
        let (after, last) = read(&mut stream, usize::MAX);
        assert_eq!(ended(&stream.request()), (PROMPT, before + after, None));
        assert!(matches!(last, Some(Event::Done(_))), "{last:?}");
    }
}

#[cfg(feature = "parking-lot-scheduler")]
#[test]
fn a_request_that_goes_on_for_others_is_on_record_with_all_that_they_got() {
    let (engine, _) = engines(8).pop().unwrap();
    let mut stream = engine.submit(request("r", 150)).unwrap();
    let record = stream.request();
    let along = engine.pool().streams().attach(&"r".into(), 0).unwrap();
    read(&mut stream, 3);
    drop(stream);
    assert_eq!(ended(&record), (PROMPT, 150, None));
    drop(along);
}
