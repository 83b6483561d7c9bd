//! Whatever a server does, each request gets exactly one outcome, and the right one.

#[allow(dead_code, reason = "each test file uses its part of the fake")]
mod fake;

use fake::{Act, Arrived, Fake, answer, chunk, end, event, finish, head, overloaded, refusal, text, whole};
use parkade_bench::load::{Api, Class, Lengths, Mix, Outcome, Pace, Plan, Run, Sizing, Slo, Target, Workload, run};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// More than any test takes: reached only by a fault.
const PATIENCE: Duration = Duration::from_secs(120);

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
    let seen = go(&Fake::start(script), workload(), closed(1, 1), PATIENCE);
    assert_eq!(seen.observations.len(), 1);
    seen.observations[0].outcome.clone()
}

#[test]
fn a_whole_answer_is_complete_with_its_times_and_tokens() {
    let fake = Fake::start(|_| answer(5, ms(20)));
    let seen = go(&fake, workload(), closed(2, 6), PATIENCE);
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
        let seen = go(&Fake::start(script), Workload { announced, ..workload() }, closed(1, 1), PATIENCE);
        seen.observations[0].outcome.clone()
    };
    assert!(matches!(ask(50), Outcome::Expired(_)));
    assert!(matches!(ask(3_600_000), Outcome::Refused(_)));
}

#[test]
fn a_server_can_say_that_a_request_was_in_line() {
    let script = |_: &Arrived| {
        let body = r#"{"error":{"code":"deadline_exceeded"}}"#;
        let answer = String::from_utf8(whole(503, body)).expect("text");
        vec![Act::Write(answer.replacen("\r\n", "\r\nx-parkade-queue-ms: 90\r\n", 1).into_bytes())]
    };
    let seen = go(&Fake::start(script), workload(), closed(1, 1), PATIENCE);
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
    let mut target = Target::new(&fake.url, Api::Chat, PATIENCE).expect("a target");
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
    let seen = go(&nobody, workload(), closed(1, 1), PATIENCE);
    assert!(matches!(seen.observations[0].outcome, Outcome::Unreachable(_)));
}

#[test]
fn a_client_gives_up_when_its_patience_ends() {
    let fake = Fake::start(|_| vec![head(), text("a"), Act::AwaitGone]);
    let mut patience = ms(100);
    // On a busy machine the first piece may need more patience than that.
    let one = loop {
        let one = go(&fake, workload(), closed(1, 1), patience).observations.remove(0);
        assert_eq!(one.outcome, Outcome::Unanswered);
        assert!(one.latency() >= patience);
        if !one.pieces.is_empty() {
            break one;
        }
        patience *= 2;
    };
    assert_eq!(one.pieces.len(), 1, "what came before is kept");
}

#[test]
fn clients_that_vanish_close_their_connections_at_once() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&arrived);
    let fake = Fake::start(move |arrived| {
        counter.fetch_add(1, Ordering::SeqCst);
        match arrived.number % 2 {
            0 => vec![Act::AwaitGone],
            _ => vec![head(), text("a"), Act::AwaitGone],
        }
    });
    let asked = Workload { vanish_within: Some(ms(100)), ..workload() };
    let seen = go(&fake, asked, closed(8, 40), PATIENCE);
    assert_eq!(seen.observations.len(), 40);
    assert!(seen.observations.iter().all(|one| one.outcome == Outcome::Vanished));
    // On a busy machine some vanish before their request has come.
    let until = Instant::now() + PATIENCE;
    while fake.gone.load(Ordering::SeqCst) < arrived.load(Ordering::SeqCst) {
        assert!(Instant::now() < until, "{} of {arrived:?} are gone", fake.gone.load(Ordering::SeqCst));
        std::thread::sleep(ms(5));
    }
}

#[test]
fn an_open_loop_counts_the_wait_that_a_closed_loop_hides() {
    const REQUESTS: usize = 30;
    // A server that answers nobody before all have come: a closed loop would not even send the second one.
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&arrived);
    let fake = Fake::start(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        let arrived = Arc::clone(&counter);
        let all_are_here = move || arrived.load(Ordering::SeqCst) == REQUESTS;
        [vec![Act::Until(Box::new(all_are_here))], answer(2, ms(0))].into_iter().flatten().collect()
    });
    let plan = Plan { pace: Pace::Open(100.0), requests: Some(REQUESTS), sending: None };
    let seen = go(&fake, workload(), plan, PATIENCE);
    let last = seen.observations.iter().map(|one| one.intended).max().expect("requests");
    assert!(last > ms(100), "{last:?}");
    for one in &seen.observations {
        assert_eq!(one.outcome, Outcome::Completed);
        // From the moment for which it was planned, whenever it could be sent.
        assert!(one.ttft().expect("text") >= last - one.intended, "{one:?}");
    }
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
    let seen = go(&fake, workload(), plan, PATIENCE);
    assert!((140..270).contains(&seen.observations.len()), "{}", seen.observations.len());
    assert_eq!(arrived.load(Ordering::SeqCst), seen.observations.len());
    assert_eq!(seen.window, ms(1_000));
    let again = go(&fake, workload(), plan, PATIENCE);
    let moments = |run: &Run| run.observations.iter().map(|one| one.intended).collect::<Vec<_>>();
    assert_eq!(moments(&seen), moments(&again), "one seed, one plan");
}

#[test]
fn a_closed_loop_never_has_more_clients_than_it_should_and_keeps_them_all_busy() {
    const CLIENTS: usize = 3;
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let peak = Arc::clone(&most);
    let fake = Fake::start(move |arrived| {
        peak.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let (first, busy, ends) = (arrived.number < CLIENTS, Arc::clone(&peak), Arc::clone(&open));
        let mut acts = vec![Act::Until(Box::new(move || !first || busy.load(Ordering::SeqCst) == CLIENTS))];
        acts.extend(answer(1, ms(0)));
        // A client cannot know that it has been answered before the end is written.
        let leave = Act::Do(Box::new(move || {
            ends.fetch_sub(1, Ordering::SeqCst);
        }));
        acts.insert(acts.len() - 1, leave);
        acts
    });
    let seen = go(&fake, workload(), closed(CLIENTS, 30), PATIENCE);
    assert_eq!(seen.observations.len(), 30);
    assert!(seen.observations.iter().all(|one| one.outcome == Outcome::Completed));
    assert_eq!(most.load(Ordering::SeqCst), CLIENTS);
}
