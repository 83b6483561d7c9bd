//! OpenAI's Responses: chats whose answers are kept and can be continued.
//!
//! | file | subject |
//! | --- | --- |
//! | `parse.rs` | from a body to a request for the engine |
//! | `input.rs` | items of input, as chat templates have them |
//! | `tools.rs` | functions and which of them are called |
//! | `settings.rs` | what a response repeats of its request |
//! | `items.rs` | items of output |
//! | `response.rs` | a response at any moment |
//! | `encode.rs` | answers, whole and streamed |
//! | `writer.rs` | the events of a streamed answer |
//! | `keep.rs` | what is kept of an answer |
//! | `kept.rs` | asking for it, cancelling and deleting it |

mod encode;
mod input;
mod items;
mod keep;
mod kept;
mod parse;
mod response;
mod settings;
mod tools;
mod writer;

use axum::Router;
use axum::routing::{get, post};

use super::Dialect;
use crate::dialects::openai::error::envelope;
use crate::generate::{AppState, complete};
use response::Responses;

/// OpenAI's newer API.
pub(crate) const DIALECT: Dialect = Dialect {
    prefix: "/v1/responses",
    routes,
    endpoints: &[
        "POST /v1/responses",
        "GET /v1/responses/{id}",
        "DELETE /v1/responses/{id}",
        "POST /v1/responses/{id}/cancel",
        "GET /v1/responses/{id}/input_items",
        "POST /v1/responses/input_tokens",
    ],
    error_body: envelope,
};

fn routes() -> Router<AppState> {
    let routes = Router::new()
        .route("/responses", post(complete::<Responses>))
        .route("/responses/input_tokens", post(kept::input_tokens))
        .route("/responses/{id}", get(kept::retrieve).delete(kept::delete))
        .route("/responses/{id}/cancel", post(kept::cancel))
        .route("/responses/{id}/input_items", get(kept::input_items));
    // For clients whose base URL lacks it.
    Router::new().nest("/v1", routes.clone()).merge(routes)
}
