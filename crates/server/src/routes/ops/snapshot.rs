//! `GET /v1/metrics`: the engines' state as JSON, as of now.

use std::cmp::Reverse;

use axum::Json;
use axum::extract::State;
use parkade_core::EngineSnapshot;
use parkade_sync::Histogram;
use serde::Serialize;

use crate::access::Identity;
use crate::generate::{AppState, ModelEntry};
use crate::http::ApiError;

/// How many locks the page has.
const LOCKS: usize = 5;

/// The default model's figures at the top, and each model's in `models`.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    #[serde(flatten)]
    default: ModelFigures,
    uptime_seconds: u64,
    /// The most contended of the process, for those who may see all.
    #[serde(skip_serializing_if = "Option::is_none")]
    locks: Option<Vec<LockFigures>>,
    models: Vec<ModelFigures>,
}

/// What `/metrics` has as `parkade_lock_*`.
#[derive(Debug, Serialize)]
struct LockFigures {
    lock: &'static str,
    acquisitions: u64,
    contended: u64,
    wait_seconds: Durations,
    hold_seconds: Durations,
}

#[derive(Debug, Serialize)]
struct Durations {
    count: u64,
    sum: f64,
}

/// A model's name, what mistral.rs' endpoint had beside the scheduler's type and the workers, and the book of figures.
#[derive(Clone, Debug, Serialize)]
struct ModelFigures {
    model: String,
    queued_tasks: usize,
    available_capacity: usize,
    total_capacity: usize,
    capacity_unit: &'static str,
    #[serde(flatten)]
    figures: EngineSnapshot,
}

/// With API keys each sees what it has and has had here itself, as if it were alone; one that is an operator's sees all, as everybody does where
/// there are no keys.
pub(crate) async fn json(State(state): State<AppState>, identity: Identity) -> Result<Json<Page>, ApiError> {
    let first = state.model(None)?;
    let figures = |model: &ModelEntry| ModelFigures::of(model, state.is_draining(), &identity);
    let models = state.models().iter().map(|model| figures(model)).collect();
    let locks = identity.confined_to().is_none().then(most_contended);
    Ok(Json(Page { default: figures(&first), uptime_seconds: state.uptime().as_secs(), locks, models }))
}

/// The locks that threads waited for most often, at most five.
fn most_contended() -> Vec<LockFigures> {
    let durations = |all: &Histogram| Durations { count: all.count(), sum: all.sum.as_secs_f64() };
    let mut locks = parkade_sync::locks();
    locks.sort_by_key(|lock| Reverse(lock.contended));
    let figures = locks.iter().take(LOCKS).map(|lock| LockFigures {
        lock: lock.name,
        acquisitions: lock.acquired,
        contended: lock.contended,
        wait_seconds: durations(&lock.wait),
        hold_seconds: durations(&lock.hold),
    });
    figures.collect()
}

impl ModelFigures {
    fn of(model: &ModelEntry, server_drains: bool, identity: &Identity) -> Self {
        let mut figures = match identity.confined_to() {
            Some(tenant) => model.engine.snapshot_of(tenant),
            None => model.engine.snapshot(),
        };
        figures.draining |= server_drains;
        ModelFigures {
            model: model.name.clone(),
            queued_tasks: figures.requests.waiting,
            available_capacity: figures.kv_blocks.available,
            total_capacity: figures.kv_blocks.total,
            capacity_unit: "kv_blocks",
            figures,
        }
    }
}
