//! Reading GGUF files: good ones, and every kind of broken one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod accepted;
mod build;
mod refused;
mod split;
mod survives;
