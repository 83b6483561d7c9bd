//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::Json;
use axum::extract::State;
use parkade_core::TaskKind;
use serde_json::{Value, json};

use crate::access::Identity;
use crate::generate::{AppState, ModelEntry};
use crate::http::{ApiError, Name};

fn card(model: &ModelEntry, id: &str) -> Value {
    let config = &model.config;
    json!({
        "id": id,
        "object": "model",
        "created": model.created,
        "owned_by": "parkade",
        // vLLM's names for the model behind an alias and for its context.
        "root": model.root,
        "max_model_len": config.context_length,
        // That of OpenRouter and of LM Studio for the context.
        "context_length": config.context_length,
        "aliases": model.given_aliases,
        "capabilities": capabilities(model),
        // llama.cpp's.
        "meta": {
            "architecture": config.architecture,
            "n_vocab": config.vocab,
            "n_ctx": config.context_length,
            "n_ctx_train": config.trained_context,
            "n_embd": config.embedding,
            "n_layer": config.layers,
        },
    })
}

/// What a model can be asked for.
fn capabilities(model: &ModelEntry) -> Vec<&'static str> {
    let template = model.template.as_ref();
    let has_tools = template.is_some_and(|template| template.uses(true).is_ok_and(|uses| uses.tools));
    match model.engine.task() {
        TaskKind::Embed => vec!["embedding"],
        TaskKind::Rank => vec!["rerank"],
        TaskKind::Generate => [
            ("completion", true),
            ("chat", template.is_some()),
            ("tools", has_tools),
            ("insert", model.tokenizer.fill_in().is_some()),
        ]
        .into_iter()
        .filter_map(|(name, can)| can.then_some(name))
        .collect(),
    }
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
