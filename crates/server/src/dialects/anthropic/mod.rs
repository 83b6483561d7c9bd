//! Anthropic's Messages: the same chats in another form.
//!
//! | file | subject |
//! | --- | --- |
//! | `parse.rs` | from a body to a request for the engine |
//! | `messages.rs` | messages and their blocks |
//! | `system.rs` | system prompts |
//! | `tools.rs` | functions and which of them are called |
//! | `count.rs` | how many tokens a body has |
//! | `encode.rs` | answers, whole and streamed |
//! | `error.rs` | errors |

mod count;
mod encode;
mod error;
mod messages;
mod parse;
mod system;
mod tools;

use axum::Router;
use axum::routing::post;

use super::Dialect;
use crate::generate::{AppState, complete};
use encode::Messages;

/// Anthropic's API.
pub(crate) const DIALECT: Dialect = Dialect {
    prefix: "/v1/messages",
    routes,
    endpoints: &["POST /v1/messages", "POST /v1/messages/count_tokens"],
    error_body: error::envelope,
};

fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/messages", post(complete::<Messages>))
        .route("/v1/messages/count_tokens", post(count::count_tokens))
}
