//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::access::Identity;
use crate::generate::{AppState, ModelEntry};
use crate::http::{ApiError, Name};

fn card(model: &ModelEntry, id: &str) -> Value {
    json!({
        "id": id,
        "object": "model",
        "created": model.created,
        "owned_by": "parkade",
        // vLLM's names for the model behind an alias and for its context.
        "root": model.name,
        "max_model_len": model.config.context_length,
    })
}

pub(super) async fn list(State(state): State<AppState>, _: Identity) -> Json<Value> {
    let models = state.models();
    // One entry a model: aliases are found by name, but in a list they would look like more models.
    let cards: Vec<Value> = models.iter().map(|model| card(model, &model.name)).collect();
    Json(json!({"object": "list", "data": cards}))
}

pub(super) async fn retrieve(
    State(state): State<AppState>,
    _: Identity,
    Name(name): Name,
) -> Result<Json<Value>, ApiError> {
    let model = state.model(Some(&name))?;
    let id = if model.answers_to(&name) { &name } else { &model.name };
    Ok(Json(card(&model, id)))
}
