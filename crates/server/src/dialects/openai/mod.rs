//! OpenAI's completions: bodies are read and checked by hand, answers are written with serde.

mod encode;
mod error;
mod parse;
pub(crate) mod service_tier;

use axum::Router;
use axum::routing::post;
use encode::{Chat, Completions};

use super::Dialect;
use crate::generate::{AppState, complete};

/// OpenAI's API.
pub(crate) const DIALECT: Dialect = Dialect {
    prefix: "/",
    routes,
    endpoints: &["POST /v1/chat/completions", "POST /v1/completions"],
    error_body: error::envelope,
};

fn routes() -> Router<AppState> {
    let routes = Router::new()
        .route("/chat/completions", post(complete::<Chat>))
        .route("/completions", post(complete::<Completions>));
    // For clients whose base URL lacks it.
    Router::new().nest("/v1", routes.clone()).merge(routes)
}
