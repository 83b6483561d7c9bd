//! `GET /v1/metrics`: the engines' state as JSON, as of now.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use parkade_core::EngineSnapshot;
use serde_json::{Map, Value, json};

use crate::access::Identity;
use crate::generate::{AppState, ModelEntry};
use crate::http::ApiError;

/// The default model's figures at the top, and each model's in `models`. Capacities are KV blocks.
///
/// With API keys each sees what it has and has had here itself, as if it were alone; one that is an operator's sees all, as everybody does where
/// there are no keys.
pub(crate) async fn json(State(state): State<AppState>, identity: Identity) -> Result<Json<Value>, ApiError> {
    let first = state.model(None)?;
    let figures = |model: &ModelEntry, drains| figures(model, drains, &identity);
    let mut page = figures(&first, state.is_draining());
    page.insert("uptime_seconds".to_owned(), json!(state.uptime().as_secs()));
    let models = state.models().iter().map(|model| Value::Object(figures(model, state.is_draining()))).collect();
    page.insert("models".to_owned(), models);
    Ok(Json(Value::Object(page)))
}

fn figures(model: &ModelEntry, server_drains: bool, identity: &Identity) -> Map<String, Value> {
    let now: EngineSnapshot = match identity.confined_to() {
        Some(tenant) => model.engine.snapshot_of(tenant),
        None => model.engine.snapshot(),
    };
    let totals = now.totals.map(|totals| {
        json!({
            "submitted": totals.submitted,
            "refused": totals.refused,
            "completed": totals.completed,
            "failed": totals.failed,
            "cancelled": totals.cancelled,
            "expired": totals.expired,
            "parkings": totals.parkings,
            "preempted": totals.preempted,
            "resumed": totals.resumed,
        })
    });
    let page = json!({
        "model": model.name,
        "scheduler_type": now.scheduler,
        "active_workers": now.active_workers,
        "queued_tasks": now.waiting,
        "available_capacity": now.blocks_available,
        "total_capacity": now.blocks_total,
        "capacity_unit": "kv_blocks",
        "draining": now.draining || server_drains,
        "requests": {
            "waiting": now.waiting,
            "running": now.running,
            "parked": now.parked,
            "paused": now.paused,
        },
        "sequences": {"running": now.running_seqs, "limit": now.max_seqs},
        "max_queue_depth": now.max_queue_depth,
        "kv_blocks": {
            "tokens_each": now.block_len,
            "total": now.blocks_total,
            "used": now.blocks_used,
            "cached": now.blocks_cached,
            "free": now.blocks_free,
            "promised": now.blocks_promised,
        },
        "rates": {
            "prefill_tokens_per_second": rounded(now.prefill_rate),
            "decode_tokens_per_second": rounded(now.decode_rate),
        },
        "classes": classes(&now),
        "tenants": tenants(&now),
        "totals": totals,
    });
    match page {
        Value::Object(page) => page,
        _ => Map::new(),
    }
}

/// By class.
fn classes(now: &EngineSnapshot) -> Map<String, Value> {
    now.classes
        .iter()
        .map(|class| {
            let figures = json!({
                "waiting": class.waiting,
                "waiting_tokens": class.waiting_tokens,
                "running": class.running,
                "parked": class.parked,
            });
            (class.class.name().to_owned(), figures)
        })
        .collect()
}

/// By tenant.
fn tenants(now: &EngineSnapshot) -> Map<String, Value> {
    now.tenants
        .iter()
        .map(|tenant| {
            let figures = json!({
                "waiting": tenant.waiting,
                "waiting_tokens": tenant.waiting_tokens,
                "active": tenant.active,
            });
            (tenant.name.clone(), figures)
        })
        .collect()
}

/// To a tenth: more digits are noise.
fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

/// Whole milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
