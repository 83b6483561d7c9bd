//! What every scheduler promises, with its worker thread, over a model whose logits are a hash of its KV blocks.
#![allow(clippy::unwrap_used)] // Everything in here is a test.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use parkade_core::parking_lot::{AttachError, InferenceJob, InferenceResult, InferenceWorkerPool};
use parkade_core::{
    Class, Decoder, DrainWaiting, Engine, EngineConfig, Event, Refusal, Request, RequestError, RequestState,
    SchedulerKind, TokenId, Vocabulary,
};
use support::engines::{
    Dated, after_a_timely_first_token, alone, engine, eventually, idle, read_along, request, schedulers,
    the_books_balance,
};
use support::{Collected, FakeBackend, Letters, MUTE};

/// How long a reader takes nothing in tests about that.
const SLOW: Duration = Duration::from_millis(20);

/// Requests that wait for their readers, as the scheduler has them do.
fn held_up(engine: &Engine, scheduler: SchedulerKind) -> usize {
    match scheduler {
        SchedulerKind::ParkingLot => engine.snapshot().requests.parked,
        _ => engine.snapshot().requests.paused,
    }
}

#[test]
fn a_full_waiting_room_refuses_with_the_time_to_come_back() {
    for scheduler in schedulers() {
        let config = || EngineConfig { scheduler, ..EngineConfig::default() };
        let (engine, controls) = engine(12, EngineConfig { max_queue_depth: 2, max_seqs: 1, ..config() });
        controls.hold.store(true, Ordering::SeqCst);
        let streams: Vec<_> = (0..3).map(|i| engine.submit(request(format!("r{i}"), 5, 15)).unwrap()).collect();
        // The worker is inside a pass: the refusal does not wait for it.
        let refusal = engine.submit(request("r3", 5, 15)).unwrap_err();
        assert!(matches!(refusal, Refusal::QueueFull { unit: "requests", limit: 2, .. }), "{refusal}");
        assert!((1..=120).contains(&refusal.retry_after().unwrap().as_secs()));
        let place = engine.status(&"r2".into()).unwrap();
        assert_eq!((place.state, place.place), (RequestState::Waiting, Some(1)));
        assert!(engine.status(&"r3".into()).is_none(), "nothing of a refused request stays");
        drop(streams);
        controls.hold.store(false, Ordering::SeqCst);
        eventually("the end", || idle(&engine));
        the_books_balance(&engine);
        assert_eq!(engine.snapshot().totals.cancelled, 3);
    }
}

#[test]
fn a_deadline_that_passes_in_line_ends_the_request_without_running_it() {
    for scheduler in schedulers() {
        let config = || EngineConfig { scheduler, ..EngineConfig::default() };
        let (engine, controls) = engine(100, EngineConfig { max_seqs: 1, ..config() });
        controls.hold.store(true, Ordering::SeqCst);
        let mut first = engine.submit(request("first", 5, 15)).unwrap();
        eventually("the worker is busy", || controls.passes.load(Ordering::SeqCst) > 0);
        let timeout = Duration::from_millis(30);
        let late = Request { timeout: Some(timeout), ..request("late", 5, 15) };
        let mut late = engine.submit(late).unwrap();
        // The worker is inside a pass all the while: the deadline is seen all the same.
        assert_eq!(late.blocking_next(), Some(Event::Failed(RequestError::Deadline { allowed: timeout })));
        assert_eq!(late.blocking_next(), None);
        controls.hold.store(false, Ordering::SeqCst);
        assert!(Collected::all(&mut first).is_done());
        eventually("the end", || idle(&engine));
        the_books_balance(&engine);
        assert_eq!(engine.snapshot().totals.expired, 1);
    }
}

/// Letters, and a token over which the decoder panics.
struct Brittle;

impl Vocabulary for Brittle {
    fn is_end(&self, id: TokenId) -> bool {
        id == support::END
    }

    fn decoder(self: Arc<Self>) -> Box<dyn Decoder> {
        Box::new(Brittle)
    }
}

impl Decoder for Brittle {
    fn push(&mut self, id: TokenId) -> Result<String, String> {
        assert_ne!(id, MUTE, "no text for it");
        Ok(support::letter(id).to_string())
    }

    fn finish(&mut self) -> String {
        String::new()
    }
}

#[test]
fn a_panic_over_one_requests_token_fails_that_request_alone() {
    for scheduler in schedulers() {
        let backend = FakeBackend::new(400, 4, 200);
        let engine = Engine::start_with(
            Box::new(backend),
            Arc::new(Brittle),
            EngineConfig { scheduler, ..EngineConfig::default() },
        );
        let engine = engine.unwrap();
        let mut bad = request("bad", 7, 60);
        bad.sampling.logit_bias = vec![(MUTE, 100.0)];
        let good = |name: &str| Request { stop: Vec::new(), ..request(name, 9, 60) };
        let mut streams: Vec<_> = [good("a"), bad, good("b")].map(|it| engine.submit(it).unwrap()).into();
        let failed = Collected::all(&mut streams[1]);
        assert!(
            matches!(&failed.last, Some(Event::Failed(RequestError::Panicked { message })) if message.contains("no text")),
            "{:?}",
            failed.last
        );
        assert!(Collected::all(&mut streams[0]).is_done() && Collected::all(&mut streams[2]).is_done());
        assert!(Collected::all(&mut engine.submit(good("later")).unwrap()).is_done(), "the engine goes on");
        eventually("the end", || idle(&engine));
    }
}

#[test]
fn a_request_that_makes_no_sense_is_refused_by_the_pool_too() {
    for scheduler in schedulers() {
        let config = || EngineConfig { scheduler, ..EngineConfig::default() };
        let backend = FakeBackend::new(100, 4, 200);
        let pool = InferenceWorkerPool::start(Box::new(backend), Arc::new(Letters), config()).unwrap();
        for wrong in [
            Request { prompt: Vec::new(), ..request("empty", 5, 5) },
            Request { n: 0, ..request("none", 5, 5) },
            Request { prompt: vec![support::VOCAB as TokenId], ..request("unknown", 5, 5) },
        ] {
            assert!(matches!(pool.submit(wrong), Err(Refusal::Invalid { .. })));
        }
        let InferenceResult::Complete(whole) = pool.run_blocking(InferenceJob::whole(request("good", 5, 5))).unwrap()
        else {
            panic!("it failed")
        };
        assert_eq!(whole.choices.len(), 1);
        pool.drain(Duration::from_secs(5), DrainWaiting::Finish);
    }
}

#[test]
fn a_stream_goes_on_for_those_who_read_along_when_its_own_reader_was_slow_and_left() {
    for scheduler in schedulers() {
        let config = || EngineConfig { scheduler, ..EngineConfig::default() };
        let (engine, _) = engine(60, EngineConfig { stream_capacity: 16, slow_reader: SLOW, ..config() });
        let asked = Request { stop: Vec::new(), ..request("it", 6, 90) };
        let slow = engine.submit(asked.clone()).unwrap();
        eventually("it is held up", || held_up(&engine, scheduler) == 1);
        let lot = engine.pool();
        let along = lot.streams().attach(&"it".into(), 0).unwrap();
        drop(slow);
        assert_eq!(read_along(along).answers, alone(&asked).answers);
        eventually("the end", || idle(&engine));
        the_books_balance(&engine);
        assert_eq!(engine.snapshot().totals.completed, 1);
    }
}

#[test]
fn when_the_last_of_all_readers_has_left_a_request_is_cancelled_wherever_it_stands() {
    for scheduler in schedulers() {
        let config = || EngineConfig { scheduler, ..EngineConfig::default() };
        let settings = EngineConfig { max_seqs: 1, stream_capacity: 16, slow_reader: SLOW, ..config() };
        let (engine, controls) = engine(60, settings);
        let lot = engine.pool();
        // Parked, because its reader is slow; and in line behind a running one.
        let parked = engine.submit(Request { stop: Vec::new(), ..request("parked", 6, 90) }).unwrap();
        eventually("it is held up", || held_up(&engine, scheduler) == 1);
        // It would be parked too, if it made anything.
        controls.hold.store(true, Ordering::SeqCst);
        let running = engine.submit(Request { stop: Vec::new(), ..request("running", 7, 90) }).unwrap();
        let waiting = engine.submit(request("waiting", 8, 90)).unwrap();
        let along = ["parked", "waiting"].map(|id| lot.streams().attach(&id.into(), 0).unwrap());
        drop((parked, waiting));
        thread::sleep(Duration::from_millis(20));
        assert_eq!(engine.snapshot().totals.cancelled, 0, "others still read along");
        drop(along);
        controls.let_go();
        eventually("both are gone", || engine.snapshot().totals.cancelled == 2);
        drop(running);
        eventually("the end", || idle(&engine));
        the_books_balance(&engine);
    }
}

#[test]
fn whoever_ends_during_a_step_is_in_no_later_one() {
    for scheduler in schedulers() {
        for how in ["cancel", "disconnect", "deadline"] {
            let dated: Dated = match how {
                "deadline" => |request, allowed| Request { timeout: Some(allowed), ..request },
                _ => |request, _| request,
            };
            let (engine, controls, ends) = after_a_timely_first_token("ends", scheduler, dated);
            let mut stays = engine.submit(Request { stop: Vec::new(), ..request("stays", 5, 150) }).unwrap();
            eventually("a pass is held", || controls.is_holding.load(Ordering::SeqCst));
            match how {
                "cancel" => assert!(engine.cancel(&"ends".into())),
                "disconnect" => drop(ends),
                _ => ends.await_deadline(),
            }
            // Passes are counted when they begin: the one that is held does not count any more.
            controls.most_spans.store(0, Ordering::SeqCst);
            controls.let_go();
            assert!(Collected::all(&mut stays).is_done(), "{how}");
            assert_eq!(controls.most_spans.load(Ordering::SeqCst), 1, "{scheduler:?}, {how}");
            eventually("the end", || idle(&engine));
        }
    }
}

#[test]
fn cancels_are_seen_in_every_state_and_leave_nothing_behind() {
    for scheduler in schedulers() {
        let config = || EngineConfig { scheduler, ..EngineConfig::default() };
        let (engine, controls) = engine(60, EngineConfig { max_seqs: 2, ..config() });
        controls.hold.store(true, Ordering::SeqCst);
        let mut running = engine.submit(request("running", 5, 100)).unwrap();
        let dropped = engine.submit(request("dropped", 6, 100)).unwrap();
        let mut waiting = engine.submit(request("waiting", 7, 100)).unwrap();
        let left = engine.submit(request("left", 8, 100)).unwrap();
        drop((dropped, left));
        assert!(engine.cancel(&"waiting".into()) && engine.cancel(&"running".into()));
        controls.let_go();
        assert_eq!(Collected::all(&mut waiting).last, Some(Event::Failed(RequestError::Cancelled)));
        assert_eq!(Collected::all(&mut running).last, Some(Event::Failed(RequestError::Cancelled)));
        assert!(!engine.cancel(&"nobody".into()));
        eventually("the end", || idle(&engine));
        the_books_balance(&engine);
        assert_eq!(engine.snapshot().totals.cancelled, 4);
    }
}

#[test]
fn a_failed_pass_fails_its_requests_and_nobody_else() {
    for scheduler in schedulers() {
        let config = || EngineConfig { scheduler, ..EngineConfig::default() };
        let (engine, controls) = engine(60, config());
        controls.panic_next.store(true, Ordering::SeqCst);
        let collected = Collected::all(&mut engine.submit(request("r0", 5, 9)).unwrap());
        assert!(matches!(collected.last, Some(Event::Failed(RequestError::Forward { .. }))));
        let poisoned = Request::new("poisoned", vec![support::POISON]);
        let mut poisoned = engine.submit(poisoned).unwrap();
        let healthy = request("healthy", 5, 30);
        assert_eq!(Collected::all(&mut engine.submit(healthy.clone()).unwrap()).answers, alone(&healthy).answers);
        assert_eq!(Collected::all(&mut poisoned).last, Some(Event::Failed(RequestError::NoLogits)));
        eventually("the end", || idle(&engine));
        the_books_balance(&engine);
        assert_eq!(engine.snapshot().totals.failed, 2);
    }
}

#[test]
fn a_job_gives_its_whole_answer_or_its_stream() {
    for scheduler in schedulers() {
        let config = || EngineConfig { scheduler, ..EngineConfig::default() };
        let (engine, _) = engine(60, config());
        let pool = engine.pool();
        let expected = alone(&request("whole", 9, 20));
        let Ok(InferenceResult::Complete(completion)) = pool.run_blocking(InferenceJob::whole(request("whole", 9, 20)))
        else {
            panic!("it completes");
        };
        assert_eq!(completion.choices[0].text, expected.answers[&0].text);
        assert_eq!(completion.choices[0].tokens, expected.answers[&0].tokens);
        let Ok(InferenceResult::Streaming(mut stream)) =
            pool.run_blocking(InferenceJob::streaming(request("s", 9, 20)))
        else {
            panic!("it streams");
        };
        assert_eq!(Collected::all(&mut stream).answers, expected.answers);
        // A finished stream can be read again.
        assert_eq!(read_along(pool.streams().attach(&"s".into(), 0).unwrap()).answers, expected.answers);
        let unknown = pool.streams().attach(&"nobody".into(), 0).unwrap_err();
        assert_eq!(unknown, AttachError::Unknown("nobody".into()));
    }
}

#[test]
fn an_awaited_job_gives_the_same_and_one_that_is_not_awaited_any_more_is_cancelled() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for scheduler in schedulers() {
        let (engine, controls) = engine(60, EngineConfig { scheduler, ..EngineConfig::default() });
        let pool = engine.pool();
        let run = |job| runtime.block_on(pool.run(job));
        let several = Request { n: 2, ..request("several", 9, 20) };
        let expected = alone(&several);
        let Ok(InferenceResult::Complete(completion)) = run(InferenceJob::whole(several)) else {
            panic!("it completes");
        };
        assert_eq!(completion.choices.len(), 2);
        for (choice, answer) in completion.choices.iter().zip(expected.answers.values()) {
            assert_eq!((&choice.text, &choice.tokens, choice.finish), (&answer.text, &answer.tokens, answer.reason));
        }
        let Ok(InferenceResult::Streaming(mut stream)) = run(InferenceJob::streaming(request("s", 9, 20))) else {
            panic!("it streams");
        };
        assert_eq!(Collected::all(&mut stream).answers, alone(&request("s", 9, 20)).answers);
        controls.fail_next.store(true, Ordering::SeqCst);
        let failed = run(InferenceJob::whole(request("fails", 9, 20)));
        assert!(matches!(failed, Ok(InferenceResult::Error(RequestError::Forward { .. }))), "{failed:?}");
        let refused = run(InferenceJob::whole(Request { n: 0, ..request("none", 5, 5) }));
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");

        controls.hold.store(true, Ordering::SeqCst);
        let mut left = Box::pin(pool.run(InferenceJob::whole(request("left", 9, 20))));
        assert!(left.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it is held");
        drop(left);
        controls.let_go();
        eventually("the end", || idle(&engine));
        assert_eq!(engine.snapshot().totals.cancelled, 1);
        the_books_balance(&engine);
    }
}

#[test]
fn a_request_goes_on_while_somebody_reads_along() {
    for scheduler in schedulers() {
        let config = || EngineConfig { scheduler, ..EngineConfig::default() };
        let (engine, controls) = engine(60, config());
        controls.pass_us.store(500, Ordering::SeqCst);
        let long = Request { stop: Vec::new(), ..request("long", 5, 40) };
        let expected = alone(&long);
        let stream = engine.submit(long).unwrap();
        let mut reader = engine.pool().streams().attach(&"long".into(), 0).unwrap();
        drop(stream);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut collected = Collected::default();
        while let Some(event) = runtime.block_on(reader.next()) {
            collected.take(event.unwrap().1);
        }
        assert_eq!(collected.answers, expected.answers);
        drop(reader);
        eventually("the end", || idle(&engine));
    }
}

#[test]
fn a_drain_finishes_what_it_can_and_ends_the_rest() {
    for scheduler in schedulers() {
        let config = || EngineConfig { scheduler, ..EngineConfig::default() };
        let (engine, controls) = engine(60, EngineConfig { max_seqs: 1, ..config() });
        // Neither has ended before the drain begins; after that the second one takes five times as long as it may.
        controls.hold.store(true, Ordering::SeqCst);
        let mut first = engine.submit(request("first", 5, 5)).unwrap();
        let mut endless = engine.submit(Request { stop: Vec::new(), ..request("endless", 6, 190) }).unwrap();
        controls.pass_us.store(100_000, Ordering::SeqCst);
        let drainer = thread::spawn({
            let engine = engine.clone();
            move || engine.drain(Duration::from_secs(4))
        });
        eventually("it drains", || engine.snapshot().draining);
        let refusal = engine.submit(request("late", 5, 5)).unwrap_err();
        assert!(matches!(refusal, Refusal::Draining { .. }), "{refusal}");
        controls.let_go();
        assert!(Collected::all(&mut first).is_done());
        assert_eq!(Collected::all(&mut endless).last, Some(Event::Failed(RequestError::ShuttingDown)));
        drainer.join().unwrap();
        the_books_balance(&engine);
    }
}

#[test]
fn a_thousand_requests_that_vanish_at_random_leave_nothing_behind() {
    for scheduler in schedulers() {
        let config = || EngineConfig { scheduler, ..EngineConfig::default() };
        let (engine, _) = engine(40, EngineConfig { max_batched_tokens: 16, max_queue_depth: 2000, ..config() });
        let mut streams: Vec<_> = (0..1000usize)
            .map(|i| {
                let class = Class::ALL[i % 4];
                Request { class, tenant: (i % 5).to_string(), ..request(format!("r{i}"), 1 + i % 30, 1 + i % 17) }
            })
            .map(|request| engine.submit(request).unwrap())
            .collect();
        let mut state = 7u64;
        while !streams.is_empty() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (state >> 33) as usize % streams.len();
            let mut stream = streams.swap_remove(place);
            if state >> 62 == 0 {
                assert!(Collected::all(&mut stream).is_done());
            } else {
                for _ in 0..(state >> 50) % 5 {
                    stream.try_next();
                }
            }
        }
        eventually("the end", || idle(&engine));
        the_books_balance(&engine);
    }
}

#[test]
fn a_request_that_is_given_up_ends_in_the_middle_of_its_pass_and_the_others_in_it_go_on() {
    for scheduler in schedulers() {
        let (engine, controls) = engine(100, EngineConfig { scheduler, max_seqs: 8, ..EngineConfig::default() });
        let passes = || controls.passes.load(Ordering::SeqCst);
        controls.hold.store(true, Ordering::SeqCst);
        let mut first = engine.submit(request("first", 5, 10)).unwrap();
        eventually("the first pass", || passes() == 1);
        // These two come with the next pass.
        let stays = request("stays", 9, 12);
        let mut stream = engine.submit(stays.clone()).unwrap();
        let mut others = ["superseded", "cancelled"].map(|name| engine.submit(request(name, 7, 12)).unwrap());
        controls.hold_from.store(2, Ordering::SeqCst);
        controls.hold.store(false, Ordering::SeqCst);
        eventually("the second pass", || passes() == 2 && controls.is_holding.load(Ordering::SeqCst));
        assert!(engine.supersede(&"superseded".into()) && engine.cancel(&"cancelled".into()));
        for (other, error) in others.iter_mut().zip([RequestError::Superseded, RequestError::Cancelled]) {
            // The pass is held for as long as they have not ended.
            assert_eq!(Collected::all(other).last, Some(Event::Failed(error)));
        }
        controls.let_go();
        assert_eq!(Collected::all(&mut stream).answers, alone(&stays).answers);
        assert!(Collected::all(&mut first).is_done());
        eventually("the end", || idle(&engine));
        let totals = engine.snapshot().totals;
        assert_eq!((totals.superseded, totals.cancelled, totals.completed), (1, 1, 2), "{totals:?}");
        the_books_balance(&engine);
        assert!(!engine.supersede(&"superseded".into()), "it has ended");
    }
}
