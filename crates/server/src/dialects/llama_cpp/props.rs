//! `GET /props` and `GET /slots`: what the server is like, and what it does. A slot is room for one sequence.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::parse::defaults;
use super::settings;
use crate::access::Identity;
use crate::generate::AppState;
use crate::http::{ApiError, Retry};

/// The default model, and what it answers with if a request does not say otherwise.
pub(super) async fn props(State(state): State<AppState>, _: Identity) -> Result<Json<Value>, ApiError> {
    let model = state.model(None)?;
    let tokenizer = &model.tokenizer;
    let spelled = |id: Option<_>| id.map_or("", |id| tokenizer.token_text(id));
    let template = model.template.as_ref().and_then(|template| template.source(false)).unwrap_or_default();
    Ok(Json(json!({
        "default_generation_settings": {
            "n_ctx": model.config.context_length,
            "params": settings::of_sampling(&model.defaults.over(&defaults())),
        },
        "total_slots": model.engine.snapshot().sequences.limit,
        "model_alias": model.name,
        "model_path": model.file_name,
        "modalities": {"vision": false, "audio": false},
        "chat_template": template,
        "bos_token": spelled(tokenizer.bos()),
        "eos_token": spelled(tokenizer.eos()),
        "build_info": concat!("parkade ", env!("CARGO_PKG_VERSION")),
        "is_sleeping": false,
    })))
}

/// Room for sequences, and how much of it is taken: with API keys by the asker's own, unless it is an operator.
pub(super) async fn slots(State(state): State<AppState>, identity: Identity) -> Result<Json<Value>, ApiError> {
    if !state.config().slots {
        let message = "this server does not tell of its slots; its operator may allow it with --slots true";
        return Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "slots_not_told", message, Retry::Never));
    }
    let model = state.model(None)?;
    let figures = match identity.confined_to() {
        Some(tenant) => model.engine.snapshot_of(tenant),
        None => model.engine.snapshot(),
    };
    let slot = |id: usize| {
        json!({
            "id": id,
            "n_ctx": model.config.context_length,
            "speculative": false,
            "is_processing": id < figures.sequences.running,
        })
    };
    Ok(Json((0..figures.sequences.limit).map(slot).collect()))
}
