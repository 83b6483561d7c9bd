//! What bodies of several APIs say in the same words: OpenAI's, which others have taken over.
//!
//! | file | subject |
//! | --- | --- |
//! | `generation.rs` | how to sample, when to stop, for whom and how soon: [`Generation`] |
//! | `sampling.rs`, `dry.rs` | how the next token is chosen |
//! | `tokens.rs` | fields that name tokens |
//! | `format.rs` | what an answer may be |
//! | `details.rs` | what answers say besides their text |
//! | `chat.rs` | a chat: messages, tools, thoughts, and what the template is told |
//! | `messages.rs`, `calls.rs` | its messages, and the calls in them |
//! | `tools.rs` | functions that may be called |
//! | `thinking.rs` | whether and how much the model thinks |
//! | `service_tier.rs` | the words for classes |
//! | `known_fields/` | all fields that are known, and what becomes of each |
//! | `describe/` | what is said of these fields |

mod calls;
pub(crate) mod chat;
pub(crate) mod describe;
mod details;
mod dry;
mod format;
pub(crate) mod generation;
pub(crate) mod known_fields;
pub(crate) mod messages;
pub(crate) mod sampling;
pub(crate) mod service_tier;
pub(crate) mod thinking;
pub(crate) mod tokens;
pub(crate) mod tools;

pub(crate) use details::Details;
pub(crate) use generation::Generation;
pub use known_fields::Endpoint;
