//! `/metrics` and `/v1/metrics`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use parkade_core::{EngineConfig, SchedulerKind};
use parkade_server::{ModelEntry, ServerConfig, router};
use serde_json::json;

use crate::support::{COMPLETIONS, get, model_with, post, state_over};
#[cfg(feature = "parking-lot-scheduler")]
use {
    crate::lot::{fill, lot, waiting},
    crate::support::{PATIENCE, parts, read_to_end, start_over, wire_get, wire_post},
    serde_json::Value,
    std::time::{Duration, Instant},
    tokio::io::AsyncWriteExt,
};

fn schedulers() -> Vec<EngineConfig> {
    let mut kinds = vec![SchedulerKind::Default];
    if cfg!(feature = "parking-lot-scheduler") {
        kinds.push(SchedulerKind::ParkingLot);
    }
    kinds.into_iter().map(|scheduler| EngineConfig { scheduler, ..EngineConfig::default() }).collect()
}

/// promtool's own rules want no colons in names; vLLM's have one, and are what inference gateways read.
fn check(page: &str) {
    let own: String = page.split_inclusive('\n').filter(|line| !line.contains("vllm:")).collect();
    let promtool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut promtool = promtool.expect("promtool (Debian: apt-get install prometheus; `make setup` does it)");
    promtool.stdin.take().expect("a pipe").write_all(own.as_bytes()).expect("writable");
    let said = promtool.wait_with_output().expect("an end");
    assert!(said.status.success(), "{}\n{page}", String::from_utf8_lossy(&said.stderr));
}

#[tokio::test]
async fn promtool_accepts_the_page_of_one_model_and_of_two() {
    for engine in schedulers() {
        let (state, _) = state_over(ServerConfig::default(), engine.clone());
        let api = router(state.clone());
        assert_eq!(post(&api, COMPLETIONS, &json!({"prompt": "a", "max_tokens": 2})).await.status, 200);
        let page = get(&api, "/metrics").await.text;
        check(&page);
        assert!(page.contains("\nparkade_num_requests_running 0\n"), "{page}");
        let second = model_with(engine);
        let second = ModelEntry::new("second", second.engine, second.tokenizer, None, second.config);
        state.set_model(second);
        let page = get(&api, "/metrics").await.text;
        check(&page);
        for model in ["tiny", "second"] {
            assert!(page.contains(&format!("\nparkade_num_requests_running{{model=\"{model}\"}} 0\n")), "{page}");
        }
        assert!(page.contains("parkade_generation_tokens_total{model=\"second\"} 0"), "{page}");
        // What is the process' own is there once, and no model's.
        for start in ["parkade_build_info{version=", "parkade_lock_acquisitions_total{lock=\"pool.policy\"} "] {
            assert_eq!(page.lines().filter(|line| line.starts_with(start)).count(), 1, "{start}: {page}");
        }
        assert!(page.contains("parkade_generation_tokens_total{model=\"tiny\"} 2"), "{page}");
    }
}

/// What the endpoint picker of the Gateway API's inference extension reads, by the names that it knows.
#[tokio::test]
async fn a_gateway_finds_the_load_of_each_model_under_vllms_names() {
    let (state, _) = state_over(ServerConfig::default(), EngineConfig::default());
    let api = router(state.clone());
    let second = model_with(EngineConfig::default());
    state.set_model(ModelEntry::new("second", second.engine, second.tokenizer, None, second.config));
    let (page, json) = (get(&api, "/metrics").await.text, get(&api, "/v1/metrics").await.json());
    let blocks = &json["models"][0]["kv_blocks"];
    let (total, each) =
        (blocks["total"].as_u64().expect("a number"), blocks["tokens_each"].as_u64().expect("a number"));
    let cache = format!("block_size=\"{each}\",engine=\"0\",kv_cache_size_tokens=\"{}\"", total * each);
    for line in [
        "vllm:num_requests_waiting{engine=\"0\",model_name=\"tiny\"} 0",
        "vllm:num_requests_waiting{engine=\"1\",model_name=\"second\"} 0",
        "vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 0",
        "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"tiny\"} 0.0",
        &format!("vllm:cache_config_info{{{cache},num_gpu_blocks=\"{total}\"}} 1"),
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "{line} is not in {page}");
        let name = line.split('{').next().expect("a name");
        assert_eq!(page.matches(&format!("# TYPE {name} gauge\n")).count(), 1, "{page}");
    }
    let first = page.find("vllm:num_requests_waiting{").expect("there");
    assert!(page[first..].starts_with("vllm:num_requests_waiting{engine=\"0\""), "the picker takes the first sample");
}

#[tokio::test]
async fn the_json_twin_is_live() {
    for engine in schedulers() {
        let name = engine.scheduler.name();
        let (state, _) = state_over(ServerConfig::default(), engine);
        let api = router(state.clone());
        assert_eq!(post(&api, COMPLETIONS, &json!({"prompt": "a", "max_tokens": 2, "user": "ada"})).await.status, 200);
        let page = get(&api, "/v1/metrics").await.json();
        assert_eq!(page["scheduler_type"], name);
        assert_eq!((&page["active_workers"], &page["queued_tasks"]), (&json!(1), &json!(0)));
        assert_eq!(page["capacity_unit"], "kv_blocks");
        assert_eq!(page["total_capacity"], page["available_capacity"]);
        assert!(page["total_capacity"].as_u64().is_some_and(|blocks| blocks > 0));
        assert_eq!(page["draining"], false);
        assert_eq!(page["models"][0]["model"], "tiny");
        assert_eq!(page["totals"]["completed"], 1, "{page}");
        if name == "parking-lot" {
            assert_eq!(page["classes"]["normal"]["running"], 0);
        }
        state.begin_drain();
        assert_eq!(get(&api, "/v1/metrics").await.json()["draining"], true);
    }
}

/// One name for one thing: what `/v1/metrics` has under a key, `/metrics` has under the name beside it.
#[tokio::test]
async fn both_pages_are_views_of_one_book() {
    for engine in schedulers() {
        let (state, _) = state_over(ServerConfig::default(), engine);
        let api = router(state);
        for prompt in ["a", "b", "a long one"] {
            let body = json!({"prompt": prompt, "max_tokens": 3, "user": "ada"});
            assert_eq!(post(&api, COMPLETIONS, &body).await.status, 200);
        }
        // The last answer may be there before its request is gone.
        let mut json = get(&api, "/v1/metrics").await.json();
        while json["totals"]["completed"] != 3 {
            json = get(&api, "/v1/metrics").await.json();
        }
        let page = get(&api, "/metrics").await.text;
        let pairs = [
            ("/active_workers", "active_workers"),
            ("/max_queue_depth", "max_queue_depth"),
            ("/requests/waiting", "num_requests_waiting"),
            ("/requests/running", "num_requests_running"),
            ("/requests/parked", "num_requests_parked"),
            ("/requests/paused", "num_requests_paused"),
            ("/sequences/running", "num_sequences_running"),
            ("/sequences/limit", "num_sequences_limit"),
            ("/kv_blocks/total", "kv_blocks"),
            ("/kv_blocks/tokens_each", "kv_blocks_tokens_each"),
            ("/kv_blocks/free", "kv_blocks_free"),
            ("/kv_blocks/cached", "kv_blocks_cached"),
            ("/kv_blocks/available", "kv_blocks_available"),
            ("/available_capacity", "kv_blocks_available"),
            ("/queued_tasks", "num_requests_waiting"),
            ("/totals/submitted", "lot_requests_total{outcome=\"submitted\"}"),
            ("/totals/completed", "lot_requests_total{outcome=\"completed\"}"),
            ("/totals/preemptions", "num_preemptions_total"),
            ("/totals/class_preemptions", "num_class_preemptions_total"),
            ("/totals/resumptions", "num_resumptions_total"),
            ("/work/admissions", "num_admissions_total"),
            ("/work/prompt_tokens", "prompt_tokens_total"),
            ("/work/generation_tokens", "generation_tokens_total"),
            ("/work/steps", "engine_steps_total"),
        ];
        for (pointer, name) in pairs {
            let value = json.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in {json}"));
            let line = format!("\nparkade_{name} {value}\n");
            assert!(page.contains(&line), "{pointer}: {line:?} is not in {page}");
        }
        assert_eq!((&json["work"]["admissions"], &json["work"]["generation_tokens"]), (&json!(3), &json!(9)));
    }
}

#[tokio::test]
async fn the_lock_that_is_fought_over_is_seen_in_both_pages() {
    let (state, _) = state_over(ServerConfig::default(), EngineConfig::default());
    let api = router(state);
    let lock = &parkade_sync::Mutex::new("tests.fought_over", ());
    let mut fights = 0;
    // Until it is among the five: those of other tests are in the same process.
    let seen = loop {
        fights += 1;
        let held = lock.lock();
        std::thread::scope(|scope| {
            let limit = std::time::Duration::from_millis(1);
            scope.spawn(move || assert!(lock.try_lock_for(limit).is_none()));
        });
        drop(held);
        let json = get(&api, "/v1/metrics").await.json();
        let locks = json["locks"].as_array().expect("locks");
        assert_eq!(locks.len(), 5, "{json}");
        let contended = |lock: &serde_json::Value| lock["contended"].as_u64().expect("a count");
        assert!(locks.is_sorted_by_key(|lock| std::cmp::Reverse(contended(lock))), "{json}");
        if let Some(seen) = locks.iter().find(|lock| lock["lock"] == "tests.fought_over") {
            break seen.clone();
        }
    };
    assert_eq!((&seen["acquisitions"], &seen["contended"]), (&json!(fights), &json!(fights)));
    assert_eq!(seen["wait_seconds"]["count"], fights);
    assert!(seen["wait_seconds"]["sum"].as_f64().is_some_and(|sum| sum >= 0.001), "{seen}");

    let page = get(&api, "/metrics").await.text;
    for (line, value) in [
        ("acquisitions_total{", fights),
        ("contended_total{", fights),
        ("wait_seconds_count{", fights),
        ("wait_seconds_bucket{le=\"0.001\",", 0),
        ("wait_seconds_bucket{le=\"+Inf\",", fights),
    ] {
        let line = format!("\nparkade_lock_{line}lock=\"tests.fought_over\"}} {value}\n");
        assert!(page.contains(&line), "{line:?} is not in {page}");
    }
    let holds = page.lines().find(|line| line.starts_with("parkade_lock_hold_seconds_sum{lock=\"tests.fought_over\"}"));
    let seconds: f64 = holds.and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a sum");
    assert!(seconds >= 0.001, "{page}");
}

/// What the ancestor's endpoint never showed: it returned constants.
#[cfg(feature = "parking-lot-scheduler")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_pages_show_what_runs_and_what_waits_while_it_does() {
    let server = start_over(ServerConfig::default(), lot(40)).await;
    let held = fill(&server, 40, "").await;
    let body = json!({"prompt": "hello", "max_tokens": 4, "user": "ada", "service_tier": "flex"});
    let mut waiter = server.connect().await;
    waiter.write_all(&wire_post(COMPLETIONS, "connection: close\r\n", &body)).await.expect("writable");
    waiting(&server, 1).await;
    // The first step may not have ended yet.
    let until = Instant::now() + PATIENCE;
    while server.engine.snapshot().sequences.running < 40 {
        assert!(Instant::now() < until, "it never ran: {:?}", server.engine.snapshot());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let page = server.exchange(&wire_get("/v1/metrics", "")).await;
    let now: Value = serde_json::from_str(parts(&page).2).expect("JSON");
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} in {now}"));
    assert_eq!((number(&now["queued_tasks"]), number(&now["requests"]["running"])), (1, 1));
    assert!(number(&now["available_capacity"]) < number(&now["total_capacity"]), "{now}");
    // What is promised is not available either.
    let given = number(&now["kv_blocks"]["promised"]).max(number(&now["kv_blocks"]["used"]));
    assert!(number(&now["total_capacity"]) - number(&now["available_capacity"]) >= given, "{now}");
    assert_eq!(number(&now["sequences"]["running"]), 40);
    assert_eq!((number(&now["classes"]["low"]["waiting"]), number(&now["classes"]["normal"]["running"])), (1, 1));
    assert_eq!((number(&now["tenants"]["ada"]["waiting"]), number(&now["tenants"]["anonymous"]["active"])), (1, 1));
    assert!(number(&now["classes"]["low"]["waiting_tokens"]) > 0, "{now}");
    let page = server.exchange(&wire_get("/metrics", "")).await;
    for line in [
        "parkade_num_requests_running 1",
        "parkade_num_requests_waiting 1",
        "parkade_num_admissions_total 1",
        "parkade_class_requests{class=\"low\",state=\"waiting\"} 1",
        "parkade_class_requests{class=\"normal\",state=\"running\"} 1",
        "parkade_tenant_requests{tenant=\"ada\",state=\"waiting\"} 1",
        "parkade_tenant_requests{tenant=\"anonymous\",state=\"active\"} 1",
        "vllm:num_requests_waiting{engine=\"0\",model_name=\"tiny\"} 1",
        "vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 1",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "{line} is not in {page}");
    }
    drop(held);
    assert!(read_to_end(&mut waiter).await.starts_with("HTTP/1.1 200"));
    server.idle().await;
}

#[cfg(feature = "parking-lot-scheduler")]
#[tokio::test]
async fn classes_have_gauges_and_the_lot_its_sums() {
    let engine = EngineConfig { scheduler: SchedulerKind::ParkingLot, ..EngineConfig::default() };
    let api = router(state_over(ServerConfig::default(), engine).0);
    assert_eq!(post(&api, COMPLETIONS, &json!({"prompt": "a", "max_tokens": 2})).await.status, 200);
    let page = get(&api, "/metrics").await.text;
    for line in [
        "parkade_class_requests{class=\"low\",state=\"parked\"} 0",
        "parkade_class_requests{class=\"critical\",state=\"waiting\"} 0",
        "parkade_lot_requests_total{outcome=\"submitted\"} 1",
        "parkade_lot_requests_total{outcome=\"completed\"} 1",
        "parkade_num_resumptions_total 0",
        "parkade_num_class_preemptions_total 0",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
}
