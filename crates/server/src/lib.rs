//! OpenAI's HTTP API over Parkade's engine.
//!
//! [`router`] is the API as an axum router; [`serve`] runs it on a listener with limits on everything that a client
//! sends, and ends it without breaking what runs. The port can be open before a model is there: [`AppState`] begins
//! empty, and [`AppState::set_model`] makes it ready.
//!
//! ```no_run
//! use parkade_server::{AppState, ModelEntry, ServerConfig, serve};
//!
//! # async fn start(loaded: parkade_core::Loaded) -> Result<(), Box<dyn std::error::Error>> {
//! let state = AppState::new(ServerConfig::default())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:1234").await?;
//! let model = ModelEntry::new(loaded.name, loaded.engine, loaded.tokenizer, loaded.template, loaded.config);
//! state.set_model(model);
//! serve(listener, state, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The life of an HTTP request
//!
//! `http` accepts the connection and gives the request an id; `access` checks whether it may come in; `routes` finds the
//! handler, and `http` reads the body within bounds; a dialect in `dialects` checks it and makes requests for the engine;
//! `generate` hands them in, and the dialect writes the events that come back as one body or as a stream. Whatever is
//! refused on the way is an [`ApiError`]. A client that leaves drops the response body, and with it the engine's streams:
//! that cancels the work.

mod access;
mod config;
mod dialects;
mod generate;
mod http;
mod routes;

pub use access::identity::{Identity, ServiceTier};
pub use access::{
    Advance, ApiKey, ApiKeys, Demand, KeysError, Meter, OverLimit, Policy, RateLimits, Rates, Standing, TenantLimits,
    hash_key, in_plain_words, read_text,
};
pub use config::{ConfigError, ServerConfig};
pub use generate::state::{AppState, DEFAULT_MODEL, ModelEntry};
pub use http::error::{ApiError, ErrorType, PromptLength, Retry};
pub use routes::{router, serve};
