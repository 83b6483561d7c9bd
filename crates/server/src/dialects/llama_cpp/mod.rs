//! llama.cpp's own paths, in the shapes that its clients read; `/tokenize` and its likes take vLLM's fields as well.
//!
//! | file | subject |
//! | --- | --- |
//! | `parse.rs` | `POST /completion`: from a body to requests for the engine |
//! | `infill.rs` | `POST /infill`: a gap in code instead of a prompt |
//! | `prompts.rs` | prompts of texts, tokens, or both |
//! | `settings.rs` | `generation_settings`: how an answer was generated |
//! | `encode.rs` | answers, whole and streamed |
//! | `tokenize.rs` | texts to tokens and back |
//! | `template.rs` | messages to the prompt that a chat template makes of them |
//! | `props.rs` | what the server is like, and what it does |

mod encode;
mod infill;
mod parse;
mod prompts;
mod props;
mod settings;
mod template;
mod tokenize;

use axum::Router;
use axum::routing::{get, post};

use super::{Dialect, openai};
use crate::generate::{AppState, complete};
use infill::Infill;
use parse::Completion;

/// What of llama.cpp's API is not OpenAI's.
pub(crate) const DIALECT: Dialect = Dialect {
    prefix: "/completion",
    routes,
    endpoints: &[
        "POST /completion",
        "POST /infill",
        "POST /tokenize",
        "POST /detokenize",
        "POST /apply-template",
        "GET /tokenizer_info",
        "GET /props",
        "GET /slots",
    ],
    error_body: openai::DIALECT.error_body,
};

fn routes() -> Router<AppState> {
    Router::new()
        .route("/completion", post(complete::<Completion>))
        .route("/infill", post(complete::<Infill>))
        .route("/tokenize", post(tokenize::tokenize))
        .route("/detokenize", post(tokenize::detokenize))
        .route("/tokenizer_info", get(tokenize::info))
        .route("/apply-template", post(template::apply))
        .route("/props", get(props::props))
        .route("/slots", get(props::slots))
}
