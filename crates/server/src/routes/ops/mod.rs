//! What operators ask: how the server is, and its figures.

mod exposition;
pub(super) mod health;
pub(super) mod metrics;
pub(super) mod snapshot;
