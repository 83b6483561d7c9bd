//! The engine with its worker thread, over a model whose logits are a hash of its KV blocks.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use parkade_core::{
    DrainWaiting, Engine, EngineConfig, EngineError, Event, Refusal, Request, RequestError, RequestId, RequestState,
    SamplingParams, SchedulerKind, TokenId,
};
use support::engines::eventually;
use support::{Collected, Controls, FIRST_LETTER, FakeBackend, Letters};

const CONTEXT: usize = 200;

fn engine(blocks: usize, config: EngineConfig) -> (Engine, Arc<Controls>) {
    let backend = FakeBackend::new(blocks, 4, CONTEXT);
    let controls = Arc::clone(&backend.controls);
    (Engine::start_with(Box::new(backend), Arc::new(Letters), config).expect("it starts"), controls)
}

fn roomy() -> (Engine, Arc<Controls>) {
    engine(2000, EngineConfig::default())
}

fn request(name: impl Into<String>, prompt: usize, answer: usize) -> Request {
    let letters = (0..prompt).map(|at| FIRST_LETTER + ((prompt + at * at * 7 + at) % 37) as TokenId).collect();
    Request {
        max_tokens: Some(answer),
        sampling: SamplingParams { seed: Some(prompt as u64), ..SamplingParams::default() },
        ignore_eos: true,
        ..Request::new(name, letters)
    }
}

fn run(engine: &Engine, request: &Request) -> Collected {
    Collected::all(&mut engine.submit(request.clone()).expect("it is taken"))
}

fn idle(engine: &Engine) -> bool {
    let now = engine.snapshot();
    (now.requests.running, now.requests.waiting, now.requests.parked, now.kv_blocks.used) == (0, 0, 0, 0)
}

/// The metrics as they are scraped.
fn page(engine: &Engine) -> String {
    let mut page = String::new();
    engine.metrics().encode(engine.snapshot(), &mut page).expect("a string takes all");
    parkade_core::encode_process_metrics(&mut page).expect("a string takes all");
    page
}

#[test]
fn many_requests_at_once_get_what_each_gets_alone() {
    let requests: Vec<Request> =
        (0..40).map(|i| Request { n: 1 + i % 3, ..request(format!("r{i}"), 3 + i * 2, 5 + i) }).collect();
    let alone: Vec<Collected> = requests.iter().map(|request| run(&roomy().0, request)).collect();
    let (engine, _) = engine(300, EngineConfig { max_batched_tokens: 16, max_seqs: 20, ..EngineConfig::default() });
    let streams: Vec<_> = requests.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
    for (mut stream, alone) in streams.into_iter().zip(alone) {
        assert_eq!(Collected::all(&mut stream).answers, alone.answers, "{}", stream.id());
    }
    eventually("the end", || idle(&engine));
}

#[test]
fn memory_is_reserved_in_full_and_the_others_wait_in_line() {
    // Each needs 5 + 15 - 1 tokens, 5 blocks; two fit.
    let (engine, controls) = engine(12, EngineConfig::default());
    assert!(run(&engine, &request("measured", 5, 15)).is_done(), "waits are estimated from this");
    controls.hold.store(true, Ordering::SeqCst);
    let mut streams: Vec<_> = (0..5).map(|i| engine.submit(request(format!("r{i}"), 5, 15)).unwrap()).collect();
    eventually("two run", || engine.snapshot().requests.waiting == 3);
    let place = |name: &str| engine.status(&name.into()).unwrap().place;
    assert_eq!((place("r1"), place("r2"), place("r4")), (None, Some(0), Some(2)));
    let status = engine.status(&"r4".into()).unwrap();
    assert_eq!((status.state, status.prompt_tokens, status.completion_tokens), (RequestState::Waiting, 5, 0));
    assert!(status.estimated_wait.is_some());
    controls.hold.store(false, Ordering::SeqCst);
    for stream in &mut streams {
        assert!(Collected::all(stream).is_done());
    }
    eventually("the end", || idle(&engine) && engine.status(&"r4".into()).is_none());
}

#[test]
fn a_full_line_refuses_with_the_time_to_come_back() {
    let (engine, controls) = engine(12, EngineConfig { max_queue_depth: 1, ..EngineConfig::default() });
    controls.hold.store(true, Ordering::SeqCst);
    let streams: Vec<_> = (0..3).map(|i| engine.submit(request(format!("r{i}"), 5, 15)).unwrap()).collect();
    // The worker is inside a pass: the refusal does not wait for it.
    let Err(Refusal::QueueFull { waiting: 1, limit: 1, retry_after, .. }) = engine.submit(request("r3", 5, 15)) else {
        panic!("the line has one place");
    };
    assert!((1..=120).contains(&retry_after.as_secs()) && retry_after.subsec_nanos() == 0);
    drop(streams);
    controls.hold.store(false, Ordering::SeqCst);
    eventually("the end", || idle(&engine));
    assert!(run(&engine, &request("r3", 5, 15)).is_done());
}

#[test]
fn without_a_line_whoever_can_run_at_once_still_runs() {
    let (engine, _) = engine(12, EngineConfig { max_queue_depth: 0, ..EngineConfig::default() });
    for round in 0..20 {
        assert!(run(&engine, &request(format!("r{round}"), 5, 15)).is_done());
        // The reservation is given back with the last event, which the reader may see first.
        eventually("the end", || idle(&engine));
    }
}

#[test]
fn what_can_never_run_is_refused_at_once() {
    let (engine, _) = engine(20, EngineConfig { max_seqs: 2, ..EngineConfig::default() });
    let refusal = |request: Request| engine.submit(request).unwrap_err();
    assert_eq!(refusal(request("r", CONTEXT, 1)), Refusal::ContextLength { prompt_tokens: CONTEXT, limit: CONTEXT });
    assert!(matches!(refusal(request("r", 81, 1)), Refusal::RequestTooLarge { needed: 21, total: 20, .. }));
    assert!(matches!(refusal(Request { n: 3, ..request("r", 5, 5) }), Refusal::RequestTooLarge { needed: 3, .. }));
    let invalid = |request| match refusal(request) {
        Refusal::Invalid { param, .. } => param,
        other => panic!("{other:?}"),
    };
    assert_eq!(invalid(Request::new("r", vec![])), "prompt");
    assert_eq!(invalid(Request::new("r", vec![3, 1_000_000])), "prompt");
    assert_eq!(invalid(Request { n: 0, ..request("r", 5, 5) }), "n");
    assert_eq!(invalid(Request { stop: vec![String::new()], ..request("r", 5, 5) }), "stop");
    assert_eq!(invalid(Request { logprobs: Some(1000), ..request("r", 5, 5) }), "logprobs");
    let hot = SamplingParams { temperature: -1.0, ..SamplingParams::default() };
    assert_eq!(invalid(Request { sampling: hot, ..request("r", 5, 5) }), "temperature");
    let page = page(&engine);
    assert!(page.contains("parkade_request_refusals_total{reason=\"request_too_large\"} 2"), "{page}");
}

#[test]
fn an_id_belongs_to_one_request_at_a_time() {
    let (engine, controls) = roomy();
    controls.hold.store(true, Ordering::SeqCst);
    let mut stream = engine.submit(request("twin", 5, 5)).unwrap();
    assert!(
        matches!(engine.submit(request("twin", 5, 5)), Err(Refusal::Invalid { param, .. }) if param == "request_id")
    );
    controls.hold.store(false, Ordering::SeqCst);
    assert!(Collected::all(&mut stream).is_done());
    eventually("the end", || idle(&engine));
    assert!(run(&engine, &request("twin", 5, 5)).is_done());
}

#[test]
fn cancelling_reaches_a_request_in_every_state() {
    let (engine, controls) = engine(12, EngineConfig::default());
    controls.pass_us.store(1000, Ordering::SeqCst);
    let mut streams: Vec<_> = (0..3).map(|i| engine.submit(request(format!("r{i}"), 5, 15)).unwrap()).collect();
    assert!(matches!(streams[0].blocking_next(), Some(Event::Token { .. })));
    assert!(engine.cancel(&"r0".into()), "running");
    assert!(engine.cancel(&"r2".into()), "waiting");
    assert!(!engine.cancel(&"nobody".into()));
    let ends: Vec<_> = streams.iter_mut().map(|stream| Collected::all(stream).last).collect();
    assert_eq!(ends[0], Some(Event::Failed(RequestError::Cancelled)));
    assert_eq!(ends[2], Some(Event::Failed(RequestError::Cancelled)));
    assert!(matches!(ends[1], Some(Event::Done(_))));
    eventually("the end", || idle(&engine));
    assert!(!engine.cancel(&"r0".into()), "ended");
}

#[test]
fn a_reader_that_leaves_frees_its_memory_and_its_place() {
    let (engine, controls) = engine(12, EngineConfig::default());
    controls.hold.store(true, Ordering::SeqCst);
    let streams: Vec<_> = (0..6).map(|i| engine.submit(request(format!("r{i}"), 5, 15)).unwrap()).collect();
    drop(streams);
    controls.hold.store(false, Ordering::SeqCst);
    eventually("the end", || idle(&engine));
    assert!(controls.rows.load(Ordering::SeqCst) <= 10, "nobody was computed any more");
    // One that is paused leaves too, while nothing else wakes the worker.
    let (engine, controls) = self::engine(100, EngineConfig { stream_capacity: 8, ..EngineConfig::default() });
    let stream = engine.submit(request("slow", 5, 100)).unwrap();
    eventually("the pause", || engine.snapshot().requests.paused == 1);
    let passes = controls.passes.load(Ordering::SeqCst);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(controls.passes.load(Ordering::SeqCst), passes, "a pause costs nothing");
    drop(stream);
    eventually("the end", || idle(&engine));
}

#[test]
fn slow_readers_hold_up_nobody_and_go_on_when_they_read() {
    let (engine, _) = engine(500, EngineConfig { stream_capacity: 8, ..EngineConfig::default() });
    let alone = run(&roomy().0, &request("x", 7, 90));
    let mut slow: Vec<_> = (0..5).map(|i| engine.submit(request(format!("slow{i}"), 7, 90)).unwrap()).collect();
    for i in 0..5 {
        assert_eq!(run(&engine, &request(format!("quick{i}"), 7, 90)).answers, alone.answers);
    }
    eventually("the pause", || engine.snapshot().requests.paused == 5);
    for stream in &mut slow {
        assert_eq!(Collected::all(stream).answers, alone.answers);
    }
    eventually("the end", || idle(&engine));
}

#[test]
fn a_deadline_ends_whoever_waits_and_whoever_runs() {
    let (engine, controls) = engine(12, EngineConfig::default());
    controls.pass_us.store(3000, Ordering::SeqCst);
    let soon = Some(Duration::from_millis(30));
    let mut long = engine.submit(request("long", 5, 40)).unwrap();
    let mut waits = engine.submit(Request { timeout: soon, ..request("waits", 5, 15) }).unwrap();
    let late = Some(Event::Failed(RequestError::Deadline { allowed: Duration::from_millis(30) }));
    let waited = Collected::all(&mut waits);
    assert_eq!((waited.last, waited.answers.len()), (late.clone(), 0), "it expired without running");
    assert!(Collected::all(&mut long).is_done(), "the others do not notice");
    let cut = run(&engine, &Request { timeout: soon, ..request("cut", 5, 40) });
    assert_eq!(cut.last, late);
    let in_time = run(&engine, &Request { timeout: Some(Duration::from_secs(600)), ..request("in time", 5, 3) });
    assert!(in_time.is_done());
    eventually("the end", || idle(&engine));
}

#[test]
fn a_paused_request_expires_although_nothing_else_happens() {
    let (engine, _) = engine(100, EngineConfig { stream_capacity: 8, ..EngineConfig::default() });
    let timeout = Some(Duration::from_millis(50));
    let mut stream = engine.submit(Request { timeout, ..request("slow", 5, 100) }).unwrap();
    eventually("the pause", || engine.snapshot().requests.paused == 1 || idle(&engine));
    eventually("the end", || idle(&engine));
    assert!(matches!(Collected::all(&mut stream).last, Some(Event::Failed(RequestError::Deadline { .. }))));
}

#[test]
fn a_pass_that_fails_or_panics_ends_its_requests_and_the_engine_goes_on() {
    let (engine, controls) = roomy();
    for control in [&controls.fail_next, &controls.panic_next] {
        control.store(true, Ordering::SeqCst);
        let failed = run(&engine, &request("failed", 5, 15));
        assert!(matches!(failed.last, Some(Event::Failed(RequestError::Forward { .. }))), "{:?}", failed.last);
        eventually("the end", || idle(&engine));
        assert!(run(&engine, &request("well", 5, 15)).is_done());
        eventually("the end", || idle(&engine));
    }
}

#[test]
fn draining_finishes_what_was_taken_and_takes_no_more() {
    let (engine, controls) = engine(12, EngineConfig::default());
    controls.pass_us.store(500, Ordering::SeqCst);
    let streams: Vec<_> = (0..6).map(|i| engine.submit(request(format!("r{i}"), 5, 15)).unwrap()).collect();
    let drained = thread::spawn({
        let engine = engine.clone();
        move || engine.drain(Duration::from_secs(60))
    });
    eventually("the refusal", || matches!(engine.submit(request("late", 5, 5)), Err(Refusal::Draining { .. })));
    assert!(engine.snapshot().draining);
    for mut stream in streams {
        assert!(Collected::all(&mut stream).is_done());
    }
    drained.join().unwrap();
    assert_eq!(engine.snapshot().active_workers, 0);
    assert_eq!(engine.submit(request("later", 5, 5)).unwrap_err(), Refusal::Stopped);
    engine.drain(Duration::ZERO);
}

#[test]
fn what_is_left_after_the_limit_is_cancelled_and_told_so() {
    let (engine, controls) = engine(12, EngineConfig::default());
    // Each takes at least 150 ms, and has not begun when the drain begins.
    controls.pass_us.store(10_000, Ordering::SeqCst);
    controls.hold.store(true, Ordering::SeqCst);
    let mut streams: Vec<_> = (0..6).map(|i| engine.submit(request(format!("r{i}"), 5, 15)).unwrap()).collect();
    let drained = thread::spawn({
        let engine = engine.clone();
        move || engine.drain(Duration::from_millis(20))
    });
    eventually("the drain", || engine.snapshot().draining);
    controls.let_go();
    drained.join().unwrap();
    for stream in &mut streams {
        assert_eq!(Collected::all(stream).last, Some(Event::Failed(RequestError::ShuttingDown)));
    }
    let page = page(&engine);
    assert!(page.contains("parkade_request_success_total{finished_reason=\"shutdown\"} 6\n"), "{page}");
}

#[test]
fn a_drain_that_refuses_those_in_line_counts_each_of_their_answers() {
    let (engine, controls) = engine(100, EngineConfig { max_seqs: 2, ..EngineConfig::default() });
    controls.hold.store(true, Ordering::SeqCst);
    let twice = |name: &str| engine.submit(Request { n: 2, ..request(name, 5, 15) }).unwrap();
    let (mut runs, mut waits) = (twice("runs"), twice("waits"));
    let drained = thread::spawn({
        let engine = engine.clone();
        move || engine.drain_with(Duration::from_secs(60), DrainWaiting::Refuse)
    });
    eventually("the drain", || engine.snapshot().draining);
    controls.hold.store(false, Ordering::SeqCst);
    drained.join().unwrap();
    assert!(Collected::all(&mut runs).is_done());
    assert_eq!(Collected::all(&mut waits).last, Some(Event::Failed(RequestError::ShuttingDown)));
    let page = page(&engine);
    for reason in ["length", "shutdown"] {
        let line = format!("parkade_request_success_total{{finished_reason=\"{reason}\"}} 2\n");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
}

#[test]
fn dropping_the_engine_ends_every_stream() {
    // It cannot have ended before: nobody reads it.
    let (engine, _) = engine(500, EngineConfig { stream_capacity: 8, ..EngineConfig::default() });
    let mut stream = engine.submit(request("r", 5, 100)).unwrap();
    drop(engine);
    assert_eq!(Collected::all(&mut stream).last, Some(Event::Failed(RequestError::ShuttingDown)));
}

#[test]
fn a_seed_that_was_not_given_is_drawn_and_differs() {
    let (engine, _) = roomy();
    let open = |name: &str| Request { sampling: SamplingParams::default(), ..request(name, 5, 30) };
    assert_ne!(run(&engine, &open("a")).answers, run(&engine, &open("b")).answers);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_with_what_is_allowed() {
    let start = |config| {
        Engine::start_with(Box::new(FakeBackend::new(10, 4, CONTEXT)), Arc::new(Letters), config).err().unwrap()
    };
    let error = start(EngineConfig { max_seqs: 0, ..EngineConfig::default() });
    assert_eq!(error.to_string(), "max_seqs is 0; it must be from 1 to 65536");
    assert!("fifo".parse::<SchedulerKind>().is_err());
    if cfg!(not(feature = "parking-lot-scheduler")) {
        let error = start(EngineConfig { scheduler: SchedulerKind::ParkingLot, ..EngineConfig::default() });
        assert_eq!(error, EngineError::SchedulerMissing { name: "parking-lot" });
    }
}

#[test]
fn the_metrics_tell_what_happened() {
    let (engine, _) = roomy();
    let first = request("first", 40, 10);
    run(&engine, &first);
    run(&engine, &Request { id: RequestId("again".into()), ..first });
    eventually("the end", || idle(&engine));
    let page = page(&engine);
    for line in [
        "parkade_prompt_tokens_total 80",
        "parkade_generation_tokens_total 20",
        "parkade_prompt_tokens_cached_total 36",
        "parkade_request_success_total{finished_reason=\"length\"} 2",
        "parkade_time_to_first_token_seconds_count 2",
        "parkade_inter_token_latency_seconds_count 18",
        "parkade_e2e_request_latency_seconds_count 2",
        "parkade_request_queue_time_seconds_count 2",
        "parkade_num_requests_running 0",
        "parkade_num_requests_waiting 0",
        "parkade_kv_cache_usage_perc 0.0",
        "parkade_kv_blocks 2000",
        "parkade_num_preemptions_total 0",
        "parkade_build_info{version=\"0.1.0\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    for start in [
        "parkade_engine_step_seconds_total{part=\"forward\"} ",
        "parkade_lock_acquisitions_total{lock=\"pool.policy\"} ",
        "parkade_lock_contended_total{lock=\"pool.policy\"} ",
        "parkade_lock_wait_seconds_sum{lock=\"pool.policy\"} ",
        "parkade_lock_hold_seconds_bucket{le=\"+Inf\",lock=\"pool.policy\"} ",
    ] {
        assert!(page.lines().any(|found| found.starts_with(start)), "{start} is not in\n{page}");
    }
}

#[test]
fn clients_that_come_and_go_at_random_lose_nothing() {
    let (engine, controls) =
        engine(60, EngineConfig { stream_capacity: 8, max_queue_depth: 10, ..EngineConfig::default() });
    controls.pass_us.store(50, Ordering::SeqCst);
    let reference = roomy().0;
    let clients: Vec<_> = (0..8u64)
        .map(|client| {
            let (engine, reference) = (engine.clone(), reference.clone());
            thread::spawn(move || {
                let mut state = client + 1;
                let mut dice = move |sides: u64| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 33) % sides
                };
                let mut done = 0;
                for round in 0..40 {
                    let request = Request {
                        n: 1 + dice(2) as usize,
                        ..request(format!("c{client}r{round}"), 1 + dice(50) as usize, dice(40) as usize)
                    };
                    let Ok(mut stream) = engine.submit(request.clone()) else {
                        thread::sleep(Duration::from_micros(dice(3000)));
                        continue;
                    };
                    let leaves_after = dice(60);
                    let mut collected = Collected::default();
                    for read in 0.. {
                        if read == leaves_after && dice(3) == 0 {
                            break;
                        }
                        if read == leaves_after && dice(4) == 0 {
                            engine.cancel(&request.id);
                        }
                        if dice(10) == 0 {
                            thread::sleep(Duration::from_micros(dice(2000)));
                        }
                        let Some(event) = stream.blocking_next() else { break };
                        collected.take(event);
                    }
                    if collected.is_done() {
                        done += 1;
                        assert_eq!(collected.answers, run(&reference, &request).answers);
                    }
                }
                done
            })
        })
        .collect();
    let done: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(done > 50, "only {done} requests were read to their end");
    eventually("the end", || idle(&engine));
    let now = engine.snapshot();
    assert_eq!(now.kv_blocks.free + now.kv_blocks.cached, now.kv_blocks.total);
}
