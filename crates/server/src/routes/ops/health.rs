//! `GET /health`, `GET /health/ready` and `GET /version`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::generate::AppState;
use crate::http::ApiError;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The process is alive: 200 from the moment that the port is open, and 503 when only a restart helps.
pub(crate) async fn live(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    if state.has_died() {
        return Err(ApiError::engine_stopped());
    }
    let models: Vec<String> = state.models().iter().map(|model| model.name.clone()).collect();
    Ok(Json(json!({
        "status": "ok",
        "version": VERSION,
        "uptime_seconds": state.uptime().as_secs(),
        "ready": state.ready().is_ok(),
        "models": models,
    })))
}

/// A request would be taken: 503 while the model is loaded and while the server drains.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    state.ready()?;
    Ok(Json(json!({"status": "ready"})))
}

pub(crate) async fn version() -> Json<Value> {
    Json(json!({"version": VERSION}))
}
