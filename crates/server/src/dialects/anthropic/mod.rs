//! Anthropic's Messages: the same chats in another form.
//!
//! | file | subject |
//! | --- | --- |
//! | `parse.rs` | from a body to a request for the engine |
//! | `messages.rs` | messages and their blocks |
//! | `system.rs` | system prompts |
//! | `tools.rs` | functions and which of them are called |
//! | `partial.rs` | what is whole of arguments in which an answer was cut |
//! | `count.rs` | how many tokens a body has |
//! | `encode.rs` | answers, whole and streamed |
//! | `error.rs` | errors |
//! | `describe.rs` | what is said of all that |

mod count;
mod describe;
mod encode;
mod error;
mod messages;
mod parse;
mod partial;
mod system;
mod tools;

use super::{Dialect, Route};
use crate::generate::{complete, inspect};
use count::CountTokens;
use encode::Messages;

/// Anthropic's API.
pub(crate) const DIALECT: Dialect = Dialect {
    name: "Anthropic",
    prefix: "/v1/messages",
    routes,
    components: describe::COMPONENTS,
    envelope: "AnthropicError",
    error_body: error::envelope,
};

fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/messages", complete::<Messages>, describe::messages()),
        Route::post("/v1/messages/count_tokens", inspect::<CountTokens>, describe::count_tokens()),
    ]
}
