//! The APIs that the server speaks. Each reads bodies into tasks, and writes answers and errors.
//!
//! | file | subject |
//! | --- | --- |
//! | `fields.rs` | reading a JSON object field by field, whoever's API it belongs to |
//! | `envelope.rs` | errors as most clients read them |
//! | `route.rs` | a path, what answers there, and what is said of it |
//! | `headers.rs` | headers at all paths that compute |
//! | `fill_in.rs` | gaps in code, for models that fill them |
//! | `metadata.rs` | what clients note of things |
//! | `numbers.rs` | numbers as JSON has them |
//! | `progress.rs` | how much of a prompt is computed |
//! | `timings.rs` | how long answers took |
//! | `anthropic/` | Anthropic's Messages |
//! | `batches/` | OpenAI's files and batches |
//! | `chat/` | what a chat is, whoever's API it came by |
//! | `request/` | what bodies of several APIs say in the same words |
//! | `llama_cpp/` | llama.cpp's own paths |
//! | `openai/` | OpenAI's completions, embeddings and rankings |
//! | `responses/` | OpenAI's Responses |

mod anthropic;
mod batches;
pub(crate) mod chat;
mod envelope;
mod fields;
mod fill_in;
mod headers;
mod llama_cpp;
mod metadata;
mod numbers;
pub(crate) mod openai;
mod progress;
pub(crate) mod request;
mod responses;
mod route;
mod timings;

use crate::description::Component;
use crate::http::ErrorBody;
pub(crate) use batches::ENDPOINTS as BATCH_ENDPOINTS;
pub(crate) use route::Route;

/// One API.
pub(crate) struct Dialect {
    /// Whose it is.
    pub name: &'static str,
    /// How its paths begin.
    pub prefix: &'static str,
    /// Its paths and what answers there.
    pub routes: fn() -> Vec<Route>,
    /// Parts of the description that its paths name.
    pub components: &'static [Component],
    /// That of them which describes its errors.
    pub envelope: &'static str,
    /// How its clients read errors.
    pub error_body: ErrorBody,
}

/// What is spoken here. Each dialect at its own paths, the first one wherever no other is.
pub(crate) const DIALECTS: &[Dialect] =
    &[openai::DIALECT, anthropic::DIALECT, responses::DIALECT, llama_cpp::DIALECT, batches::DIALECT];

/// How errors are written at a path.
pub(crate) fn error_body_at(path: &str) -> ErrorBody {
    let own = DIALECTS[1..].iter().find(|dialect| path.starts_with(dialect.prefix));
    own.unwrap_or(&DIALECTS[0]).error_body
}
