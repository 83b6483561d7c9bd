//! The APIs that the server speaks: each reads bodies into requests for the engine, and writes answers and errors.
//!
//! | file | subject |
//! | --- | --- |
//! | `fields.rs` | reading a JSON object field by field, whoever's API it belongs to |
//! | `openai/` | OpenAI's completions |

pub(crate) mod fields;
pub(crate) mod openai;
