//! What operators ask: how the server is, and its figures.

mod exposition;
mod gateway;
pub(super) mod health;
pub(super) mod metrics;
pub(super) mod snapshot;
