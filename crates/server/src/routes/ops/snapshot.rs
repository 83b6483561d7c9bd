//! `GET /v1/metrics`: the engines' state as JSON, as of now.

use axum::Json;
use axum::extract::State;
use parkade_core::EngineSnapshot;
use serde::Serialize;

use crate::access::Identity;
use crate::generate::{AppState, ModelEntry};
use crate::http::ApiError;

/// The default model's figures at the top, and each model's in `models`.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    #[serde(flatten)]
    default: ModelFigures,
    uptime_seconds: u64,
    models: Vec<ModelFigures>,
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
    Ok(Json(Page { default: figures(&first), uptime_seconds: state.uptime().as_secs(), models }))
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
