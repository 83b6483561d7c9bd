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
    Advance, ApiKey, ApiKeys, Demand, KeysError, Meter, OverLimit, Policy, RateLimits, Standing, hash_key,
    in_plain_words, is_user, read_text,
};
pub use config::{ConfigError, ServerConfig};
pub use dialects::openai::{Endpoint, embeddings};
pub use generate::{AppState, DEFAULT_MODEL, ModelEntry};
pub use http::{ApiError, Listener, Retry, Tls, TlsError, is_request_id};
pub use routes::{router, serve};
