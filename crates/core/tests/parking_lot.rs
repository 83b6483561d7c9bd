//! The `parking-lot` scheduler, and what the `default` one promises too, with its worker thread, over a model whose logits are a hash of its KV blocks.
#![cfg(feature = "parking-lot-scheduler")]
#![allow(clippy::unwrap_used)] // Everything in here is a test.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use parkade_core::parking_lot::{
    AttachError, AttachedStream, InferenceJob, InferenceResult, InferenceWorkerPool, LotSettings, TenantPolicy,
};
use parkade_core::{
    Class, Decoder, Engine, EngineConfig, Event, InLine, Refusal, Request, RequestError, RequestState, RequestStream,
    SamplingParams, SchedulerKind, TokenId, Vocabulary,
};
use support::{Collected, Controls, FIRST_LETTER, FakeBackend, Letters, MUTE};

/// How long a reader takes nothing in tests about that.
const SLOW: Duration = Duration::from_millis(20);

/// What is promised whoever decides.
const BOTH: [SchedulerKind; 2] = [SchedulerKind::ParkingLot, SchedulerKind::Default];

fn config() -> EngineConfig {
    EngineConfig { scheduler: SchedulerKind::ParkingLot, ..EngineConfig::default() }
}

fn engine(blocks: usize, config: EngineConfig) -> (Engine, Arc<Controls>) {
    let backend = FakeBackend::new(blocks, 4, 200);
    let controls = Arc::clone(&backend.controls);
    (Engine::start_with(Box::new(backend), Arc::new(Letters), config).unwrap(), controls)
}

/// A request with sampling, penalties and stop strings in flight.
fn request(name: impl Into<String>, prompt: usize, answer: usize) -> Request {
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

fn alone(request: &Request) -> Collected {
    let (engine, _) = engine(2000, EngineConfig::default());
    Collected::all(&mut engine.submit(request.clone()).unwrap())
}

/// Reads to the end of a stream that was attached to.
fn read_along(mut stream: AttachedStream) -> Collected {
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

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what} never happened");
        thread::sleep(Duration::from_millis(1));
    }
}

fn idle(engine: &Engine) -> bool {
    let now = engine.snapshot();
    (now.running, now.waiting, now.parked, now.blocks_used, now.blocks_promised) == (0, 0, 0, 0, 0)
}

/// Requests that wait for their readers, as the scheduler has them do.
fn held_up(engine: &Engine, scheduler: SchedulerKind) -> usize {
    match scheduler {
        SchedulerKind::ParkingLot => engine.snapshot().parked,
        SchedulerKind::Default => engine.snapshot().paused,
    }
}

/// Everything that was submitted has exactly one place in the books.
fn the_books_balance(engine: &Engine) {
    let now = engine.snapshot();
    let totals = now.totals.unwrap();
    let ended = totals.refused + totals.completed + totals.failed + totals.cancelled + totals.expired;
    let here = (now.waiting + now.running + now.parked) as u64;
    assert_eq!(totals.submitted, ended + here, "{totals:?}");
}

#[test]
fn what_is_promised_to_those_that_run_is_not_available_to_a_newcomer() {
    let lot =
        |reserve_full| EngineConfig { parking_lot: LotSettings { reserve_full, ..Default::default() }, ..config() };
    for config in [lot(true), lot(false), EngineConfig { scheduler: SchedulerKind::Default, ..config() }] {
        let (engine, controls) = engine(12, config);
        assert_eq!(engine.snapshot().blocks_available, 12);
        // Each comes to 5 + 35 - 1 tokens, 10 blocks, of which it holds two at first.
        controls.hold.store(true, Ordering::SeqCst);
        let mut streams = ["r0", "r1"].map(|name| engine.submit(request(name, 5, 35)).unwrap());
        eventually("one runs", || engine.snapshot().running == 1);
        let now = engine.snapshot();
        assert_eq!((now.waiting, now.blocks_available), (1, 2), "{now:?}");
        controls.hold.store(false, Ordering::SeqCst);
        for stream in &mut streams {
            assert!(Collected::all(stream).is_done());
        }
        // Whoever has read a last event finds the room in the figures.
        assert_eq!(engine.snapshot().blocks_available, 12);
        let mut page = String::new();
        engine.metrics().encode(&mut page).unwrap();
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
    let totals = engine.snapshot().totals.unwrap();
    assert_eq!(totals.completed, 50);
    assert!(totals.parkings > 0 && totals.resumed > 0, "nobody was ever parked: {totals:?}");
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
        engine.metrics().encode(&mut page).unwrap();
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
    let totals = engine.snapshot().totals.unwrap();
    assert!(totals.parkings > 0 && totals.resumed == totals.parkings, "{totals:?}");
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
fn a_full_waiting_room_refuses_with_the_time_to_come_back() {
    for scheduler in BOTH {
        let config = || EngineConfig { scheduler, ..config() };
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
        assert_eq!(engine.snapshot().totals.unwrap().cancelled, 3);
    }
}

#[test]
fn a_deadline_that_passes_in_line_ends_the_request_without_running_it() {
    for scheduler in BOTH {
        let config = || EngineConfig { scheduler, ..config() };
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
        assert_eq!(engine.snapshot().totals.unwrap().expired, 1);
    }
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
    for scheduler in [SchedulerKind::ParkingLot, SchedulerKind::Default] {
        let backend = FakeBackend::new(400, 4, 200);
        let engine = Engine::start_with(Box::new(backend), Arc::new(Brittle), EngineConfig { scheduler, ..config() });
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
    for scheduler in BOTH {
        let config = || EngineConfig { scheduler, ..config() };
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
        pool.drain(Duration::from_secs(5), InLine::Finish);
    }
}

#[test]
fn a_stream_goes_on_for_those_who_read_along_when_its_own_reader_was_slow_and_left() {
    for scheduler in BOTH {
        let config = || EngineConfig { scheduler, ..config() };
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
        assert_eq!(engine.snapshot().totals.unwrap().completed, 1);
    }
}

#[test]
fn when_the_last_of_all_readers_has_left_a_request_is_cancelled_wherever_it_stands() {
    for scheduler in BOTH {
        let config = || EngineConfig { scheduler, ..config() };
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
        assert_eq!(engine.snapshot().totals.unwrap().cancelled, 0, "others still read along");
        drop(along);
        controls.let_go();
        eventually("both are gone", || engine.snapshot().totals.unwrap().cancelled == 2);
        drop(running);
        eventually("the end", || idle(&engine));
        the_books_balance(&engine);
    }
}

/// An engine in the pass after a request's first token, which came before the deadline; and when it is over.
fn after_a_timely_first_token(name: &str, scheduler: SchedulerKind, dated: Dated) -> (Engine, Arc<Controls>, Started) {
    let mut allowed = Duration::from_millis(100);
    loop {
        // Another engine each time: one has measured how long a held pass takes.
        let (engine, controls) = engine(400, EngineConfig { scheduler, ..config() });
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

type Dated = fn(Request, Duration) -> Request;

/// A request that has had its first token, and the moment of its deadline.
struct Started {
    stream: RequestStream,
    over: Instant,
}

impl Started {
    fn await_deadline(&self) {
        thread::sleep(self.over.saturating_duration_since(Instant::now()));
    }
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
    assert_eq!(engine.snapshot().totals.unwrap().expired, 0);
}

#[test]
fn whoever_ends_during_a_step_is_in_no_later_one() {
    for scheduler in [SchedulerKind::ParkingLot, SchedulerKind::Default] {
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
    for scheduler in BOTH {
        let config = || EngineConfig { scheduler, ..config() };
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
        assert_eq!(engine.snapshot().totals.unwrap().cancelled, 4);
    }
}

#[test]
fn a_slow_reader_is_parked_and_gets_every_token_in_the_end() {
    let (engine, _) = engine(60, EngineConfig { stream_capacity: 16, slow_reader: SLOW, ..config() });
    let slow = Request { stop: Vec::new(), ..request("slow", 6, 90) };
    let mut stream = engine.submit(slow.clone()).unwrap();
    eventually("it is parked", || engine.snapshot().parked == 1);
    assert_eq!(engine.snapshot().blocks_used, 0, "its memory serves others");
    let quick = request("quick", 9, 30);
    assert_eq!(Collected::all(&mut engine.submit(quick.clone()).unwrap()).answers, alone(&quick).answers);
    assert_eq!(Collected::all(&mut stream).answers, alone(&slow).answers);
    eventually("the end", || idle(&engine));
}

#[test]
fn a_failed_pass_fails_its_requests_and_nobody_else() {
    for scheduler in BOTH {
        let config = || EngineConfig { scheduler, ..config() };
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
        assert_eq!(engine.snapshot().totals.unwrap().failed, 2);
    }
}

#[test]
fn a_tenant_is_held_to_its_own_limits() {
    let tenant = TenantPolicy { max_concurrent: Some(2), max_waiting: Some(1), ..TenantPolicy::default() };
    let settings = LotSettings { tenants: [("small".to_owned(), tenant)].into(), ..LotSettings::default() };
    let (engine, controls) = engine(60, EngineConfig { parking_lot: settings.clone(), max_seqs: 1, ..config() });
    controls.hold.store(true, Ordering::SeqCst);
    let of = |tenant: &str, name: &str| Request { tenant: tenant.to_owned(), ..request(name, 5, 15) };
    let _first = engine.submit(of("small", "s1")).unwrap();
    let _second = engine.submit(of("small", "s2")).unwrap();
    let refusal = engine.submit(of("small", "s3")).unwrap_err();
    assert!(matches!(&refusal, Refusal::RateLimited { tenant, limit: 2, .. } if tenant == "small"), "{refusal}");
    let _other = engine.submit(of("other", "o1")).unwrap();
    // The limits can be changed while requests run.
    let relaxed = LotSettings { tenants: Default::default(), ..settings };
    engine.pool().reconfigure(&relaxed).unwrap();
    let _third = engine.submit(of("small", "s3")).unwrap();
    controls.hold.store(false, Ordering::SeqCst);
    let invalid = LotSettings { tenant: TenantPolicy { weight: 0, ..TenantPolicy::default() }, ..relaxed };
    let error = engine.pool().reconfigure(&invalid).unwrap_err();
    assert_eq!(error.to_string(), "tenant.weight is 0: use a weight from 1 to 10000");
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

#[test]
fn a_job_gives_its_whole_answer_or_its_stream() {
    for scheduler in BOTH {
        let config = || EngineConfig { scheduler, ..config() };
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
        let mut again = pool.streams().attach(&"s".into(), 0).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut collected = Collected::default();
        while let Some(event) = runtime.block_on(again.next()) {
            collected.take(event.unwrap().1);
        }
        assert_eq!(collected.answers, expected.answers);
        let unknown = pool.streams().attach(&"nobody".into(), 0).unwrap_err();
        assert_eq!(unknown, AttachError::Unknown("nobody".into()));
    }
}

#[test]
fn a_request_goes_on_while_somebody_reads_along() {
    for scheduler in BOTH {
        let config = || EngineConfig { scheduler, ..config() };
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
    for scheduler in BOTH {
        let config = || EngineConfig { scheduler, ..config() };
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
    for scheduler in BOTH {
        let config = || EngineConfig { scheduler, ..config() };
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
