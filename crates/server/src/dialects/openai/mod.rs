//! OpenAI's completions, embeddings and what goes with them: bodies are read and checked by hand, answers are written with serde.

mod count;
mod describe;
mod encode;
mod in_process;
mod parse;

use count::CountTokens;
use encode::{Chat, Completions};

use super::envelope::envelope;
use super::{Dialect, Route};
use crate::generate::{complete, embed, inspect};

pub use in_process::{AnswerForm, Progress, Submitted, embeddings};
use parse::{Embeddings, Rerank};

/// OpenAI's API.
pub(crate) const DIALECT: Dialect = Dialect {
    name: "OpenAI",
    prefix: "/",
    routes,
    components: describe::COMPONENTS,
    envelope: "Error",
    error_body: envelope,
};

fn routes() -> Vec<Route> {
    let routes = [
        Route::post("/v1/chat/completions", complete::<Chat>, describe::chat()),
        Route::post("/v1/chat/completions/input_tokens", inspect::<CountTokens>, describe::chat_tokens()),
        Route::post("/v1/completions", complete::<Completions>, describe::completions()),
        Route::post("/v1/embeddings", embed::<Embeddings>, describe::embeddings()),
        Route::post("/v1/rerank", embed::<Rerank>, describe::rerank()),
    ];
    routes.into_iter().map(Route::bare_too).collect()
}
