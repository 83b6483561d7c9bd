//! The `parking-lot` scheduler with its worker thread, over a model whose logits are a hash of its KV blocks. What it promises like
//! any other stands in `schedulers.rs`.
#![cfg(feature = "parking-lot-scheduler")]
#![allow(clippy::unwrap_used)] // Everything in here is a test.

mod support;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use parkade_core::parking_lot::HistoryScope;
use parkade_core::{
    Class, EngineConfig, Event, Limits, Refusal, Request, RequestError, Reserve, SchedulerKind, TenantPolicy,
};
use support::Collected;
use support::engines::{
    Dated, after_a_timely_first_token, alone, engine, eventually, idle, request, the_books_balance,
};

/// How long a reader takes nothing in tests about that.
const SLOW: Duration = Duration::from_millis(20);

fn config() -> EngineConfig {
    EngineConfig { scheduler: SchedulerKind::ParkingLot, ..EngineConfig::default() }
}

#[test]
fn what_is_promised_to_those_that_run_is_not_available_to_a_newcomer() {
    let lot = |reserve| EngineConfig { reserve, ..config() };
    for config in
        [lot(Reserve::Full), lot(Reserve::Predicted), EngineConfig { scheduler: SchedulerKind::Default, ..config() }]
    {
        let (engine, controls) = engine(12, config);
        assert_eq!(engine.snapshot().kv_blocks.available, 12);
        // Each comes to 5 + 35 - 1 tokens, 10 blocks, of which it holds two at first.
        controls.hold.store(true, Ordering::SeqCst);
        let mut streams = ["r0", "r1"].map(|name| engine.submit(request(name, 5, 35)).unwrap());
        eventually("one runs", || engine.snapshot().requests.running == 1);
        let now = engine.snapshot();
        assert_eq!((now.requests.waiting, now.kv_blocks.available), (1, 2), "{now:?}");
        controls.hold.store(false, Ordering::SeqCst);
        for stream in &mut streams {
            assert!(Collected::all(stream).is_done());
        }
        // Whoever has read a last event finds the room in the figures.
        assert_eq!(engine.snapshot().kv_blocks.available, 12);
        let mut page = String::new();
        engine.metrics().encode(engine.snapshot(), &mut page).unwrap();
        assert!(page.contains("\nparkade_kv_blocks_available 12\n"), "{page}");
    }
}

#[test]
fn a_few_blocks_under_fifty_requests_finish_every_one_with_its_own_tokens() {
    let requests: Vec<Request> = (0..50)
        .map(|i| Request { n: 1 + usize::from(i % 7 == 0), ..request(format!("r{i}"), 3 + i % 11, 5 + i % 23) })
        .collect();
    let expected: Vec<Collected> = requests.iter().map(alone).collect();
    let (engine, controls) = engine(18, EngineConfig { max_batched_tokens: 8, ..config() });
    // Nobody has ended before all are there.
    controls.hold.store(true, Ordering::SeqCst);
    let streams: Vec<_> = requests.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
    controls.let_go();
    for (mut stream, expected) in streams.into_iter().zip(expected) {
        let collected = Collected::all(&mut stream);
        assert_eq!(collected.answers, expected.answers, "{}", stream.id());
        assert!(collected.is_done());
    }
    eventually("the end", || idle(&engine));
    the_books_balance(&engine);
    let totals = engine.snapshot().totals;
    assert_eq!(totals.completed, 50);
    assert!(totals.preemptions > 0 && totals.resumptions > 0, "nobody was ever parked: {totals:?}");
}

#[test]
fn a_higher_class_does_not_wait_for_the_pass_in_flight() {
    for (blocks, max_seqs) in [(100, 8), (100, 1), (18, 8)] {
        let (engine, controls) = engine(blocks, EngineConfig { max_seqs, ..config() });
        let low = Request { class: Class::Low, stop: Vec::new(), ..request("low", 40, 30) };
        let high = Request { class: Class::High, stop: Vec::new(), ..request("high", 30, 20) };
        let passes = || controls.passes.load(Ordering::SeqCst);
        controls.hold.store(true, Ordering::SeqCst);
        let mut low_stream = engine.submit(low.clone()).unwrap();
        eventually("the first pass", || passes() == 1);
        let mut high_stream = engine.submit(high.clone()).unwrap();
        // The first pass is held for as long as this one has not begun.
        eventually("a pass for the high class, the first being left,", || passes() == 2);
        controls.hold.store(false, Ordering::SeqCst);
        assert_eq!(
            Collected::all(&mut high_stream).answers,
            alone(&high).answers,
            "{blocks} blocks, {max_seqs} sequences"
        );
        assert_eq!(
            Collected::all(&mut low_stream).answers,
            alone(&low).answers,
            "{blocks} blocks, {max_seqs} sequences"
        );
        let mut page = String::new();
        engine.metrics().encode(engine.snapshot(), &mut page).unwrap();
        assert!(page.contains("parkade_engine_step_interruptions_total 1\n"), "{page}");
        eventually("the end", || idle(&engine));
        the_books_balance(&engine);
    }
}

#[test]
fn a_parked_request_goes_on_with_the_tokens_that_it_would_have_had() {
    // Short answers first, so that long ones are expected to be short, too many are admitted, and growth parks somebody.
    let (engine, controls) = engine(24, config());
    for i in 0..20 {
        let request = Request { stop: Vec::new(), ..request(format!("short{i}"), 4, 2) };
        assert!(Collected::all(&mut engine.submit(request).unwrap()).is_done());
    }
    let requests: Vec<Request> = (0..8).map(|i| request(format!("long{i}"), 5 + i, 60)).collect();
    controls.hold.store(true, Ordering::SeqCst);
    let streams: Vec<_> = requests.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
    controls.let_go();
    for (mut stream, request) in streams.into_iter().zip(&requests) {
        assert_eq!(Collected::all(&mut stream).answers, alone(request).answers, "{}", stream.id());
    }
    let totals = engine.snapshot().totals;
    assert!(totals.preemptions > 0 && totals.resumptions == totals.preemptions, "{totals:?}");
    eventually("the end", || idle(&engine));
}

#[test]
fn a_higher_class_has_a_lower_one_parked_and_both_answer_as_if_alone() {
    let (engine, controls) = engine(12, config());
    controls.hold_from.store(6, Ordering::SeqCst);
    let low = Request { class: Class::Low, stop: Vec::new(), ..request("low", 10, 38) };
    let high = Request { class: Class::High, ..request("high", 20, 20) };
    let mut low_stream = engine.submit(low.clone()).unwrap();
    eventually("the low one runs", || controls.is_holding.load(Ordering::SeqCst));
    assert!(engine.status(&"low".into()).is_some_and(|status| status.completion_tokens > 3));
    let mut high_stream = engine.submit(high.clone()).unwrap();
    controls.let_go();
    assert_eq!(Collected::all(&mut high_stream).answers, alone(&high).answers);
    let low_collected = Collected::all(&mut low_stream);
    assert_eq!(low_collected.answers, alone(&low).answers);
    let Some(Event::Done(usage)) = low_collected.last else { panic!("it completes") };
    assert!(usage.parked > 0, "it was parked for the high one");
    eventually("the end", || idle(&engine));
}

#[test]
fn a_deadline_that_cannot_be_met_is_refused() {
    let (engine, controls) = engine(400, EngineConfig { max_seqs: 1, ..config() });
    controls.pass_us.store(2000, Ordering::SeqCst);
    let busy = Request { stop: Vec::new(), ..request("busy", 5, 150) };
    assert!(Collected::all(&mut engine.submit(busy.clone()).unwrap()).is_done(), "this measures the rates");
    let _running = engine.submit(Request { id: "again".into(), ..busy }).unwrap();
    let hasty = Request { timeout: Some(Duration::from_millis(20)), ..request("hasty", 5, 150) };
    let refusal = engine.submit(hasty).unwrap_err();
    let Refusal::Deadline { estimate, allowed } = refusal else { panic!("{refusal}") };
    // By then the line has become shorter by what it is too long.
    assert_eq!(refusal.retry_after(), Some(estimate - allowed));
}

#[test]
fn a_first_token_that_came_in_time_has_kept_its_deadline_whatever_ends_the_request_later() {
    let slo: Dated = |request, allowed| Request { ttft_slo: Some(allowed), ..request };
    let (engine, controls, mut started) = after_a_timely_first_token("cancelled", SchedulerKind::ParkingLot, slo);
    started.await_deadline();
    assert!(engine.cancel(&"cancelled".into()));
    controls.let_go();
    assert_eq!(Collected::all(&mut started.stream).last, Some(Event::Failed(RequestError::Cancelled)));

    let (engine, controls, mut started) = after_a_timely_first_token("drained", SchedulerKind::ParkingLot, slo);
    started.await_deadline();
    let drain = thread::spawn({
        let engine = engine.clone();
        move || engine.drain(Duration::ZERO)
    });
    eventually("the drain", || engine.snapshot().draining);
    controls.let_go();
    assert_eq!(Collected::all(&mut started.stream).last, Some(Event::Failed(RequestError::ShuttingDown)));
    drain.join().unwrap();
    assert_eq!(engine.snapshot().totals.expired, 0);
}

#[test]
fn a_slow_reader_is_parked_and_gets_every_token_in_the_end() {
    let (engine, _) = engine(60, EngineConfig { stream_capacity: 16, slow_reader: SLOW, ..config() });
    let slow = Request { stop: Vec::new(), ..request("slow", 6, 90) };
    let mut stream = engine.submit(slow.clone()).unwrap();
    // The policy knows of it a moment before the blocks are counted.
    eventually("it is parked and its memory serves others", || {
        let now = engine.snapshot();
        now.requests.parked == 1 && now.kv_blocks.used == 0
    });
    let quick = request("quick", 9, 30);
    assert_eq!(Collected::all(&mut engine.submit(quick.clone()).unwrap()).answers, alone(&quick).answers);
    assert_eq!(Collected::all(&mut stream).answers, alone(&slow).answers);
    eventually("the end", || idle(&engine));
}

#[test]
fn a_tenant_is_held_to_its_own_limits() {
    let tenant = TenantPolicy { max_concurrent: Some(2), max_waiting: Some(1), ..TenantPolicy::default() };
    let limits = Limits { tenants: [("small".to_owned(), tenant)].into(), ..Limits::default() };
    let (engine, controls) = engine(60, EngineConfig { limits: limits.clone(), max_seqs: 1, ..config() });
    controls.hold.store(true, Ordering::SeqCst);
    let of = |tenant: &str, name: &str| Request { tenant: tenant.to_owned(), ..request(name, 5, 15) };
    let _first = engine.submit(of("small", "s1")).unwrap();
    let _second = engine.submit(of("small", "s2")).unwrap();
    let refusal = engine.submit(of("small", "s3")).unwrap_err();
    assert!(matches!(&refusal, Refusal::RateLimited { tenant, limit: 2, .. } if tenant == "small"), "{refusal}");
    let _other = engine.submit(of("other", "o1")).unwrap();
    // The limits can be changed while requests run.
    let relaxed = Limits { tenants: Default::default(), ..limits };
    engine.reconfigure(relaxed.clone(), HistoryScope::default()).unwrap();
    let _third = engine.submit(of("small", "s3")).unwrap();
    controls.hold.store(false, Ordering::SeqCst);
    let invalid = Limits { tenant: TenantPolicy { weight: 0, ..TenantPolicy::default() }, ..relaxed };
    let error = engine.reconfigure(invalid, HistoryScope::default()).unwrap_err();
    assert_eq!(error.to_string(), "tenant.weight is 0; use a whole number from 1 to 10000");
}

#[test]
fn running_requests_share_the_price_of_a_common_prompt() {
    let (engine, controls) = engine(60, config());
    controls.pass_us.store(500, Ordering::SeqCst);
    let adapter = || engine.pool().adapter();
    let first = request("first", 41, 60);
    assert_eq!(adapter().price(&first).unwrap().blocks, 11);
    let mut stream = engine.submit(first.clone()).unwrap();
    assert!(matches!(stream.blocking_next(), Some(Event::Token { .. })));
    let cost = adapter().price(&Request { id: "second".into(), ..first.clone() }).unwrap();
    assert_eq!((cost.blocks, cost.prefill_tokens, cost.cached_tokens), (1, 1, 40));
    drop(stream);
    eventually("the end", || idle(&engine));
    let cost = adapter().price(&first).unwrap();
    assert_eq!((cost.blocks, cost.prefill_tokens), (11, 1), "idle cached blocks save time, but no memory");
}
