#![doc = include_str!("../README.md")]

mod access;
mod config;
mod description;
mod dialects;
mod generate;
mod http;
mod routes;

pub use access::{
    Advance, ApiKey, ApiKeys, Demand, KeysError, Meter, OverLimit, Policy, RateLimits, Standing, hash_key,
    in_plain_words, read_text,
};
pub use config::{ConfigError, ServerConfig};
pub use dialects::openai::{Endpoint, embeddings, is_user};
pub use generate::{ANY_NAME, AppState, DEFAULT_MODEL, Defaults, ModelEntry};
pub use http::{ApiError, Listener, Retry, Tls, TlsError, is_request_id};
pub use routes::{router, serve};
