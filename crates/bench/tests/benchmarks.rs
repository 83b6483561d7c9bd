//! Whole benchmarks against fake servers.

#[allow(dead_code, reason = "each test file uses its part of the fake")]
mod fake;

use clap::{Args, FromArgMatches};
use fake::{Act, Arrived, Fake, answer, overloaded};
use parkade_bench::{BenchError, overload, report::Report, serve};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn options<T: Args + FromArgMatches>(line: &str) -> T {
    let command = T::augment_args(clap::Command::new("bench").no_binary_name(true));
    let matches = command.try_get_matches_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
    T::from_arg_matches(&matches).expect("options")
}

fn serve(line: &str) -> Result<Report, BenchError> {
    serve::run(options(line))
}

fn overload(line: &str) -> Result<Report, BenchError> {
    overload::run(options(line))
}

/// A server with `places` at 10 ms a token; it refuses at once when all are taken.
fn small_server(places: usize, retry_after: Option<u32>) -> impl Fn(&Arrived) -> Vec<Act> + Send + Sync + 'static {
    let start = Instant::now();
    let busy_until: Arc<Vec<AtomicU64>> = Arc::new((0..places).map(|_| AtomicU64::new(0)).collect());
    move |arrived| {
        let tokens = arrived.body["max_tokens"].as_u64().expect("max_tokens");
        let now = start.elapsed().as_millis() as u64;
        // Requests are looked at one after the other, on the fake's one thread.
        match busy_until.iter().find(|until| until.load(Ordering::SeqCst) <= now) {
            Some(place) => {
                place.store(now + 10 * tokens, Ordering::SeqCst);
                answer(tokens as usize, Duration::from_millis(9))
            }
            None => overloaded(retry_after),
        }
    }
}

/// A server that refuses all but each `nth` request.
fn picky_server(nth: usize, retry_after: Option<u32>) -> impl Fn(&Arrived) -> Vec<Act> + Send + Sync + 'static {
    move |arrived| match arrived.number % nth {
        0 => answer(4, Duration::ZERO),
        _ => overloaded(retry_after),
    }
}

#[test]
fn two_servers_are_measured_in_turn_and_compared() {
    let fast = Fake::start(|_| answer(8, Duration::ZERO));
    let slow = Fake::start(|_| answer(8, Duration::from_millis(12)));
    let line =
        format!("--url slow={} --url fast={} --rounds 3 --requests 6 --output-tokens 8 --seed 5", slow.url, fast.url);
    let report = serve(&line).expect("a report");
    assert_eq!(report.seed, Some(5));
    assert_eq!(report.value("completed"), Some(18.0));
    assert_eq!(report.value("peer1_completed"), Some(18.0));
    // By how much depends on the machine.
    assert!(report.value("peer1_output_tokens_ratio").is_some_and(|ratio| ratio > 0.0), "{:?}", report.figures);
    let text = report.to_text();
    for wanted in ["slow", "fast", "whole answer", "machine", "seed      5", "output tok/s"] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
}

#[test]
fn prompts_have_the_wanted_number_of_tokens_as_the_server_counts() {
    // The fake's probes count ten tokens of template and one a word.
    let fake = Fake::start(|arrived| {
        let words = arrived.body["messages"][0]["content"].as_str().expect("a prompt").split(' ').count();
        let mut acts = answer(1, Duration::ZERO);
        let last = acts.len() - 1;
        acts[last] = fake::end(10 + words, 1);
        acts
    });
    let report = serve(&format!("--url {} --requests 4 --prompt-tokens 100", fake.url)).expect("a report");
    let row = &report.to_json()["tables"][0]["rows"][0];
    assert_eq!(row[7], json!(100.0), "{row}");
}

#[test]
fn slo_and_classes_are_in_the_report() {
    // Whoever is not urgent waits until all of the others have been answered, and longer than the objective.
    let slo = Duration::from_millis(2_000);
    let fake = Fake::start(move |arrived| match arrived.body["service_tier"].as_str() {
        Some("priority") => answer(2, Duration::ZERO),
        _ => [vec![Act::Wait(slo)], answer(2, Duration::ZERO)].into_iter().flatten().collect(),
    });
    let line =
        format!("--url {} --requests 20 --concurrency 20 --priority high=1,normal=1 --slo-ttft-ms 2000", fake.url);
    let report = serve(&line).expect("a report");
    let json = report.to_json();
    let classes: Vec<&str> =
        json["tables"][1]["rows"].as_array().expect("rows").iter().filter_map(|row| row[1].as_str()).collect();
    assert!(classes.contains(&"high") && classes.contains(&"normal") && classes.contains(&"all"));
    let outcomes = &json["tables"][2]["rows"][0];
    let (completed, good) = (outcomes[2].as_u64(), outcomes[3].as_u64());
    assert_eq!(completed, Some(20));
    assert!(good < completed, "{outcomes}");
}

#[test]
fn a_server_that_is_not_there_is_an_error_with_its_address() {
    let error = serve("--url http://127.0.0.1:1").expect_err("nobody listens").to_string();
    assert!(error.contains("http://127.0.0.1:1") && error.contains("no connection"), "{error}");
    assert!(serve("--url http://127.0.0.1:1 --rate 0").expect_err("no rate").to_string().contains("--rate is 0"));
}

#[test]
fn overload_finds_the_capacity() {
    // Two places of 40 ms: 50 requests a second, or fewer on a busy machine.
    let fake = Fake::start(small_server(2, Some(1)));
    let line = format!(
        "--url {} --seconds 0.5 --warmup-seconds 0.1 --loads 0.5 --baseline-requests 2 --capacity-seconds 0.8 --output-tokens 4",
        fake.url
    );
    let report = overload(&line).expect("a report");
    let capacity = report.value("capacity").expect("measured");
    assert!(capacity > 0.0 && capacity < 100.0, "{capacity}");
}

#[test]
fn overload_sees_kept_promises() {
    let fake = Fake::start(picky_server(4, Some(1)));
    let line = format!(
        "--url {} --seconds 1.5 --warmup-seconds 0.2 --loads 0.5,4 --baseline-requests 5 --capacity 50 \
         --output-tokens 4 --server-pid {} --seed 3 --alone",
        fake.url,
        std::process::id()
    );
    let report = overload(&line).expect("a report");
    assert_eq!(report.value("load_4_not_exactly_one_outcome"), Some(0.0));
    assert_eq!(report.value("load_4_retry_after_share"), Some(1.0));
    assert!(report.value("resident_growth").is_some());
    assert!(report.to_html().contains("<svg"));
    assert!(report.value("load_4_alone_ttft_p99_ms").is_some());
    let text = report.to_text();
    assert!(text.contains("x alone") && text.contains("Outcomes of the high class"), "{text}");
    assert!(report.value("load_4_high_completed").is_some_and(|share| (0.0..1.0).contains(&share)));
    let met = |what: &str| report.checks.iter().find(|check| check.what == what).map(|check| check.met);
    assert_eq!(met("4x: refusals with Retry-After"), Some(true));
    assert_eq!(met("4x: requests without exactly one outcome"), Some(true));
}

#[test]
fn overload_sees_broken_promises() {
    let refuses = picky_server(2, None);
    let fake = Fake::start(move |arrived| match arrived.number % 5 {
        // Some streams are cut.
        4 => vec![fake::head(), fake::text("a")],
        _ => refuses(arrived),
    });
    let line = format!(
        "--url {} --seconds 1 --warmup-seconds 0.1 --loads 4 --capacity 50 --baseline-requests 3 --output-tokens 4",
        fake.url
    );
    let report = overload(&line).expect("a report");
    let check = |what: &str| report.checks.iter().find(|check| check.what == what).expect("the check");
    assert!(!check("4x: requests without exactly one outcome").met);
    assert!(!check("4x: refusals with Retry-After").met);
}

#[test]
fn a_tenant_that_is_drowned_is_seen() {
    let refuses = |drowned: &'static str| {
        move |arrived: &Arrived| {
            if arrived.body["user"] == drowned { overloaded(Some(1)) } else { answer(4, Duration::ZERO) }
        }
    };
    let line = |fake: &Fake| {
        format!(
            "--url {} --scenario tenant-flood --seconds 2 --warmup-seconds 0 --capacity 40 --flood 20 --output-tokens 4",
            fake.url
        )
    };
    // The flood wins.
    let report = overload(&line(&Fake::start(refuses("tenant-1")))).expect("a report");
    let worst = report.value("worst_tenant_to_fair_share").expect("measured");
    assert!(worst < 0.9, "{worst}");
    assert!(!report.checks[0].met);

    // It does not.
    let report = overload(&line(&Fake::start(refuses("flood")))).expect("a report");
    assert!(report.checks[0].met, "{:?}", report.checks);
}

#[test]
fn what_vanished_clients_leave_behind_is_seen() {
    let script = |_: &Arrived| vec![Act::AwaitGone];
    let clean =
        "parkade_num_requests_running 0\nparkade_num_requests_waiting 0\nparkade_kv_blocks_used 0\n".to_string();
    let all_free = json!({"queued_tasks": 0, "available_capacity": 9, "total_capacity": 9, "active_workers": 1});
    let line = |fake: &Fake, settle: &str| {
        format!(
            "--url {} --scenario vanish --clients 10 --seconds 1 --warmup-seconds 0 --vanish-within-seconds 0.2 --settle-seconds {settle}",
            fake.url
        )
    };
    let good = Fake::with_metrics(script, clean.clone(), all_free);
    let report = overload(&line(&good, "60")).expect("a report");
    assert!(report.checks.iter().all(|check| check.met), "{:?}", report.checks);

    let lost = json!({"queued_tasks": 0, "available_capacity": 8, "total_capacity": 9});
    let bad = Fake::with_metrics(script, clean.replace("used 0", "used 3"), lost);
    let report = overload(&line(&bad, "0.3")).expect("a report");
    let failed: Vec<&str> = report.checks.iter().filter(|check| !check.met).map(|check| check.what.as_str()).collect();
    assert_eq!(
        failed,
        [
            "seconds until nothing was held",
            "KV blocks held at the end",
            "total_capacity - available_capacity at the end"
        ]
    );
}

#[test]
fn a_program_that_is_no_server_is_said_with_its_last_words() {
    let error = overload("--server-bin /bin/ls").expect_err("no server").to_string();
    assert!(error.contains("/bin/ls serve") && error.contains("ended with"), "{error}");
    assert!(
        overload("--server-bin /no/such/program").expect_err("no program").to_string().contains("/no/such/program")
    );
}
