//! The APIs that the server speaks. Each reads bodies into tasks, and writes answers and errors.
//!
//! | file | subject |
//! | --- | --- |
//! | `fields.rs` | reading a JSON object field by field, whoever's API it belongs to |
//! | `openai/` | OpenAI's completions |

pub(crate) mod fields;
pub(crate) mod openai;

use axum::Router;

use crate::generate::AppState;
use crate::http::ErrorBody;

/// One API.
pub(crate) struct Dialect {
    /// How its paths begin.
    pub prefix: &'static str,
    /// Its paths and what answers there.
    pub routes: fn() -> Router<AppState>,
    /// The same in words.
    pub endpoints: &'static [&'static str],
    /// How its clients read errors.
    pub error_body: ErrorBody,
}
