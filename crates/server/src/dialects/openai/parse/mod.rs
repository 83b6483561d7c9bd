//! OpenAI's bodies: from JSON to tasks.

mod calls;
mod chat;
mod completions;
mod generation;
mod known_fields;
mod messages;

pub use generation::is_user;
pub use known_fields::Endpoint;
