//! Jobs that nobody waits for, and their results by key.
#![allow(clippy::unwrap_used)] // Everything in here is a test.

mod support;

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parkade_core::parking_lot::{Completion, InferenceJob, InferenceResult, ResultLimits};
use parkade_core::{EngineConfig, Refusal, Request, RequestError, SchedulerKind};
use support::engines::{alone, engine, eventually, idle, request, schedulers, the_books_balance};

fn config(scheduler: SchedulerKind) -> EngineConfig {
    EngineConfig { scheduler, ..EngineConfig::default() }
}

fn keeping(most: usize, bytes: usize, keep: Duration) -> EngineConfig {
    EngineConfig { results: ResultLimits { most, bytes, keep }, ..EngineConfig::default() }
}

fn complete(result: Option<InferenceResult>) -> Completion {
    match result {
        Some(InferenceResult::Complete(completion)) => completion,
        other => panic!("not complete: {other:?}"),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_job_that_nobody_waits_for_has_its_whole_result_under_its_key() {
    for scheduler in schedulers() {
        // The answers are longer than a stream is wide: nobody reads it.
        let (engine, _) = engine(60, EngineConfig { stream_capacity: 16, ..config(scheduler) });
        let asked = Request { n: 2, ..request("it", 6, 60) };
        engine.pool().submit_detached(InferenceJob::whole(asked.clone()), "key").unwrap();
        let completion = complete(block_on(engine.pool().wait_for_result("key")));
        let texts = alone(&asked).answers;
        assert_eq!(completion.choices.len(), texts.len());
        for (choice, answer) in completion.choices.iter().zip(texts.values()) {
            let expected = (&answer.tokens, &answer.text, answer.reason);
            assert_eq!((&choice.tokens, &choice.text, choice.finish), expected, "{scheduler:?}");
        }
        assert_eq!(complete(engine.pool().result("key")), completion, "it stays until it is taken");
        assert_eq!(complete(engine.pool().take_result("key")), completion);
        assert!(engine.pool().result("key").is_none() && block_on(engine.pool().wait_for_result("key")).is_none());
        eventually("the end", || idle(&engine));
        the_books_balance(&engine);
    }
}

#[test]
fn a_key_has_one_job_at_a_time() {
    let (engine, controls) = engine(60, EngineConfig::default());
    controls.hold.store(true, Ordering::SeqCst);
    let job = |name: &str| InferenceJob::whole(request(name, 4, 8));
    let pool = engine.pool();
    pool.submit_detached(job("a"), "key").unwrap();
    assert!(pool.is_under_way("key") && pool.result("key").is_none() && pool.take_result("key").is_none());
    let refused = pool.submit_detached(job("b"), "key").unwrap_err();
    assert!(matches!(&refused, Refusal::Invalid { param, .. } if param == "key"), "{refused}");
    // What is refused takes no key.
    let none = InferenceJob::whole(Request::new("none", Vec::new()));
    assert!(pool.submit_detached(none, "other").is_err());
    pool.submit_detached(job("c"), "other").unwrap();
    controls.hold.store(false, Ordering::SeqCst);
    block_on(async {
        complete(pool.wait_for_result("key").await);
        complete(pool.wait_for_result("other").await);
    });
    pool.take_result("key").unwrap();
    pool.submit_detached(job("d"), "key").unwrap();
    complete(block_on(pool.wait_for_result("key")));
}

#[test]
fn a_cancelled_job_has_that_as_its_result() {
    let (engine, controls) = engine(60, EngineConfig::default());
    controls.hold.store(true, Ordering::SeqCst);
    let asked = request("it", 4, 50);
    engine.pool().submit_detached(InferenceJob::whole(asked.clone()), "key").unwrap();
    assert!(engine.cancel(&asked.id));
    controls.hold.store(false, Ordering::SeqCst);
    let result = block_on(engine.pool().wait_for_result("key")).unwrap();
    assert!(matches!(result, InferenceResult::Error(RequestError::Cancelled)), "{result:?}");
}

#[test]
fn results_are_bounded_in_number_bytes_and_age() {
    let hour = Duration::from_secs(3600);
    for (limits, kept) in
        [(keeping(2, 1 << 20, hour), 2), (keeping(9, 0, hour), 0), (keeping(9, 1 << 20, Duration::ZERO), 0)]
    {
        let (engine, _) = engine(60, limits);
        let keys = ["a", "b", "c", "d"];
        for key in keys {
            engine.pool().submit_detached(InferenceJob::whole(request(key, 4, 8)), key).unwrap();
            // One after another, so that it is known which is the oldest.
            eventually("the end", || !engine.pool().is_under_way(key));
        }
        eventually("the end", || idle(&engine));
        std::thread::sleep(Duration::from_millis(2));
        let there: Vec<_> = keys.into_iter().filter(|key| engine.pool().result(key).is_some()).collect();
        assert_eq!(there, keys[keys.len() - kept..]);
    }
}
