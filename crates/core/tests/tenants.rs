//! What tenants see of each other: nothing. Under both schedulers.
#![allow(clippy::unwrap_used)] // Everything in here is a test.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parkade_core::{
    CacheScope, Engine, EngineConfig, Event, Request, RequestStream, SamplingParams, SchedulerKind, TokenId, Usage,
};
use support::engines::{eventually, schedulers};
use support::{Collected, Controls, FIRST_LETTER, FakeBackend, Letters};

fn engine(scheduler: SchedulerKind, blocks: usize) -> (Engine, Arc<Controls>) {
    let backend = FakeBackend::new(blocks, 4, 200);
    let controls = Arc::clone(&backend.controls);
    let config = EngineConfig { scheduler, ..EngineConfig::default() };
    (Engine::start_with(Box::new(backend), Arc::new(Letters), config).unwrap(), controls)
}

fn request(name: impl Into<String>, scope: &CacheScope, prompt: usize, answer: usize) -> Request {
    Request {
        max_tokens: Some(answer),
        sampling: SamplingParams { seed: Some(7), ..SamplingParams::default() },
        ignore_eos: true,
        cache_scope: scope.clone(),
        ..Request::new(name, (0..prompt).map(|at| FIRST_LETTER + (at * 5 % 37) as TokenId).collect())
    }
}

fn usage(stream: &mut RequestStream) -> Usage {
    match Collected::all(stream).last {
        Some(Event::Done(usage)) => usage,
        other => panic!("it did not complete: {other:?}"),
    }
}

fn scope(key: &str) -> CacheScope {
    CacheScope::default().within("key", key)
}

#[test]
fn what_was_computed_in_one_scope_is_computed_again_in_another() {
    for scheduler in schedulers() {
        let (engine, controls) = engine(scheduler, 400);
        let ask = |scope: &CacheScope| {
            let before = controls.rows.load(Ordering::SeqCst);
            let usage = usage(&mut engine.submit(request("r", scope, 41, 2)).unwrap());
            (usage.cached_tokens, controls.rows.load(Ordering::SeqCst) - before)
        };
        let salted = scope("ada").within("salt", "s");
        for scope in [CacheScope::default(), scope("ada"), scope("bob"), salted.clone()] {
            assert_eq!(ask(&scope), (0, 42), "{scheduler:?}: {scope:?} found what others had computed");
            assert_eq!(ask(&scope), (40, 2), "{scheduler:?}: {scope:?} finds its own");
        }
        assert_eq!(ask(&scope("ada").within("salt", "t")), (0, 42));
        assert_eq!(ask(&CacheScope::default().within("key", "ada").within("salt", "s")), (40, 2));
    }
}

#[test]
fn prompts_that_are_computed_at_the_same_time_are_shared_inside_a_scope_only() {
    for scheduler in schedulers() {
        // 46 tokens of each are stored: 11 full blocks.
        for (other, cached, kept) in [(scope("ada"), 40, 11), (scope("bob"), 0, 22)] {
            let (engine, controls) = engine(scheduler, 400);
            let mut first = engine.submit(request("first", &scope("ada"), 41, 6)).unwrap();
            // Its prompt is computed and it runs when the second comes.
            assert!(matches!(first.blocking_next(), Some(Event::Token { .. })));
            controls.hold.store(true, Ordering::SeqCst);
            let mut second = engine.submit(request("second", &other, 41, 6)).unwrap();
            controls.hold.store(false, Ordering::SeqCst);
            assert_eq!(
                (usage(&mut first).cached_tokens, usage(&mut second).cached_tokens),
                (0, cached),
                "{scheduler:?}"
            );
            eventually("the end", || engine.snapshot().kv_blocks.used == 0);
            assert_eq!(engine.snapshot().kv_blocks.cached, kept, "{scheduler:?}");
        }
    }
}

/// Prices say how much of a prompt is cached, and deadlines are judged by them.
#[cfg(feature = "parking-lot-scheduler")]
#[test]
fn a_price_counts_only_what_is_cached_in_the_own_scope() {
    let (engine, _) = engine(SchedulerKind::ParkingLot, 400);
    let asked = request("r", &scope("ada"), 41, 2);
    usage(&mut engine.submit(asked.clone()).unwrap());
    let adapter = engine.pool().adapter();
    assert_eq!(adapter.price(&asked).unwrap().cached_tokens, 40);
    for other in [scope("bob"), CacheScope::default(), scope("ada").within("salt", "s")] {
        let price = adapter.price(&Request { cache_scope: other, ..asked.clone() }).unwrap();
        assert_eq!((price.cached_tokens, price.prefill_tokens), (0, 41));
    }
}

/// Blocks are few, so that requests are parked and come back by way of the prefix cache, while others have the same text.
#[test]
fn equal_requests_of_many_scopes_get_equal_tokens_whatever_is_parked_meanwhile() {
    for scheduler in schedulers() {
        let (engine, _) = engine(scheduler, 24);
        let asked = |number: usize| Request {
            n: 1 + number % 2,
            ..request(format!("r{number}"), &scope(&(number % 4).to_string()), 9, 40)
        };
        let mut streams: Vec<_> = (0..12).map(|number| engine.submit(asked(number)).unwrap()).collect();
        let answers: Vec<Collected> = streams.iter_mut().map(Collected::all).collect();
        for (number, collected) in answers.iter().enumerate() {
            assert!(collected.is_done(), "{scheduler:?} {number}: {:?}", collected.last);
            assert_eq!(collected.answers[&0], answers[0].answers[&0], "{scheduler:?} {number}");
            assert_eq!(collected.answers.contains_key(&1), number % 2 == 1);
        }
        eventually("the end", || engine.snapshot().kv_blocks.used == 0);
    }
}

/// One sequence at a time, and a pass that does not end: whoever comes second waits.
fn held(scheduler: SchedulerKind) -> (Engine, Arc<Controls>) {
    let backend = FakeBackend::new(100, 4, 200);
    let controls = Arc::clone(&backend.controls);
    controls.hold.store(true, Ordering::SeqCst);
    let config = EngineConfig { scheduler, max_seqs: 1, ..EngineConfig::default() };
    (Engine::start_with(Box::new(backend), Arc::new(Letters), config).unwrap(), controls)
}

fn asked_by(tenant: &str, name: &str) -> Request {
    Request { tenant: tenant.to_owned(), ..request(name, &scope(tenant), 9, 20) }
}

#[test]
fn a_tenant_sees_its_own_figures_as_if_it_were_alone() {
    for scheduler in schedulers() {
        let (engine, controls) = held(scheduler);
        let mut streams = vec![engine.submit(asked_by("ada", "a0")).unwrap()];
        eventually("a pass", || controls.passes.load(Ordering::SeqCst) == 1);
        for (tenant, name) in [("ada", "a1"), ("bob", "b0"), ("ada", "a2")] {
            streams.push(engine.submit(asked_by(tenant, name)).unwrap());
        }
        let (idle, _) = held(scheduler);
        assert_eq!(engine.snapshot_of("cat"), idle.snapshot_of("cat"), "nothing of others is seen");
        let his = engine.snapshot_of("bob");
        assert_eq!(
            (his.requests.waiting, his.requests.running, his.kv_blocks.used, his.kv_blocks.free),
            (1, 0, 0, 100)
        );
        assert_eq!((his.tenants.len(), his.totals.submitted), (1, 1));
        let hers = engine.snapshot_of("ada");
        assert_eq!((hers.requests.waiting, hers.requests.running, hers.sequences.running), (2, 1, 1));
        assert!(hers.kv_blocks.used >= 3 && hers.kv_blocks.used + hers.kv_blocks.free == 100, "{hers:?}");
        assert_eq!(engine.snapshot().tenants.len(), 2, "whoever may see all does");
        controls.hold.store(false, Ordering::SeqCst);
        for stream in &mut streams {
            assert!(Collected::all(stream).is_done());
        }
        let totals = engine.snapshot_of("ada").totals;
        assert_eq!((totals.submitted, totals.completed), (3, 3));
        assert_eq!(engine.snapshot_of("cat"), idle.snapshot_of("cat"), "nor is what they had");
    }
}

#[test]
fn a_place_among_the_own_requests_does_not_depend_on_others() {
    for scheduler in schedulers() {
        let (engine, controls) = held(scheduler);
        let mut streams = vec![engine.submit(asked_by("ada", "running")).unwrap()];
        eventually("a pass", || controls.passes.load(Ordering::SeqCst) == 1);
        for name in ["a0", "a1", "b0", "a2", "b1"] {
            let tenant = if name.starts_with('a') { "ada" } else { "bob" };
            streams.push(engine.submit(asked_by(tenant, name)).unwrap());
        }
        let own = |name: &str| engine.status(&name.into()).unwrap().own_place;
        assert_eq!(["a0", "a1", "a2", "b0", "b1"].map(own), [0, 1, 2, 0, 1].map(Some), "{scheduler:?}");
        assert_eq!(own("running"), None);
        assert!(engine.status(&"b1".into()).unwrap().place.unwrap() > 1, "among all it is another one");
        controls.hold.store(false, Ordering::SeqCst);
        streams.iter_mut().for_each(|stream| assert!(Collected::all(stream).is_done()));
    }
}

/// How much memory is kept for an answer, what it is charged beforehand and what deadlines are judged by.
#[cfg(feature = "parking-lot-scheduler")]
#[test]
fn with_tenants_kept_apart_no_answer_of_one_is_expected_of_another() {
    use parkade_core::Limits;
    use parkade_core::parking_lot::HistoryScope;
    let (engine, _) = engine(SchedulerKind::ParkingLot, 400);
    let lot = engine.pool();
    for number in 0..20 {
        let short = Request { max_tokens: Some(3), ..asked_by("ada", &number.to_string()) };
        assert!(Collected::all(&mut engine.submit(short).unwrap()).is_done());
    }
    let expected = |tenant: &str| {
        let long = Request { max_tokens: Some(150), ..asked_by(tenant, "r") };
        lot.adapter().price(&long).unwrap().expected_tokens
    };
    assert_eq!((expected("ada"), expected("bob")), (3, 3), "one server for all learns from all");
    lot.reconfigure(Limits::default(), HistoryScope::Tenant).unwrap();
    assert_eq!((expected("ada"), expected("bob")), (3, 150));
}
