#![doc = include_str!("../README.md")]

mod access;
mod config;
mod description;
mod dialects;
mod generate;
mod http;
mod routes;
mod work;

pub use access::{
    Advance, ApiKey, ApiKeys, Demand, KeysError, Meter, OverLimit, Policy, PolicyError, RateLimits, Standing, Webhook,
    WebhookError, hash_key, in_plain_words, is_user, read_text,
};
pub use config::{ConfigError, ServerConfig};
pub use dialects::chat::{Answered, Call, Part, Turn};
pub use dialects::openai::{AnswerForm, Progress, Submitted, embeddings};
pub use dialects::request::Endpoint;
pub use generate::{ANY_NAME, AppState, DEFAULT_MODEL, Defaults, ModelEntry};
pub use http::{ApiError, Listener, Retry, Tls, TlsError, is_request_id};
pub use parkade_calls::Piece;
pub use routes::{Offline, OfflineError, OfflineLine, OfflineLines, router, serve};
