//! The API as its clients see it: a real engine on a tiny random model, in process and over sockets.

mod any_json;
mod audit;
mod bad_requests;
mod bad_transport;
mod both;
mod charges;
mod chat;
mod completions;
mod connections;
mod defaults;
mod description;
mod details;
mod door;
#[path = "../../../core/tests/support/embedders.rs"]
mod embedders;
mod engine_death;
#[cfg(feature = "parking-lot-scheduler")]
mod gateway;
mod heads;
mod histories;
mod hosts;
mod isolation;
mod keys;
mod lifecycle;
mod llama_cpp;
mod logprobs;
#[cfg(feature = "parking-lot-scheduler")]
mod lot;
mod metrics;
mod mortal;
mod ranges;
#[cfg(feature = "parking-lot-scheduler")]
mod requests;
mod sampling;
#[cfg(feature = "parking-lot-scheduler")]
mod supersedes;
mod support;
mod texts;
mod tls;
mod unknown_fields;
mod webhooks;
