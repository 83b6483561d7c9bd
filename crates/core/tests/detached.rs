//! Requests that outlive their readers, under every scheduler.
#![allow(clippy::unwrap_used)] // Everything in here is a test.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parkade_core::{
    Clock, Engine, EngineConfig, Event, LiveRequest, Request, RequestError, RequestState, SchedulerKind, Turn,
};
use support::engines::{alone, engine, eventually, idle, read_along, request, schedulers, the_books_balance};
use support::{FakeBackend, Letters};

fn config(scheduler: SchedulerKind) -> EngineConfig {
    EngineConfig { scheduler, ..EngineConfig::default() }
}

/// An answer of so many tokens, which no stop string ends.
fn long(name: &str, answer: usize) -> Request {
    Request { stop: Vec::new(), ..request(name, 6, answer) }
}

fn error(request: &LiveRequest) -> Option<RequestError> {
    request.end().expect("it has ended").error.clone()
}

#[test]
fn a_detached_request_runs_to_its_end_and_is_read_later_from_the_start() {
    for scheduler in schedulers() {
        // The answer is longer than its stream is wide, so its reader had it held up before leaving.
        let slow_reader = Duration::from_millis(20);
        let (engine, _) = engine(60, EngineConfig { stream_capacity: 16, slow_reader, ..config(scheduler) });
        let asked = long("it", 90);
        let stream = engine.submit(asked.clone()).unwrap();
        let held_up = || engine.snapshot().requests.parked + engine.snapshot().requests.paused;
        eventually("it is held up", || held_up() == 1);
        let request = stream.detach();
        eventually("its end", || request.end().is_some());
        assert_eq!((request.state(), error(&request)), (RequestState::Ended, None));
        for _ in 0..2 {
            let along = engine.pool().streams().attach(request.id(), 0).unwrap();
            assert_eq!(read_along(along).answers, alone(&asked).answers, "{scheduler:?}");
        }
        eventually("the end", || idle(&engine));
        the_books_balance(&engine);
        assert_eq!(engine.snapshot().totals.completed, 1);
    }
}

#[test]
fn readers_that_come_and_go_do_not_cancel_a_detached_request() {
    for scheduler in schedulers() {
        let (engine, controls) = engine(60, EngineConfig { max_seqs: 1, ..config(scheduler) });
        controls.hold.store(true, Ordering::SeqCst);
        let requests = ["running", "waiting"].map(|name| engine.submit(long(name, 20)).unwrap().detach());
        for request in &requests {
            drop(engine.pool().streams().attach(request.id(), 0).unwrap());
        }
        controls.let_go();
        eventually("both ends", || requests.iter().all(|request| request.end().is_some()));
        assert_eq!(requests.map(|request| error(&request)), [None, None], "{scheduler:?}");
    }
}

#[test]
fn a_detached_request_can_be_cancelled_wherever_it_stands() {
    for scheduler in schedulers() {
        let (engine, controls) = engine(60, EngineConfig { max_seqs: 1, ..config(scheduler) });
        controls.hold.store(true, Ordering::SeqCst);
        let requests = ["running", "waiting"].map(|name| engine.submit(long(name, 90)).unwrap().detach());
        eventually("one runs", || controls.is_holding.load(Ordering::SeqCst));
        for request in &requests {
            assert!(engine.cancel(request.id()));
        }
        controls.let_go();
        eventually("the end", || idle(&engine) && requests.iter().all(|request| request.end().is_some()));
        assert_eq!(requests.map(|request| error(&request)), [const { Some(RequestError::Cancelled) }; 2]);
        the_books_balance(&engine);
        assert_eq!(engine.snapshot().totals.cancelled, 2);
    }
}

#[test]
fn the_deadline_of_a_detached_request_holds_wherever_it_stands() {
    for scheduler in schedulers() {
        let (clock, backend) = (Clock::by_hand(), Box::new(FakeBackend::new(60, 4, 200)));
        let config = EngineConfig { max_seqs: 1, ..config(scheduler) };
        let (engine, mut worker) = Engine::by_hand(backend, Arc::new(Letters), config, clock.clone()).unwrap();
        let allowed = Duration::from_secs(5);
        let dated = |name| Request { timeout: Some(allowed), ..long(name, 90) };
        let mut running = engine.submit(dated("running")).unwrap();
        while !matches!(running.try_next(), Some(Event::Token { .. })) {
            assert_eq!(worker.turn(), Turn::Worked);
        }
        let requests = [running, engine.submit(dated("waiting")).unwrap()].map(|stream| stream.detach());
        assert_eq!(requests.each_ref().map(|request| request.state()), [RequestState::Running, RequestState::Waiting]);
        clock.advance(allowed);
        while worker.turn() == Turn::Worked {}
        assert_eq!(
            requests.map(|request| error(&request)),
            [const { Some(RequestError::Deadline { allowed: Duration::from_secs(5) }) }; 2]
        );
        assert!(idle(&engine), "{scheduler:?}");
        assert_eq!(engine.snapshot().totals.expired, 2);
    }
}

/// What the policy decided counts, in both books, and not what came after: a deadline that has passed, or a client that has gone.
#[test]
fn who_leaves_after_the_deadline_has_expired_and_who_left_before_has_not() {
    let allowed = Duration::from_secs(5);
    for (scheduler, leaves, late) in schedulers().flat_map(|scheduler| {
        [(scheduler, false, false), (scheduler, false, true), (scheduler, true, false), (scheduler, true, true)]
    }) {
        let (clock, backend) = (Clock::by_hand(), Box::new(FakeBackend::new(60, 4, 200)));
        let (engine, mut worker) =
            Engine::by_hand(backend, Arc::new(Letters), config(scheduler), clock.clone()).unwrap();
        let mut stream = engine.submit(Request { timeout: Some(allowed), ..long("it", 90) }).unwrap();
        while !matches!(stream.try_next(), Some(Event::Token { .. })) {
            assert_eq!(worker.turn(), Turn::Worked);
        }
        let along = engine.pool().streams().attach(&"it".into(), 0).unwrap();
        let leave = || if leaves { drop((stream, along)) } else { assert!(engine.cancel(&"it".into())) };
        // The worker is busy meanwhile; somebody else comes, so that the policy sees what time it is.
        let pass = || {
            clock.advance(allowed);
            drop(engine.submit(long("other", 5)).unwrap().detach());
        };
        if late {
            pass();
            leave();
        } else {
            leave();
            pass();
        }
        while worker.turn() == Turn::Worked {}
        let (all, own) = (engine.snapshot().totals, engine.snapshot_of("").totals);
        let expected = if late { (1, 0) } else { (0, 1) };
        assert_eq!((all.expired, all.cancelled), expected, "{scheduler:?}, leaves: {leaves}, late: {late}");
        assert_eq!((own.expired, own.cancelled), expected, "{scheduler:?}, leaves: {leaves}, late: {late}");
    }
}

#[test]
fn what_is_detached_ends_with_its_engine() {
    for scheduler in schedulers() {
        let (engine, controls) = engine(60, config(scheduler));
        controls.hold.store(true, Ordering::SeqCst);
        let request = engine.submit(long("it", 190)).unwrap().detach();
        eventually("it runs", || controls.is_holding.load(Ordering::SeqCst));
        controls.pass_us.store(10_000, Ordering::SeqCst);
        controls.let_go();
        drop(engine);
        assert_eq!(error(&request), Some(RequestError::ShuttingDown), "{scheduler:?}");
    }
}
