//! `/metrics` and `/v1/metrics`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use parkade_core::{EngineConfig, SchedulerKind};
use parkade_server::{ModelEntry, ServerConfig, router};
use serde_json::json;

use crate::support::{COMPLETIONS, get, model_with, post, state_over};

fn schedulers() -> Vec<EngineConfig> {
    let mut kinds = vec![SchedulerKind::Default];
    if cfg!(feature = "parking-lot-scheduler") {
        kinds.push(SchedulerKind::ParkingLot);
    }
    kinds.into_iter().map(|scheduler| EngineConfig { scheduler, ..EngineConfig::default() }).collect()
}

fn check(page: &str) {
    let promtool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut promtool = promtool.expect("promtool (Debian: apt-get install prometheus; `make setup` does it)");
    promtool.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("writable");
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
        assert!(page.contains("parkade_generation_tokens_total{model=\"tiny\"} 2"), "{page}");
    }
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
        if name == "parking-lot" {
            assert_eq!(page["totals"]["completed"], 1, "{page}");
            assert_eq!(page["classes"]["normal"]["running"], 0);
        }
        state.begin_drain();
        assert_eq!(get(&api, "/v1/metrics").await.json()["draining"], true);
    }
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
