//! The forward pass: against llama.cpp's answers, against a naive pass, and against itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../support/alike.rs"]
mod alike;
mod batches;
mod experts;
mod ggml;
#[path = "../support/installed.rs"]
mod installed;
mod invariance;
mod loading;
mod oracle;
mod outputs;
mod plans;
#[path = "../support/random.rs"]
mod random;
mod reference;
#[path = "../support/runner.rs"]
mod runner;
mod support;
mod synthetic;
