//! OpenAI's Responses: chats whose answers are kept and can be continued.
//!
//! | file | subject |
//! | --- | --- |
//! | `parse.rs` | from a body to a request for the engine |
//! | `input.rs` | items of input, as chat templates have them |
//! | `tools.rs` | functions and which of them are called |
//! | `options.rs` | what an answer is to say besides |
//! | `settings.rs` | what a response repeats of its request |
//! | `items.rs` | items of output |
//! | `response.rs` | a response at any moment |
//! | `encode.rs` | answers, whole and streamed |
//! | `writer.rs` | the events of a streamed answer |
//! | `keep.rs` | what is kept of an answer |
//! | `kept.rs` | asking for it, cancelling and deleting it |
//! | `describe.rs` | what is said of all that |
//! | `events.rs` | what is said of answers and their events |

mod describe;
mod encode;
mod events;
mod input;
mod items;
mod keep;
mod kept;
mod options;
mod parse;
mod response;
mod settings;
mod tools;
mod writer;

use super::{Dialect, Route};
use crate::dialects::envelope::envelope;
use crate::generate::{complete, inspect};
use kept::InputTokens;
use response::Responses;

/// OpenAI's newer API.
pub(crate) const DIALECT: Dialect = Dialect {
    name: "Responses",
    prefix: "/v1/responses",
    routes,
    components: events::COMPONENTS,
    envelope: "Error",
    error_body: envelope,
};

fn routes() -> Vec<Route> {
    let routes = [
        Route::post("/v1/responses", complete::<Responses>, describe::create()),
        Route::post("/v1/responses/input_tokens", inspect::<InputTokens>, describe::input_tokens()),
        Route::get("/v1/responses/{id}", kept::retrieve, describe::retrieve()),
        Route::delete("/v1/responses/{id}", kept::delete, describe::delete()),
        Route::post("/v1/responses/{id}/cancel", kept::cancel, describe::cancel()),
        Route::get("/v1/responses/{id}/input_items", kept::input_items, describe::input_items()),
    ];
    routes.into_iter().map(Route::bare_too).collect()
}
