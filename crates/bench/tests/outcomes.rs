//! Whatever a server does, each request gets exactly one outcome, and the right one.

#[allow(dead_code, reason = "each test file uses its part of the fake")]
mod fake;

use fake::{Act, Arrived, Fake, answer, chunk, end, event, finish, head, overloaded, refusal, text, whole};
use parkade_bench::load::{
    Api, Class, Digest, Lengths, Mix, Outcome, Pace, Plan, Run, Sizing, Slo, Target, Workload, run,
};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn workload() -> Workload {
    Workload {
        seed: 11,
        first: 0,
        prompt_tokens: Lengths::Fixed(12),
        output_tokens: Lengths::Fixed(4),
        shared_prefix: 0,
        sizing: Sizing::default(),
        mix: Mix::only(Class::Normal),
        only: None,
        tenants: None,
        allow_eos: false,
        announced: None,
        vanish_within: None,
    }
}

fn go(fake: &Fake, workload: Workload, plan: Plan, patience: Duration) -> Run {
    let target = Target::new(&fake.url, Api::Chat, patience).expect("a target");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(&Arc::new(target), &Arc::new(workload), &plan))
}

fn closed(clients: usize, requests: usize) -> Plan {
    Plan { pace: Pace::Closed(clients), requests: Some(requests), sending: None }
}

/// The outcome of one request to a server that does `script`.
fn outcome(script: impl Fn(&Arrived) -> Vec<Act> + Send + Sync + 'static) -> Outcome {
    let seen = go(&Fake::start(script), workload(), closed(1, 1), ms(2_000));
    assert_eq!(seen.observations.len(), 1);
    seen.observations[0].outcome.clone()
}

#[test]
fn a_whole_answer_is_complete_with_its_times_and_tokens() {
    let fake = Fake::start(|_| answer(5, ms(20)));
    let seen = go(&fake, workload(), closed(2, 6), ms(5_000));
    assert_eq!(seen.observations.len(), 6);
    for one in &seen.observations {
        assert_eq!(one.outcome, Outcome::Completed);
        assert_eq!((one.output_tokens, one.prompt_tokens, one.pieces.len()), (5, Some(20), 5));
        assert!(one.ttft().expect("text") >= ms(15) && one.latency() >= ms(90), "{one:?}");
    }
}

#[test]
fn bytes_that_come_one_by_one_are_the_same_answer() {
    let stream = "\u{feff}: hi\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"\u{e9}\u{1f600}\"}}]}\r\n\r\n\
                  data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\r\rdata: [DONE]\n\n";
    let bytes = [chunk(stream), b"0\r\n\r\n".to_vec()].concat();
    assert_eq!(outcome(move |_| vec![head(), Act::Trickle(bytes.clone())]), Outcome::Completed);
}

#[test]
fn refusals_keep_their_status_code_and_headers() {
    let Outcome::Refused(refused) = outcome(|_| overloaded(Some(7))) else { panic!("not refused") };
    assert_eq!((refused.status, refused.code.as_str()), (503, "server_is_overloaded"));
    assert_eq!((refused.retry_after.as_deref(), refused.should_retry), (Some("7"), None));
    let body = r#"{"error":{"message":"slow down","type":"rate_limit_error","code":null}}"#;
    let Outcome::Refused(limited) = outcome(move |_| vec![Act::Write(refusal(429, body, "x-should-retry: false\r\n"))])
    else {
        panic!("not refused")
    };
    assert_eq!((limited.code.as_str(), limited.should_retry), ("rate_limit_error", Some(false)));
}

#[test]
fn a_deadline_that_passed_in_waiting_is_expired_and_one_refused_at_once_is_refused() {
    let script = |_: &Arrived| {
        let body = r#"{"error":{"code":"deadline_exceeded"}}"#;
        vec![Act::Wait(ms(100)), Act::Write(whole(503, body))]
    };
    let ask = |deadline: u64| {
        let announced = Some(Slo { ttft: Some(ms(deadline)), per_token: None });
        let seen = go(&Fake::start(script), Workload { announced, ..workload() }, closed(1, 1), ms(2_000));
        seen.observations[0].outcome.clone()
    };
    assert!(matches!(ask(50), Outcome::Expired(_)));
    assert!(matches!(ask(5_000), Outcome::Refused(_)));
}

#[test]
fn a_server_can_say_that_a_request_was_in_line() {
    let script = |_: &Arrived| {
        let body = r#"{"error":{"code":"deadline_exceeded"}}"#;
        let answer = String::from_utf8(whole(503, body)).expect("text");
        vec![Act::Write(answer.replacen("\r\n", "\r\nx-parkade-queue-ms: 90\r\n", 1).into_bytes())]
    };
    let seen = go(&Fake::start(script), workload(), closed(1, 1), ms(2_000));
    assert!(matches!(seen.observations[0].outcome, Outcome::Expired(_)));
}

#[test]
fn the_deadline_class_tenant_and_key_reach_the_server() {
    let fake = Fake::start(|arrived: &Arrived| {
        let right = arrived.head.starts_with("post /v1/chat/completions http/1.1")
            && arrived.head.contains("x-slo-ttft-ms: 750")
            && arrived.head.contains("authorization: bearer secret")
            && arrived.body["service_tier"] == "flex"
            && arrived.body["user"] == "alice"
            && arrived.body["stream_options"]["include_usage"] == true;
        if right {
            answer(1, ms(0))
        } else {
            vec![Act::Write(whole(400, &json!({"error": {"code": "wrong"}}).to_string()))]
        }
    });
    let mut target = Target::new(&fake.url, Api::Chat, ms(2_000)).expect("a target");
    target.api_key = Some("secret".to_string());
    let asked = Workload {
        mix: Mix::only(Class::Low),
        tenants: Some("alice".parse().expect("a tenant")),
        announced: Some(Slo { ttft: Some(ms(750)), per_token: None }),
        ..workload()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seen = runtime.block_on(run(&Arc::new(target), &Arc::new(asked), &closed(1, 1)));
    assert_eq!(seen.observations[0].outcome, Outcome::Completed);
}

#[test]
fn other_statuses_are_rejections() {
    for status in [400, 401, 404, 422, 500, 502] {
        let seen = outcome(move |_| vec![Act::Write(whole(status, "not even JSON"))]);
        assert!(matches!(&seen, Outcome::Rejected(answer) if answer.status == status), "{status}: {seen:?}");
        assert!(seen.exactly_one_end());
    }
}

#[test]
fn streams_that_break_off_are_cut_wherever_that_happens() {
    let cuts: Vec<fn() -> Vec<Act>> = vec![
        || vec![head()],
        || vec![head(), text("a")],
        || vec![head(), text("a"), finish()],
        || vec![head(), text("a"), finish(), Act::Write(chunk("data: [DO"))],
        // All is said, but the last chunk is missing: the connection broke.
        || vec![head(), text("a"), finish(), Act::Write(event("[DONE]"))],
        // Properly ended, but without [DONE].
        || vec![head(), text("a"), finish(), Act::Write(b"0\r\n\r\n".to_vec())],
    ];
    for (number, cut) in cuts.into_iter().enumerate() {
        assert_eq!(outcome(move |_| cut()), Outcome::Cut, "cut {number}");
    }
}

#[test]
fn an_error_in_the_stream_is_a_failure_with_its_code() {
    let script = |_: &Arrived| {
        let error = event(r#"{"error":{"message":"x","type":"server_error","code":"internal_error"}}"#);
        vec![head(), text("a"), Act::Write(error), Act::Write(b"0\r\n\r\n".to_vec())]
    };
    assert_eq!(outcome(script), Outcome::Failed("internal_error".to_string()));
}

#[test]
fn broken_protocol_is_malformed() {
    let breaks: Vec<fn() -> Vec<Act>> = vec![
        || vec![head(), Act::Write(event("{not json")), finish(), end(1, 1)],
        || vec![head(), text("a"), finish(), finish(), end(1, 1)],
        || vec![head(), text("a"), end(1, 1)],
        || {
            vec![
                head(),
                text("a"),
                finish(),
                Act::Write(event("[DONE]")),
                text("late"),
                Act::Write(b"0\r\n\r\n".to_vec()),
            ]
        },
        || vec![Act::Write(whole(200, "{}"))],
        || vec![head(), Act::Write([b"3\r\n".to_vec(), vec![0xff, 0xff, b'\n'], b"\r\n".to_vec()].concat())],
    ];
    for (number, script) in breaks.into_iter().enumerate() {
        let seen = outcome(move |_| script());
        assert!(matches!(seen, Outcome::Malformed(_)) && !seen.exactly_one_end(), "break {number}: {seen:?}");
    }
}

#[test]
fn no_server_and_a_server_that_hangs_up_are_unreachable() {
    assert!(matches!(outcome(|_| vec![]), Outcome::Unreachable(_)));
    assert!(matches!(outcome(|_| vec![Act::Write(b"HTTP/1.1 2".to_vec())]), Outcome::Unreachable(_)));
    let nobody = Fake { url: "http://127.0.0.1:1".to_string(), gone: Arc::default() };
    let seen = go(&nobody, workload(), closed(1, 1), ms(2_000));
    assert!(matches!(seen.observations[0].outcome, Outcome::Unreachable(_)));
}

#[test]
fn a_client_gives_up_when_its_patience_ends() {
    let fake = Fake::start(|_| vec![head(), text("a"), Act::AwaitGone]);
    let seen = go(&fake, workload(), closed(1, 1), ms(150));
    assert_eq!(seen.observations[0].outcome, Outcome::Unanswered);
    assert_eq!(seen.observations[0].pieces.len(), 1, "what came before is kept");
    assert!(seen.observations[0].latency() >= ms(150));
}

#[test]
fn clients_that_vanish_close_their_connections_at_once() {
    let fake = Fake::start(|arrived| match arrived.number % 2 {
        0 => vec![Act::AwaitGone],
        _ => vec![head(), text("a"), Act::AwaitGone],
    });
    let asked = Workload { vanish_within: Some(ms(100)), ..workload() };
    let seen = go(&fake, asked, closed(8, 40), ms(5_000));
    assert_eq!(seen.observations.len(), 40);
    assert!(seen.observations.iter().all(|one| one.outcome == Outcome::Vanished));
    let until = Instant::now() + ms(2_000);
    while fake.gone.load(Ordering::SeqCst) < 40 && Instant::now() < until {
        std::thread::sleep(ms(5));
    }
    assert_eq!(fake.gone.load(Ordering::SeqCst), 40);
}

#[test]
fn an_open_loop_counts_the_wait_that_a_closed_loop_hides() {
    // One request at a time, 40 ms each: 25 a second. The fake lets the others wait for their turn.
    let serial = || {
        let free_at = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let start = Instant::now();
        Fake::start(move |_| {
            let now = start.elapsed().as_millis() as u64;
            let begin = free_at.load(Ordering::SeqCst).max(now);
            free_at.store(begin + 40, Ordering::SeqCst);
            let mut acts = vec![Act::Wait(ms(begin + 40 - now))];
            acts.extend(answer(2, ms(0)));
            acts
        })
    };
    let p99 = |plan: Plan| {
        let seen = go(&serial(), workload(), plan, ms(10_000));
        assert!(seen.observations.iter().all(|one| one.outcome == Outcome::Completed));
        Digest::of(&seen, Slo::default(), ms(0), |_| true).ttft.percentile(99.0).expect("samples")
    };
    let hidden = p99(closed(1, 20));
    let open = p99(Plan { pace: Pace::Open(100.0), requests: Some(60), sending: None });
    assert!(hidden < 200.0, "{hidden}");
    assert!(open > 1_200.0, "60 requests at 100/s to a server of 25/s end 1.8 s late: {open}");
}

#[test]
fn an_open_loop_sends_by_its_plan_whatever_the_server_does() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&arrived);
    let fake = Fake::start(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        overloaded(None)
    });
    let plan = Plan { pace: Pace::Open(200.0), requests: None, sending: Some(ms(1_000)) };
    let seen = go(&fake, workload(), plan, ms(2_000));
    assert!((140..270).contains(&seen.observations.len()), "{}", seen.observations.len());
    assert_eq!(arrived.load(Ordering::SeqCst), seen.observations.len());
    assert_eq!(seen.window, ms(1_000));
    let again = go(&fake, workload(), plan, ms(2_000));
    let moments = |run: &Run| run.observations.iter().map(|one| one.intended).collect::<Vec<_>>();
    assert_eq!(moments(&seen), moments(&again), "one seed, one plan");
}

#[test]
fn a_closed_loop_never_has_more_clients_than_it_should() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let peak = Arc::clone(&most);
    let fake = Fake::start(move |arrived| {
        // Connections are served on one thread; each holds its place for 20 ms.
        peak.fetch_max(arrived.number + 1 - now.load(Ordering::SeqCst), Ordering::SeqCst);
        let now = Arc::clone(&now);
        std::thread::spawn(move || {
            std::thread::sleep(ms(15));
            now.fetch_add(1, Ordering::SeqCst);
        });
        answer(1, ms(40))
    });
    let seen = go(&fake, workload(), closed(3, 30), ms(5_000));
    assert_eq!(seen.observations.len(), 30);
    assert!(most.load(Ordering::SeqCst) <= 3);
}
